"""A NIR file or graph object as plain nodes and edges, nothing interpreted yet.

Files are read straight from HDF5 and trusted in nothing: links out of the file, virtual and external data, cycles of
groups, unknown types and sizes above the caps are refused before any memory is taken.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from seamount.errors import InputError, Reason
from seamount.foreign.hdf5 import DAMAGE, opened
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import HDF5_START, file_bytes, first_line, not_hdf5

MAX_NODES = 20_000
MAX_DEPTH = 16
MAX_NAME = 256
SHOWN = 20
"""Problems that are named before the rest is counted."""

Value = np.ndarray[Any, Any] | str | int | float | bool


@dataclass(frozen=True)
class RawNode:
    """Type and parameters as they stand in the file."""

    kind: str
    values: Mapping[str, Value]


@dataclass(frozen=True)
class RawGraph:
    """Nodes by name (subgraphs flattened to ``graph.node``), edges in the file's order, metadata of the root."""

    nodes: Mapping[str, RawNode]
    edges: tuple[tuple[str, str], ...]
    metadata: Mapping[str, Any]
    version: str | None
    sha256: str
    notes: tuple[str, ...] = ()


@dataclass
class _Collected:
    """What has been gathered so far, and what was wrong."""

    nodes: dict[str, RawNode] = field(default_factory=dict)
    edges: list[tuple[str, str]] = field(default_factory=list)
    ports: dict[str, tuple[list[str], list[str]]] = field(default_factory=dict)  # subgraph -> its inputs, outputs
    problems: list[Reason] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def read_raw(source: str | Path) -> RawGraph:
    """A ``.nir`` file; raises InputError with every reason why not."""
    path = Path(source)
    content = file_bytes(path, NETWORK_BYTES)
    if not content.startswith(HDF5_START):
        raise not_hdf5(content, path, ", so not a NIR file")
    got = _Collected()
    try:
        with opened(content, path) as file:
            version = _version(file, got)
            root = _root(file, path)
            metadata = _metadata(root.get("metadata"), got)
            _collect_group(root, "", got, 0)
    except DAMAGE as error:
        raise InputError(f"damaged HDF5 file ({type(error).__name__}: {first_line(error)})", where=path) from None
    sha256 = hashlib.sha256(content).hexdigest()
    return _finished(str(path), got, metadata, version, sha256)


def _root(file: h5py.File, path: Path) -> h5py.Group:
    root = file.get("node")
    if not isinstance(root, h5py.Group):
        raise InputError("no group 'node', so not a NIR file", where=path)
    kind = _text(root.get("type"))
    if "type" not in root:
        raise InputError(f"node/type is missing: writing it broke off{_broke_off(root)}", where=path, ways_out=AGAIN)
    if kind != "NIRGraph":
        raise InputError(f"node/type is {kind!r}", where=path, possible="needed is 'NIRGraph'")
    return root


NO_FILE = "read the torch module itself, without a file: from_module (docs/students.md), then api.deploy"
AGAIN = ("write it again and look at what nir.write raises", NO_FILE)
"""norse 1.1's own exporter gives None for LICell, and of LIFCell and LIFBoxCell scalars that nir 1.0.8 refuses."""


def _broke_off(root: h5py.Group) -> str:
    """At which node, where one was begun: its type is what nir.write adds last."""
    nodes = root.get("nodes")
    begun = [] if not isinstance(nodes, h5py.Group) else [n for n in nodes if "type" not in nodes[n]]
    return f" at node {', '.join(begun)}" if begun else " before its nodes"


def from_graph(graph: Any) -> RawGraph:
    """The same from a ``nir.NIRGraph`` in memory."""
    got = _Collected()
    _collect_object(graph, "", got, 0)
    digest = hashlib.sha256()
    for name in sorted(got.nodes):  # sorted, because equal graphs may list their nodes in another order
        node = got.nodes[name]
        digest.update(f"{name} {node.kind}".encode())
        for key in sorted(node.values):
            value = node.values[key]
            digest.update(key.encode() + (value.tobytes() if isinstance(value, np.ndarray) else repr(value).encode()))
    digest.update(repr(got.edges).encode())
    metadata = dict(getattr(graph, "metadata", None) or {})
    return _finished("graph", got, metadata, None, digest.hexdigest())


# -------------------------------------------------------------------------------------------------- from HDF5


def _version(file: h5py.File, got: _Collected) -> str | None:
    if "version" not in file:
        got.notes.append("the file names no NIR version; read as 1.0")
        return None
    version = _text(file["version"])
    major = (version or "").split(".")[0]
    if major not in ("0", "1"):
        got.problems.append(Reason(f"found {version!r}", where="version", possible="readable are 0.1 to 1.x"))
    return version


