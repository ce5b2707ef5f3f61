"""How numbers are written, in terminal and page alike."""

from __future__ import annotations

from .values import Quantity, State

PREFIXES = {-15: "f", -12: "p", -9: "n", -6: "µ", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T"}
SYMBOLS: dict[State, str] = {"ok": "✓", "neutral": "≈", "warning": "!", "error": "✕", "unknown": "?"}
"""Beside the colour, which not everybody sees."""
NARROW = "\N{NARROW NO-BREAK SPACE}"


def _power(value: float) -> int:
    """Of the prefix, after rounding to three digits: 999.9 µ is 1.00 m."""
    if value == 0:
        return 0
    return max(-15, min(12, 3 * (int(f"{value:.2e}".partition("e")[2]) // 3)))


def digits(value: float, n: int = 3) -> str:
    """So many significant digits, whole parts in full: 0.0123, 1.23, 12.3, 1234."""
    if value == 0:
        return "0"
    decimals = max(0, n - 1 - int(f"{value:.{n - 1}e}".partition("e")[2]))
    return f"{value:.{decimals}f}"


def si(value: float, unit: str, n: int = 3) -> str:
    """2.35e-5 J -> '23.5 µJ'."""
    power = _power(value)
    return f"{digits(value / 10.0**power, n)} {PREFIXES[power]}{unit}"


def joule(low: float, high: float) -> str:
    """A range with one unit: '56.1 to 86.4 µJ'."""
    if digits(low) == digits(high):
        return si(high, "J")
    power = _power(high)
    return f"{digits(low / 10.0**power)} to {digits(high / 10.0**power)} {PREFIXES[power]}J"


def count(value: float) -> str:
    """Counts in full up to 9,999, then 34.2 k."""
    if float(value).is_integer() and abs(value) < 10_000:
        return f"{int(value):,}"
    if abs(value) < 10_000:
        return f"{value:,.0f}" if abs(value) >= 1000 else digits(value, 4 if abs(value) >= 100 else 3)
    power = _power(value)
    return f"{digits(value / 10.0**power)}{NARROW}{PREFIXES[power]}"


def tick(value: float, unit: str = "") -> str:
    """A value beside a rule of a plot, with no more digits than it has: 10 µJ and 7.5 µJ, 2.5 and 5."""
    if not unit and abs(value) < 10_000:
        return f"{value:g}"
    power = _power(value)
    return f"{value / 10.0**power:.4g}{' ' if unit else NARROW}{PREFIXES[power]}{unit}"


def share(value: float) -> str:
    """Of a whole, in per cent; what is there does not read as nothing."""
    written = f"{100 * value:.0f} %"
    return "under 1 %" if value > 0 and written == "0 %" else written


def signed(value: float, decimals: int = 2) -> str:
    if round(value, decimals) == 0:
        return "±0"
    return f"{value:+.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def quantity(q: Quantity) -> str:
    """Number and unit; an em dash for what is not known."""
    if q.value is None:
        return "\N{EM DASH}"
    match q.unit:
        case "J" | "s" | "W":
            return si(float(q.value), q.unit)
        case "B":
            return f"{q.value:,} B" if q.value < 1000 else si(float(q.value), "B")
        case "%" | "pp":
            return f"{q.value:.2f} {q.unit}"
        case "1":
            return digits(float(q.value))
        case _:
            things, per, one = q.unit.partition("/")
            return f"{count(q.value)} {things.removesuffix('s') if q.value == 1 else things}{per}{one}"


def number(q: Quantity) -> str:
    """As ``quantity``, without its unit: for a column whose head names it."""
    if q.value is None:
        return "\N{EM DASH}"
    if q.unit in ("%", "pp"):
        return f"{q.value:.2f}"
    return count(q.value) if q.unit != "1" else digits(float(q.value))
