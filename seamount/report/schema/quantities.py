"""Making the report's numbers: rounded to six digits, so that machines agree on the text, and their statistics."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .values import Box, Quantity, Series, Status

Z_95 = 1.959963984540054


def tidy(value: float | int) -> float | int:
    """Six significant digits; whole numbers stay whole."""
    if isinstance(value, int | np.integer):
        return int(value)
    return float(f"{float(value):.6g}")


def known(
    value: float | int,
    unit: str,
    status: Status,
    n: int | None = None,
    *,
    low: float | None = None,
    high: float | None = None,
) -> Quantity:
    return Quantity(
        value=tidy(value),
        unit=unit,
        status=status,
        n=n,
        low=None if low is None else tidy(low),
        high=None if high is None else tidy(high),
    )


def unknown(unit: str, reason: str) -> Quantity:
    return Quantity(value=None, unit=unit, status="unknown", reason=reason)


def series(values: NDArray[Any] | list[float] | list[int], unit: str, status: Status, n: int | None = None) -> Series:
    return Series(values=tuple(tidy(v) for v in np.asarray(values).tolist()), unit=unit, status=status, n=n)


def box(values: NDArray[Any], unit: str, status: Status) -> Box:
    low, q25, median, q75, high = (tidy(float(q)) for q in np.percentile(values, (0, 25, 50, 75, 100)))
    return Box(low=low, q25=q25, median=median, q75=q75, high=high, unit=unit, status=status, n=int(values.size))


def wilson(n_correct: int, n: int) -> tuple[float, float]:
    """95 % interval of a proportion (Wilson 1927): right at 0 and 100 %, where the normal interval has no width."""
    share = n_correct / n
    centre = share + Z_95**2 / (2 * n)
    half = Z_95 * math.sqrt(share * (1 - share) / n + Z_95**2 / (4 * n * n))
    # where none is right the two are equal, but for their rounding
    low = (centre - half) / (1 + Z_95**2 / n) if n_correct else 0.0
    return low, min(1.0, (centre + half) / (1 + Z_95**2 / n))


def mcnemar(only_a: int, only_b: int) -> float:
    """Exact two-sided p that the discordant samples fall to either side alike (McNemar 1947, binomial form)."""
    n, k = only_a + only_b, min(only_a, only_b)
    term, tail = 1, 1
    for i in range(1, k + 1):
        term = term * (n - i + 1) // i
        tail += term
    # whole numbers up to here: the ratio of two huge ones is rounded once
    return min(1.0, (2 * tail) / (1 << n)) if n else 1.0


def percent(n_correct: int, n: int) -> Quantity:
    low, high = wilson(n_correct, n)
    return known(100 * n_correct / n, "%", "measured", n, low=100 * low, high=100 * high)
