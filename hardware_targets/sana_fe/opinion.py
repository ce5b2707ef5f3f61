"""What SANA-FE says of a placed program and a run of it, beside what we say of the same run."""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.fit.place import Assignment, Placement, validate_placement
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.errors import BackendMissing, ConfigError

from ..energy import EnergyReport, estimate_energy
from ..target import Target
from ..watched import LONGEST_S, watched
from .installed import require_sana_fe
from .replay import Replay, make_replay

MOST_SAMPLES = 16
MOST_OPERATIONS = 20_000_000
MOST_UPDATES = 2_000_000
"""Of a replay: SANA-FE does about a million operations a second, and of a neuron's step it keeps what it sends."""
TIME_LIMIT = "SEAMOUNT_SANA_FE_SECONDS"
TIME_LIMIT_S = 600.0

TERMS = {"sops": "synapse", "updates": "soma", "spikes": "soma", "messages": "network", "hops": "network"}
"""Where SANA-FE counts what our terms count; its Loihi spends nothing in dendrites."""
ITS_CONSTANTS = "sana_fe"
"""The set of constants that is SANA-FE's own, where a target has it."""


@dataclass(frozen=True)
class Opinion:
    """Means of an inference, over samples that run alone, filling and draining of the pipeline included.

    Attributes:
        n_steps: of a sample.
        counts: what happened -> (ours, SANA-FE's); updates are those that both call active.
        difference: the first step in which operations or spikes are not equal; None: they are, in every step.
        energy_j: kind of energy -> SANA-FE's [J]; of messages those between cores alone, as ours.
        constants: of ours: SANA-FE's own where the target has them, else the middle set.
        ours_j: kind of energy -> ours [J] with ``constants``; low_j, high_j: the sum, over all sets.
        inputs_j: what SANA-FE adds for messages from inputs to cores, in none of these.
        step_mean_s, step_max_s: SANA-FE's time of a step; ``our_step_s``: ours, of the busiest one.
        delay_mean_s, delay_max_s: of a message, waiting for routers and receiving core included.
    """

    version: str
    n_samples: int
    n_steps: int
    counts: Mapping[str, tuple[float, float]]
    difference: str | None
    energy_j: Mapping[str, float]
    constants: str
    ours_j: Mapping[str, float]
    low_j: float
    high_j: float
    inputs_j: float
    input_messages: float
    step_mean_s: float
    step_max_s: float
    our_step_s: float
    delay_mean_s: float
    delay_max_s: float


def second_opinion(
    program: Program,
    inputs: Mapping[str, NDArray[Any]],
    traced: Activity,
    placement: Placement,
    target: Target,
) -> Opinion:
    """Replay the first samples of a run on SANA-FE's Loihi.

    Args:
        inputs: of the run, integers (T, B, *shape) by input.
        traced: the run; it says how many samples are few enough.

    Raises:
        BackendMissing: SANA-FE is not there, stopped, or needs longer than SEAMOUNT_SANA_FE_SECONDS.
        Unsupported: its Loihi cannot hold the program.
    """
    version, limit_s = require_sana_fe(), time_limit_s()
    n = few_samples(traced)
    some = {name: x[:, :n] for name, x in inputs.items()}
    from ..simulator import simulate  # here, because who only reads a report needs no torch

    activity = simulate(program, some, n_steps=traced.n_steps, record=("spikes", "v"))
    job = make_replay(program, some, activity, placement, target)
    with tempfile.TemporaryDirectory(prefix="seamount-sana-fe-") as name:
        write_job(job, Path(name))
        found = run_job(Path(name), limit_s)
    ours = estimate_energy(program, activity, _judged(program, placement, target, activity), target)
    return compared(version, found, ours, activity, job)


def few_samples(traced: Activity) -> int:
    operations = sum(int(events.sops.sum()) for events in traced.events.values())
    updates = sum(events.n_updates for events in traced.events.values())
    each = max(operations / MOST_OPERATIONS, updates / MOST_UPDATES) / max(1, traced.n_samples)
    return max(1, min(MOST_SAMPLES, traced.n_samples, int(1 / each) if each else MOST_SAMPLES))


def _judged(program: Program, placement: Placement, target: Target, activity: Activity) -> Placement:
    """The same cores, with the messages of this run."""
    cores = [Assignment(core.chip, core.core, core.tiles) for core in placement.cores]
    axons = {group: kind for layer in placement.layers for group, kind in layer.axons.items()}
    return validate_placement(program, cores, target, axons=axons, activity=activity)


# ----------------------------------------------------------------------------------------------------- the process


def time_limit_s() -> float:
    """As the environment says."""
    text = os.environ.get(TIME_LIMIT, "")
    try:
        seconds = float(text or TIME_LIMIT_S)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= LONGEST_S:
        possible = f"needed are seconds, above 0, at most {LONGEST_S:g}"
        raise ConfigError(f"{text!r} is no time limit", where=TIME_LIMIT, possible=possible)
    return seconds


