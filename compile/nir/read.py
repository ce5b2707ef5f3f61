"""Reads a NIR file or graph into a ``Network``, and says what had to be assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seamount.errors import InputError, Reason

from ..network.network import Network, Shape, broadcasts, reals
from ..numbers import PerNeuron
from .axes import GivenShapes
from .elaborate import check_nodes, elaborate
from .file import RawGraph, from_graph, read_raw
from .mends import as_run
from .numbered import kinds_of_numbers, renamed
from .presets import Discretisation, Resolved, resolve
from .readout import choose_readout
from .time_constants import odd_time_constants
from .timestep import no_step, with_own_step


@dataclass(frozen=True)
class NirOptions:
    """How to read a NIR file.

    Attributes:
        preset: the tool that wrote it, a name in PRESETS.
        discretisation: single answers that win over file and preset.
        input_bits, input_scale, input_signed: graded input x = x_int / scale; None: from metadata, else spikes.
        input_shape: of one sample at one step, of the only Input; input_shapes: of Inputs by name. They win over the
            file's.
        n_steps: length of a sample; None: from metadata, else unknown.
        readout: a population or an Output, perhaps with ":" and how it is read, a word of ``readout.WORDS``; None:
            from metadata, else by the rule of the graph (``readout.py``).
        readout_quantity: that word alone.
        name: of the network; None: the file's stem.
    """

    preset: str = "nir"
    discretisation: Discretisation = field(default_factory=Discretisation)
    input_bits: int | None = None
    input_scale: float | None = None
    input_signed: bool | None = None
    input_shape: Shape | None = None
    input_shapes: Mapping[str, Shape] = field(default_factory=dict)
    n_steps: int | None = None
    readout: str | None = None
    readout_quantity: str | None = None
    name: str | None = None


def read_nir(source: Any, options: NirOptions | None = None) -> Network:
    """The network of a ``.nir`` file (path) or a ``nir.NIRGraph``.

    Raises:
        InputError: damaged, incomplete or contradictory; every problem is named.
        Unsupported: a node or rule that has no exact meaning here.
    """
    options = options or NirOptions()
    raw = read_raw(source) if isinstance(source, str | Path) else from_graph(source)
    name = options.name or (Path(source).stem if isinstance(source, str | Path) else "network")
    metadata = _group(raw.metadata, "discretization")
    ours = _group(raw.metadata, "seamount")
    # where our own exporters write nothing they mean the defaults, so nothing was assumed; names are a student's
    own_file = str(metadata.get("exporter", "")).startswith("seamount")
    called = {} if own_file else kinds_of_numbers(raw)
    raw = renamed(raw, called)
    check_nodes(raw, name, options.preset, lambda: _lacking(raw, _resolved(raw, options, metadata), options.preset))
    raw = as_run(raw, options.preset)
    resolved = _resolved(raw, options, metadata)
    inputs, shapes = _input_facts(ours, options), GivenShapes(options.input_shape, options.input_shapes)
    network = elaborate(raw, name, resolved.settings, inputs, shapes, besides=_lacking(raw, resolved, options.preset))
    asked = () if own_file else resolved.assumptions.values()
    scales = _scales(raw.metadata, network)
    told = (_text(ours, "readout"), _text(ours, "readout_quantity"))
    chosen = choose_readout(network, options.readout, options.readout_quantity, *told, called)
    n_steps = options.n_steps if options.n_steps is not None else _whole(ours.get("n_steps"), "n_steps", 1, 1 << 20)
    return network.with_(
        assumptions=(*asked, *raw.notes, *network.assumptions, *chosen.notes),
        warnings=tuple(odd_time_constants(raw, resolved.settings, n_steps)),
        scales=scales,
        readout=chosen.population,
        readout_quantity=chosen.quantity,
        n_steps=n_steps,
    )


# ------------------------------------------------------------------------------------------------- time step


def _resolved(raw: RawGraph, options: NirOptions, metadata: Mapping[str, Any]) -> Resolved:
    """All answers; the time step from the file's own numbers where nobody says it and the tool lets one see it."""
    resolved = resolve(options.preset, options.discretisation, metadata)
    if options.discretisation.dt is None and "dt" not in metadata:
        settings, told = with_own_step(raw, options.preset, resolved.settings)
        if told is not None:
            seen = {"dt": told, "time_unit": f"time_unit = {settings.time_unit}"}
            others = {key: line for key, line in resolved.assumptions.items() if key not in seen}
            resolved = Resolved(settings, {**seen, **others})
    return resolved


