"""Removes what no output sees: populations without a path to an output or the readout, and what feeds only them."""

from __future__ import annotations

from ..network.network import Network


def remove_unseen(network: Network) -> Network:
    """The same outputs from fewer populations; a network without outputs is left alone."""
    stack = [*network.outputs.values(), *([network.readout] if network.readout else [])]
    if not stack:
        return network
    seen = set(stack)
    while stack:
        for c in network.into(stack.pop()):
            if c.source not in seen:
                seen.add(c.source)
                stack.append(c.source)
    return network.with_(
        populations=tuple(p for p in network.populations if p.name in seen),
        connections=tuple(c for c in network.connections if c.target in seen),
        scales={name: s for name, s in network.scales.items() if name in seen},
    )
