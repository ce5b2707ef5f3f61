"""Where the report's numbers come from, and when they were made."""

from __future__ import annotations

from ..evidence import Evidence
from ..schema.values import Item


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


def provenance(evidence: Evidence) -> Provenance:
    return Provenance(
        command=evidence.command,
        seeds=dict(sorted(evidence.seeds.items())),
        versions=dict(sorted(evidence.versions.items())),
        hashes=dict(sorted((dict(evidence.program.provenance) | dict(evidence.hashes)).items())),
        hardware=evidence.hardware,
        oracle=evidence.oracle or evidence.reason("oracle", "none: nothing was compared with Lava"),
        deviations=tuple(evidence.deviations),
    )


def timing(evidence: Evidence) -> Timing:
    return Timing(created=evidence.created, wall_s={k: round(float(v), 3) for k, v in evidence.wall_s.items()})
