"""A budget in microjoules as operations: by the constants of a chip, which training does not know."""

from __future__ import annotations

import math
from statistics import median_high, median_low

from seamount.distill.budget import SETTING, fan_out
from seamount.distill.config import DistillConfig
from seamount.errors import ConfigError
from seamount.hardware_targets.target import load_target
from seamount.models.fold import Linear
from seamount.models.spiking_net import SpikingNet

PRICED_BY = "loihi1"
"""The one chip of which energies per operation are published; other targets borrow them."""


def in_operations(config: DistillConfig, student: SpikingNet) -> DistillConfig:
    """The same configuration, its budget in operations where it was in microjoules.

    They are those of the boundary "compute only", its middle over the sets of constants as in the report: operations
    and updates, every neuron active at every step.

    Raises:
        ConfigError: the updates alone cost more.
    """
    budget = config.spike_budget or {}
    if "microjoules" not in budget:
        return config
    from seamount.distill.plan import folded

    energy = load_target(PRICED_BY).energy
    assert energy is not None, f"{PRICED_BY} has constants"
    dense = sum(
        math.prod(student.shapes[source]) * math.prod(student.shapes[target])
        for name, source, target in student.edges
        if isinstance(folded(student, name, source), Linear)
    )
    share = min(1.0, dense / fan_out(student).n_synapses)
    n_updates = student.n_steps * sum(math.prod(student.shapes[name]) for name in student.order)
    joules = 1e-6 * budget["microjoules"]
    # the middle price of a number of operations is the middle number of a price
    left = median_high(
        (joules - n_updates * one.update_active.value)
        / (share * one.sop_dense.value + (1 - share) * one.sop_conv.value)
        for one in energy.sets.values()
    )
    if left <= 0:
        updates = median_low(n_updates * one.update_active.value for one in energy.sets.values())
        raise ConfigError(
            f"{1e6 * joules:g} microjoules an inference, but the updates of all neurons alone cost "
            f"{1e6 * updates:.3g}: even a student that never spikes spends more",
            where=SETTING,
            ways_out="raise it, or lower student.n_steps",
        )
    return config.model_copy(update={"spike_budget": {"operations": left}})
