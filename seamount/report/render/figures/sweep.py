"""The runs of a sweep."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from markupsafe import Markup

from ...parts.sweep import SweepPoint
from ...schema.text import quantity, tick
from ...schema.values import Quantity
from ..charts import Frame, Scale, dot, polyline, stretched, text

HEIGHT = 250
NARROWEST = 300
"""Pixels of a plot on a phone, for which names are placed."""
CHARACTER = 6.6
"""Pixels of one, in the figures' font."""
LINE = 13
LONGEST = 28
"""Characters of a name in a plot."""
RADIUS, RING = 5.0, 5.0
"""Pixels of a point, and between the rings of points at one place."""
BETWEEN = 15
"""Places along a line between two points where no name may stand."""
MANY = 30
"""Times the cheapest that the dearest point costs, from which on the scale is logarithmic."""


@dataclass(frozen=True)
class Cost:
    """What accuracy is paid with.

    Attributes:
        of: a point's. on_front: whether nobody beats the point in it.
        one_target: points of two targets do not compare in it, so that each target has a front of its own.
        tick: how a value stands below the plot. whole: only whole numbers stand there.
    """

    title: str
    of: Callable[[SweepPoint], Quantity]
    on_front: Callable[[SweepPoint], bool]
    one_target: bool
    tick: Callable[[float], str]
    whole: bool = False


COSTS = (
    Cost("Energy, on-chip dynamic", lambda p: p.energy_j, lambda p: p.front, True, lambda x: tick(x, "J")),
    Cost("Spikes per synapse", lambda p: p.spikes_per_synapse, lambda p: p.front_spikes, False, tick),
    Cost("Cores", lambda p: p.cores, lambda p: p.front_cores, True, tick, True),
)


def trade_offs(points: tuple[SweepPoint, ...]) -> Iterator[tuple[str, Markup, str]]:
    """Accuracy against each cost that is known of a point: title, drawing, and what is not in it."""
    for cost in COSTS:
        shown = [p for p in points if cost.of(p).value is not None]
        if not shown:
            continue
        left = len(points) - len(shown)
        absent = f"{left} of {len(points)} runs are not here: {cost.title.lower()} unknown." if left else ""
        mark = " (some placeholders)" if cost is COSTS[0] and any(p.placeholder for p in shown) else ""
        yield cost.title + mark, _plot(cost, shown), absent


def _plot(cost: Cost, points: Sequence[SweepPoint]) -> Markup:
    """The points that nobody beats are joined, those of one target."""
    costs = [float(cost.of(p).value or 0) for p in points]
    values = [float(p.accuracy.value or 0) for p in points]
    span = max(values) - min(values) or 1
    frame = Frame(HEIGHT, _across(costs), Scale(min(values) - 0.15 * span, max(values) + 0.15 * span))
    ticks = [t for t in frame.x.ticks(3) if not cost.whole or t == round(t)]
    ticks = ticks if len(ticks) > 1 else sorted({min(costs), max(costs)})
    parts = frame.grid([(t, f"{t:g} %") for t in frame.y.ticks(4)], [(t, cost.tick(t)) for t in ticks])
    at = list(zip(points, costs, values, strict=True))
    joined = sorted((p.target if cost.one_target else "", frame.point(c, v)) for p, c, v in at if cost.on_front(p))
    fronts = [[place for _, place in front] for _, front in groupby(joined, key=lambda found: found[0])]
    parts += [stretched(HEIGHT, polyline(front, "deployed")) for front in fronts]
    places = [frame.point(c, v) for _, c, v in at]
    names = Names([*(box(*place) for place in places), *(found for front in fronts for found in along(front))])
    rings = _rings(places)
    # those on the front first: their names find room
    for i in sorted(range(len(at)), key=lambda i: not cost.on_front(points[i])):
        p, on_front = points[i], cost.on_front(points[i])
        mark = " (placeholder)" if cost is COSTS[0] and p.placeholder else ""
        tip = f"{p.name}: {values[i]:.2f} %, {quantity(cost.of(p))}{mark}"
        css = "dot current" if p.current else "dot deployed" if on_front else "dot beaten"
        parts.append(dot(*places[i], RADIUS + RING * rings[i], f"{css} ring" if rings[i] else css, tip))
        if on_front or p.current:
            around = max(r for r, place in zip(rings, places, strict=True) if _place(place) == _place(places[i]))
            names.put(p.label or p.name, *places[i], RADIUS + RING * around)
    told = f"Accuracy against {cost.title.lower()}: {len(points)} runs, {len(joined)} of them not beaten by another"
    return frame.figure(told, [*parts, *names.parts])


def _across(costs: Sequence[float]) -> Scale:
    low, high = min(costs), max(costs)
    if low > 0 and high / low > MANY:
        return Scale(low / 1.25, high * 1.25, log=True)
    air = 0.12 * (high - low) or 0.5 * abs(high) or 1.0
    return Scale(max(low - air, 0.0), high + air)


def _place(at: tuple[float, float]) -> tuple[int, int]:
    """Points of one place cover each other."""
    return round(100 * at[0]), round(at[1] / 6)


def _rings(places: Sequence[tuple[float, float]]) -> list[int]:
    """Of each point how many stand at its place before it: it becomes a ring around them."""
    seen: dict[tuple[int, int], int] = {}
    found = []
    for place in map(_place, places):
        found.append(seen.get(place, 0))
        seen[place] = found[-1] + 1
    return found


Box = tuple[float, float, float, float]
"""Left, right, top and foot in pixels."""


def box(share: float, y: float, radius: float = RADIUS) -> Box:
    x = share * NARROWEST
    return x - radius, x + radius, y - radius, y + radius


def along(line: Sequence[tuple[float, float]]) -> list[Box]:
    """Where a line between points runs."""
    shares = [k / BETWEEN for k in range(1, BETWEEN)]
    ends = [(a, b, s) for a, b in pairwise(line) for s in shares]
    return [box(x1 + s * (x2 - x1), y1 + s * (y2 - y1), 2.0) for (x1, y1), (x2, y2), s in ends]


@dataclass
class Names:
    """Names that stand beside, below or above their points, where no point, front or other name is."""

    taken: list[Box]
    parts: list[str] = field(default_factory=list)

    def put(self, name: str, share: float, y: float, radius: float) -> None:
        """Where there is room, or nowhere: the table has all names."""
        name = name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…"
        x, wide, gap = share * NARROWEST, CHARACTER * len(name), radius + 4
        right, left = x + gap, x - gap - wide
        below, above = (radius + LINE, radius + 2 * LINE), (-radius - 4, -radius - 4 - LINE)
        # a front rises to the right: below it there and above it on the left it is met at no width of the page
        free = [(right, down) for down in below] + [(left, down) for down in above]
        for start, down in [
            *free,
            (right, 4.0),
            (left, 4.0),
            *((right, d) for d in above),
            *((left, d) for d in below),
        ]:
            foot = y + down
            box = (start, start + wide, foot + 2 - LINE, foot + 2)
            inside = start >= 0 and box[1] <= NARROWEST + 10 and LINE <= foot <= HEIGHT - 22
            if inside and not any(overlap(box, other) for other in self.taken):
                self.taken.append(box)
                beside = gap / NARROWEST if start > x else -gap / NARROWEST
                self.parts.append(text(share + beside, foot, name, "tick halo", "start" if start > x else "end"))
                return


def overlap(a: Box, b: Box) -> bool:
    return a[0] < b[1] and b[0] < a[1] and a[2] < b[3] and b[2] < a[3]
