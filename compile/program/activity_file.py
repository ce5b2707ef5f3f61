"""An activity as one .npz file, so that two runs can be compared later and elsewhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from seamount.errors import InputError
from seamount.files import make_folder, replacing
from seamount.foreign.arrays import read_npz

from ..neurons.models import MODELS
from .activity import Activity, Array, Events

IN_TIME = ("spikes", "drive")
STATES = tuple(dict.fromkeys(name for model in MODELS for name in model.states))
KINDS = {*IN_TIME, *STATES, *(f"final_{state}" for state in STATES), "events", "spike_counts", "readout"}
SCHEMA = 1


def save_activity(activity: Activity, path: Path | str) -> None:
    """Write traces and counts; the whole file or nothing."""
    arrays: dict[str, Array] = {}
    final = {f"final_{state}": values for state, values in activity.final_states.items()}
    for trace, found in {**activity.traces(), "spike_counts": activity.spike_counts, **final}.items():
        arrays |= {f"{trace}:{name}": values for name, values in found.items()}
    if activity.readout is not None:
        arrays["readout"] = activity.readout
    scalars: dict[str, dict[str, int]] = {}
    for name, events in activity.events.items():
        scalars[name] = {}
        for field in fields(Events):
            value = getattr(events, field.name)
            if isinstance(value, np.ndarray):
                arrays[f"events:{name}:{field.name}"] = value
            else:
                scalars[name][field.name] = int(value)
    meta = {"schema": SCHEMA, "n_steps": activity.n_steps, "n_samples": activity.n_samples, "events": scalars}
    meta["windows"] = {name: list(window) for name, window in activity.windows.items()}
    path = Path(path)
    make_folder(path.parent)
    # an open file: savez ends a name that lacks .npz with it
    with replacing(path) as fresh, fresh.open("wb") as file:
        np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]


def load_activity(path: Path | str) -> Activity:
    """Read back what ``save_activity`` wrote.

    Raises:
        InputError: missing, damaged, foreign, or written by a newer version.
    """
    arrays = read_npz(Path(path))
    try:
        meta = json.loads(str(arrays["meta"]))
        schema = meta["schema"]
        if schema != SCHEMA:
            raise InputError(f"trace schema {schema!r}", where=path, possible=f"this version reads {SCHEMA}")
        return _activity(arrays, meta)
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError) as error:
        found = f"not a trace file of Seamount ({error})"
        raise InputError(found, where=path, ways_out="`seamount simulate --out` writes one") from None


def _activity(arrays: Mapping[str, Array], meta: Mapping[str, Any]) -> Activity:
    """Raises ValueError and others where it is none that ``save_activity`` wrote."""
    n_steps, n_samples = _count(meta["n_steps"]), _count(meta["n_samples"])
    traces: dict[str, dict[str, Array]] = {trace: {} for trace in (*IN_TIME, "spike_counts")}
    states: dict[str, dict[str, Array]] = {}
    finals: dict[str, dict[str, Array]] = {}
    event_arrays: dict[str, dict[str, Any]] = {}
    for key in arrays:
        kind, _, name = key.partition(":")
        if kind not in KINDS:
            continue
        values = arrays[key]
        of_all = kind == "spike_counts" and len(values) == 1  # the mean over a whole set
        if values.dtype.kind not in ("biuf" if of_all else "biu"):
            raise ValueError(f"{key} has values of type {values.dtype}")
        if kind == "events":
            population, _, field = name.rpartition(":")
            event_arrays.setdefault(population, {})[field] = _of_shape(key, values, n_steps)
        elif kind in IN_TIME:
            traces[kind][name] = _of_shape(key, values, n_steps, n_samples)
        elif kind in STATES:
            states.setdefault(kind, {})[name] = _of_shape(key, values, n_steps, n_samples)
        elif (state := kind.removeprefix("final_")) in STATES:
            finals.setdefault(state, {})[name] = _of_shape(key, values, n_samples)
        elif kind in ("spike_counts", "readout"):
            traces.setdefault(kind, {})[name] = _of_shape(key, values, 1 if of_all else n_samples)
    return Activity(
        n_steps=n_steps,
        n_samples=n_samples,
        readout=traces.pop("readout", {}).get(""),
        events={
            name: Events(**(event_arrays[name] | {key: _count(n) for key, n in numbers.items()}))
            for name, numbers in meta["events"].items()
        },
        states=states,
        final_states=finals,
        windows={name: _window(window) for name, window in meta.get("windows", {}).items()},
        **traces,
    )


def _window(value: Any) -> tuple[int, int]:
    start, n = value
    return _count(start), _count(n)


def _count(value: object) -> int:
    if not isinstance(value, int) or value < 0:
        raise ValueError(f"{str(value)[:40]!r} is no count")
    return value


def _of_shape(key: str, values: Array, *leading: int) -> Array:
    if values.shape[: len(leading)] != leading:
        raise ValueError(f"{key} has shape {values.shape}, it has to begin with {leading}")
    return values
