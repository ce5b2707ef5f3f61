"""Programs of graded neurons that several tests run."""

import numpy as np

from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, Synapses
from seamount.windows import Window


def sigma_delta_chain(cum_error: bool = False) -> Program:
    """Frames of 2 x 6 x 5 through Delta, a convolution, a matrix and Sigma."""
    rng = np.random.default_rng(7)

    def weights(*shape: int) -> Dense:
        return Dense(ints(2 * rng.integers(-60, 60, shape)))

    coding = {"spike_exp": 2, "state_exp": 6, "cum_error": cum_error}
    bias = ints(rng.integers(-3000, 3000, (3, 1, 1)))
    return Program(
        "frames",
        (Input("x", (2, 6, 5), 9, True),),
        (
            Population("delta", (2, 6, 5), Delta(ints(4 << 8), **coding)),
            Population("conv", (3, 4, 2), SigmaDelta(ints(3 << 8), bias, **coding)),
            Population("hidden", (7,), SigmaDelta(ints(5 << 8), ints(100), **coding, rectified=False)),
            Population("out", (2,), Sigma()),
        ),
        (
            Synapses("in", "x", "delta", Dense(ints(np.eye(60))), graded=True),
            Synapses(
                "kernel",
                "delta",
                "conv",
                Conv(ints(rng.integers(-90, 90, (3, 2, 3, 3))), Window((1, 2))),
                graded=True,
                wrap_bits=24,
            ),
            Synapses(
                "matrix", "conv", "hidden", weights(7, 24), graded=True, delay=ints(rng.integers(0, 3, (7, 24)))
            ),
            Synapses("last", "hidden", "out", weights(2, 7), exponent=1, graded=True),
        ),
        Readout("out"),
    )
