"""An activity as one .npz file, so that two runs can be compared later and elsewhere."""

from __future__ import annotations

import json
import zipfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

from seamount.errors import InputError
from seamount.files import replacing

from .activity import Activity, Array, Events

TRACES = ("spikes", "v", "u", "drive", "spike_counts", "final_u", "final_v")
SCHEMA = 1


def save_activity(activity: Activity, path: Path) -> None:
    """Write traces and counts; the whole file or nothing."""
    arrays: dict[str, Array] = {}
    for trace in TRACES:
        arrays |= {f"{trace}:{name}": values for name, values in getattr(activity, trace).items()}
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
    path.parent.mkdir(parents=True, exist_ok=True)
    # an open file: savez ends a name that lacks .npz with it
    with replacing(path) as fresh, fresh.open("wb") as file:
        np.savez_compressed(file, meta=np.array(json.dumps(meta)), **arrays)  # type: ignore[arg-type]


def load_activity(path: Path) -> Activity:
    """Read back what ``save_activity`` wrote.

    Raises:
        InputError: missing, damaged, foreign, or written by a newer version.
    """
    try:
        with path.open("rb") as raw, np.load(raw, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
        meta = json.loads(str(arrays.pop("meta")))
        schema = meta["schema"]
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, TypeError) as error:
        raise InputError(
            f"not a trace file of Seamount ({error}); `seamount simulate --out` writes one", where=path
        ) from None
    if schema != SCHEMA:
        raise InputError(f"trace schema {schema}, this version reads {SCHEMA}", where=path)
    traces: dict[str, dict[str, Array]] = {trace: {} for trace in TRACES}
    event_arrays: dict[str, dict[str, Any]] = {}
    for key, values in arrays.items():
        kind, _, name = key.partition(":")
        if kind == "events":
            population, _, field = name.rpartition(":")
            event_arrays.setdefault(population, {})[field] = values
        elif kind in traces:
            traces[kind][name] = values
    return Activity(
        n_steps=meta["n_steps"],
        n_samples=meta["n_samples"],
        readout=arrays.get("readout"),
        events={name: Events(**(event_arrays[name] | numbers)) for name, numbers in meta["events"].items()},
        **traces,
    )
