"""Graphs that a tool's exporter writes otherwise than the tool runs them, mended where the file still tells how."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from seamount.errors import Unsupported

from .file import RawGraph, RawNode


def as_run(raw: RawGraph, preset: str) -> RawGraph:
    """The graph that the tool ran. spyx 1.0.0 alone needs it; every change is noted.

    Raises:
        Unsupported: the file does not tell what the tool ran.
    """
    if preset != "spyx":
        return raw
    return _even_pools(_channels_first(_inputs_beside_feedback(raw)))


def _inputs_beside_feedback(raw: RawGraph) -> RawGraph:
    """spyx leads a recurrent layer's input through the recurrent weight; it runs it beside it."""
    edges, notes = [], []
    for source, target in raw.edges:
        cells = [c for w, c in raw.edges if w == target and (c, target) in raw.edges]
        if raw.nodes[source].kind == "Input" and len(cells) == 1 and raw.nodes[target].kind == "Linear":
            notes.append(f"{source}: leads to {cells[0]} as spyx runs it, not to {target} as it writes")
            target = cells[0]
        edges.append((source, target))
    return replace(raw, edges=tuple(edges), notes=(*raw.notes, *notes))


def _channels_first(raw: RawGraph) -> RawGraph:
    """spyx flattens maps (H, W, C) and writes them (C, H, W); the weights behind still count the former."""
    nodes, notes = dict(raw.nodes), []
    for name, node in raw.nodes.items():
        shape = node.values.get("input_type")
        if node.kind != "Flatten" or not isinstance(shape, np.ndarray) or shape.size != 3:
            continue
        channels, height, width = (int(n) for n in shape.reshape(-1))
        if channels == 1 or height * width == 1:
            continue
        followers = [target for source, target in raw.edges if source == name]
        for follower in followers:
            weight = raw.nodes[follower].values.get("weight")
            n = channels * height * width
            if raw.nodes[follower].kind not in ("Affine", "Linear") or np.asarray(weight).shape[1:] != (n,):
                raise Unsupported(
                    "spyx flattens with the channels last and writes that they come first; only a weight behind it "
                    f"can be put right, found is {follower} ({raw.nodes[follower].kind})",
                    where=name,
                )
            rows = np.asarray(weight).reshape(-1, height, width, channels).transpose(0, 3, 1, 2).reshape(-1, n)
            nodes[follower] = RawNode(raw.nodes[follower].kind, {**raw.nodes[follower].values, "weight": rows})
            notes.append(f"{follower}: columns put in the order (C, H, W); spyx writes (H, W, C)")
    return replace(raw, nodes=nodes, notes=(*raw.notes, *notes))


def _even_pools(raw: RawGraph) -> RawGraph:
    """spyx writes the sum of the padding on both sides, NIR means that of each side."""
    nodes, notes = dict(raw.nodes), []
    for name, node in raw.nodes.items():
        padding = node.values.get("padding")
        if node.kind != "SumPool2d" or not isinstance(padding, np.ndarray) or not np.any(padding):
            continue
        if np.any(padding % 2):
            raise Unsupported(
                f"spyx pads {padding.tolist()} in all, so one side by a zero more, which NIR cannot say",
                where=name,
                ways_out="pool without padding",
            )
        nodes[name] = RawNode(node.kind, {**node.values, "padding": padding // 2})
        notes.append(f"{name}: padding {padding.tolist()} of both sides in spyx, so {(padding // 2).tolist()} each")
    return replace(raw, nodes=nodes, notes=(*raw.notes, *notes))