def _text(item: Any) -> str | None:
    if not isinstance(item, h5py.Dataset) or item.shape not in ((), (1,)):
        return None
    if h5py.check_string_dtype(item.dtype) is None:
        return None
    value = item[()]
    value = value[0] if isinstance(value, np.ndarray) else value
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _array(item: h5py.Dataset, where: str, got: _Collected) -> Value | None:
    """The dataset's values, None (and a problem) where they cannot be taken."""
    if item.shape is None:
        got.problems.append(Reason("empty (no value at all)", where=where))
        return None
    dtype = item.dtype  # HDF5 is asked at every turn
    if h5py.check_string_dtype(dtype) is not None:
        text = _text(item)
        if text is None:
            got.problems.append(Reason(f"text of shape {item.shape}", where=where, possible="needed is one string"))
        return text
    if dtype.kind not in "biuf":
        got.problems.append(Reason(f"values of type {dtype}", where=where, possible="needed are real numbers"))
        return None
    return _numbers(item, dtype)


def _numbers(item: h5py.Dataset, dtype: np.dtype[Any]) -> np.ndarray[Any, Any]:
    """All values at once: h5py's own way to them is for parts, and takes longer than a few values do."""
    values = np.zeros(item.shape, dtype)
    if values.size:
        item.id.read(h5py.h5s.ALL, h5py.h5s.ALL, values)
    return values


def _metadata(item: Any, got: _Collected, depth: int = 0) -> dict[str, Any]:
    if not isinstance(item, h5py.Group) or depth > MAX_DEPTH:
        return {}
    result: dict[str, Any] = {}
    for name in item:
        child = item[name]
        if isinstance(child, h5py.Group):
            result[name] = _metadata(child, got, depth + 1)
        else:
            value = _array(child, f"metadata/{name}", got)
            result[name] = value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else value
    return result


def _collect_group(group: h5py.Group, prefix: str, got: _Collected, depth: int) -> None:
    where = prefix.rstrip(".") or "node"
    if depth > MAX_DEPTH:
        got.problems.append(Reason(f"graphs more than {MAX_DEPTH} deep", where=where))
        return
    nodes = group.get("nodes")
    edges = group.get("edges")
    if not isinstance(nodes, h5py.Group):
        got.problems.append(Reason("no group 'nodes'", where=where))
        return
    got.ports[prefix] = ([], [])
    for name in nodes:
        _collect_node(nodes[name], prefix + name, prefix, got, depth)
    if edges is None:
        got.notes.append(f"{where}: no edges")
    elif not isinstance(edges, h5py.Dataset):
        got.problems.append(Reason("edges are a group", where=where, possible="needed are pairs of names"))
    else:
        _collect_edges(edges, prefix, where, got)


def _collect_node(item: Any, name: str, prefix: str, got: _Collected, depth: int) -> None:
    if not isinstance(item, h5py.Group):
        got.problems.append(Reason(f"not a node but a {type(item).__name__.lower()}", where=name))
        return
    kind = _text(item.get("type"))
    if kind is None:
        got.problems.append(Reason("no type", where=name))
    elif kind == "NIRGraph":
        _collect_group(item, f"{name}.", got, depth + 1)
    else:
        _add(name, prefix, RawNode(kind, _values(item, name, got)), got)


def _values(item: h5py.Group, name: str, got: _Collected) -> dict[str, Value]:
    """Parameters of a node; metadata of single nodes mean nothing to us."""
    values: dict[str, Value] = {}
    for key in item:
        if key in ("type", "metadata"):
            continue
        child = item[key]
        if not isinstance(child, h5py.Dataset):
            got.problems.append(Reason(f"{key} is a group", where=name, possible="needed is a value"))
        elif (value := _array(child, f"{name}: {key}", got)) is not None:
            values[key] = value
    return values


def _collect_edges(edges: h5py.Dataset, prefix: str, where: str, got: _Collected) -> None:
    if edges.shape is None or edges.size == 0:
        return
    if len(edges.shape) != 2 or edges.shape[1] != 2 or h5py.check_string_dtype(edges.dtype) is None:
        got.problems.append(
            Reason(
                f"edges of shape {edges.shape} and type {edges.dtype}",
                where=where,
                possible="needed are pairs of names",
            )
        )
        return
    if edges.shape[0] > 10 * MAX_NODES or edges.dtype.itemsize > 4 * MAX_NAME:
        got.problems.append(
            Reason(f"{edges.shape[0]} edges", where=where, possible=f"the reader takes up to {10 * MAX_NODES}")
        )
        return
    for pair in edges[()]:
        source, target = (n.decode("utf-8", "replace") if isinstance(n, bytes) else str(n) for n in pair)
        got.edges.append((prefix + source, prefix + target))


