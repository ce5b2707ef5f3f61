"""What a run of a program did: traces that were asked for, counts always."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .readout import NO_ANSWER, classes

Array = NDArray[Any]


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
        v, u: recorded state after each step, v after its reset, int32 (T, B, *shape).
        drive: recorded drive into a population (weight units, before << 6), (T, B, *shape).
        readout: what is read of the readout population, int64 (B, *shape), in the integers of ``read_on``; None
            without a readout.
        spike_counts: spikes per neuron over the whole run, int64 (B, *shape), of every population.
        events: counts per population, always.
        final_u, final_v: state after the last step of every population that has one.
    """

    n_steps: int
    n_samples: int
    spikes: Mapping[str, Array] = field(default_factory=dict)
    v: Mapping[str, Array] = field(default_factory=dict)
    u: Mapping[str, Array] = field(default_factory=dict)
    drive: Mapping[str, Array] = field(default_factory=dict)
    readout: Array | None = None
    spike_counts: Mapping[str, Array] = field(default_factory=dict)
    events: Mapping[str, Events] = field(default_factory=dict)
    final_u: Mapping[str, Array] = field(default_factory=dict)
    final_v: Mapping[str, Array] = field(default_factory=dict)

    def predictions(self) -> Array:
        """Class of each sample, (B,): largest readout, lowest index among some equals, ``NO_ANSWER`` if all are."""
        if self.readout is None:
            raise ValueError("this run has no readout")
        return classes(self.readout.reshape(self.n_samples, -1))

    def n_unanswered(self) -> int:
        """Samples without an answer; see ``NO_ANSWER``."""
        return int(np.count_nonzero(self.predictions() == NO_ANSWER))
