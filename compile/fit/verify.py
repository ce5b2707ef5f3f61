"""Whether a chip can hold a program exactly: formats, ranges, spikes, delays. What a core holds: ``place/``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import assert_never

import numpy as np

from ..neurons.atrlif import Atrlif
from ..neurons.delta import Delta
from ..neurons.graded import HELD_BITS
from ..neurons.graded_relu_vec import GradedReluVec
from ..neurons.graded_vec import GradedVec
from ..neurons.lif import NEVER_FIRES, Lif
from ..neurons.model import PAYLOAD_BITS, Message
from ..neurons.norm_vec_delay import NormVecDelay
from ..neurons.prod_neuron import ProdNeuron
from ..neurons.relay import Relay
from ..neurons.rf import Rf
from ..neurons.rf_iz import RfIz
from ..neurons.sigma import Sigma
from ..neurons.sigma_delta import SigmaDelta
from ..neurons.ternary_lif import TernaryLif
from ..numbers import STATE_BITS, V_MAX, Ints
from ..program.messages import drive_of, largest, messages
from ..program.program import Population, Program
from ..synapses.kinds import Synapses, Wire
from .chip import Chip, HasChip
from .finding import Finding, require
from .place.rules import WeightFormat, weight_format

__all__ = ["Finding", "require", "verify_program"]


def verify_program(program: Program, target: HasChip) -> list[Finding]:
    """All findings on formats and neuron models, errors first; empty if the chip holds the program as it is."""
    chip = target.chip
    sent = messages(program)
    found = [f for p in program.populations for f in _population(p, program, sent, chip)]
    found += [f for s in program.synapses for f in _synapses(s, program, sent, chip)]
    found += [f for p in program.populations for f in _drive(p, program, sent, chip)]
    return sorted(found, key=lambda f: f.severity == "assumption")


# --------------------------------------------------------------------------------------------- populations


def _population(
    population: Population, program: Program, sent: Mapping[str, Message], chip: Chip
) -> Iterator[Finding]:
    name = population.name
    yield from _reset(population, chip)
    match population.neuron:
        case Lif() as lif:
            yield from _state(name, lif, ("threshold mantissa", lif.v_th_mant), chip)
            yield from _refractory(name, lif, chip)
            yield from _floor(name, lif, chip)
        case TernaryLif() as ternary:
            yield from _state(name, ternary, ("upper threshold", ternary.v_th_hi_mant), chip)
            yield from _signed(name, chip)
        case Relay():
            # the sum of several needs more bits than any one source sends
            if sent[name].bits == PAYLOAD_BITS and program.into(name):
                yield _relay_of_a_sum(name, chip)
        case Delta() | SigmaDelta() | Sigma() | Rf() | RfIz():
            yield from _programmed(population, chip)
        case Atrlif() | GradedVec() | GradedReluVec() | ProdNeuron() | NormVecDelay():
            yield from _programmed(population, chip)
        case _ as neuron:
            assert_never(neuron)


def _programmed(population: Population, chip: Chip) -> Iterator[Finding]:
    """Neurons that are programs of their own; a chip that has them carries 24 bits in a message, too."""
    has_programs = chip.formats.payload_bits >= PAYLOAD_BITS
    yield Finding(
        population.name,
        "neuron model",
        type(population.neuron).__name__,
        f"what a neuron program costs a core of {chip.name} is not published"
        if has_programs
        else f"{chip.name} has leaky integrate-and-fire neurons",
        "assumption" if has_programs else "unsupported",
        ("counted as one compartment a neuron",)
        if has_programs
        else ("choose a target whose neurons can be programmed", "run the program on the simulator or Lava only"),
    )
    held = population.neuron.settings()
    for what, values in (("threshold", held.thresholds), ("bias", held.biases)):
        if wide := [x for x in values if x.min() < -V_MAX - 1 or x.max() > V_MAX]:
            yield Finding(
                population.name,
                what,
                _span(wide[0]),
                f"{STATE_BITS} bits are what Lava declares for it, although it computes with {HELD_BITS}",
                "does_not_fit",
                ("scale it and the weights before it down", "run the program on the simulator or Lava only"),
            )


def _refractory(name: str, lif: Lif, chip: Chip) -> Iterator[Finding]:
    if lif.refractory_steps > chip.formats.refractory_max:
        yield Finding(
            name,
            "refractory period",
            f"{lif.refractory_steps} steps",
            f"{chip.name} has at most {chip.formats.refractory_max}",
            "does_not_fit",
            ("train without a refractory period", "lengthen the timestep", "choose another target"),
        )


def _floor(name: str, lif: Lif, chip: Chip) -> Iterator[Finding]:
    if lif.v_floor is not None:
        yield Finding(
            name,
            "floor of v",
            _span(lif.v_floor),
            f"no public source says which floors {chip.name} holds",
            "assumption",
            ("train without a floor", "run the program on the simulator only"),
        )


def _signed(name: str, chip: Chip) -> Iterator[Finding]:
    if not chip.formats.ternary_spikes:
        yield Finding(
            name,
            "signed spikes",
            "-1, 0, 1",
            f"{chip.name} has spikes 0, 1",
            "unsupported",
            (
                "train with LIF neurons",
                "two LIF populations, one for each sign",
                "choose a target with graded spikes",
            ),
        )


def _relay_of_a_sum(name: str, chip: Chip) -> Finding:
    return Finding(
        name,
        "relay of a sum",
        "graded values",
        f"{chip.name} relays what one source sends",
        "unsupported" if chip.formats.payload_bits < PAYLOAD_BITS else "assumption",
        (
            "relay each branch by itself and add at the next population",
            "shorten the other branch so that no relay is needed",
            "choose a target with graded spikes of 24 bits",
        ),
    )


def _reset(population: Population, chip: Chip) -> Iterator[Finding]:
    reset = population.reset
    if reset is not None and chip.formats.reset_interval_power_of_two and reset.interval & (reset.interval - 1):
        rounded = 1 << reset.interval.bit_length()
        yield Finding(
            population.name,
            "reset interval",
            str(reset.interval),
            f"{chip.name} has powers of two",
            "assumption",
            (f"samples are streamed every {rounded} steps, silent in between, or the host clears the state",),
        )


def _state(name: str, neuron: Lif | TernaryLif, threshold: tuple[str, Ints], chip: Chip) -> Iterator[Finding]:
    yield from _decay(name, "du", neuron.du, chip.formats.u_decay_offset, chip)
    yield from _decay(name, "dv", neuron.dv, chip.formats.v_decay_offset, chip)
    yield from _threshold(name, *threshold, chip)
    yield from _bias(name, neuron, chip)
    if np.any(neuron.u_init) or np.any(neuron.v_init):
        yield Finding(
            name,
            "initial state",
            "not 0",
            f"{chip.name} starts at 0",
            "assumption",
            ("the host writes u and v before the first step, and after each reset",),
        )


TOO_HIGH = (
    "lower the weight exponent of the synapses into it",
    "choose a smaller scale for the population",
    "train with a lower threshold",
)
BELOW_RESET = ("v is reset to 0, which is above it, so it would fire for ever: give it a threshold of 0 or more",)


def _threshold(name: str, what: str, values: Ints, chip: Chip) -> Iterator[Finding]:
    limit = chip.formats.v_th_mant_max
    low, high = int(values.min()), int(values.max())
    if low < 0 or np.any((values > limit) & (values != NEVER_FIRES)):
        yield Finding(
            name,
            what,
            str(low if low < 0 else high),
            f"{chip.name} holds 0 to {limit} (u{chip.formats.v_th_mant_bits})",
            "does_not_fit",
            BELOW_RESET if low < 0 else TOO_HIGH,
        )
    elif np.any(values == NEVER_FIRES):
        yield Finding(
            name,
            what,
            "never fires",
            f"{chip.name} holds 0 to {limit}",
            "assumption",
            (f"held as {limit}: exact while v stays at or below {limit << chip.formats.v_th_shift}",),
        )


def _bias(name: str, neuron: Lif | TernaryLif, chip: Chip) -> Iterator[Finding]:
    formats, mant = chip.formats, int(np.abs(neuron.bias_mant).max())
    exp_low, exp_high = int(neuron.bias_exp.min()), int(neuron.bias_exp.max())
    if mant > formats.bias_mant_max or exp_high > formats.bias_exp_max or exp_low < 0:
        yield Finding(
            name,
            "bias",
            f"mantissa {mant}, exponent {exp_low} to {exp_high}",
            f"{chip.name} holds mantissas to {formats.bias_mant_max}, exponents 0 to {formats.bias_exp_max}",
            "does_not_fit",
            (
                "choose a smaller scale for the population",
                "split the bias into mantissa and exponent anew",
                "feed the constant through an input that is always on",
            ),
        )


def _decay(name: str, rate: str, values: Ints, offset: int, chip: Chip) -> Iterator[Finding]:
    """Rates 0 and 4096 may be one beyond the register; Lava's model takes them, so they are no error."""
    low, high = int(values.min()), int(values.max())
    unity = 1 << chip.formats.decay_bits
    first, last = offset, unity - 1 + offset
    if first <= low and high <= last:
        return
    in_model = low >= 0 and high <= unity
    nearest = last if high > last else first
    yield Finding(
        name,
        f"decay {rate}",
        _span(values),
        f"{chip.name} holds {first} to {last} of {unity}",
        "assumption" if in_model else "does_not_fit",
        (f"exact in Lava's model, whose registers have no limits; nearest on the chip: {nearest}",)
        if in_model
        else ("lengthen the time constant", "shorten the timestep", "choose another neuron model"),
    )


