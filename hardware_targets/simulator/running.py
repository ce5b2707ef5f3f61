"""One population during a run of one batch chunk, in one thread: its state, its counts and its traces."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from seamount.compile.neurons.model import State
from seamount.compile.program.activity import Events, states_to_record

from .plan import Plan
from .sources import to_plain


class Span(NamedTuple):
    """Steps first .. last of a chunk that begins at step ``start`` of the run."""

    start: int
    first: int
    last: int

    @property
    def n_steps(self) -> int:
        return self.last - self.first

    @property
    def in_run(self) -> slice:
        return slice(self.start + self.first, self.start + self.last)


class Running:
    """What the loops and ``whole.py`` change while a population advances.

    Attributes:
        u, v, rest: (B, n) int32 in the population's layout, of models that the compiled loops hold.
        held: states of models with a step on tensors, (B, n) int32 in C order.
        state: of other models, (B, *shape) in C order.
        totals: active updates, wraps, saturations.
    """

    def __init__(
        self,
        plan: Plan,
        batch: int,
        n_steps: int,
        want: Collection[str],
        device: torch.device,
        sum_values: int,
    ) -> None:
        self.plan, self.batch, self.device, self.sum_values = plan, batch, device, sum_values
        n, table, neuron = plan.layout.size, plan.table, plan.population.neuron
        self.state: State = {}
        self.held: Mapping[str, torch.Tensor] = {}
        if table is not None:
            init = [np.repeat(x[None].astype(np.int32), batch, axis=0) for x in (table.u_init, table.v_init)]
            self.u, self.v = (torch.from_numpy(x).to(device) for x in init)
            self.rest = torch.zeros((batch, n), dtype=torch.int32, device=device)
        else:
            at_rest = neuron.rest_state(plan.population.shape)
            self.state = {name: np.repeat(x[None], batch, axis=0) for name, x in at_rest.items()}
            if plan.stepper is not None:
                flat = {name: x.reshape(batch, n).astype(np.int32) for name, x in self.state.items()}
                self.held = {name: torch.from_numpy(x).to(device) for name, x in flat.items()}
        self.spike_counts = torch.zeros((batch, n), dtype=torch.int32, device=device)
        self.want = states_to_record(neuron, want)
        self.want_drive = "drive" in want
        self.n_spikes = np.zeros(n_steps, np.int64)
        self.operations = np.zeros((n_steps, 2), np.int64)
        self.totals = np.zeros(3, np.int64)
        self.n_drive_wraps = 0
        self.traces: dict[str, torch.Tensor] = {}
        self.drives: torch.Tensor | None = None

    def new_chunk(self, n_steps: int) -> None:
        """Room for the traces of a chunk, (n_steps, B, n) in the population's layout."""
        shape = (n_steps, self.batch, self.plan.layout.size)
        for name in self.want:
            self.traces[name] = torch.empty(shape, dtype=torch.int32, device=self.device)
        if self.want_drive:
            several = len(self.plan.population.neuron.drives)
            apart = shape if several == 1 else (n_steps, self.batch, several, self.plan.layout.size)
            self.drives = torch.empty(apart, dtype=torch.int32, device=self.device)

    def last(self, name: str) -> torch.Tensor:
        """A state now, (B, n) int32 in the population's layout."""
        if self.plan.table is not None:
            held: torch.Tensor = getattr(self, name)
            return held
        if self.plan.stepper is not None:
            return self.held[name]
        return torch.from_numpy(self.state[name].reshape(self.batch, -1).astype(np.int32))

    def plain(self, values: torch.Tensor) -> NDArray[Any]:
        """(..., n) in the population's layout -> (..., *shape) in C order."""
        found: NDArray[Any] = to_plain(values, self.plan.layout).cpu().numpy()
        return found


def events_of(parts: list[Running], n_steps: int, batch: int) -> Events:
    """The counts of a population, added over the batch chunks of a run."""
    operations = np.sum([part.operations for part in parts], axis=0)
    totals = np.sum([part.totals for part in parts], axis=0)
    return Events(
        n_spikes=np.sum([part.n_spikes for part in parts], axis=0),
        n_updates=n_steps * batch * parts[0].plan.layout.size,
        n_active_updates=int(totals[0]),
        sops=operations[:, 0],
        sops_with_zeros=operations[:, 1],
        n_u_wraps=int(totals[1]),
        n_v_saturations=int(totals[2]),
        n_drive_wraps=sum(part.n_drive_wraps for part in parts),
    )
