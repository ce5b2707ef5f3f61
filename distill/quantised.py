"""The quantised student: a torch module whose forward pass computes with the chip's integers.

Batch norm is folded and frozen, every population has one learned scale s, weights lie on the 8-bit grid, thresholds,
biases and decays on theirs. ``to_nir`` writes real numbers from which the compiler recovers the same integers, and
the tests hold ``record`` and the simulator together: zero differing spikes, zero differing v.

Integers of a population with scale s (units: v_th_mant per unit of the membrane in the NIR file)::

    v_th_mant = round(s v_th)          weight = even(s a_m W / input_scale), -254 .. 254, a skip 0 .. 255
    du = 4096 a_s, dv = 4096 a_m       bias = round(64 s a_m b) = mantissa << exponent, |mantissa| <= 4095

The weights keep clear of -256, which a one-signed matrix could not hold.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import nir
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from seamount.compile.arithmetic.synapses import matrix_sum
from seamount.compile.lower.quantise import BIAS_EXP_MAX, BIAS_MANT_MAX, split_bias
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.numbers import ints
from seamount.errors import InputError, Unsupported
from seamount.models import fold
from seamount.models.cells import DECAY_GRID, Neurons
from seamount.models.export import Quantised, exact_decay, to_nir, unsupported
from seamount.models.lif.constants import LifConstants
from seamount.models.spiking_net import INPUT, READOUT, SpikingNet, StudentOutput, Sum

from .integer import (
    IntegerNeurons,
    IntegerRecurrentSpikes,
    IntegerSpikes,
    OnGrid,
    linear_readout,
    weighted,
    wrapped,
)

WEIGHT_LIMIT = 254
SKIP_LIMIT = 255
V_TH_LIMIT = (1 << 17) - 1
BIAS_LIMIT = BIAS_MANT_MAX << BIAS_EXP_MAX
DRIVE_LIMIT = 1 << 17
"""u holds 24 bits, six of them below the drive's unit: a larger drive wraps around."""

HEAD_ROOM = 1.5
"""Of the largest drive seen in calibration, before it would wrap."""

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Recording:
    """One run of the integers: population -> spikes (T, B, *shape) uint8, v after reset (T, B, *shape) int32."""

    spikes: Mapping[str, Tensor]
    v: Mapping[str, Tensor]
    readout: Tensor


@dataclass(frozen=True)
class Plan:
    """What a population's integers are made from.

    Attributes:
        a_mem, a_syn: decays on the grid; a_syn 1 without a current.
        v_th: in the units of the NIR file; None for the readout.
        constants: of norse's cell, None for the readout.
    """

    a_mem: float
    a_syn: float
    v_th: float | None
    constants: LifConstants | None


@dataclass(frozen=True)
class _Integers:
    """A forward pass's integers: weights and biases as tensors with gradient, the rest as numbers."""

    scale: dict[str, float]
    v_th_mant: dict[str, int]
    weights: dict[str, Tensor]
    bounds: dict[str, int]
    bias: dict[str, Tensor]
    bias_mant: dict[str, Ints]
    bias_exp: dict[str, Ints]


