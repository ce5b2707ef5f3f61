"""``report.json``: what terminal, page and CI jobs read. Renderings compute nothing, so all of it stands here.

Two reports of the same inputs are equal byte for byte apart from ``timing``. A part that was not computed is a
``Missing`` with its reason, a number that is not known a ``Quantity`` of status "unknown" with its reason: no zero
stands for something nobody counted. The JSON schema is published beside this file, ``report.schema.json``.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Literal

from pydantic import ValidationError

from seamount.errors import InputError

from .parts.energy_schema import Band as Band
from .parts.energy_schema import Boundary as Boundary
from .parts.energy_schema import Constant as Constant
from .parts.energy_schema import Energy as Energy
from .parts.energy_schema import EnergySet as EnergySet
from .parts.energy_schema import EnergyTerm as EnergyTerm
from .parts.energy_schema import LayerEnergy as LayerEnergy
from .parts.energy_schema import Rival as Rival
from .parts.energy_schema import StepTerm as StepTerm
from .schema.values import Box as Box
from .schema.values import Item as Item
from .schema.values import Missing as Missing
from .schema.values import Quantity as Quantity
from .schema.values import Series as Series
from .schema.values import Stage as Stage
from .schema.values import State as State
from .schema.values import Status as Status

SCHEMA = "seamount.report"
SCHEMA_VERSION = 1


class Verdict(Item):
    """One cell of the strip on top: a question, its answer in a word, a line that backs it."""

    id: str
    title: str
    word: str
    state: State
    detail: str


class Check(Item):
    id: str
    code: str
    state: State
    message: str


# ----------------------------------------------------------------------------------------------- accuracy


class Rung(Item):
    """One row of the accuracy ladder. ``lost_pp`` and ``agreement`` are against the rung before."""

    stage: Stage
    title: str
    accuracy: Quantity
    n_correct: int
    lost_pp: Quantity | None
    agreement: Quantity | None


class McNemar(Item):
    """Do float student and program differ by more than chance? Exact two-sided test on the discordant samples."""

    only_float_correct: int
    only_deployed_correct: int
    p: Quantity
    words: str


class ClassDrop(Item):
    label: int
    n_samples: int
    float_accuracy: Quantity
    deployed_accuracy: Quantity
    lost_pp: Quantity


class Accuracy(Item):
    n_samples: int
    n_classes: int
    rungs: tuple[Rung, ...]
    absent: tuple[str, ...]
    mcnemar: McNemar | Missing
    classes: tuple[ClassDrop, ...] | Missing


class Anytime(Item):
    """Accuracy and energy if the answer is read after 1 .. T steps; ``enough`` comes within 0.5 points of T."""

    steps: tuple[int, ...]
    enough: int
    accuracy: Series
    low: Series
    high: Series
    energy_j: Series | Missing
    latency_s: Series | Missing
    words: str


# -------------------------------------------------------------------------------------------------- proof


class Comparison(Item):
    """Two runs of the same samples, value by value."""

    a: str
    b: str
    n_samples: int
    spikes_compared: int
    spikes_differing: int
    membrane_compared: int
    membrane_differing: int
    first_difference: str | None

    @property
    def equal(self) -> bool:
        return self.spikes_differing == 0 and self.membrane_differing == 0 and self.first_difference is None


class Proof(Item):
    bit_exact: bool
    comparisons: tuple[Comparison, ...]
    words: str


# ------------------------------------------------------------------------------------------------- layers


class Weights(Item):
    """One group of synapses into a population."""

    name: str
    source: str
    kind: str
    shape: tuple[int, ...]
    bits: int
    exponent: int
    n_stored: int
    n_zero: int
    n_at_limit: int
    box: Box | Missing
    bins: tuple[int, ...]
    bin_counts: tuple[int, ...]


class StateRange(Item):
    """Where v or u went in the traced samples, in integer units of the chip."""

    box: Box
    threshold: Quantity | None
    limit: int
    bits_used: int
    bits_held: int


class Layer(Item):
    """One population: what the float student did there and what the deployed program does."""

    name: str
    kind: str
    shape: tuple[int, ...]
    n_neurons: int
    parameters: str
    arrival: int
    scale: Quantity
    weights: tuple[Weights, ...]
    rounding: tuple[str, ...]
    spikes_float: Quantity
    spikes_deployed: Quantity
    change_percent: Quantity
    agreement: Quantity
    first_divergent_step: Quantity
    membrane_rmse: Quantity
    v_saturations: Quantity
    u_wraps: Quantity
    drive_wraps: Quantity
    sops: Quantity
    damage: Quantity
    words: str
    rate_float: Series | Missing
    rate_deployed: Series | Missing
    agreement_per_step: Series | Missing
    rates: Series | Missing
    rate_edges: tuple[float, ...]
    n_dead: Quantity
    n_always: Quantity
    v: StateRange | Missing
    u: StateRange | Missing


class RasterRow(Item):
    """One population's part of the raster: for each drawn neuron the steps at which it fires."""

    name: str
    n_neurons: int
    neurons: tuple[int, ...]
    steps_float: tuple[tuple[int, ...], ...] | Missing
    steps_deployed: tuple[tuple[int, ...], ...]
    n_agree: int | None
    n_only_float: int | None
    n_only_deployed: int | None