def write_job(replay: Replay, folder: Path) -> None:
    """job.json and job.npz, as ``plain_sana_fe.py`` reads them."""
    senders = [{"n": len(one.cores), "input": one.awake is None} for one in replay.senders]
    bundles = [{"source": b.source, "target": b.target, "encoding": b.encoding} for b in replay.bundles]
    arrays: dict[str, NDArray[Any]] = {}
    for i, one in enumerate(replay.senders):
        arrays |= {f"cores{i}": one.cores, f"fired{i}": one.fired}
        arrays |= {} if one.awake is None else {f"awake{i}": one.awake}
    for i, bundle in enumerate(replay.bundles):
        arrays |= {f"sources{i}": bundle.sources, f"targets{i}": bundle.targets}
    job = {"steps": len(replay.senders[0].fired), "senders": senders, "bundles": bundles}
    (folder / "job.json").write_text(json.dumps(job), encoding="utf-8")
    np.savez(folder / "job.npz", **arrays)  # type: ignore[arg-type]


def run_job(folder: Path, limit_s: float) -> dict[str, Any]:
    """Run the script to its end or to the limit; it ends with this process, however that ends."""
    command = watched(folder, limit_s, Path(__file__).with_name("plain_sana_fe.py"), str(folder))
    nowhere, pipe = subprocess.DEVNULL, subprocess.PIPE  # the pipe closes when this process ends, however it ends
    with (
        (folder / "log.txt").open("wb") as log,
        subprocess.Popen(command, stdin=pipe, stdout=nowhere, stderr=log, cwd=folder) as process,
    ):
        try:
            process.wait(limit_s)
        except subprocess.TimeoutExpired:
            ways = (f"allow more with {TIME_LIMIT}", "fewer --samples")
            raise BackendMissing(f"not done within {limit_s:g} s", where="SANA-FE", ways_out=ways) from None
        finally:
            process.kill()
    result = folder / "result.json"
    if process.returncode or not result.exists():
        last = (folder / "log.txt").read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        told = f": {last[0]}" if last else ""
        raise BackendMissing(f"its process ended with code {process.returncode}{told}", where="SANA-FE")
    found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
    return found


# ------------------------------------------------------------------------------------------------------ comparison


def compared(
    version: str, found: Mapping[str, Any], ours: EnergyReport, activity: Activity, replay: Replay
) -> Opinion:
    """SANA-FE's result beside our estimate of the same run."""
    every, inputs, n = found["all"], found["inputs"], activity.n_samples
    fired_outside = sum(int(one.fired.sum()) for one in replay.senders if one.awake is None)
    counts, energy = ours.counts, dict(every["energy"])
    energy["network"] -= inputs["energy"]["network"]

    def of_chip(name: str) -> float:
        return float(np.sum(every[name]) - np.sum(inputs[name]))

    theirs = {
        "operations": float(np.sum(every["operations"])),
        "spikes": float(np.sum(every["spikes"])) - fired_outside,
        # an input that fires counts as updated
        "active updates": float(np.sum(every["updates"])) - fired_outside,
        "messages": of_chip("messages"),
        "hops": of_chip("hops"),
    }
    hops = (counts.hops_ew or 0.0) + (counts.hops_ns or 0.0)
    here = (counts.n_sops, counts.spikes, counts.active_updates, counts.messages or 0.0, hops)
    names = [entry.name for entry in ours.sets]
    mine = ours.sets[names.index(ITS_CONSTANTS if ITS_CONSTANTS in names else ours.mid)]
    return Opinion(
        version=version,
        n_samples=n,
        n_steps=activity.n_steps,
        counts={name: (one, theirs[name] / n) for name, one in zip(theirs, here, strict=True)},
        difference=_difference(every, activity, replay),
        energy_j={kind: joules / n for kind, joules in energy.items()},
        constants=mine.name,
        ours_j=_by_kind(mine.terms, energy),
        low_j=ours.boundaries["on_chip_dynamic"].low,
        high_j=ours.boundaries["on_chip_dynamic"].high,
        inputs_j=inputs["energy"]["network"] / n,
        input_messages=float(np.sum(inputs["messages"])) / n,
        step_mean_s=float(np.mean(every["seconds"])),
        step_max_s=float(np.max(every["seconds"])),
        our_step_s=ours.step_s,
        delay_mean_s=every["delay_mean"],
        delay_max_s=every["delay_max"],
    )


def _by_kind(terms: Mapping[str, float], kinds: Mapping[str, float]) -> dict[str, float]:
    found = dict.fromkeys(kinds, 0.0)
    for name, joules in terms.items():
        found[TERMS[name]] += joules
    return found


def _difference(every: Mapping[str, Any], activity: Activity, replay: Replay) -> str | None:
    """Step by step, summed over the samples: both count an operation in the step in which its source sends."""
    n_steps, n = activity.n_steps, activity.n_samples
    outside = sum((one.fired.sum(axis=1, dtype=np.int64) for one in replay.senders if one.awake is None), np.int64(0))
    inside = [activity.events[one.name] for one in replay.senders if one.awake is not None]
    ours = {
        "operations": np.sum([events.sops for events in inside], axis=0),
        "spikes": np.sum([events.n_spikes for events in inside], axis=0) + _summed(outside, n, n_steps),
    }
    for name, here in ours.items():
        there = _summed(np.asarray(every[name]), n, n_steps)
        if unequal := np.flatnonzero(here != there).tolist():
            step = unequal[0]
            return f"{name} in step {step}: {int(here[step]):,} here, {int(there[step]):,} there"
    return None


def _summed(per_step: Any, n_samples: int, n_steps: int) -> NDArray[np.int64]:
    """(samples x steps,) -> (steps,)."""
    every = np.broadcast_to(np.asarray(per_step, np.int64), n_samples * n_steps)
    return np.asarray(every.reshape(n_samples, n_steps).sum(axis=0), np.int64)
