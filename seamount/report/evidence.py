"""What the pipeline hands to the report: raw results, nothing computed from them yet.

Every part but the first few may be None; ``reasons`` then says why, under the part's name, and the report prints it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.fit.place.placement import Placement
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.hardware_targets.agreement import Agreement
from seamount.hardware_targets.energy import EnergyReport
from seamount.hardware_targets.neurobench import NeuroBench
from seamount.hardware_targets.sana_fe import Opinion
from seamount.hardware_targets.target import Target

from .schema.values import Stage

Array = NDArray[Any]

STUDENT = "float student"
"""What a run's program is compared with."""


@dataclass(frozen=True)
class Answers:
    """What one stage answered on the test set. All stages answer the same samples in the same order.

    Attributes:
        predictions: class of each sample, (n,).
        per_step: class if read after step 1 .. T, (T, n).
        margins: by how much the largest value read leads the second after each step, (T, n) integers.
    """

    stage: Stage
    predictions: Array
    labels: Array
    per_step: Array | None = None
    margins: Array | None = None


@dataclass(frozen=True)
class Traced:
    """The same B samples through the float student and the deployed program.

    Attributes:
        deployed: a run of single samples with spikes (and v, u where wanted) recorded.
        float_spikes: population name -> (T, B, *shape), 0/1, of the float student.
        float_v: population name -> v after each step and reset, minus v_reset, in the unit of the program's scales.
        inputs: what entered the chip, (T, B, *shape) or (B, *shape) for a still image, integers.
        labels: (B,).
        note: which samples these are ("the first 64 test samples").
    """

    deployed: Activity
    float_spikes: Mapping[str, Array] | None = None
    float_v: Mapping[str, Array] | None = None
    inputs: Array | None = None
    labels: Array | None = None
    note: str = ""


@dataclass(frozen=True)
class Outputs:
    """Of all samples after each frame, in the unit of the program's readout, (T, n, K).

    Attributes:
        read: what the program says. network: what a network in real numbers does. targets: what was to come out.
    """

    read: Array
    network: Array | None = None
    targets: Array | None = None


@dataclass(frozen=True)
class Trial:
    """One point of a sweep; ``accuracy`` is the share of correct answers, 0 to 1.

    Attributes:
        early_steps, early_accuracy: mean steps and accuracy where answers come as soon as they are sure.
        placeholder: the energy is of another chip's constants.
        label: the values of the sweep's axes. target: on which it runs.
    """

    name: str
    settings: str
    accuracy: float
    n_samples: int
    energy_j: float | None = None
    spikes: float | None = None
    cores: int | None = None
    early_steps: float | None = None
    early_accuracy: float | None = None
    current: bool = False
    placeholder: bool = False
    label: str = ""
    target: str = ""
    spikes_per_synapse: float | None = None


@dataclass(frozen=True)
class Training:
    """How one network of a run was trained.

    Attributes:
        setting: of its epochs. n_epochs: so many. improving: the last one was the best.
    """

    setting: str
    n_epochs: int
    improving: bool


@dataclass(frozen=True)
class Evidence:
    """Everything one report is made of.

    Attributes:
        target: as loaded; its name, version and digest are printed.
        reference: what the program is compared with: a run's float student, or the float network of a file.
        folder: where the report lies, as its commands name it; empty: runs/ and the name.
        trained: Seamount trained it, from a configuration that stands in the folder.
        facts: what a reviewer asks first, by name: data with sizes, method, teacher, student.
        created: time of writing, ISO 8601; with ``wall_s`` the only part that may differ between equal runs.
        outputs: of all samples, where there is something to measure them by.
        full_run: Activity over the whole test set (counts only); None: the traced run counts.
        oracle: the implementation that is not ours among those in ``proof``; None: none took part.
        rounding: population -> lines on what rounding did to the synapses and thresholds there.
        weight_bits: synapse group -> bits that its weights may use; 8 where it is not named.
        neurobench: of the traced run where there is one, else of ``full_run``.
        validation: what the deployed program answered on the validation part.
        opinion: of another simulator on energy and time of the same placement and spikes.
        energy: of streamed samples, where ``single_energy`` is that of samples alone; else of samples alone.
        held_energy: of samples alone whose neurons are held outside their windows.
        budget: unit and amount of the spikes that training allowed.
        does_not_fit: the message of DoesNotFit, where placing failed; then ``placement`` is None.
        reasons: part -> why it is None. Parts: accuracy, proof, traced, mapping, energy, opinion, streaming, early,
            neurobench, sweep, oracle.
    """

    name: str
    program: Program
    target: Target
    reference: str = STUDENT
    folder: str = ""
    trained: bool = True
    facts: Sequence[tuple[str, str]] = ()
    command: str = ""
    created: str = ""
    wall_s: Mapping[str, float] = field(default_factory=dict)
    seeds: Mapping[str, int] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    hashes: Mapping[str, str] = field(default_factory=dict)
    hardware: str = ""
    oracle: str | None = None
    answers: Sequence[Answers] = ()
    trainings: Mapping[Stage, Training] = field(default_factory=dict)
    proof: Sequence[Agreement] = ()
    traced: Traced | None = None
    outputs: Outputs | None = None
    full_run: Activity | None = None
    rounding: Mapping[str, Sequence[str]] = field(default_factory=dict)
    weight_bits: Mapping[str, int] = field(default_factory=dict)
    assumptions: Sequence[str] = ()
    deviations: Sequence[str] = ()
    placement: Placement | None = None
    does_not_fit: str | None = None
    energy: EnergyReport | None = None
    single_energy: EnergyReport | None = None
    held_energy: EnergyReport | None = None
    opinion: Opinion | None = None
    budget: tuple[str, float] | None = None
    validation: Answers | None = None
    neurobench: NeuroBench | None = None
    sweep: Sequence[Trial] = ()
    reasons: Mapping[str, str] = field(default_factory=dict)

    @property
    def counted(self) -> Activity | None:
        """The run whose events are counted."""
        if self.full_run is not None:
            return self.full_run
        return None if self.traced is None else self.traced.deployed

    def reason(self, part: str, otherwise: str) -> str:
        return self.reasons.get(part, otherwise)


UNREACHED = "the run ends before the sample reaches it"
"""What stands in place of a population whose window is empty."""


def window(program: Program, activity: Activity, name: str, trace: Array) -> Array:
    """The steps of ``trace`` that belong to the sample: (T, B, ...) from the population's arrival on.

    Fewer, or none, of a population that the sample reaches later than the readout: the run ends when that has seen
    it.
    """
    n_steps = program.n_steps if program.n_steps is not None else activity.n_steps
    start = program.arrivals()[name]
    return np.asarray(trace)[start : start + n_steps]


def as_long_as(deployed: Array, other: Array) -> Array:
    """The other network's trace over the steps that ``window`` has of the program's."""
    return np.asarray(other)[: len(deployed)]
