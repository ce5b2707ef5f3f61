"""The number formats of a chip: one type, read from the target by everybody who rounds, bounds, checks or places.

There is one arithmetic (``compile/arithmetic``). A target whose rules are others is refused when it loads, by
``uncomputed``, because a program for it would be computed by somebody else's rules.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from seamount.errors import ConfigError, Reason

from .numbers import DRIVE_SHIFT, FULL_SCALE_BITS, STATE_BITS, UNITY, V_MAX

SignMode = Literal["mixed", "excitatory", "inhibitory"]

FEWEST_BITS = 2
"""One bit has no room for a sign and a value: mixed weights could be -256 or 0."""


@dataclass(frozen=True)
class NumberFormats:
    """What the integers of a chip may be, and the rules of their overflow; the defaults are Loihi 1's.

    Attributes:
        u_bits .. v_overflow: of the states; ``decay_bits`` and ``decay_rounding`` of what they keep in a step.
        u_decay_offset, v_decay_offset: an effective decay rate is register + offset.
        drive_bits: width of the accumulator of arriving weights, weight units, signed.
        weight_widths: bits, the sign included, in which a synapse format can hold weights, rising.
        mixed_sign_step: distance of neighbouring weights at full width where signs are mixed.
        weight_exponent: lowest and highest exponent of a synapse format.
        v_th_mant_bits, v_th_shift: a threshold is mantissa << shift.
        bias_mant_max, bias_exp_max: largest |mantissa|, exponents 0 .. max.
        delay_max, refractory_max: steps.
        payload_bits: of a graded spike; 0: spikes are binary. ternary_spikes: whether one can be -1.
        reset: what v becomes by a spike. soft_reset: how a reset by subtraction is had, if at all.
        reset_interval_power_of_two: whether only such intervals of a periodic reset exist.
    """

    u_bits: int = 24
    u_overflow: str = "wrap"
    v_bits: int = 24
    v_overflow: str = "saturate"
    drive_bits: int = 16
    decay_bits: int = 12
    decay_rounding: str = "towards_zero"
    u_decay_offset: int = 1
    v_decay_offset: int = 0
    weight_widths: tuple[int, ...] = (1, 2, 3, 4, 5, 6, 8)
    mixed_sign_step: int = 2
    weight_exponent: tuple[int, int] = (-7, 7)
    v_th_mant_bits: int = 17
    v_th_shift: int = 6
    bias_mant_max: int = 4095
    bias_exp_max: int = 7
    delay_max: int = 62
    refractory_max: int = 63
    payload_bits: int = 0
    ternary_spikes: bool = False
    reset: str = "zero"
    soft_reset: str = "two_compartments"
    reset_interval_power_of_two: bool = False

    @property
    def v_th_mant_max(self) -> int:
        return (1 << self.v_th_mant_bits) - 1

    @property
    def bias_max(self) -> int:
        """Largest |bias|, units of v."""
        return self.bias_mant_max << self.bias_exp_max

    @property
    def drive_max(self) -> int:
        """Largest sum of a step, weight units."""
        return (1 << (self.drive_bits - 1)) - 1


LOIHI = NumberFormats()

U_ROOM = (V_MAX + 1) >> DRIVE_SHIFT
"""A drive of this size or more takes u out of its bits by itself, whatever the chip: u stands above it."""


# ------------------------------------------------------------------------------------- what is not computed


def uncomputed(formats: NumberFormats) -> Iterator[Reason]:
    """What of these formats ``compile/arithmetic`` does not compute: a program for them would be another's."""
    for name, found, possible, why in _one_rule(formats):
        if found != possible:
            yield _refused(name, found, f"computed is {possible}", why)
    for name, number, low, high, why in _ranges(formats):
        if not low <= number <= high:
            yield _refused(name, number, f"computed are {low} to {high}", why)
    if formats.soft_reset not in ("two_compartments", "none"):
        yield _refused(
            "soft_reset",
            formats.soft_reset,
            "computed are two_compartments and none",
            "a reset by subtraction is emulated by a synapse (--soft-reset emulate), never the neuron's own",
        )


def _one_rule(formats: NumberFormats) -> Iterator[tuple[str, object, object, str]]:
    """Field, its value, the one that is computed, what it means."""
    yield "u_bits", formats.u_bits, STATE_BITS, "docs/arithmetic.md, step 3"
    yield "u_overflow", formats.u_overflow, "wrap", "u goes once around its bits (docs/arithmetic.md, step 3)"
    yield "v_bits", formats.v_bits, STATE_BITS, "docs/arithmetic.md, step 4"
    yield "v_overflow", formats.v_overflow, "saturate", "v stops at its ends (docs/arithmetic.md, step 4)"
    bits = UNITY.bit_length() - 1
    yield "decay_bits", formats.decay_bits, bits, f"a state keeps (x - rate) / x of itself, x = {UNITY}"
    yield "decay_rounding", formats.decay_rounding, "towards_zero", "what a state keeps (docs/arithmetic.md)"
    yield "mixed_sign_step", formats.mixed_sign_step, 2, "weights of both signs are even at full width"
    yield "v_th_shift", formats.v_th_shift, DRIVE_SHIFT, "thresholds stand as far above v as drives do"
    yield "reset", formats.reset, "zero", "v is 0 after a spike (docs/arithmetic.md, step 5)"


