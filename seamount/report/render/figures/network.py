"""The program as nodes and edges."""

from __future__ import annotations

from markupsafe import Markup

from ...parts.graph import Graph, Node
from ..charts import figure, rect, stretched, text
from .sweep import CHARACTER, NARROWEST, Box, overlap


def network(graph: Graph) -> Markup:
    """Top to bottom by rank; an edge over more than one rank bows to the side.

    A label stands where neither a node nor another label does: the table has all of them.
    """
    ranks: dict[int, list[Node]] = {}
    for node in graph.nodes:
        ranks.setdefault(node.rank, []).append(node)
    order = {rank: i for i, rank in enumerate(sorted(ranks))}
    row, box = 78, 42
    room = 0.74 if max(_spans(graph, order), default=1) > 1 else 1.0
    half = max(0.1, min(0.3, 0.43 / max(len(nodes) for nodes in ranks.values()))) * room
    place = {
        n.name: (room * (i + 0.5) / len(nodes), order[rank] * row + 4)
        for rank, nodes in ranks.items()
        for i, n in enumerate(nodes)
    }
    height = row * len(ranks) - (row - box) + 10
    lines, labels = [], []
    taken: list[Box] = [((x - half) * NARROWEST, (x + half) * NARROWEST, y, y + box) for x, y in place.values()]
    for edge, span in zip(graph.edges, _spans(graph, order), strict=True):
        (x1, y1), (x2, y2) = place[edge.source], place[edge.target]
        if span == 1:
            top, bottom = y1 + box, y2
            lines.append(_curve((x1, top), (x1, top + 18), (x2, bottom - 18), (x2, bottom)))
            labels += _label([edge.label], (x1 + x2) / 2, (top + bottom) / 2 + 4, taken)
        else:
            side, a, b = min(0.995, max(x1, x2) + half + 0.2), y1 + box / 2, y2 + box / 2
            lines.append(_curve((x1 + half, a), (side, a), (side, b), (x2 + half, b)))
            labels += _label(edge.label.split(", "), max(x1, x2) + half, (a + b) / 2 + 4, taken)
    boxes = []
    for node in graph.nodes:
        x, y = place[node.name]
        shape = "×".join(str(n) for n in node.shape)
        css = "node" + (" input" if node.kind == "Input" else "") + ("" if node.supported else " bad")
        boxes.append(rect(x - half, y, 2 * half, box, css, f"{node.kind} {node.name} {shape}: {node.note}", 8))
        boxes.append(text(x, y + 18, node.name, "name", "middle"))
        boxes.append(text(x, y + 34, f"{node.kind} {shape}", "tick", "middle"))
    label = f"{len(graph.nodes)} nodes and {len(graph.edges)} edges: " + ", ".join(n.name for n in graph.nodes)
    return figure(height, label, [stretched(height, "".join(lines)), *boxes, *labels])


def _spans(graph: Graph, order: dict[int, int]) -> list[int]:
    """Ranks that each edge crosses; 1: to the next one down. Loops and steps back count as crossing more."""
    rank = {n.name: order[n.rank] for n in graph.nodes}
    spans = [rank[e.target] - rank[e.source] for e in graph.edges]
    return [span if span > 0 else 2 for span in spans]


LINE = 14


def _label(lines: list[str], share: float, y: float, taken: list[Box]) -> list[str]:
    """The lines of an edge's label, at the right of a place; none where it would lie on what is there."""
    left = share * NARROWEST + 8
    box = (left, left + CHARACTER * max(map(len, lines)), y - LINE + 3, y - LINE + 3 + LINE * len(lines))
    if any(overlap(box, other) for other in taken):
        return []
    taken.append(box)
    return [text(share, y + LINE * i, line, "tick halo beside") for i, line in enumerate(lines)]


def _curve(*points: tuple[float, float]) -> str:
    start, *rest = (f"{1000 * x:.1f} {y:g}" for x, y in points)
    return f'<path d="M{start}C{" ".join(rest)}" class="edge"/>'
