"""The quantised student: a torch module whose forward pass computes with the chip's integers.

Batch norm is folded and frozen, every population has one learned scale s, weights lie on the chip's grid, thresholds,
biases and decays on theirs. ``to_nir`` writes real numbers from which the compiler recovers the same integers, and
the tests hold ``record`` and the simulator together: zero differing spikes, zero differing v.

Integers of a population with scale s (units: v_th_mant per unit of the membrane in the NIR file)::

    v_th_mant = round(s v_th)          weight = on_grid(s a_m W / input_scale), a skip a whole number
    du = 4096 a_s, dv = 4096 a_m       bias = round(64 s a_m b) = mantissa << exponent

With n bits weights are multiples of 2**(9 - n) up to 256 - 2**(9 - n), or the same some places further down.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from typing import assert_never

import nir
import torch
from torch import Tensor, nn

from seamount.compile.arithmetic.neurons import DRIVE_LIMIT
from seamount.compile.arithmetic.products import matrix_sum
from seamount.compile.formats import LOIHI, BitsSetting, NumberFormats
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import DRIVE_SHIFT, FULL_SCALE_BITS, UNITY, ints
from seamount.errors import ConfigError, InputError
from seamount.models import fold, notebook
from seamount.models.cells import Neurons
from seamount.models.lif.constants import LifConstants
from seamount.models.spiking_net import INPUT, READOUT, Answer, AnySpike, SpikingNet, StudentOutput, Sum
from seamount.notebook import card, headed, line
from seamount.surroundings import require_plain_torch, uncompiled

from .grid import Integers, WeightGrid, any_spike_scales, frozen, nearest_skip, rounded
from .integer import (
    IntegerNeurons,
    IntegerRecurrentSpikes,
    IntegerSpikes,
    linear_readout,
    weighted,
    wrapped,
)
from .plan import biases_of, bits_of, entries_of, folded, plan_of, refuse
from .quantised_nir import student_to_nir
from .scales import calibrate, set_scale


@dataclass(frozen=True)
class Recording:
    """One run of the integers: population -> spikes (T, B, *shape) uint8, v after reset (T, B, *shape) int32.

    Attributes:
        readout: what the program answers with, (B, K).
    """

    spikes: Mapping[str, Tensor]
    v: Mapping[str, Tensor]
    readout: Tensor


class QuantisedStudent(nn.Module):
    """
    Args:
        student: trained; its batch norms are folded as they are now.
        input_scale: the chip's input is x * input_scale; default: the student's own.
        formats: of the target.
        weight_bits: see ``plan.bits_of``.

    Raises:
        Unsupported: what the chip's integers cannot hold. ConfigError: bits that the target or the student lacks.
    """

    frozen: Tensor
    shifts: Tensor | None

    def __init__(
        self,
        student: SpikingNet,
        *,
        input_scale: float | None = None,
        formats: NumberFormats = LOIHI,
        weight_bits: BitsSetting = None,
    ) -> None:
        super().__init__()
        require_plain_torch()
        refuse(student)
        self.formats = formats
        self.bits = bits_of(student, formats, weight_bits)
        self.name = student.name
        self.net = copy.deepcopy(student).cpu().eval().requires_grad_(False)
        self.input_scale = self.net.input_scale = student.input_scale if input_scale is None else input_scale
        self.plans = {name: plan_of(student, name) for name in student.order}
        self.ops = {name: folded(student, name, source) for name, source, _ in student.edges}
        learned = {name: op for name, op in self.ops.items() if op and name in self.bits}
        self.weights = nn.ParameterDict(
            {n: torch.tensor(op.weight, dtype=torch.float32) for n, op in learned.items()}
        )
        for name, source, _ in student.edges:
            if name in learned and (there := entries_of(student, name, source, learned[name])) is not None:
                self.register_buffer(f"entries_of_{name}", there, persistent=False)
        self.biases = nn.ParameterDict(biases_of(student, self.ops, self.plans))
        scaled = [n for n in student.order if not isinstance(student.populations[n], AnySpike)]
        self.log_scales = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in scaled})
        self.register_buffer("frozen", torch.zeros((), dtype=torch.bool))
        # only where bits are left, so that a student of 8 bits is saved, and loads, as it always was
        narrow = any(bits < FULL_SCALE_BITS for bits in self.bits.values())
        self.register_buffer("shifts", torch.zeros(len(self.bits), dtype=torch.int64) if narrow else None)
        for name in scaled:
            set_scale(self, name)
        self._register_integers()

    # ------------------------------------------------------------------------------------- what a student is

    @property
    def n_steps(self) -> int:
        return self.net.n_steps

    @property
    def input_shape(self) -> tuple[int, ...]:
        return self.net.input_shape

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return self.net.shapes

    @property
    def features(self) -> tuple[str, ...]:
        return self.net.features

    @property
    def n_classes(self) -> int:
        return self.net.n_classes

    @property
    def input_bits(self) -> int:
        return self.net.input_bits

    def whole_logits(self, logits: Tensor) -> Tensor:
        """Logits as units of v, the integers that they were made of (float64)."""
        return torch.round(logits.double() * (1 << DRIVE_SHIFT) * self.scales()[READOUT])

    @property
    def answer(self) -> Answer:
        return self.net.answer

    def spiking(self) -> list[str]:
        return self.net.spiking()

    def to_input(self, x: Tensor) -> Tensor:
        """Real values in [0, 1] as the chip's integers (float32)."""
        x = torch.round(x.float() * self.input_scale) if x.is_floating_point() else x.float()
        highest = (1 << self.net.input_bits) - 1 if self.net.input_bits else 1
        low, high = torch.stack(x.aminmax()).tolist() if x.numel() else (0, 0)
        if not (low >= 0 and high <= highest):  # nor NaN
            raise InputError(
                f"input from {low:g} to {high:g} in units of the chip",
                where=self.name,
                possible=f"possible are 0 to {highest}",
            )
        return x

    def __repr__(self) -> str:
        return line("QuantisedStudent", self.name, self._facts())

    def __str__(self) -> str:
        """torch's own, layer by layer."""
        return super().__repr__()

    def _repr_html_(self) -> str:
        facts = " · ".join(self._facts())
        return card(f"student in integers {self.name}", facts, headed(notebook.populations(self.net)))

    def _facts(self) -> list[str]:
        bits = sorted({*self.bits.values()})
        return [*notebook.facts(self.net), f"weights of {' and '.join(map(str, bits))} bits"]

    # --------------------------------------------------------------------------------------------- forward

    @uncompiled
    def forward(self, x: Tensor, *, record: bool | Collection[str] = False) -> StudentOutput:
        """As ``SpikingNet.forward``, in integers; x real in [0, 1], or whole numbers of an integer type.

        Logits are v of the readout in real units (a "sum" readout: what each step adds to it).
        """
        integers = self.integers()
        n_steps = self.n_steps if x.dim() == len(self.input_shape) + 1 else x.shape[0]
        wanted = set(self.spiking() if record is True else record or ())
        values, kept = {INPUT: self.net.frames(self.to_input(x))}, {}
        last_use = {source: name for name in self.net.order for _, source in self.net.into(name)}
        for name in self.net.order:
            if isinstance(self.net.populations[name], AnySpike):  # the spikes of its neurons, the maximum's gradient
                ((synapse, source),) = self.net.into(name)
                values[name] = self.net.drive(synapse, values[source])
            elif name == READOUT:
                logits = self._logits(self._drive(name, values, integers), integers, n_steps)
                break
            else:
                values[name] = self._spikes(name, self._drive(name, values, integers), integers, n_steps)
            if name in wanted:
                kept[name] = values[name]
            for source in [s for s in values if last_use.get(s) == name]:
                del values[source]
        return StudentOutput(logits, kept)

    def record(self, x: Tensor) -> Recording:
        """Spikes and v of every population, in integers: what the simulator and Lava must give."""
        spikes, v = {}, {}
        with torch.no_grad():
            integers = self.integers()
            n_steps = self.n_steps if x.dim() == len(self.input_shape) + 1 else x.shape[0]
            values = {INPUT: self.net.frames(self.to_input(x))}
            for name in self.net.order:
                drive = self._drive(name, values, integers)
                loop = self.net.loop(name)
                if loop is not None:
                    fired = self._spikes(name, drive, integers, n_steps)
                    back = matrix_sum(fired.flatten(0, 1), integers.weights[loop]).view_as(fired)
                    drive = drive + torch.cat([torch.zeros_like(back[:1]), back[:-1]])
                drive = drive.expand(n_steps, *drive.shape[1:])
                done = _neurons_of(self, name, integers).scan(drive, "v", drive_limit=_limit_of(self, name, integers))
                assert done.v is not None
                spikes[name], v[name] = done.spikes, done.v
                values[name] = done.spikes.float()
        return Recording(spikes, v, _answer_of(self.net, v[READOUT]))

    def _drive(self, name: str, values: Mapping[str, Tensor], integers: Integers) -> Tensor:
        """Sum of the integer drives of all synapses but a population's own, (T or 1, B, *shape)."""
        total: Tensor | None = None
        for synapse, source in self.net.into(name):
            x, op = values[source], self.ops[synapse]
            weights, bound = integers.weights[synapse], integers.bounds[synapse]
            if op is None:
                part = x * weights
            else:
                conv = op if isinstance(op, fold.FoldedConv) else None
                spikes = source != INPUT or not self.net.input_bits
                part = weighted(x.flatten(0, 1), weights, conv, bound, spikes=spikes)
                part = wrapped(part, 24 if conv else 32, bound)
                part = part.view(*x.shape[:2], *part.shape[1:])
            total = part if total is None else total + part
        assert total is not None
        return total

    def _spikes(self, name: str, drive: Tensor, integers: Integers, n_steps: int) -> Tensor:
        neurons, bias = _neurons_of(self, name, integers), integers.bias.get(name)
        limit, loop = _limit_of(self, name, integers), self.net.loop(name)
        spikes: Tensor
        if loop is None:
            spikes = IntegerSpikes.apply(drive, bias, neurons, n_steps, limit)
        else:
            spikes = IntegerRecurrentSpikes.apply(drive, integers.weights[loop], bias, neurons, n_steps, limit)
        return spikes

    def _logits(self, drive: Tensor, integers: Integers, n_steps: int) -> Tensor:
        s, plan = integers.scale[READOUT], self.plans[READOUT]
        whole = drive.detach().expand(n_steps, *drive.shape[1:])
        if READOUT in integers.bias:
            drive = drive + integers.bias[READOUT] / (1 << DRIVE_SHIFT)
        drive = drive.expand(n_steps, *drive.shape[1:])
        if isinstance(self.net.readout, Sum):
            return (drive / s).float()
        assert isinstance(self.net.readout, Neurons)
        smooth = linear_readout(drive / (s * plan.a_mem), self.net.readout.response(n_steps))
        v = _neurons_of(self, READOUT, integers).scan(whole, "v", drive_limit=_limit_of(self, READOUT, integers)).v
        assert v is not None
        return smooth + (v.float() / (64 * s) - smooth).detach()

    # -------------------------------------------------------------------------------------------- integers

    def integers(self) -> Integers:
        """All integers of this forward pass, from the parameters or as they were frozen."""
        require_plain_torch()
        return frozen(self) if bool(self.frozen) else rounded(self)

    def scales(self) -> dict[str, float]:
        """Population -> s; one with a plain skip has a whole s a_m, so that the skip weighs exactly 1.

        Raises:
            ConfigError: training has driven one out of all numbers.
        """
        names = list(self.log_scales)
        found = torch.stack([self.log_scales[n].detach() for n in names]).double().exp().tolist()
        scale = dict(zip(names, found, strict=True))
        if lost := [name for name, s in scale.items() if not math.isfinite(s)]:
            ways = "lower quant.lr (or what the optimiser is given), or set train.clip_norm"
            raise ConfigError("the scale that is learned is not finite", where=", ".join(lost), ways_out=ways)
        for name, _, target in self.net.edges:
            if self.ops[name] is None:
                a = self.plans[target].a_mem
                scale[target] = nearest_skip(scale[target] * a, self.bits[name], self.formats) / a
        return scale | any_spike_scales(self)

    def grids(self) -> dict[str, WeightGrid]:
        """Synapse -> where its weights may lie."""
        shifts = [0] * len(self.bits) if self.shifts is None else self.shifts.tolist()
        return {name: WeightGrid.of(bits, down) for (name, bits), down in zip(self.bits.items(), shifts, strict=True)}

    def set_shift(self, synapse: str, shift: int) -> None:
        """How many places below the top of the chip's 8-bit scale a synapse's weights stand."""
        if self.shifts is not None:
            self.shifts[list(self.bits).index(synapse)] = shift

    # ------------------------------------------------------------------------------- calibrating and freezing

    def calibrate(self, x: Tensor) -> QuantisedStudent:
        """Sets every scale: weights rounded with the smallest error, no overflow on the float student's drives for x.

        Args:
            x: real samples, as for ``forward``.
        """
        calibrate(self, x)
        return self

    def freeze(self) -> QuantisedStudent:
        """Fixes the integers as they are now: state dicts carry them, no other device can round them otherwise."""
        with torch.no_grad():
            integers = self.integers()
            for name in self.log_scales:
                getattr(self, f"scale_of_{name}").fill_(integers.scale[name])
            for name, weights in integers.weights.items():
                getattr(self, f"weights_of_{name}").copy_(weights)
            for name, bias in integers.bias.items():
                getattr(self, f"bias_of_{name}").copy_(bias)
            self.frozen.fill_(True)
        return self

    def _register_integers(self) -> None:
        for name in self.log_scales:
            self.register_buffer(f"scale_of_{name}", torch.zeros((), dtype=torch.float64))
        for name, op in self.ops.items():
            shape = () if op is None else op.weight.shape
            self.register_buffer(f"weights_of_{name}", torch.zeros(shape, dtype=torch.int16))
        for name, bias in self.biases.items():
            self.register_buffer(f"bias_of_{name}", torch.zeros(bias.shape, dtype=torch.int32))

    def to_nir(self) -> nir.NIRGraph:
        """Real numbers that lie exactly on the grid, with the scales as metadata."""
        return student_to_nir(self, self.integers())


