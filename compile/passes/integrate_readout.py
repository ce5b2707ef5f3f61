"""Sums a head without neurons on the chip: v without memory becomes an integrator, whose last v is the sum.

The chip holds one v a neuron, and reading it once a sample is cheaper than once a step. What has a memory of its own
(leaky integrators) cannot be summed so: the host adds up its v.
"""

from __future__ import annotations

from dataclasses import replace

from ..network.network import Network, reals


def integrate_readout(network: Network) -> Network:
    """The network with its sum or mean over time as the last v of an integrator; biases are summed with the rest."""
    if network.readout is None or network.readout_quantity not in ("sum", "mean"):
        return network
    head = network.population(network.readout)
    if not head.is_memoryless or network.out_of(head.name):
        return network
    integrator = replace(head, a_m=reals(0.0), v_init=reals(0.0))
    told = f"{head.name}: an integrator on the chip, whose last v is the sum over time"
    if network.readout_quantity == "mean":
        told += " (divided by the number of steps: the mean)"
    return network.with_(
        populations=tuple(integrator if p is head else p for p in network.populations),
        readout_quantity="v",
        assumptions=(*network.assumptions, told),
    )
