"""Populations of norse cells that take all steps of their drive at once.

``Neurons`` holds one norse cell. Its definition is norse's own stepping (``fused=False``); the fused path
(``fused_lif``) gives the same spikes, and gradients that differ by rounding only. State and spikes are float32 where
autocast runs the rest in bf16.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from norse.torch import (
    LIBoxCell,
    LIBoxParameters,
    LICell,
    LIFBoxCell,
    LIFBoxParameters,
    LIFCell,
    LIFParameters,
    LIParameters,
)
from norse.torch.functional.lif import LIFState, lif_step
from norse.torch.functional.reset import reset_value
from torch import Tensor, nn

from seamount.errors import ConfigError, InputError, none_of

from .lif.constants import METHODS, LifConstants
from .lif.fused import fused_lif, fused_recurrent_lif

DECAY_GRID = 4096
"""Decay rates on chip are whole numbers of 4096ths a step."""

DT_S = 1e-3
"""norse's own timestep [s]; only its ratio to the time constants matters until a chip is chosen."""

SPIKING = (LIFBoxCell, LIFCell)
INTEGRATORS = (LIBoxCell, LICell)


@dataclass(frozen=True)
class Surrogate:
    """One of norse's surrogate gradients.

    Attributes:
        method: norse's name: super, triangle, tanh, circ, heavi_erfc.
        alpha: its parameter; norse's "super" does not use it.
    """

    method: str = "super"
    alpha: float = 100.0

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ConfigError(f"surrogate {none_of(self.method, METHODS)}")


SEAL = Surrogate("tanh", 2.0)
"""SeAl-KD's sigmoid of slope 4: 4 s (1 - s) = 1 - tanh(2 x)**2."""

SASTC = Surrogate("triangle", 1.0)
"""SASTC's triangle of half-width 1."""


def snap(decay: float) -> float:
    """The decay rate (share of itself that a state loses a step) that the chip has nearest: k / 4096, k = 1..4096."""
    if not 0 < decay <= 1:
        raise ConfigError(f"decay {decay}: a state loses more than 0 and at most 1 of itself a step")
    return max(1, round(decay * DECAY_GRID)) / DECAY_GRID


def inverse_time_constant(decay: float, dt_s: float = DT_S) -> Tensor:
    """norse's tau_inv (float32) with which dt * tau_inv is the decay, to the last bit where float32 allows it."""
    near = torch.tensor(decay / dt_s, dtype=torch.float32)
    steps = (near, torch.nextafter(near, near + 1), torch.nextafter(near, near - 1))
    return min(steps, key=lambda inverse: abs(float(dt_s * inverse) - decay))


def _same_in_graphs(method: Any) -> Any:
    """Marks what torch.compile calls once and takes for a constant.

    It is what torch.compiler.assume_constant_result does, which first imports the compiler: 2 s.
    """
    method._dynamo_marked_constant = True
    return method


# ----------------------------------------------------------------------------------------------- populations


