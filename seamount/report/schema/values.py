"""What the report is made of: numbers that say their unit, their samples and where they come from, or why not."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, ConfigDict, model_validator

Status = Literal[
    "counted", "measured", "fitted", "simulated", "documented", "derived", "assumed", "ordering only", "unknown"
]
"""Where a number comes from: counted (exact, from an integer run), measured (statistic of a sample, or a meter),
fitted (model calibrated to silicon), simulated (circuit simulation), documented (by the vendor), derived (arithmetic
on published values), assumed, ordering only (no range can be given), unknown (with a reason)."""

Stage = Literal["teacher", "original", "float", "quantised", "deployed"]
State = Literal["ok", "neutral", "warning", "error", "unknown"]
"""neutral: a finding that is neither good nor bad."""


class Item(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class Missing(Item):
    """A part that was not computed, and why."""

    missing: str


class Quantity(Item):
    """One number: its unit, over how many samples (null where that has no meaning), and where it comes from."""

    value: int | float | None
    unit: str
    status: Status
    n: int | None = None
    low: int | float | None = None
    high: int | float | None = None
    reason: str | None = None

    @model_validator(mode="after")
    def _unknown_has_a_reason(self) -> Self:
        if (self.value is None) != (self.status == "unknown"):
            raise ValueError("a quantity without value has status unknown, and one of status unknown has no value")
        if self.value is None and not self.reason:
            raise ValueError("an unknown quantity needs its reason")
        return self


class Series(Item):
    """Numbers of one kind in a row; null where one is not known."""

    values: tuple[int | float | None, ...]
    unit: str
    status: Status
    n: int | None = None


class Box(Item):
    """Five numbers of a distribution."""

    low: int | float
    q25: int | float
    median: int | float
    q75: int | float
    high: int | float
    unit: str
    status: Status
    n: int
