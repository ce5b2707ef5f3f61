"""What a run of a program did: traces that were asked for, counts always."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import ConfigError

from ..neurons.model import NeuronModel
from .program import Program
from .readout import NO_ANSWER, classes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

Array = NDArray[Any]

EVERY_STATE = "states"
"""Asks a run to record every state, whatever the models of the populations call them."""

USUAL = ("spikes", "v", "u", "drive")
"""May be asked of every program, also where no population has a u or v."""


def check_record(program: Program, record: Collection[str], where: str = "record") -> None:
    """Refuses what no run of this program could record."""
    states = dict.fromkeys(name for p in program.populations for name in p.neuron.shown)
    possible = dict.fromkeys((*USUAL, *states, EVERY_STATE))
    if unknown := sorted(set(record) - set(possible)):
        raise ConfigError(
            f"{', '.join(unknown)} does not exist", where=where, possible=f"possible are {', '.join(possible)}"
        )


def states_to_record(neuron: NeuronModel, record: Collection[str]) -> tuple[str, ...]:
    """Which of a population's states ``record`` asks for."""
    return tuple(name for name in neuron.shown if name in record or EVERY_STATE in record)


@dataclass(frozen=True)
class Events:
    """Exact counts of one population's (or synapse group's) work, over all steps and samples of a run.

    Attributes:
        n_spikes: per step, summed over batch and neurons, (T,).
        n_updates: neurons x steps x samples.
        n_active_updates: updates in which input arrived or u or v changed.
        sops: synaptic operations of the synapses into this population, true fan-out at borders, weights that are
            zero not counted; per step (T,).
        sops_with_zeros: the same with stored zero weights counted.
        n_u_wraps, n_v_saturations, n_drive_wraps: how often the arithmetic left its range.
    """

    n_spikes: Array
    n_updates: int
    n_active_updates: int
    sops: Array
    sops_with_zeros: Array
    n_u_wraps: int = 0
    n_v_saturations: int = 0
    n_drive_wraps: int = 0


@dataclass(frozen=True)
class Activity:
    """One run: time first, then batch.

    Attributes:
        n_steps, n_samples: T and B of the run.
        spikes: recorded spikes per population, (T, B, *shape): uint8 for binary ones, int32 for graded ones.
        states: recorded states after each step, v after its reset: name of the state -> population -> int32
            (T, B, *shape).
        drive: recorded drive into a population (weight units, before << 6), (T, B, *shape); of a model with D drives
            (D > 1) (T, B, D, *shape), in the order in which the model names them.
        readout: what is read of the readout population, int64 (B, *shape), in the integers of ``read_on``; None
            without a readout.
        spike_counts: spikes per neuron over the whole run, int64 (B, *shape), of every population; the mean over
            all samples, float64 (1, *shape), where batches were joined to a whole set.
        events: counts per population, always.
        final_states: as ``states``, after the last step (B, *shape), of every population that has them.
        windows: population -> first step and number of steps in which it answers to the sample; empty: nobody said.
    """

    n_steps: int
    n_samples: int
    spikes: Mapping[str, Array] = field(default_factory=dict)
    states: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    drive: Mapping[str, Array] = field(default_factory=dict)
    readout: Array | None = None
    spike_counts: Mapping[str, Array] = field(default_factory=dict)
    events: Mapping[str, Events] = field(default_factory=dict)
    final_states: Mapping[str, Mapping[str, Array]] = field(default_factory=dict)
    windows: Mapping[str, tuple[int, int]] = field(default_factory=dict)

    def __repr__(self) -> str:
        from .notebook import short

        return short(self)

    def _repr_html_(self) -> str:
        from seamount.notebook import card, headed

        from .notebook import work

        return card("run of a program", repr(self), headed(work(self)))

    def table(self) -> DataFrame:
        """What each population did, a row each; spikes, operations and updates are those of a sample."""
        from seamount.notebook import frame

        from .notebook import WORK_UNITS, work

        return frame(work(self), WORK_UNITS)

    def plot(self, ax: Axes | None = None) -> Axes:
        """Spikes of every step of the run, a line a population, on axes of matplotlib."""
        from .notebook import plot

        return plot(self, ax)

    @property
    def v(self) -> Mapping[str, Array]:
        return self.states.get("v", {})

    @property
    def u(self) -> Mapping[str, Array]:
        return self.states.get("u", {})

    @property
    def final_v(self) -> Mapping[str, Array]:
        return self.final_states.get("v", {})

    @property
    def final_u(self) -> Mapping[str, Array]:
        return self.final_states.get("u", {})

    def traces(self) -> dict[str, Mapping[str, Array]]:
        """Everything that was recorded step by step, in the order in which a step computes it."""
        return {"drive": self.drive, **self.states, "spikes": self.spikes}

    def predictions(self) -> Array:
        """Class of each sample, (B,): largest readout, lowest index among some equals, ``NO_ANSWER`` if all are."""
        if self.readout is None:
            raise ValueError("this run has no readout")
        return classes(self.readout.reshape(self.n_samples, -1))

    def n_unanswered(self) -> int:
        """Samples without an answer; see ``NO_ANSWER``."""
        return int(np.count_nonzero(self.predictions() == NO_ANSWER))


def all_events(parts: Sequence[Activity]) -> dict[str, Events]:
    """The counts of several runs of one program, added up."""
    counts = [one.name for one in fields(Events)]
    return {
        name: Events(**{count: sum(getattr(part.events[name], count) for part in parts) for count in counts})
        for name in parts[0].events
    }


def side_by_side(parts: Sequence[Activity]) -> Activity:
    """Runs of one program on consecutive samples, recorded alike, as the run of all of them."""
    first = parts[0]
    if len(parts) == 1:
        return first

    def joined(found: Sequence[Mapping[str, Array]], axis: int) -> dict[str, Array]:
        return {name: np.concatenate([one[name] for one in found], axis=axis) for name in found[0]}

    read = [part.readout for part in parts if part.readout is not None]
    return Activity(
        first.n_steps,
        sum(part.n_samples for part in parts),
        spikes=joined([part.spikes for part in parts], 1),
        states={name: joined([part.states[name] for part in parts], 1) for name in first.states},
        drive=joined([part.drive for part in parts], 1),
        readout=np.concatenate(read) if read else None,
        spike_counts=joined([part.spike_counts for part in parts], 0),
        events=all_events(parts),
        final_states={name: joined([part.final_states[name] for part in parts], 0) for name in first.final_states},
        windows=first.windows,
    )
