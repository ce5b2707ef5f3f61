"""Writes NIR files by hand: what nir.write would refuse to write, other tools have written."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

Node = tuple[str, Mapping[str, Any]]

ONES3 = np.ones(3)


def write(
    path: Path,
    nodes: Mapping[str, Node],
    edges: Sequence[tuple[str, str]],
    *,
    metadata: Mapping[str, Any] | None = None,
    version: str | None = "1.0.8",
) -> Path:
    with h5py.File(path, "w") as file:
        if version is not None:
            file["version"] = version
        root = file.create_group("node")
        _graph(root, nodes, edges)
        if metadata is not None:
            _metadata(root.create_group("metadata"), metadata)
    return path


def _graph(group: h5py.Group, nodes: Mapping[str, Node], edges: Sequence[tuple[str, str]]) -> None:
    group["type"] = "NIRGraph"
    group.create_dataset("edges", data=np.array(edges, dtype=h5py.string_dtype()) if len(edges) else np.zeros((0, 2)))
    inner = group.create_group("nodes")
    for name, (kind, values) in nodes.items():
        node = inner.create_group(name)
        if kind == "NIRGraph":
            _graph(node, values["nodes"], values["edges"])
            continue
        node["type"] = kind
        for key, value in values.items():
            node.create_dataset(key, data=value)


def _metadata(group: h5py.Group, values: Mapping[str, Any]) -> None:
    for key, value in values.items():
        if isinstance(value, Mapping):
            _metadata(group.create_group(key), value)
        else:
            group.create_dataset(key, data=value)


def chain(**changes: Any) -> tuple[dict[str, Node], list[tuple[str, str]]]:
    """input(2) -> affine -> lif(3) -> output; ``changes`` replace nodes."""
    nodes: dict[str, Node] = {
        "input": ("Input", {"shape": np.array([2])}),
        "affine": (
            "Affine",
            {"weight": np.array([[1.0, 0.5], [0.0, 2.0], [1.0, -1.0]]), "bias": np.array([0.0, 0.1, 0.0])},
        ),
        "lif": (
            "LIF",
            {"tau": ONES3 * 0.01, "r": ONES3, "v_leak": ONES3 * 0, "v_threshold": ONES3, "v_reset": ONES3 * 0},
        ),
        "output": ("Output", {"shape": np.array([3])}),
    }
    return {**nodes, **changes}, [("input", "affine"), ("affine", "lif"), ("lif", "output")]


METADATA = {"discretization": {"dt": 1e-3, "time_unit": "s", "reset": "value", "exporter": "tests 1"}}