def _add(name: str, prefix: str, node: RawNode, got: _Collected) -> None:
    if name in got.nodes:
        got.problems.append(Reason("the name is used twice", where=name))
    elif len(got.nodes) >= MAX_NODES:
        got.problems.append(Reason(f"more than {MAX_NODES} nodes", where=name))
    # without '/', because HDF5 takes it for a path when the graph is written again
    elif len(name) > MAX_NAME or not name.isprintable() or "/" in name or not name.strip("."):
        got.problems.append(
            Reason(f"a name must be printable, without '/', up to {MAX_NAME} characters", where=f"{name[:40]!r}")
        )
    else:
        got.nodes[name] = node
        if node.kind in ("Input", "Output"):
            got.ports[prefix][node.kind == "Output"].append(name)


# ------------------------------------------------------------------------------------------- from nir objects


def _collect_object(graph: Any, prefix: str, got: _Collected, depth: int) -> None:
    if depth > MAX_DEPTH:
        got.problems.append(Reason("a graph that contains itself", where=prefix or "graph"))
        return
    if not hasattr(graph, "nodes") or not hasattr(graph, "edges"):
        raise InputError("not a NIR graph", where=type(graph).__name__, ways_out="give a path or a nir.NIRGraph")
    got.ports[prefix] = ([], [])
    for name, item in graph.nodes.items():
        full = f"{prefix}{name}"
        if hasattr(item, "nodes"):
            _collect_object(item, f"{full}.", got, depth + 1)
            continue
        if not hasattr(item, "input_type"):
            # nirtorch's own graphs look like NIR's and hold torch's modules
            told = f"a {type(item).__name__} of {type(item).__module__}, not a node of NIR"
            ways = "export the network to NIR first"
            if item is None:  # norse 1.1's own exporter, of LICell
                told, ways = "None: the exporter has no node for this module", NO_FILE
            got.problems.append(Reason(told, where=full, ways_out=(ways,)))
            continue
        _add(full, prefix, RawNode(type(item).__name__, _object_values(item, full, got)), got)
    got.edges += [(f"{prefix}{source}", f"{prefix}{target}") for source, target in graph.edges]


def _object_values(item: Any, name: str, got: _Collected) -> dict[str, Value]:
    """Attributes of a node object under the keys that they have in a file."""
    values: dict[str, Value] = {}
    for key, value in vars(item).items():
        if key not in ("metadata", "output_type", "input_type") and value is not None:
            values[key] = value if isinstance(value, str) else _as_array(value, f"{name}: {key}", got)
    kind = type(item).__name__
    # nir keeps the shape of these three in dictionaries of ports, and writes it to files as one value
    ports = getattr(item, "output_type" if kind == "Output" else "input_type", None)
    shape = next(iter(ports.values())) if ports else None
    if shape is not None and kind in ("Input", "Output", "Flatten"):
        values["input_type" if kind == "Flatten" else "shape"] = _as_array(shape, f"{name}: shape", got)
    return values


def _as_array(value: Any, where: str, got: _Collected) -> np.ndarray[Any, Any]:
    if hasattr(value, "detach"):
        value = value.detach().cpu().numpy()
    array = np.asarray(value)
    if array.dtype.kind not in "biuf":
        got.problems.append(Reason(f"values of type {array.dtype}", where=where, possible="needed are real numbers"))
        return np.zeros(())
    return array


# ----------------------------------------------------------------------------------------------------- both


def _finished(where: str, got: _Collected, metadata: Mapping[str, Any], version: str | None, sha256: str) -> RawGraph:
    """Edges to a subgraph lead to its port; names that do not exist are problems."""
    edges: dict[tuple[str, str], None] = {}
    missing: dict[str, None] = {}
    twice: dict[str, None] = {}
    for outer_source, outer_target in got.edges:
        source, target = _port(outer_source, 1, got), _port(outer_target, 0, got)
        missing |= {name: None for name in (source, target) if name not in got.nodes}
        if (source, target) in edges:
            twice[f"the edge {source} -> {target} stands twice; it counts once"] = None
        edges[source, target] = None
    got.notes += twice
    if not got.problems:
        got.problems += [
            Reason("an edge names it, but there is no such node", where=name or "''") for name in missing
        ]
    if not got.nodes:
        got.problems.append(Reason("no nodes"))
    if got.problems:
        raise _refusal(where, got.problems)
    return RawGraph(got.nodes, tuple(edges), metadata, version, sha256, tuple(got.notes))


def _port(name: str, side: int, got: _Collected) -> str:
    """The Input (side 0) or Output (side 1) of a subgraph that an edge names as a whole."""
    ports = got.ports.get(f"{name}.")
    if ports is None or name in got.nodes:
        return name
    if len(ports[side]) != 1:
        word = ("input", "output")[side]
        names = ", ".join(ports[side]) or "none"
        got.problems.append(
            Reason(f"an edge needs one {word} of this graph, it has {len(ports[side])} ({names})", where=name)
        )
        return name
    return ports[side][0]


def _refusal(where: object, problems: list[Reason]) -> InputError:
    more = [Reason(f"and {len(problems) - SHOWN} more")] if len(problems) > SHOWN else []
    return InputError.together(reason.inside(str(where)) for reason in problems[:SHOWN] + more)
