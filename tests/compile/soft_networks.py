"""Random networks with soft resets, and their emulated programs, for the compiler's and Lava's tests."""

from dataclasses import replace
from typing import Any

import numpy as np

from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import Network, Population, reals
from seamount.compile.passes.emulate_soft_reset import SOFT_RESETS, emulate_soft_reset
from seamount.compile.passes.fold_scale import fold_scale
from seamount.compile.passes.merge_linear import merge_linear
from seamount.compile.pipeline import Compiled, compile_graph
from seamount.errors import InputError, Unsupported
from seamount.hardware_targets.simulator import simulate
from tests.compile.compile_networks import random_network


def random_soft_network(
    seed: int, rates: tuple[float, ...], *, currents: tuple[float, ...] = (1.0,), uneven: bool = False
) -> Network:
    """A random network with skips and recurrence, whose populations have soft resets, leaks, biases and gains.

    rates, currents: of a_m and a_s, one a neuron. uneven: real numbers with no common grid in place of dyadic ones.
    """
    rng = np.random.default_rng(seed)

    def soft(p: Population) -> Population:
        if rng.random() < 0.15:
            return p
        a_m = rng.choice(rates, p.shape)
        if uneven:
            a_m = np.clip(a_m + rng.uniform(-0.2, 0.2, p.shape), 0, 1)
        bias = rng.integers(-2, 4, p.shape) / 4 if rng.random() < 0.6 else np.zeros(p.shape)
        late = bias * rng.integers(0, 2, p.shape) if rng.random() < 0.3 and np.all(a_m < 1) else np.zeros(())
        leak = rng.integers(-2, 2, p.shape) / 2 if rng.random() < 0.5 else np.zeros(())
        values: dict[str, Any] = {
            "a_s": rng.choice(currents, p.shape),
            "a_m": a_m,
            "gain": 2.0 ** rng.integers(-1, 2, p.shape),
            "bias": bias,
            "late_bias": late,
            "v_leak": leak,
            "v_th": rng.integers(2, 9, p.shape) * (rng.uniform(0.7, 1.3) if uneven else 1.0),
            "v_init": leak if rng.random() < 0.6 else rng.integers(-1, 2, p.shape) / 2,
        }
        return replace(p, reset=str(rng.choice(SOFT_RESETS)), **{k: reals(v) for k, v in values.items()})

    before = random_network(seed)
    return merge_linear(before.with_(populations=tuple(soft(p) for p in before.populations)))


def program_differs(made: Compiled, net: Network, x: np.ndarray) -> tuple[int, int]:
    """(spikes of the program that differ from those of ``net``, spikes that there are)."""
    assert made.schedule is not None
    expected = run_network(net, x)
    latest = max(made.schedule.arrival.values())
    run = simulate(made.program, x.astype(np.int64), n_steps=len(x) + latest, record=("spikes",))
    wrong = spikes = 0
    for p in net.populations:
        start = made.schedule.arrival[p.name]
        wrong += int(np.sum(run.spikes[p.name][start : start + len(x)] != expected[p.name].spikes))
        spikes += int(expected[p.name].spikes.sum())
    return wrong, spikes


def exact_program(
    seed: int, n_steps: int = 8, currents: tuple[float, ...] = (1.0,), scale: float = 16.0
) -> tuple[Compiled, Network] | None:
    """On grid numbers: 64 * 16 units of u take the ten bits that eight steps of 1/2 and gains of 1/2 need.

    Currents halve the weights again, so they need a larger scale; u must not wrap.
    """
    net = random_soft_network(seed, (0.0, 0.5, 1.0), currents=currents)
    emulated = merge_linear(fold_scale(emulate_soft_reset(net.with_(n_steps=n_steps))))
    try:
        return compile_graph(emulated.with_(scales={p.name: scale for p in emulated.populations})), net
    except (InputError, Unsupported) as error:  # composed kernels may leave the grid, biases may fire in the fill
        if not any(reason in str(error) for reason in ("8-bit grid", "fill", "missing at step 0")):
            raise
        return None
