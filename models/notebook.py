"""Students in a notebook."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from seamount.errors import plural

from .cells import Neurons

if TYPE_CHECKING:
    from .spiking_net import SpikingNet


def facts(net: SpikingNet) -> list[str]:
    """How large a student is, and what it takes."""
    sizes = [
        (len(net.order), "population"),
        (sum(math.prod(net.shapes[name]) for name in net.order), "neuron"),
        (sum(p.numel() for p in net.parameters()), "parameter"),
        (net.n_steps, "step"),
    ]
    return [
        f"input {'x'.join(map(str, net.input_shape))}",
        *(f"{n:,} {plural(n, thing)}" for n, thing in sizes),
    ]


def populations(net: SpikingNet) -> list[dict[str, Any]]:
    """A row each, in order of execution; parameters of a population are those of the synapses into it and its own."""
    rows = []
    for name in net.order:
        population, shape = net.populations[name], net.shapes[name]
        into = [net.synapses[synapse] for synapse, _, target in net.edges if target == name]
        rows.append(
            {
                "name": name,
                "kind": type(population.cell if isinstance(population, Neurons) else population).__name__,
                "shape": shape,
                "n_neurons": math.prod(shape),
                "sources": tuple(source for _, source, target in net.edges if target == name),
                "n_parameters": sum(p.numel() for part in (population, *into) for p in part.parameters()),
            }
        )
    return rows