def _answer_of(net: SpikingNet, v: Tensor) -> Tensor:
    """Of the readout's v (T, B, K): (B, K)."""
    match net.answer:
        case "max":
            return v.amax(0)
        case "sum" if isinstance(net.readout, Neurons):
            return v.sum(0)
        case "sum" | "v":  # a Sum is an integrator, whose last v is the sum
            return v[-1]
        case _:
            assert_never(net.answer)


def _limit_of(student: QuantisedStudent, name: str, integers: Integers) -> int | None:
    """The proved limit of a population's drive, where scans have a use for it."""
    bound = sum(integers.bounds[synapse] for synapse, _, target in student.net.edges if target == name)
    return bound if bound <= DRIVE_LIMIT else None


def _neurons_of(student: QuantisedStudent, name: str, integers: Integers) -> IntegerNeurons:
    plan, mant = student.plans[name], integers.v_th_mant[name]
    lif = Lif(
        du=ints(round(UNITY * plan.a_syn)),
        dv=ints(0 if isinstance(student.net.populations[name], Sum) else round(UNITY * plan.a_mem)),
        v_th_mant=ints(mant),
        bias_mant=ints(integers.bias_mant.get(name, 0)),
        bias_exp=ints(integers.bias_exp.get(name, 0)),
    )
    tuned, unit = _tuned(plan.constants or LifConstants(plan.a_mem, None, 0.0, 1.0, 0.0), mant)
    # as norse's recurrent cell, which sends no gradient through the reset
    tuned = replace(tuned, detach_reset=student.net.loop(name) is not None and tuned.a_syn is not None)
    return IntegerNeurons(lif, student.shapes[name], tuned, unit)


def _tuned(constants: LifConstants, v_th_mant: int) -> tuple[LifConstants, float]:
    """The constants of a backward pass that is fed with the chip's drive, and the real membrane per unit of v."""
    gain = constants.v_th / (v_th_mant * constants.a_mem)
    return replace(constants, gain=gain), constants.v_th / (64 * v_th_mant)
