"""Students of lines (C, 1, L), such as the bands of sound at each step: convolutions along the line."""

from __future__ import annotations

from collections.abc import Sequence

from torch import nn

from seamount.errors import ConfigError

from .choices import StudentOptions
from .spiking_net import INPUT, SpikingNet
from .students import Graph, chain, neurons

CHANNELS = ((16, 5), (32, 3))
"""Of each convolution, and its kernel; both have stride 2."""


def conv1d(
    name: str, n_classes: int, input_shape: Sequence[int], n_steps: int, o: StudentOptions, *, loops: bool
) -> SpikingNet:
    """Two convolutions along the line, ``hidden`` neurons, which may feed back into themselves, and a classifier."""
    if len(input_shape) != 3 or input_shape[1] != 1 or input_shape[2] < 4:
        possible = "needed is a line (C, 1, L), L at least 4, as of sound"
        raise ConfigError(f"input {tuple(input_shape)}", where=name, possible=possible)
    g = Graph(o)
    x, (c_in, _, length) = INPUT, input_shape
    for i, (c, kernel) in enumerate(CHANNELS, 1):
        conv = nn.Conv2d(c_in, o.channels(c), (1, kernel), (1, 2), (0, kernel // 2), bias=False)
        x = g.spiking(f"conv{i}", x, chain(conv, nn.BatchNorm2d(o.channels(c))))
        c_in, length = o.channels(c), -(-length // 2)
    into = chain(nn.Flatten(), nn.Linear(c_in * length, o.hidden, bias=False), nn.BatchNorm1d(o.hidden))
    loop = {}
    if loops:
        weights = nn.Linear(o.hidden, o.hidden, bias=False)
        nn.init.normal_(weights.weight, std=0.5 / o.hidden**0.5)
        loop = {"hidden_loop": ("hidden", weights)}
    hidden = g.add("hidden", neurons(o), hidden_in=(x, into), **loop)
    return g.finish(name, hidden, chain(nn.Linear(o.hidden, n_classes)), input_shape=input_shape, n_steps=n_steps)