class QuantisedStudent(nn.Module):
    """
    Args:
        student: trained; its batch norms are folded as they are now.
        input_scale: the chip's input is x * input_scale; default: the student's own.
    """

    frozen: Tensor

    def __init__(self, student: SpikingNet, *, input_scale: float | None = None) -> None:
        super().__init__()
        _refuse(student)
        self.name = student.name
        self.net = copy.deepcopy(student).cpu().eval().requires_grad_(False)
        self.input_scale = self.net.input_scale = student.input_scale if input_scale is None else input_scale
        self.plans = {name: _plan(student, name) for name in student.order}
        self.ops = {name: _folded(student, name, source) for name, source, _ in student.edges}
        self.weights = nn.ParameterDict()
        self.biases = nn.ParameterDict()
        for name, _, target in student.edges:
            op = self.ops[name]
            if op is None:
                continue
            self.weights[name] = nn.Parameter(torch.tensor(op.weight, dtype=torch.float32))
            if op.bias is not None:
                self._add_bias(name, target, op)
        self.log_scales = nn.ParameterDict({name: nn.Parameter(torch.zeros(())) for name in student.order})
        self.register_buffer("frozen", torch.zeros((), dtype=torch.bool))
        for name in student.order:
            with torch.no_grad():
                self.log_scales[name].fill_(math.log(self._best_scale(name, largest_drive=0.0)))
        self._register_integers()

    def _add_bias(self, synapse: str, target: str, op: fold.Conv | fold.Linear) -> None:
        if self.plans[target].a_syn != 1:
            raise Unsupported(
                f"{synapse}: a bias into the current of {target} leaves a transient that the chip does not have; "
                "use synapses without bias, or cells without a current"
            )
        bias = torch.tensor(op.bias, dtype=torch.float32)
        bias = bias.view(-1, *[1] * (len(self.shapes[target]) - 1))
        if target in self.biases:
            self.biases[target].data += bias
        else:
            self.biases[target] = nn.Parameter(bias)

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

    def spiking(self) -> list[str]:
        return self.net.spiking()

    def to_input(self, x: Tensor) -> Tensor:
        """Real values in [0, 1] as the chip's integers (float32)."""
        x = torch.round(x.float() * self.input_scale) if x.is_floating_point() else x.float()
        highest = (1 << self.net.input_bits) - 1 if self.net.input_bits else 1
        if x.numel() and (float(x.min()) < 0 or float(x.max()) > highest):
            raise InputError(
                f"{self.name}: input from {float(x.min()):g} to {float(x.max()):g} in units of the chip; "
                f"possible are 0 to {highest}"
            )
        return x

    # --------------------------------------------------------------------------------------------- forward

    def forward(self, x: Tensor, *, record: bool | Collection[str] = False) -> StudentOutput:
        """As ``SpikingNet.forward``, in integers; x real in [0, 1], or whole numbers of an integer type.

        Logits are v of the readout in real units (a "sum" readout: what each step adds to it).
        """
        integers = self._integers()
        n_steps = self.n_steps if x.dim() == len(self.input_shape) + 1 else x.shape[0]
        wanted = set(self.spiking() if record is True else record or ())
        values, kept = {INPUT: self.net.frames(self.to_input(x))}, {}
        last_use = {source: name for name in self.net.order for _, source in self.net.into(name)}
        for name in self.net.order:
            drive = self._drive(name, values, integers)
            if name == READOUT:
                logits = self._logits(drive, integers, n_steps)
                break
            values[name] = self._spikes(name, drive, integers, n_steps)
            if name in wanted:
                kept[name] = values[name]
            for source in [s for s in values if last_use.get(s) == name]:
                del values[source]
        return StudentOutput(logits, kept)

    def record(self, x: Tensor) -> Recording:
        """Spikes and v of every population, in integers: what the simulator and Lava must give."""
        spikes, v = {}, {}
        with torch.no_grad():
            integers = self._integers()
            n_steps = self.n_steps if x.dim() == len(self.input_shape) + 1 else x.shape[0]
            values = {INPUT: self.net.frames(self.to_input(x))}
            for name in self.net.order:
                drive = self._drive(name, values, integers)
                neurons = self._neurons(name, integers)
                loop = self.net.loop(name)
                if loop is not None:
                    fired = self._spikes(name, drive, integers, n_steps)
                    back = matrix_sum(fired.flatten(0, 1), integers.weights[loop]).view_as(fired)
                    drive = drive + torch.cat([torch.zeros_like(back[:1]), back[:-1]])
                done = neurons.scan(drive.expand(n_steps, *drive.shape[1:]), "v")
                assert done.v is not None
                spikes[name], v[name] = done.spikes, done.v
                values[name] = done.spikes.float()
        return Recording(spikes, v, v[READOUT][-1])

    def _drive(self, name: str, values: Mapping[str, Tensor], integers: _Integers) -> Tensor:
        """Sum of the integer drives of all synapses but a population's own, (T or 1, B, *shape)."""
        total: Tensor | None = None
        for synapse, source in self.net.into(name):
            x, op = values[source], self.ops[synapse]
            weights, bound = integers.weights[synapse], integers.bounds[synapse]
            if op is None:
                part = x * weights
            else:
                conv = op if isinstance(op, fold.Conv) else None
                spikes = source != INPUT or not self.net.input_bits
                part = weighted(x.flatten(0, 1), weights, conv, bound, spikes=spikes)
                part = wrapped(part, 24 if conv else 32, bound)
                part = part.view(*x.shape[:2], *part.shape[1:])
            total = part if total is None else total + part
        assert total is not None
        return total

    def _spikes(self, name: str, drive: Tensor, integers: _Integers, n_steps: int) -> Tensor:
        neurons, bias = self._neurons(name, integers), integers.bias.get(name)
        loop = self.net.loop(name)
        if loop is not None:
            looped: Tensor = IntegerRecurrentSpikes.apply(drive, integers.weights[loop], bias, neurons, n_steps)
            return looped
        bound = sum(integers.bounds[s] for s, _ in self.net.into(name))
        spikes: Tensor = IntegerSpikes.apply(drive, bias, neurons, n_steps, bound if bound <= 1 << 18 else None)
        return spikes

    def _logits(self, drive: Tensor, integers: _Integers, n_steps: int) -> Tensor:
        s, plan = integers.scale[READOUT], self.plans[READOUT]
        if READOUT in integers.bias:
            drive = drive + integers.bias[READOUT] / 64
        drive = drive.expand(n_steps, *drive.shape[1:])
        if isinstance(self.net.readout, Sum):
            return (drive / s).float()
        assert isinstance(self.net.readout, Neurons)
        smooth = linear_readout(drive / (s * plan.a_mem), self.net.readout.response(n_steps))
        whole = drive.detach()
        if READOUT in integers.bias:
            whole = whole - integers.bias[READOUT].detach() / 64
        v = self._neurons(READOUT, integers).scan(whole, "v").v
        assert v is not None
        return smooth + (v.float() / (64 * s) - smooth).detach()

    def _neurons(self, name: str, integers: _Integers) -> IntegerNeurons:
        plan, mant = self.plans[name], integers.v_th_mant[name]
        lif = Lif(
            du=ints(round(DECAY_GRID * plan.a_syn)),
            dv=ints(0 if isinstance(self.net.populations[name], Sum) else round(DECAY_GRID * plan.a_mem)),
            v_th_mant=ints(mant),
            bias_mant=ints(integers.bias_mant.get(name, 0)),
            bias_exp=ints(integers.bias_exp.get(name, 0)),
        )
        constants = plan.constants or LifConstants(plan.a_mem, None, 0.0, 1.0, 0.0)
        unit = constants.v_th / (64 * mant)
        tuned = LifConstants(
            **{
                **vars(constants),
                "gain": constants.v_th / (mant * constants.a_mem),
                "detach_reset": self.net.loop(name) is not None and constants.a_syn is not None,
            }
        )
        return IntegerNeurons(lif, self.shapes[name], tuned, unit)

    # -------------------------------------------------------------------------------------------- integers

    def _integers(self) -> _Integers:
        """All integers of this forward pass, from the parameters or as they were frozen."""
        if bool(self.frozen):
            return self._frozen_integers()
        scale = self.scales()
        weights, bias = {}, {}
        for name, source, target in self.net.edges:
            s, log_scale, plan = scale[target], self.log_scales[target], self.plans[target]
            if self.ops[name] is None:
                one = self.log_scales[target].new_ones(())
                weights[name] = OnGrid.apply(one, log_scale, s * plan.a_mem, 1, 0, SKIP_LIMIT)
                continue
            factor = s * plan.a_mem / (self.input_scale if source == INPUT else 1.0)
            weights[name] = OnGrid.apply(self.weights[name], log_scale, factor, 2, -WEIGHT_LIMIT, WEIGHT_LIMIT)
        for name, values in self.biases.items():
            factor = 64 * scale[name] * self.plans[name].a_mem
            bias[name] = OnGrid.apply(values, self.log_scales[name], factor, 1, -BIAS_LIMIT, BIAS_LIMIT)
        mant, exponent = {}, {}
        for name, whole in bias.items():
            mant[name], exponent[name] = split_bias(whole.detach().cpu().double().numpy(), where=name)
            held = torch.from_numpy(mant[name] << exponent[name]).to(whole)
            bias[name] = whole + (held - whole).detach()
        return _Integers(scale, self._thresholds(scale), weights, self._bounds(weights), bias, mant, exponent)

    def scales(self) -> dict[str, float]:
        """Population -> s; one with a plain skip has a whole s a_m, so that the skip weighs exactly 1."""
        names = list(self.log_scales)
        found = torch.stack([self.log_scales[n].detach() for n in names]).double().exp().tolist()
        scale = dict(zip(names, found, strict=True))
        for name, _, target in self.net.edges:
            if self.ops[name] is None:
                a = self.plans[target].a_mem
                scale[target] = min(SKIP_LIMIT, max(1, round(scale[target] * a))) / a
        return scale

    def _thresholds(self, scale: Mapping[str, float]) -> dict[str, int]:
        return {
            name: NEVER_FIRES if plan.v_th is None else min(V_TH_LIMIT, max(1, round(scale[name] * plan.v_th)))
            for name, plan in self.plans.items()
        }

    def _bounds(self, weights: Mapping[str, Tensor]) -> dict[str, int]:
        """Synapse -> largest |sum| that its source could cause."""
        names = list(weights)
        sums = [w.detach().abs().reshape(len(w) if w.dim() else 1, -1).sum(1).max() for w in weights.values()]
        sources = {name: source for name, source, _ in self.net.edges}
        top = (1 << self.net.input_bits) - 1 if self.net.input_bits else 1
        highest = {name: top if sources[name] == INPUT else 1 for name in names}
        return {n: int(s * highest[n]) for n, s in zip(names, torch.stack(sums).tolist(), strict=True)}

    # ------------------------------------------------------------------------------- calibrating and freezing

    def calibrate(self, x: Tensor) -> QuantisedStudent:
        """Sets every scale: weights rounded with the smallest error, no overflow on the float student's drives for x.

        Args:
            x: real samples, as for ``forward``.
        """
        largest: dict[str, float] = {}

        def seen(name: str) -> None:
            def hook(_: nn.Module, given: tuple[Tensor, ...]) -> None:
                largest[name] = max(largest.get(name, 0.0), float(given[0].abs().max()))

            handles.append(self.net.populations[name].register_forward_pre_hook(hook))

        handles: list[torch.utils.hooks.RemovableHandle] = []
        try:
            for name in self.net.neurons():
                seen(name)
            with torch.no_grad():
                device = self.log_scales[READOUT].device
                logits = self.net.to(device)(self.to_input(x.to(device)) / self.input_scale).logits
        finally:
            for handle in handles:
                handle.remove()
        if isinstance(self.net.readout, Sum):
            largest[READOUT] = float(logits.abs().max()) * len(logits)
        with torch.no_grad():
            for name, parameter in self.log_scales.items():
                parameter.fill_(math.log(self._best_scale(name, largest[name])))
        return self

    def _best_scale(self, name: str, largest_drive: float) -> float:
        plan = self.plans[name]
        limits = [DRIVE_LIMIT / max(HEAD_ROOM * plan.a_mem * largest_drive, 1e-9)]
        if plan.v_th is not None:
            limits.append(V_TH_LIMIT / plan.v_th)
        if name in self.biases:
            limits.append(BIAS_LIMIT / max(64 * plan.a_mem * float(self.biases[name].abs().max()), 1e-9))
        groups = []
        for synapse, source, target in self.net.edges:
            if target != name:
                continue
            if self.ops[synapse] is None:
                limits.append(SKIP_LIMIT / plan.a_mem)
            else:
                unit = plan.a_mem / (self.input_scale if source == INPUT else 1.0)
                groups.append(self.weights[synapse].detach().double() * unit)
        largest = max((float(g.abs().max()) for g in groups), default=0.0)
        if largest == 0:
            return min(limits)
        candidates = [min(WEIGHT_LIMIT / largest * 2 ** (k / 8), *limits) for k in range(20)]
        return min(dict.fromkeys(candidates), key=lambda s: sum(_rounding_error(g, s) for g in groups))

    def freeze(self) -> QuantisedStudent:
        """Fixes the integers as they are now: state dicts carry them, no other device can round them otherwise."""
        with torch.no_grad():
            integers = self._integers()
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

    def _frozen_integers(self) -> _Integers:
        scale = {name: float(getattr(self, f"scale_of_{name}")) for name in self.log_scales}
        weights = {name: getattr(self, f"weights_of_{name}").float() for name in self.ops}
        bias = {name: getattr(self, f"bias_of_{name}").float() for name in self.biases}
        mant, exponent = {}, {}
        for name, whole in bias.items():
            mant[name], exponent[name] = split_bias(whole.cpu().double().numpy(), where=name)
        return _Integers(scale, self._thresholds(scale), weights, self._bounds(weights), bias, mant, exponent)

    # ----------------------------------------------------------------------------------------------- to a file

    def to_nir(self) -> nir.NIRGraph:
        """Real numbers that lie exactly on the grid, with the scales as metadata."""
        integers = self._integers()
        synapses: dict[str, fold.Conv | fold.Linear | None] = {}
        told: set[str] = set()
        for name, source, target in self.net.edges:
            op = self.ops[name]
            if op is None:
                synapses[name] = None
                continue
            s, a = integers.scale[target], self.plans[target].a_mem
            unit = (self.input_scale if source == INPUT else 1.0) / (s * a)
            weight = integers.weights[name].detach().cpu().double().numpy() * unit
            bias = None
            if target in integers.bias and target not in told:
                whole = integers.bias_mant[target] << integers.bias_exp[target]
                bias = np.asarray(whole.reshape(-1) / (64 * s * a), dtype=np.float64)
                told.add(target)
            synapses[name] = _with_weights(op, weight, bias)
        v_th = {name: integers.v_th_mant[name] / integers.scale[name] for name in self.plans if self.plans[name].v_th}
        return to_nir(self.net, quantised=Quantised(integers.scale, synapses, v_th))