def _span(values: Ints) -> str:
    low, high = int(values.min()), int(values.max())
    return str(low) if low == high else f"{low} to {high}"


# ------------------------------------------------------------------------------------------------ synapses


def _synapses(s: Synapses, program: Program, sent: Mapping[str, Message], chip: Chip) -> Iterator[Finding]:
    if isinstance(s.kind, Wire):
        yield from _wire(s, program, chip)
        return
    form = weight_format(s.kind.weights, s.exponent, chip)
    if form.width is None:
        yield _weights(s, s.kind.weights, form, chip)
    delay = int(s.delay.max()) if s.delay.size else 0
    if delay > chip.formats.delay_max:
        yield Finding(
            s.name,
            "delay",
            f"{delay} steps",
            f"{chip.name} holds {chip.formats.delay_max}",
            "does_not_fit",
            ("a relay population on the way", "train with a shorter largest delay", "lengthen the timestep"),
        )
    bits = sent[s.source].bits
    if s.graded and bits > chip.formats.payload_bits:
        yield from _bit_planes(s, bits, form.exponent, chip)


def _wire(s: Synapses, program: Program, chip: Chip) -> Iterator[Finding]:
    if s.source not in {i.name for i in program.inputs}:
        yield Finding(
            s.name,
            "connection within a step",
            f"{s.source} to {s.target}",
            f"on {chip.name} every connection takes a step",
            "unsupported",
            (
                "connect through synapses of weight 1 and balance the latency",
                "merge the two populations",
                "run the program on the simulator or Lava only",
            ),
        )
    elif not program.population(s.target).neuron.passes_on:
        yield Finding(
            s.name,
            "input without synapses",
            f"{s.source} to {s.target}",
            f"{chip.name} receives spikes through synapses",
            "assumption",
            ("the host writes the values as biases at every step",),
        )


