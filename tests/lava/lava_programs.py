"""Programs for the tests of the Lava back end, small and with everything in them."""

from __future__ import annotations

import numpy as np

from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import Ints, ints
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.compile.synapses.shape import target_shape
from seamount.windows import Window

Shape = tuple[int, ...]


def even(rng: np.random.Generator, shape: Shape, largest: int = 60) -> Ints:
    """Weights of both signs, on the grid."""
    return ints(rng.integers(-largest // 2, largest // 2 + 4, shape) * 2)


def lif(v_th_mant: int, dv: int = 400, **settings: Ints) -> Lif:
    return Lif(ints(4096), ints(dv), ints(v_th_mant), **settings)


def integrator() -> Lif:
    return lif(NEVER_FIRES, dv=0)


def conv_net(n_steps: int = 6) -> Program:
    """Image -> two convolutions with biases -> dense integrators; every population reset when its input arrives."""
    rng = np.random.default_rng(1)
    bias = {"bias_mant": ints(rng.integers(-50, 300, (4, 1, 1))), "bias_exp": ints(3)}
    return Program(
        "conv_net",
        (Input("image", (2, 8, 7), bits=8),),
        (
            Population("c1", (4, 8, 7), lif(3000, **bias), Reset(n_steps, 2)),
            Population("c2", (4, 4, 4), lif(60), Reset(n_steps, 3)),
            Population("out", (10,), integrator(), Reset(n_steps, 4)),
        ),
        (
            Synapses(
                "image-c1",
                "image",
                "c1",
                Conv(even(rng, (4, 2, 3, 3)), Window(padding=(1, 1))),
                0,
                True,
                wrap_bits=24,
            ),
            Synapses("c1-c2", "c1", "c2", Conv(even(rng, (4, 4, 3, 3)), Window((2, 2), (1, 1))), wrap_bits=24),
            Synapses("c2-out", "c2", "out", Dense(even(rng, (10, 64))), exponent=1),
        ),
        Readout("out"),
        n_steps,
    )


def residual_net(n_steps: int = 4) -> Program:
    """A narrow ResNet on 16 x 16 pixels: identity skip, strided skip, pooling as convolution, latencies balanced."""
    rng = np.random.default_rng(2)

    def conv(name: str, source: str, target: str, weights: Ints, stride: int = 1, delay: int = 0) -> Synapses:
        padding = (weights.shape[2] // 2, weights.shape[3] // 2)
        kind = Conv(weights, Window((stride, stride), padding))
        return Synapses(name, source, target, kind, graded=source == "image", delay=ints(delay), wrap_bits=24)

    def population(name: str, shape: Shape, v_th: int, arrival: int) -> Population:
        return Population(name, shape, lif(v_th), Reset(n_steps, arrival + 1))

    pool = Conv(ints(np.full((8, 1, 4, 4), 16)), Window((4, 4), groups=8))
    return Program(
        "residual_net",
        (Input("image", (3, 16, 16), bits=8),),
        (
            population("stem", (4, 16, 16), 3000, 1),
            population("a1", (4, 16, 16), 90, 2),
            population("a2", (4, 16, 16), 90, 3),
            population("b1", (8, 8, 8), 90, 4),
            population("b2", (8, 8, 8), 90, 5),
            Population("pool", (8, 2, 2), lif(20), Reset(n_steps, 7)),
            Population("out", (10,), integrator(), Reset(n_steps, 8)),
        ),
        (
            conv("stem.conv", "image", "stem", even(rng, (4, 3, 3, 3))),
            conv("a1.conv", "stem", "a1", even(rng, (4, 4, 3, 3))),
            conv("a2.conv", "a1", "a2", even(rng, (4, 4, 3, 3))),
            Synapses("a.skip", "stem", "a2", OneToOne(ints(80)), delay=ints(1)),
            conv("b1.conv", "a2", "b1", even(rng, (8, 4, 3, 3)), stride=2),
            conv("b2.conv", "b1", "b2", even(rng, (8, 8, 3, 3))),
            conv("b.skip", "a2", "b2", even(rng, (8, 4, 1, 1)), stride=2, delay=1),
            Synapses("pool.conv", "b2", "pool", pool, wrap_bits=24),
            Synapses("fc", "pool", "out", Dense(even(rng, (10, 32)))),
        ),
        Readout("out"),
        n_steps,
    )


def random_program(seed: int) -> Program:
    """Two inputs, every kind of synapse and neuron, feedback, delays, odd parameters; no regard for latencies."""
    rng = np.random.default_rng(seed)

    def coin() -> bool:
        return bool(rng.integers(2))

    def value(low: int, high: int, shape: Shape) -> Ints:
        return ints(rng.integers(low, high, shape if coin() and coin() else ()))

    def population(name: str, shape: Shape, relay: bool = False) -> Population:
        if relay and rng.integers(3) == 0:
            return Population(name, shape, Relay())
        settings = {"du": value(0, 4097, shape), "dv": value(0, 4097, shape)}
        if coin():
            settings |= {"bias_mant": value(-500, 900, shape), "bias_exp": value(-1, 5, shape)}
        if coin():
            settings |= {"u_init": value(-5000, 5000, shape), "v_init": value(-5000, 5000, shape)}
        if rng.integers(4) == 0:
            high, low = ints(rng.integers(30, 300)), ints(-rng.integers(30, 300))
            return Population(name, shape, TernaryLif(v_th_hi_mant=high, v_th_lo_mant=low, **settings))
        reset = Reset(int(rng.integers(3, 9)), int(rng.integers(0, 12))) if coin() else None
        return Population(name, shape, Lif(v_th_mant=value(20, 300, shape), **settings), reset)

    def small(low: int, high: int) -> tuple[int, int]:
        return int(rng.integers(low, high)), int(rng.integers(low, high))

    bits = int(rng.choice([0, 3, 8]))
    image = Input("image", (2, *small(5, 8)), bits, signed=bool(bits) and coin())
    groups = int(rng.choice([1, 2]))
    first = Conv(even(rng, (4, 2 // groups, *small(1, 4))), Window(small(1, 3), small(0, 2), small(1, 2), groups))
    shape = target_shape(first, image.shape, "first")
    assert isinstance(shape, tuple)
    n = int(np.prod(shape))
    few = np.sort(rng.choice(63, 20, replace=False))
    dense_delay = ints(rng.integers(0, 5, (9, n))) if coin() else ints(0)
    synapses = [
        Synapses(
            "image-a", "image", "a", first, int(rng.integers(-1, 3)), bits > 0 and coin(), ints(rng.integers(3)), 24
        ),
        Synapses(
            "a-b",
            "a",
            "b",
            Conv(even(rng, (4, 4, 3, 3)), Window(padding=(1, 1))),
            0,
            coin(),
            ints(rng.choice([0, 1, 6])),
            24,
        ),
        Synapses(
            "skip", "a", "b", OneToOne(ints(rng.integers(0, 100, shape))), int(rng.integers(-1, 2)), coin(), ints(2)
        ),
        Synapses("b-c", "b", "c", Wire() if coin() else OneToOne(ints(1)), graded=True),
        Synapses("c-d", "c", "d", Dense(even(rng, (9, n))), int(rng.integers(-3, 3)), coin(), dense_delay),
        Synapses(
            "vector-d",
            "vector",
            "d",
            Sparse(ints(-rng.integers(0, 200, 20)), ints(few // 7), ints(few % 7), 9, 7),
            delay=ints(rng.integers(0, 4, 20)) if coin() else ints(2),
        ),
        Synapses("d-d", "d", "d", Dense(even(rng, (9, 9))), graded=coin()),
    ]
    if coin():
        synapses.append(Synapses("wire", "a", "b", Wire()))
    if coin():
        synapses.append(Synapses("d-a", "d", "a", Dense(even(rng, (n, 9))), delay=ints(rng.integers(2))))
    return Program(
        f"random_{seed}",
        (image, Input("vector", (7,))),
        (population("a", shape), population("b", shape, True), population("c", (n,), True), population("d", (9,))),
        tuple(synapses),
        Readout("d", "v" if coin() else "count"),
        int(rng.integers(6, 12)),
    )


def random_inputs(program: Program, n_samples: int, seed: int = 0) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    steps = program.n_steps or 10
    return {i.name: rng.integers(i.low, i.high + 1, (steps, n_samples, *i.shape)) for i in program.inputs}