class Picture(Item):
    """A graded input of the chosen sample, 0 .. 255, rows from the top; the mean over time and channels."""

    name: str
    rows: tuple[tuple[int, ...], ...]


class Raster(Item):
    sample: int
    label: int | None
    predicted: int | None
    n_steps: int
    why: str
    picture: Picture | Missing
    rows: tuple[RasterRow, ...]


# ------------------------------------------------------------------------------------------------ mapping


class Use(Item):
    """How much of one limit is used."""

    resource: str
    used: Quantity
    limit: int | float
    share: float


class Core(Item):
    chip: int
    core: int
    layers: tuple[str, ...]
    worst: Use
    sops: Quantity


class MappedLayer(Item):
    name: str
    n_cores: int
    uses: tuple[Use, ...]
    binding: str
    share: float
    relief: str


class Mapping(Item):
    target: str
    fits: bool
    words: str
    assumed: str | None
    objective: str
    n_cores: Quantity
    n_chips: Quantity
    cores_per_chip: int
    assumptions: tuple[str, ...]
    cores: tuple[Core, ...]
    layers: tuple[MappedLayer, ...]
    imbalance: Quantity
    crossings: Quantity


# ------------------------------------------------------------------------------------------- other parts


class Metric(Item):
    name: str
    value: Quantity
    note: str


class Neurobench(Item):
    version: str
    metrics: tuple[Metric, ...]


class Node(Item):
    name: str
    kind: str
    shape: tuple[int, ...]
    note: str
    rank: int
    supported: bool


class Edge(Item):
    source: str
    target: str
    label: str


class Graph(Item):
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


class SweepPoint(Item):
    name: str
    settings: str
    accuracy: Quantity
    energy_j: Quantity
    spikes: Quantity
    cores: Quantity
    front: bool
    current: bool


class Opportunity(Item):
    id: str
    title: str
    gain: str
    command: str


class Provenance(Item):
    command: str
    seeds: dict[str, int]
    versions: dict[str, str]
    hashes: dict[str, str]
    hardware: str
    oracle: str
    deviations: tuple[str, ...]


class Timing(Item):
    """The one part that differs between two runs of the same inputs."""

    created: str
    wall_s: dict[str, float]


class Run(Item):
    name: str
    target: str
    target_version: str
    n_steps: int | None
    timestep_s: float | None
    n_neurons: Quantity
    n_weights: Quantity
    footprint_bytes: Quantity
    spikes: Quantity
    sops: Quantity
    readout: str


class Report(Item):
    schema_name: Literal["seamount.report"] = "seamount.report"
    schema_version: int = SCHEMA_VERSION
    run: Run
    headline: str
    verdicts: tuple[Verdict, ...]
    checks: tuple[Check, ...]
    accuracy: Accuracy | Missing
    proof: Proof | Missing
    layers: tuple[Layer, ...] | Missing
    trace_note: str
    raster: Raster | Missing
    anytime: Anytime | Missing
    mapping: Mapping | Missing
    energy: Energy | Missing
    neurobench: Neurobench | Missing
    graph: Graph | Missing
    sweep: tuple[SweepPoint, ...] | Missing
    opportunities: tuple[Opportunity, ...]
    assumptions: tuple[str, ...]
    provenance: Provenance
    timing: Timing

    def to_json(self) -> str:
        """The file's text: one line a section, so that two reports can be told apart with diff."""
        document = self.model_dump(mode="json")
        sections = (
            f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False, allow_nan=False)}" for k, v in document.items()
        )
        return "{\n" + ",\n".join(sections) + "\n}\n"

    def fingerprint(self) -> str:
        """SHA-256 of everything but ``timing``: equal for two runs of the same inputs."""
        document = self.model_dump(mode="json", exclude={"timing"})
        return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


# ---------------------------------------------------------------------------------------------- the file


def from_json(text: str, where: str = "report.json") -> Report:
    """Raises InputError for what is not a report, or one of a newer schema."""
    try:
        document = json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(
            f"{where}: not readable as JSON ({error}); write it anew with `seamount report RUN`"
        ) from None
    if not isinstance(document, dict) or document.get("schema_name") != SCHEMA:
        found = document.get("schema_name") if isinstance(document, dict) else type(document).__name__
        raise InputError(f"{where}: not a Seamount report (schema_name {found!r}, needed {SCHEMA!r})")
    version = document.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InputError(
            f"{where}: report schema {version}, this Seamount reads up to {SCHEMA_VERSION}; "
            "update Seamount, or write the report anew with `seamount report RUN`"
        )
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{where}: {place}: {first['msg']}; write it anew with `seamount report RUN`") from None


def read_report(path: Path) -> Report:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise InputError(f"{path}: no such report; write it with `seamount report RUN`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: not readable ({error})") from None
    return from_json(text, str(path))


def json_schema() -> dict[str, Any]:
    """What ``report.schema.json`` publishes."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Seamount report", **schema}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
