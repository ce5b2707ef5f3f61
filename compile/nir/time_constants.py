"""Time constants that the time step makes nonsense of: the sign of a unit or a step that was meant otherwise."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ..network.network import Reals
from .file import RawGraph
from .presets import Discretisation
from .values import NodeValues

MANY_SAMPLES = 100
"""A state that decays by less than 1 % in a sample does not decay, as far as the sample sees."""

SLOWEST = 8192
"""Steps: from here on the chip's rate, in 1/4096, rounds to no decay."""


def odd_time_constants(raw: RawGraph, settings: Discretisation, n_steps: int | None) -> Iterator[str]:
    """A line for every time constant of more than ``MANY_SAMPLES`` samples, or of less than a step."""
    step = 1.0 if settings.time_unit == "steps" else settings.dt
    if step is None:
        return
    meant = "" if settings.time_unit == "steps" else f"; is the step ({step:g}, in {settings.time_unit}) another one?"
    for name, node in raw.nodes.items():
        for key in (k for k in node.values if k.startswith("tau")):
            tau = NodeValues(name, node).array(key)
            steps = tau[np.isfinite(tau)] / step / (step if settings.tau == "times-dt" else 1.0)
            if steps.size:  # infinite ones mean an integrator
                yield from (f"{name}: {key} is {odd}{meant}" for odd in _odd(steps, n_steps))


def _odd(steps: Reals, n_steps: int | None) -> Iterator[str]:
    """What is odd about time constants, in steps."""
    longest, shortest = float(steps.max()), float(steps.min())
    if n_steps is not None and longest > MANY_SAMPLES * n_steps:
        than = f"{MANY_SAMPLES} samples of {n_steps}"
        yield f"up to {longest:.6g} steps, more than {than}, so that it hardly decays in one"
    elif n_steps is None and longest > SLOWEST:
        yield f"up to {longest:.6g} steps, which the chip rounds to no decay"
    if shortest < 1 - 1e-6:  # files hold float32
        yield f"down to {shortest:.6g} of a step, too short to outlast one"