def _lacking(raw: RawGraph, resolved: Resolved, preset: str) -> list[Reason]:
    """What nobody said: the time step, where one is needed."""
    settings = resolved.settings
    missing = settings.dt is None and settings.time_unit != "steps" and _needs_dt(raw, settings)
    return [no_step(raw, preset)] if missing else []


def _needs_dt(raw: RawGraph, settings: Discretisation) -> bool:
    kinds = {node.kind for node in raw.nodes.values()}
    leaky = bool(kinds & {"LI", "LIF", "CubaLI", "CubaLIF", "Delay"})
    return leaky or (bool(kinds & {"I", "IF"}) and settings.integrator == "dt") or settings.spike == "dirac"


# -------------------------------------------------------------------------------------------------- metadata


def _group(metadata: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = metadata.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"a {type(value).__name__}", where=f"metadata/{key}", possible="needed is a group")
    return {k: (v.item() if isinstance(v, np.ndarray) and v.size == 1 else v) for k, v in value.items()}


def _whole(value: Any, key: str, low: int, high: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int | float | np.number) or not low <= value <= high or value != int(value):
        raise InputError(
            f"found {value!r}",
            where=f"metadata/seamount/{key}",
            possible=f"possible are whole numbers {low} to {high}",
        )
    return int(value)


def _text(ours: Mapping[str, Any], key: str) -> str | None:
    value = ours.get(key)
    if value is not None and not isinstance(value, str):
        where = f"metadata/seamount/{key}"
        raise InputError(f"a {type(value).__name__}", where=where, possible="possible are texts")
    return value


def _input_facts(ours: Mapping[str, Any], options: NirOptions) -> dict[str, Any]:
    bits = (
        options.input_bits if options.input_bits is not None else _whole(ours.get("input_bits"), "input_bits", 0, 16)
    )
    scale = options.input_scale if options.input_scale is not None else ours.get("input_scale")
    signed = options.input_signed if options.input_signed is not None else bool(ours.get("input_signed", False))
    bits = bits or 0
    if scale is None:
        scale = float((1 << bits) - 1) if bits else 1.0
    if not isinstance(scale, int | float | np.number) or not 0 < float(scale) < float("inf"):
        raise InputError(f"found {scale!r}", where="input_scale", possible="needed is a number above 0")
    return {"bits": bits, "scale": float(scale), "signed": signed}


def _scales(metadata: Mapping[str, Any], network: Network) -> dict[str, PerNeuron]:
    given = _group(_group(metadata, "quantised"), "scale")
    names = {p.name for p in network.populations}
    scales: dict[str, PerNeuron] = {}
    for name, value in given.items():
        if name not in names:
            raise InputError(f"{name} is not a neuron node of this graph", where="metadata/quantised/scale")
        where = f"metadata/quantised/scale/{name}"
        numbers = isinstance(value, int | float) or (isinstance(value, np.ndarray) and value.dtype.kind == "f")
        if not numbers or not np.all(np.isfinite(value)) or not np.all(np.asarray(value) > 0):
            raise InputError(f"found {value!r}", where=where, possible="needed is a number above 0")
        if not broadcasts(np.shape(value), network.shape(name)):
            raise InputError(
                f"scales of shape {np.shape(value)}",
                where=where,
                possible=f"needed is one, or an array that broadcasts to {network.shape(name)}",
            )
        scales[name] = reals(value) if np.ndim(value) else float(value)
    return scales


__all__ = ["Discretisation", "NirOptions", "read_nir"]
