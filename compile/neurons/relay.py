"""What has no state."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Relay:
    """No state: sends what arrives in the same step. A join of wires, or a hop between two synapse groups."""
