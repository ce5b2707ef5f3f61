"""Programs and their runs in a notebook."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from seamount.errors import plural
from seamount.notebook import axes
from seamount.shown import figure

from ..synapses.kinds import Wire

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from .activity import Activity
    from .program import Program


def facts(program: Program) -> list[str]:
    """How large a program is, and how it is read."""
    sizes = [
        (len(program.populations), "population"),
        (sum(p.n_neurons for p in program.populations), "neuron"),
        (n_weights(program), "weight"),
        *([] if program.n_steps is None else [(program.n_steps, "step")]),
    ]
    readout = (
        "no readout" if program.readout is None else f"{program.readout.quantity} of {program.readout.population}"
    )
    return [*(f"{n:,} {plural(n, thing)}" for n, thing in sizes), readout]


def n_weights(program: Program, target: str | None = None) -> int:
    """Stored weights, into one population or into all."""
    groups = program.synapses if target is None else program.into(target)
    return sum(int(s.kind.weights.size) for s in groups if not isinstance(s.kind, Wire))


def populations(program: Program) -> list[dict[str, Any]]:
    """A row each, in the program's order."""
    arrivals = program.arrivals()
    return [
        {
            "name": p.name,
            "kind": type(p.neuron).__name__,
            "shape": p.shape,
            "n_neurons": p.n_neurons,
            "arrival": arrivals[p.name],
            "sources": tuple(dict.fromkeys(s.source for s in program.into(p.name))),
            "n_weights": n_weights(program, p.name),
        }
        for p in program.populations
    ]


def short(activity: Activity) -> str:
    """What ``repr`` of a run is."""
    n, b = activity.n_steps, activity.n_samples
    recorded = [name for name, traces in activity.traces().items() if traces]
    told = f"{', '.join(recorded)} recorded" if recorded else "counts alone"
    return f"<Activity: {n} {plural(n, 'step')}, {b} {plural(b, 'sample')}, {told}>"


def work(activity: Activity) -> list[dict[str, Any]]:
    """A row a population: what it did, of a sample where nothing else is said."""
    n = activity.n_samples
    return [
        {
            "name": name,
            "n_neurons": _n_neurons(activity.spike_counts, name),
            "n_spikes": float(np.sum(events.n_spikes)) / n,
            "sops": float(np.sum(events.sops)) / n,
            "n_updates": events.n_updates / n,
            "v_saturations": events.n_v_saturations,
            "u_wraps": events.n_u_wraps,
            "drive_wraps": events.n_drive_wraps,
        }
        for name, events in activity.events.items()
    ]


WORK_UNITS = {
    "n_spikes": "spikes/sample",
    "sops": "SOP/sample",
    "n_updates": "updates/sample",
    "v_saturations": "events",
    "u_wraps": "events",
    "drive_wraps": "events",
}


def _n_neurons(counts: Mapping[str, Any], name: str) -> int | None:
    return int(np.prod(counts[name].shape[1:])) if name in counts else None


def plot(activity: Activity, ax: Axes | None) -> Axes:
    """Spikes of every step, a line a population that spikes."""
    ax = axes(ax)
    for name, events in activity.events.items():
        if np.any(events.n_spikes):
            ax.plot(np.arange(1, len(events.n_spikes) + 1), events.n_spikes / activity.n_samples, label=figure(name))
    ax.locator_params("x", integer=True)
    ax.set(xlabel="step of the run", ylabel="spikes per sample", ylim=(0, max(1e-9, 1.05 * ax.get_ylim()[1])))
    if ax.lines:
        ax.legend()
    return ax
