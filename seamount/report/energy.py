"""The energy estimate in the report's terms."""

from __future__ import annotations

from .evidence import Evidence
from .schema import Energy, Missing


def energy(evidence: Evidence) -> Energy | Missing:
    return Missing(missing=evidence.reason("energy", "energy was not estimated"))


def energy_per_step(evidence: Evidence) -> list[float] | None:
    return None