def _weights(s: Synapses, weights: Ints, form: WeightFormat, chip: Chip) -> Finding:
    first, last = chip.formats.weight_exponent
    return Finding(
        s.name,
        "weights",
        f"{_span(weights)} with exponent {s.exponent} ({form.needed_bits} bits, format exponent {form.exponent})",
        f"{chip.name} holds {chip.formats.weight_widths[-1]} bits with exponents {first} to {last}",
        "does_not_fit",
        (
            "quantise to 8 bits",
            "choose another scale for the target population",
            "split the weights over two synapse groups that add up",
        ),
    )


def _bit_planes(s: Synapses, bits: int, exponent: int, chip: Chip) -> Iterator[Finding]:
    """Graded values on a chip of binary spikes: value = sum of 2**b, one axon a bit, exponents raised by b."""
    highest, top = exponent + bits - 1, chip.formats.weight_exponent[1]
    if bits <= 16 and highest <= top:
        yield Finding(
            s.name,
            "graded values",
            f"{bits} bits",
            f"{chip.name} has spikes of {chip.formats.payload_bits} bits",
            "assumption",
            (
                f"sent as {bits} bit planes, an axon each, whose weights are shifted by the format's exponent "
                f"({exponent} to {highest}): the same sums, {bits} times the axons and synapse words",
            ),
        )
        return
    yield Finding(
        s.name,
        "graded values",
        f"{bits} bits with format exponent {exponent}",
        f"{chip.name} has spikes of {chip.formats.payload_bits} bits and exponents up to {top}",
        "unsupported",
        (
            f"an input of {max(1, top - exponent + 1)} bits or fewer",
            "encode the input as spikes (rate or latency)",
            "choose a target with graded spikes",
        ),
    )


def _drive(population: Population, program: Program, sent: Mapping[str, Message], chip: Chip) -> Iterator[Finding]:
    """What arrives at a neuron in a step has one accumulator, whatever kinds of synapses bring it."""
    # the host writes what comes over a wire
    arriving = {
        s.name: drive_of(program, s, sent[s.source])
        for s in program.into(population.name)
        if not isinstance(s.kind, Wire)
    }
    most = chip.formats.drive_max
    too_large = {name: worst for name, drives in arriving.items() if (worst := largest(*drives)) > most}
    if not too_large and arriving:
        low, high = (np.sum(bounds, axis=0) for bounds in zip(*arriving.values(), strict=True))
        if largest(low, high) > most:
            too_large = {population.name: largest(low, high)}
    for name, worst in too_large.items():
        yield Finding(
            name,
            "worst-case drive",
            str(worst),
            f"{chip.name} accumulates {chip.formats.drive_bits} bits, up to {most}",
            "assumption",
            (
                "spikes never add up to that; Lava's model has 32 bits here, 24 for a convolution, so run the range "
                "analysis",
            ),
        )
