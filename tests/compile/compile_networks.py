"""Small random networks for the compiler's tests: whole numbers, so that float64 computes them exactly."""

from typing import Any

import numpy as np

from seamount.compile.network.network import (
    Connection,
    Convolution,
    Linear,
    Network,
    NetworkInput,
    Op,
    Population,
    Reshape,
    Scale,
    Shape,
    SumPool,
    chain_shapes,
    op_shape,
    reals,
    size,
)
from seamount.windows import Window


def population(name: str, shape: Shape, **changes: Any) -> Population:
    """An integrator that fires above 8 and is reset to 0."""
    values = {
        "a_s": 1.0,
        "a_m": 0.0,
        "gain": 1.0,
        "bias": 0.0,
        "v_leak": 0.0,
        "v_th": 8.0,
        "v_reset": 0.0,
        "v_init": 0.0,
    } | {k: v for k, v in changes.items() if k not in ("reset", "fires_at_threshold", "multi_spike")}
    extra = {k: v for k, v in changes.items() if k in ("reset", "fires_at_threshold", "multi_spike")}
    return Population(name, shape, **{k: None if v is None else reals(v) for k, v in values.items()}, **extra)


def network(
    populations: list[Population], connections: list[Connection], inputs: list[NetworkInput], **changes: Any
) -> Network:
    last = populations[-1].name
    values = {"outputs": {"output": last}, "readout": last, "readout_quantity": "count"} | changes
    return Network("net", tuple(inputs), tuple(populations), tuple(connections), **values)


def random_op(rng: np.random.Generator, shape: Shape) -> Op:
    """An operator that fits ``shape``."""
    if len(shape) == 3 and rng.random() < 0.8:
        k = int(rng.integers(1, 4))
        match int(rng.integers(4)):
            case 0:
                return SumPool((k, k), (int(rng.integers(1, 3)), int(rng.integers(1, 4))), (k // 2, 0))
            case 1:
                return Scale(reals(rng.integers(-2, 3, (shape[0], 1, 1))))
            case 2:
                groups = int(rng.choice([g for g in range(1, shape[0] + 1) if shape[0] % g == 0]))
                weight = rng.integers(-3, 4, (groups * int(rng.integers(1, 3)), shape[0] // groups, k, k + 1))
                padding = (int(rng.integers(0, 2)), int(rng.integers(0, 3)))
                return Convolution(
                    reals(weight), Window((1, int(rng.integers(1, 3))), padding, (int(rng.integers(1, 3)), 1), groups)
                )
            case _:
                return Convolution(
                    reals(rng.integers(-3, 4, (int(rng.integers(1, 4)), shape[0], k, k))),
                    Window((1, 1), (k // 2, k // 2)),
                )
    match int(rng.integers(3)):
        case 0:
            return Scale(reals(rng.integers(-2, 3, shape)))
        case 1:
            return Reshape((size(shape),))
        case _:
            return Linear(reals(rng.integers(-3, 4, (int(rng.integers(1, 6)), shape[-1]))))


def random_chain(rng: np.random.Generator, shape: Shape, n: int) -> tuple[Op, ...]:
    """Up to n operators that fit each other."""
    ops: tuple[Op, ...] = ()
    for _ in range(n):
        op = random_op(rng, chain_shapes(ops, shape)[-1])
        try:
            made = op_shape(op, chain_shapes(ops, shape)[-1])
        except Exception:
            continue
        if size(made) <= 600:
            ops = (*ops, op)
    return ops


def random_network(seed: int, n_populations: int = 4, *, skips: bool = True) -> Network:
    """A chain of populations behind random operators, with skips from a population to a later one of its shape."""
    rng = np.random.default_rng(seed)
    shape: Shape = (2, 6, 7) if rng.random() < 0.7 else (9,)
    inputs = [NetworkInput("x", shape)]
    populations: list[Population] = []
    connections: list[Connection] = []
    source = "x"
    for i in range(n_populations):
        ops = random_chain(rng, shape, int(rng.integers(1, 4)))
        shape = chain_shapes(ops, shape)[-1]
        bias = rng.integers(-1, 3, shape) if rng.random() < 0.5 else 0.0
        populations.append(population(f"p{i}", shape, bias=bias, v_th=float(rng.integers(2, 12))))
        connections.append(Connection(f"c{i}", source, f"p{i}", ops))
        for j in range(i):
            if skips and populations[j].shape == shape and rng.random() < 0.7:
                connections.append(
                    Connection(f"skip{j}-{i}", f"p{j}", f"p{i}", (Scale(reals(float(rng.integers(1, 3)))),))
                )
        if rng.random() < 0.3:
            weight = rng.integers(-2, 3, (size(shape), size(shape)))
            ops = (Reshape((size(shape),)), Linear(reals(weight)), Reshape(shape))
            connections.append(Connection(f"rec{i}", f"p{i}", f"p{i}", ops, previous=True))
        source = f"p{i}"
    return network(populations, connections, inputs)


def random_spikes(seed: int, net: Network, n_steps: int = 8, n_samples: int = 3) -> np.ndarray:
    rng = np.random.default_rng(seed + 1000)
    return rng.integers(0, 2, (n_steps, n_samples, *net.inputs[0].shape)).astype(np.float64)