def _ranges(formats: NumberFormats) -> Iterator[tuple[str, int, int, int, str]]:
    """Field, value, lowest and highest that is computed, why."""
    yield "drive_bits", formats.drive_bits, 2, 32, "a sum of synapses is held in 32 bits"
    yield "weight_widths", max(formats.weight_widths), 1, FULL_SCALE_BITS, "weights stand on a scale of 8 bits"
    low, high = formats.weight_exponent
    yield "weight_exponent", low, -31, 31, "a sum of 32 bits is shifted within 64"
    yield "weight_exponent", high, -31, 31, "a sum of 32 bits is shifted within 64"
    yield "bias_mant_max", formats.bias_mant_max, 0, (1 << 15) - 1, "a bias mantissa is an int16"
    most = 31 - formats.bias_mant_max.bit_length()
    yield "bias_exp_max", formats.bias_exp_max, 0, max(0, most), "v with its bias is held in 32 bits"
    yield "delay_max", formats.delay_max, 0, 63, "a program holds delays of 6 bits"
    yield "payload_bits", formats.payload_bits, 0, 31, "a value that is sent is an int32"


def _refused(name: str, found: object, possible: str, why: str) -> Reason:
    return Reason(f"{found} is not what the arithmetic computes", f"formats.{name}", f"{possible}: {why}")


# --------------------------------------------------------------------------------------------- weights' grid


def grid_step(mode: str, weight_bits: int = FULL_SCALE_BITS) -> int:
    """Distance of neighbouring weights on the grid; mixed signs take a bit."""
    return 1 << (FULL_SCALE_BITS - weight_bits + (mode == "mixed"))


def grid_ends(mode: str, weight_bits: int = FULL_SCALE_BITS) -> tuple[int, int]:
    """(lowest, highest) weight: fewer bits are the top ones, so that only the end towards 0 moves."""
    full, step = 1 << FULL_SCALE_BITS, grid_step(mode, weight_bits)
    match mode:
        case "mixed":
            return -full, full - step
        case "inhibitory":
            return step - full, 0
        case _:
            return 0, full - step


@dataclass(frozen=True)
class WeightBits:
    """How many bits, the sign included, the weights of each synapse group may use.

    Attributes:
        default: where nothing else is said.
        named: synapse group, or population for all groups into it -> bits; the group's own name wins.
    """

    default: int = FULL_SCALE_BITS
    named: Mapping[str, int] = field(default_factory=dict)

    def of(self, group: str, target: str) -> int:
        return self.named.get(group, self.named.get(target, self.default))

    def __str__(self) -> str:
        return ", ".join([str(self.default), *(f"{name} {bits}" for name, bits in self.named.items())])


BitsSetting = int | Mapping[str, int] | None
"""As a user says it: for all; or by name, "default" for the rest; None: the target's widest."""


def weight_bits(setting: BitsSetting, formats: NumberFormats, where: str = "weight_bits") -> WeightBits:
    """The setting as the target can have it.

    Raises:
        ConfigError: a width that the target has no synapse format for.
    """
    widest = formats.weight_widths[-1]
    named = dict(setting) if isinstance(setting, Mapping) else {}
    default = named.pop("default", widest) if not isinstance(setting, int) else setting
    possible = [width for width in formats.weight_widths if width >= FEWEST_BITS]
    wrong = [
        Reason(
            f"{bits} bits",
            where if name is None else f"{where}.{name}",
            f"the target's weights can have {', '.join(map(str, possible))}",
        )
        for name, bits in ((None, default), *named.items())
        if bits not in possible
    ]
    if wrong:
        raise ConfigError.together(wrong)
    return WeightBits(default, named)


def check_names(bits: WeightBits, groups: Collection[str], populations: Collection[str], where: str) -> None:
    """Refuses bits for a layer that does not exist.

    Raises:
        ConfigError: with the names that there are.
    """
    known = [*dict.fromkeys((*groups, *populations))]
    if unknown := [name for name in bits.named if name not in known]:
        raise ConfigError(
            f"no layer is called {' or '.join(unknown)}", where=where, possible=f"possible are {', '.join(known)}"
        )