def _with_weights(
    op: fold.Conv | fold.Linear, weight: NDArray[np.float64], bias: NDArray[np.float64] | None
) -> fold.Conv | fold.Linear:
    if isinstance(op, fold.Linear):
        return fold.Linear(weight, bias)
    return fold.Conv(weight, bias, op.stride, op.padding, op.dilation, op.groups)


def _rounding_error(weights: Tensor, scale: float) -> float:
    real = weights * scale
    rounded = (2 * torch.round(real / 2)).clamp(-WEIGHT_LIMIT, WEIGHT_LIMIT)
    return float(((rounded - real) ** 2).sum() / (real**2).sum().clamp_min(1e-30))


def _plan(net: SpikingNet, name: str) -> Plan:
    population = net.populations[name]
    if isinstance(population, Sum):
        return Plan(1.0, 1.0, None, None)
    assert isinstance(population, Neurons), "unsupported() names streams"
    a_syn = 1.0 if population.decay_syn is None else exact_decay(population.decay_syn)
    a_mem = exact_decay(population.decay_mem)
    if not population.spiking:
        return Plan(a_mem, a_syn, None, None)
    return Plan(a_mem, a_syn, population.v_th / population.gain, population.constants())


def _folded(net: SpikingNet, synapse: str, source: str) -> fold.Conv | fold.Linear | None:
    module = net.synapses[synapse]
    if isinstance(module, nn.Identity):
        return None
    shape = net.shapes[source]
    return fold.merge(fold.fold(module, shape, synapse), shape, synapse)


def _refuse(net: SpikingNet) -> None:
    found = unsupported(net)
    for name, neurons in net.neurons().items():
        if neurons.v_leak != 0 or (neurons.spiking and neurons.v_reset != 0):
            found.append(f"{name}: v_leak {neurons.v_leak:g}, v_reset {neurons.v_reset:g}; both must be 0")
        for what, decay in (("membrane", neurons.decay_mem), ("current", neurons.decay_syn or 1.0)):
            if abs(exact_decay(decay) * DECAY_GRID - round(decay * DECAY_GRID)) > 1e-9:
                found.append(f"{name}: decay {decay:g} of the {what} is no k/4096; build it with cells.snap")
    if found:
        raise Unsupported(f"{net.name} cannot be quantised:\n  " + "\n  ".join(found))
