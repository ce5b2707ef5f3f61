"""``report.json``: what terminal, page and CI jobs read. Renderings compute nothing, so all of it stands here.

Two reports of the same inputs are equal byte for byte apart from ``timing``. A part that was not computed is a
``Missing`` with its reason, a number that is not known a ``Quantity`` of status "unknown" with its reason: no zero
stands for something nobody counted. The JSON schema is published in ``schema/report.schema.json``.

This file is the list of parts: a part more is a field of ``Report``, a line in ``assemble`` and, if the page shows
it, one in ``SECTIONS``; all else of it stands in its file in ``parts/``.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from pydantic import ValidationError

from seamount.errors import InputError

from . import notebook
from .evidence import Evidence
from .parts.accuracy import Accuracy, accuracy
from .parts.anytime import Anytime, anytime
from .parts.early import Early, early
from .parts.energy import Energy, energy
from .parts.frames import Frames, frames
from .parts.graph import Graph, graph
from .parts.layers import Layer, layers
from .parts.mapping import Mapping, mapping
from .parts.neurobench import Neurobench, neurobench
from .parts.opportunities import Opportunity, opportunities
from .parts.proof import Proof, proof
from .parts.provenance import Provenance, Timing, provenance, timing
from .parts.raster import Raster, raster
from .parts.run import Run, run
from .parts.second_opinion import NOT_ASKED, SecondOpinion, check_of, second_opinion
from .parts.streaming import Streaming, streaming
from .parts.sweep import SweepPoint, sweep
from .parts.verdicts import Check, Verdict, checks, headline, symptoms_of, verdicts
from .schema.values import Item, Missing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from pandas import DataFrame

SCHEMA = "seamount.report"
SCHEMA_VERSION = 1

OF_BEFORE = Missing(missing="the report was written before there was this part")


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
    early: Early | Missing = OF_BEFORE
    frames: Frames | Missing = OF_BEFORE
    mapping: Mapping | Missing
    energy: Energy | Missing
    streaming: Streaming | Missing = OF_BEFORE
    second_opinion: SecondOpinion | Missing = Missing(missing=NOT_ASKED)
    neurobench: Neurobench | Missing
    graph: Graph | Missing
    sweep: tuple[SweepPoint, ...] | Missing
    opportunities: tuple[Opportunity, ...]
    assumptions: tuple[str, ...]
    provenance: Provenance
    timing: Timing

    def __repr__(self) -> str:
        return notebook.short(self)

    def __str__(self) -> str:
        return repr(self)

    def _repr_html_(self) -> str:
        return notebook.summary(self)

    def table(self, what: str = "layers") -> DataFrame:
        """A part as a DataFrame of pandas; units of its columns stand in ``attrs["units"]``.

        Args:
            what: layers, accuracy, time (answers read after 1 to T steps), cores, energy; sweep, where the report is
                part of one.

        Raises:
            InputError: the part was not computed, and why. BackendMissing: pandas is not installed.
        """
        return notebook.table(self, what)

    def plot(self, what: str = "accuracy", ax: Axes | None = None) -> Axes:
        """A figure of matplotlib, on its own or on ``ax``.

        Args:
            what: accuracy (read after 1 to T steps), spikes (of each layer and step), ranges (of v), cores, energy.

        Raises:
            InputError: the part was not computed, and why. BackendMissing: matplotlib is not installed.
        """
        return notebook.plot(self, what, ax)

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


def assemble(evidence: Evidence) -> Report:
    """The report of one run. Same evidence, same report, byte for byte, ``timing`` apart."""
    rungs = accuracy(evidence)
    proven = proof(evidence)
    populations = layers(evidence)
    placed = mapping(evidence)
    estimate = energy(evidence)
    signs = symptoms_of(evidence)
    steps = anytime(evidence, signs)
    opinion = second_opinion(evidence)
    found = verdicts(signs, rungs, proven, populations, placed, estimate, evidence.reference)
    return Report(
        run=run(evidence),
        headline=headline(signs, rungs, proven, evidence.trained),
        verdicts=found,
        checks=(*checks(signs, found), *check_of(opinion)),
        accuracy=rungs,
        proof=proven,
        layers=populations,
        trace_note=evidence.traced.note if evidence.traced is not None else "",
        raster=raster(evidence),
        anytime=steps,
        early=early(evidence, signs),
        frames=frames(evidence),
        mapping=placed,
        energy=estimate,
        streaming=streaming(evidence, estimate),
        second_opinion=opinion,
        neurobench=neurobench(evidence),
        graph=graph(evidence.program),
        sweep=sweep(evidence),
        opportunities=opportunities(evidence, populations, placed, estimate, steps, rungs, signs),
        assumptions=tuple(evidence.assumptions),
        provenance=provenance(evidence),
        timing=timing(evidence),
    )


@dataclass(frozen=True)
class Section:
    """One section of the page, with its name in the list beside it."""

    id: str
    title: str

    @property
    def template(self) -> str:
        return f"sections/{self.id}.html.j2"


SECTIONS = (
    Section("proof", "Proof"),
    Section("accuracy", "Accuracy"),
    Section("divergence", "Divergence"),
    Section("time", "Spikes over time"),
    Section("ranges", "Ranges"),
    Section("raster", "One sample"),
    Section("anytime", "Early answers"),
    Section("cores", "Cores"),
    Section("energy", "Energy"),
    Section("neurobench", "NeuroBench"),
    Section("sweep", "Trade-offs"),
    Section("network", "Network"),
    Section("opportunities", "What to try"),
    Section("provenance", "Provenance"),
    Section("glossary", "Glossary"),
)
"""Sections of the page, in order."""


WRITE_ANEW = "write it anew with `seamount report RUN`"


def from_json(text: str | bytes, where: str = "report.json") -> Report:
    """Raises InputError for what is not a report, or one of a newer schema."""
    try:
        document = json.loads(text)
    except (ValueError, RecursionError) as error:  # not UTF-8, no JSON, numbers of 5,000 digits, nested too deeply
        raise InputError(f"not readable as JSON ({error})", where=where, ways_out=WRITE_ANEW) from None
    _refuse_others(document, where)
    try:
        return Report.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise InputError(f"{place}: {first['msg']}", where=where, ways_out=WRITE_ANEW) from None


def _refuse_others(document: object, where: str) -> None:
    found = document.get("schema_name") if isinstance(document, dict) else type(document).__name__
    if not isinstance(document, dict) or found != SCHEMA:
        raise InputError(f"not a Seamount report (schema_name {found!r}, needed {SCHEMA!r})", where=where)
    version = document.get("schema_version")
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InputError(
            f"report schema {version}",
            where=where,
            possible=f"this Seamount reads up to {SCHEMA_VERSION}",
            ways_out="update Seamount, or write the report anew with `seamount report RUN`",
        )


def json_schema() -> dict[str, Any]:
    """What ``report.schema.json`` publishes."""
    schema = Report.model_json_schema(mode="serialization")
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "Seamount report", **schema}


if __name__ == "__main__":
    print(json.dumps(json_schema(), indent=1))
