"""Reads a NIR file or graph into a ``Network``, and says what had to be assumed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from seamount.errors import InputError

from .elaborate import check_nodes, elaborate
from .network import Network
from .nir_file import RawGraph, from_graph, read_raw
from .presets import DEFAULTS, PRESETS, Discretisation, resolve


@dataclass(frozen=True)
class NirOptions:
    """How to read a NIR file.

    Attributes:
        preset: the tool that wrote it, a name in PRESETS.
        discretisation: single answers that win over file and preset.
        input_bits, input_scale, input_signed: graded input x = x_int / scale; None: from metadata, else spikes.
        n_steps: length of a sample; None: from metadata, else unknown.
        readout, readout_quantity: population and "v" or "count"; None: from metadata, else the only output.
        name: of the network; None: the file's stem.
    """

    preset: str = "nir"
    discretisation: Discretisation = field(default_factory=Discretisation)
    input_bits: int | None = None
    input_scale: float | None = None
    input_signed: bool | None = None
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
    check_nodes(raw, name)
    metadata = _group(raw.metadata, "discretization")
    ours = _group(raw.metadata, "seamount")
    resolved = resolve(options.preset, options.discretisation, metadata)
    settings = resolved.settings
    if settings.dt is None and settings.time_unit != "steps" and _needs_dt(raw, settings):
        settings = _inferred(raw, name, options.preset, settings)
        resolved = type(resolved)(settings, (f"dt = {settings.dt} (tau / r)", *resolved.assumptions))
    inputs = _input_facts(ours, options)
    network = elaborate(raw, name, settings, inputs)
    asked = () if str(metadata.get("exporter", "")).startswith("seamount") else resolved.assumptions
    scales = _scales(raw.metadata, network)
    readout, quantity = _readout(ours, options, network)
    n_steps = options.n_steps if options.n_steps is not None else _whole(ours.get("n_steps"), "n_steps", 1, 1 << 20)
    return network.with_(
        assumptions=(*asked, *raw.notes, *network.assumptions),
        scales=scales,
        readout=readout,
        readout_quantity=quantity,
        n_steps=n_steps,
    )


# ------------------------------------------------------------------------------------------------- time step


def _needs_dt(raw: RawGraph, settings: Discretisation) -> bool:
    kinds = {node.kind for node in raw.nodes.values()}
    leaky = bool(kinds & {"LI", "LIF", "CubaLI", "CubaLIF", "Delay"})
    return leaky or (bool(kinds & {"I", "IF"}) and settings.integrator == "dt") or settings.spike == "dirac"


def dt_candidates(raw: RawGraph) -> dict[str, float]:
    """Where the file seems to say its time step: rule -> value, only where one value holds for all neurons."""
    rules: dict[str, list[np.ndarray[Any, Any]]] = {
        "tau / r": [],
        "tau_mem / r": [],
        "tau_syn / w_in": [],
        "1 / r": [],
    }
    for node in raw.nodes.values():
        values = {k: np.asarray(v, dtype=np.float64) for k, v in node.values.items() if not isinstance(v, str)}
        pairs = {
            "LIF": ("tau / r", "tau", "r"),
            "LI": ("tau / r", "tau", "r"),
            "CubaLIF": ("tau_mem / r", "tau_mem", "r"),
            "CubaLI": ("tau_mem / r", "tau_mem", "r"),
        }
        if node.kind in pairs:
            rule, top, bottom = pairs[node.kind]
            _ratio(rules[rule], values, top, bottom)
        if node.kind in ("CubaLIF", "CubaLI"):
            _ratio(rules["tau_syn / w_in"], values, "tau_syn", "w_in")
        if node.kind in ("I", "IF") and "r" in values and np.all(values["r"] > 0):
            rules["1 / r"].append(1 / values["r"].reshape(-1))
    found = {}
    for rule, ratios in rules.items():
        if ratios:
            every = np.concatenate(ratios)
            if every.size and np.all(np.isfinite(every)) and np.ptp(every) <= 1e-4 * abs(every[0]) and every[0] > 0:
                found[rule] = float(f"{every[0]:.6g}")
    return found


def _ratio(
    into: list[np.ndarray[Any, Any]], values: Mapping[str, np.ndarray[Any, Any]], top: str, bottom: str
) -> None:
    if top in values and bottom in values and np.all(values[bottom] > 0) and np.all(values[bottom] != 1):
        try:
            into.append((values[top] / values[bottom]).reshape(-1))
        except ValueError:
            return


def _inferred(raw: RawGraph, name: str, preset: str, settings: Discretisation) -> Discretisation:
    """The time step by the rule of the preset; else an error that lists what can be seen."""
    candidates = dt_candidates(raw)
    if preset in ("lava", "snntorch", "rockpool") and candidates:
        values = set(candidates.values())
        if len(values) == 1:
            return Discretisation(**{**vars(settings), "dt": values.pop()})
    seen = ", ".join(f"{rule} = {value:g} for all neurons" for rule, value in candidates.items())
    raise InputError(
        f"{name}: the file names no time step; candidates: {seen or 'none can be seen'}; "
        "give --dt, or --from with the tool that wrote the file "
        f"({', '.join(PRESETS)})"
    )


# -------------------------------------------------------------------------------------------------- metadata


def _group(metadata: Mapping[str, Any], key: str) -> dict[str, Any]:
    value = metadata.get(key)
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise InputError(f"metadata/{key}: a {type(value).__name__}, needed is a group")
    return {k: (v.item() if isinstance(v, np.ndarray) and v.size == 1 else v) for k, v in value.items()}


def _whole(value: Any, key: str, low: int, high: int) -> int | None:
    if value is None:
        return None
    if not isinstance(value, int | float | np.number) or not low <= value <= high or value != int(value):
        raise InputError(f"metadata/seamount/{key}: found {value!r}, possible are whole numbers {low} to {high}")
    return int(value)


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
        raise InputError(f"input_scale: found {scale!r}, needed is a number above 0")
    return {"bits": bits, "scale": float(scale), "signed": signed}


def _scales(metadata: Mapping[str, Any], network: Network) -> dict[str, float]:
    given = _group(_group(metadata, "quantised"), "scale")
    names = {p.name for p in network.populations}
    scales = {}
    for name, value in given.items():
        if name not in names:
            raise InputError(f"metadata/quantised/scale: {name} is not a neuron node of this graph")
        if not isinstance(value, int | float) or not 0 < value < float("inf"):
            raise InputError(f"metadata/quantised/scale/{name}: found {value!r}, needed is a number above 0")
        scales[name] = float(value)
    return scales


def _readout(ours: Mapping[str, Any], options: NirOptions, network: Network) -> tuple[str | None, str]:
    asked = options.readout or ours.get("readout")
    shown = set(network.outputs.values())
    if asked is None and len(shown) == 1:
        asked = next(iter(shown))
    if asked is None:
        return None, "v"
    asked = network.outputs.get(asked, asked)
    if asked not in {p.name for p in network.populations}:
        raise InputError(f"{network.name}: readout {asked!r} is not there, possible are {', '.join(sorted(shown))}")
    default = "v" if network.population(asked).v_th is None else "count"
    quantity = options.readout_quantity or ours.get("readout_quantity") or default
    if quantity not in ("v", "count"):
        raise InputError(f"{network.name}: readout_quantity {quantity!r}, possible are 'v', 'count'")
    return asked, quantity


__all__ = ["DEFAULTS", "PRESETS", "Discretisation", "NirOptions", "dt_candidates", "read_nir"]
