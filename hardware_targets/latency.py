"""How long a step takes: the slowest of the busiest core, the busiest link, and the barrier.

The shape of the runtime law of arXiv:2601.10035, with a target's own times per event. Where a target has none
(loihi2: published as a figure only), there is no model, and the step period has to be stated.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from seamount.compile.fit.place import Core, Placement
from seamount.compile.program.activity import Activity

from .target import Target, Timing


@dataclass(frozen=True)
class StepTime:
    """Seconds of the busiest step, by what could bound it.

    Attributes:
        core_s: operations, updates and spikes of the busiest core.
        link_s: messages over the busiest link, chip links included.
        barrier_s: until all cores have agreed that the step is over.
        busiest_core: (chip, core).
    """

    core_s: float
    link_s: float
    barrier_s: float
    busiest_core: tuple[int, int]

    @property
    def step_s(self) -> float:
        return max(self.core_s, self.link_s, self.barrier_s)

    @property
    def bound(self) -> str:
        """ "core", "link" or "barrier"."""
        terms = {"core": self.core_s, "link": self.link_s, "barrier": self.barrier_s}
        return max(terms, key=lambda name: terms[name])

    def to_dict(self) -> dict[str, Any]:
        return asdict(self) | {"step_s": self.step_s, "bound": self.bound}


def step_time(placement: Placement, activity: Activity, target: Target) -> StepTime | None:
    """None without a placement judged with this run, or where the target has no times."""
    timing = target.timing
    if timing is None or any(core.load is None for core in placement.cores):
        return None
    work = {(core.chip, core.core): core_time(core, activity, timing) for core in placement.cores}
    busiest = max(work, key=lambda place: work[place])
    # a chip's traffic to the others is taken over one link: the slowest case
    between = (placement.message_crossings or 0.0) / activity.n_steps * timing.chip_link_message.value
    within = (placement.busiest_link or 0.0) / activity.n_steps * timing.link_message.value
    return StepTime(work[busiest], max(within, between), barrier(placement, target, timing), busiest)


def core_time(core: Core, activity: Activity, timing: Timing) -> float:
    """Seconds of one core's busiest step."""
    assert core.load is not None, "a core without load has no time"
    updates = 0.0
    for tile in core.tiles:
        events = activity.events[tile.population]
        active = events.n_active_updates / events.n_updates if events.n_updates else 0.0
        updates += tile.n_neurons * (active * timing.update_active.value + (1 - active) * timing.update_idle.value)
    spikes = core.load.spikes / activity.n_steps
    return core.load.peak_sops * timing.sop.value + updates + spikes * timing.spike.value


def barrier(placement: Placement, target: Target, timing: Timing) -> float:
    """From one tile to the full chip in proportion to the tiles in use; a measured figure for several chips."""
    if placement.n_chips > 1:
        return timing.barrier_multi_chip.value
    columns, rows = target.limits.mesh.value
    tiles = len({core.core // target.limits.cores_per_tile.value for core in placement.cores})
    share = (tiles - 1) / max(1, columns * rows - 1)
    low, high = timing.barrier_one_tile.value, timing.barrier_full_chip.value
    return low + share * (high - low)