class Neurons(nn.Module):
    """A population: one norse cell for all its neurons.

    Args:
        cell: LIFBoxCell or LIFCell (spikes), LIBoxCell or LICell (membrane: a readout).
        gain: the cell sees gain times the drive. With 1 / decay of the membrane, v loses its decay and gains the
            whole drive (as SeAl-KD and SASTC write it) instead of decay times the drive.
        fused: False steps norse's cell over time.
    """

    def __init__(self, cell: nn.Module, *, gain: float = 1.0, fused: bool = True) -> None:
        super().__init__()
        if not isinstance(cell, SPIKING + INTEGRATORS):
            raise ConfigError(
                "not a cell that a population can hold; possible are LIFBoxCell, LIFCell, LIBoxCell, LICell of norse",
                where=type(cell).__name__,
            )
        if isinstance(cell, LIFBoxCell) and cell.p.reset_method is not reset_value:
            raise ConfigError(
                "only norse's reset_value (a hard reset) is possible; soft reset is not", where="LIFBoxCell"
            )
        self.cell: Any = cell
        self.gain = gain
        self.fused = fused

    @property
    def spiking(self) -> bool:
        return isinstance(self.cell, SPIKING)

    @property
    def decay_mem(self) -> float:
        """Share of itself that v loses a step."""
        return float(self.cell.dt * self.cell.p.tau_mem_inv)

    @property
    def decay_syn(self) -> float | None:
        """Share of itself that the current loses a step; None without a current."""
        return float(self.cell.dt * self.cell.p.tau_syn_inv) if isinstance(self.cell, LIFCell | LICell) else None

    @property
    def v_leak(self) -> float:
        return float(self.cell.p.v_leak)

    @property
    def v_th(self) -> float:
        return float(self.cell.p.v_th)

    @property
    def v_reset(self) -> float:
        return float(self.cell.p.v_reset)

    @property
    def surrogate(self) -> Surrogate:
        return Surrogate(self.cell.p.method, float(self.cell.p.alpha))

    @_same_in_graphs
    def constants(self, *, recurrent: bool = False) -> LifConstants:
        surrogate = self.surrogate
        return LifConstants(
            a_mem=self.decay_mem,
            a_syn=self.decay_syn,
            v_leak=self.v_leak,
            v_th=self.v_th,
            v_reset=self.v_reset,
            gain=self.gain,
            method=surrogate.method,
            alpha=surrogate.alpha,
            # because norse's recurrent cell sends no gradient through the reset
            detach_reset=recurrent and isinstance(self.cell, LIFCell),
        )

    def rectified(self, drive: Tensor) -> Tensor:
        """What the neuron of an ANN sends in the place of this one: ReLU, 1 for a drive that fires at once."""
        return F.relu(drive * (self.gain * self.decay_mem / self.v_th))

    def forward(self, drive: Tensor, n_steps: int | None = None, recurrent: Tensor | None = None) -> Tensor:
        """Spikes (of an integrator: v) of all steps, (T, B, *shape).

        Args:
            drive: (T, B, *shape), or (1, B, *shape) with ``n_steps`` if it is the same at every step.
            recurrent: (N, N), from the population's spikes of one step to the drive they cause in the next one; the
                drive is (T, B, N) then.
        """
        n_steps = drive.shape[0] if n_steps is None else n_steps
        if n_steps < 1 or drive.shape[0] not in (1, n_steps):
            raise InputError(f"drive of {drive.shape[0]} steps for {n_steps} steps; needs 1 or as many, at least 1")
        if not self.fusable(drive):
            return self._stepped(drive, n_steps, recurrent)
        if recurrent is not None:
            return fused_recurrent_lif(drive, recurrent, self.constants(recurrent=True), n_steps)
        if self.spiking:
            return fused_lif(drive, self.constants(), n_steps)
        return self._filtered(drive, n_steps)

    def fusable(self, drive: Tensor) -> bool:
        """Parameters that are learnt, differ between neurons, or float64 go norse's own way."""
        p = self.cell.p
        names = ("tau_mem_inv", "tau_syn_inv", "v_leak", "v_th", "v_reset")
        numbers = [getattr(p, name) for name in names if hasattr(p, name)]
        alone = all(torch.as_tensor(n).numel() == 1 for n in numbers)
        learnt = any(isinstance(n, nn.Parameter) for n in numbers)
        return self.fused and alone and not learnt and drive.dtype != torch.float64

    def _stepped(self, drive: Tensor, n_steps: int, recurrent: Tensor | None) -> Tensor:
        with torch.autocast(drive.device.type, enabled=False):
            seen = drive if drive.dtype == torch.float64 else drive.float()
            seen = self.gain * seen if self.gain != 1 else seen
            weight = None if recurrent is None else self.gain * recurrent.to(seen.dtype)
            state, out = None, []
            for t in range(n_steps):
                z, state = self.step(seen[t if drive.shape[0] > 1 else 0], state, weight)
                out.append(z)
            return torch.stack(out).to(drive.dtype)

    def step(self, x: Tensor, state: Any, recurrent: Tensor | None = None) -> tuple[Tensor, Any]:
        """One step of norse's cell; ``x`` and ``recurrent`` hold the gain already."""
        done: tuple[Tensor, Any]
        if recurrent is None:
            done = self.cell(x, state)
            return done
        if isinstance(self.cell, LIFCell):
            if state is None:
                v = torch.full_like(x, self.v_leak)
                state = LIFState(z=torch.zeros_like(x), v=v, i=torch.zeros_like(x))
            # the identity as input weights, because the drive is weighted already
            whole = torch.eye(x.shape[-1], dtype=x.dtype, device=x.device)
            done = lif_step(x, state, whole, recurrent, self.cell.p, self.cell.dt)
            return done
        inner, fired = (None, None) if state is None else state
        z, inner = self.cell(x if fired is None else x + F.linear(fired, recurrent), inner)
        return z, (inner, z)

    def _filtered(self, drive: Tensor, n_steps: int) -> Tensor:
        """A leaky integrator is linear: v is its impulse response over time, folded with the drive."""
        kernel = self.response(n_steps).to(drive.device)
        if drive.shape[0] == 1:
            kernel = kernel.sum(1, keepdim=True)
        with torch.autocast(drive.device.type, enabled=False):
            v: Tensor = torch.tensordot(kernel.float(), drive.float(), dims=1) + self.v_leak
        return v

    @_same_in_graphs
    def response(self, n_steps: int) -> Tensor:
        """What a drive of 1 at step s makes of an integrator's v at step t, (t, s) in float64."""
        steps = torch.arange(n_steps, dtype=torch.float64)
        impulse = self.gain * self.decay_mem * (1 - self.decay_mem) ** steps
        if self.decay_syn is not None:
            current = (1 - self.decay_syn) ** steps
            impulse = torch.stack([(current[: t + 1] * impulse[: t + 1].flip(0)).sum() for t in range(n_steps)])
        lag = steps[:, None] - steps[None]
        return torch.where(lag >= 0, impulse[lag.clamp_min(0).long()], 0.0)

    def extra_repr(self) -> str:
        return f"gain={self.gain:g}, fused={self.fused}"


