"""Synaptic operations per target neuron, as the placement counts them."""

import numpy as np
import pytest
import torch

from seamount.compile.fit.place.load import received_by
from seamount.compile.numbers import ints
from seamount.compile.synapses.kinds import Conv, Synapses
from seamount.windows import Window


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize(
    ("stride", "padding", "dilation"), [((1, 1), (0, 0), (1, 1)), ((2, 1), (1, 2), (1, 1)), ((1, 3), (2, 0), (2, 1))]
)
def test_operations_of_a_convolution_are_those_of_torch(
    groups: int, stride: tuple[int, int], padding: tuple[int, int], dilation: tuple[int, int]
) -> None:
    random = np.random.default_rng(groups)
    weights = random.integers(-1, 2, (8, 4 // groups, 3, 2))
    sent = random.integers(0, 9, (4, 9, 11)) / 8  # means over 8 samples: sums of them are exact
    kind = Conv(ints(weights), Window(stride, padding, dilation, groups))
    expected = torch.nn.functional.conv2d(
        torch.from_numpy(sent)[None],
        torch.from_numpy((weights != 0).astype(np.float64)),
        None,
        stride,
        padding,
        dilation,
        groups,
    )
    assert np.array_equal(received_by(Synapses("s", "a", "b", kind), sent), expected[0].numpy())