def lif_box(
    decay: float = 0.5,
    *,
    v_th: float = 1.0,
    v_leak: float = 0.0,
    v_reset: float = 0.0,
    surrogate: Surrogate = SEAL,
    whole_drive: bool = True,
) -> Neurons:
    """LIF without a current, norse's LIFBoxCell: v loses ``decay`` of itself a step (snapped to the chip's grid).

    ``whole_drive``: v gains the whole drive, not decay times the drive.
    """
    decay = snap(decay)
    p = LIFBoxParameters(
        tau_mem_inv=inverse_time_constant(decay),
        v_leak=torch.tensor(v_leak),
        v_th=torch.tensor(v_th),
        v_reset=torch.tensor(v_reset),
        method=surrogate.method,
        alpha=torch.tensor(surrogate.alpha),
    )
    return Neurons(LIFBoxCell(p, dt=DT_S), gain=1 / decay if whole_drive else 1.0)


def lif(
    decay_mem: float = 0.1,
    decay_syn: float = 0.2,
    *,
    v_th: float = 1.0,
    v_leak: float = 0.0,
    v_reset: float = 0.0,
    surrogate: Surrogate = SEAL,
) -> Neurons:
    """LIF with a synaptic current (CUBA), norse's LIFCell; both decays snapped to the chip's grid."""
    p = LIFParameters(
        tau_syn_inv=inverse_time_constant(snap(decay_syn)),
        tau_mem_inv=inverse_time_constant(snap(decay_mem)),
        v_leak=torch.tensor(v_leak),
        v_th=torch.tensor(v_th),
        v_reset=torch.tensor(v_reset),
        method=surrogate.method,
        alpha=torch.tensor(surrogate.alpha),
    )
    return Neurons(LIFCell(p, dt=DT_S))


def li_box(decay: float = 0.1) -> Neurons:
    """Leaky integrator without a current, norse's LIBoxCell: a readout."""
    return Neurons(LIBoxCell(LIBoxParameters(tau_mem_inv=inverse_time_constant(snap(decay))), dt=DT_S))


def li(decay_mem: float = 0.1, decay_syn: float = 0.2) -> Neurons:
    """Leaky integrator with a synaptic current, norse's LICell: a readout."""
    p = LIParameters(inverse_time_constant(snap(decay_syn)), inverse_time_constant(snap(decay_mem)))
    return Neurons(LICell(p, dt=DT_S))
