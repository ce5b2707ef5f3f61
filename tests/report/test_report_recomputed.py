"""What report.json says, computed once more from the program's integers and the samples, synapse by synapse.

Nothing of the simulator, the estimates or the placement is asked: a list of all synapses, a loop over the steps, and
the constants as their sources print them.
"""

import json
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from itertools import product
from math import ceil, log2
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from seamount import api
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import ints
from seamount.compile.program.file import save_program
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses, Wire
from seamount.windows import Window

N, T = 12, 6
PERIOD_S = 1e-5
PICO = 1e-12
V_MAX = 2**23 - 1

# (dense, sparse, convolution; active, idle update; spike, message, hop) in pJ, by energy.md's sources
DAVIES = ((23.6, 23.6, 23.6), (81, 52), 1.7, 0.0)  # Davies et al. 2018, Table 2
SANA_FE = ((35.5, 33.6, 24.0), (51.2 + 21.6, 51.2), 69.3, 111.0)  # arch/loihi.yaml
SANA_FE_DENSE = ((35.5,) * 3, (51.2 + 21.6,) * 2, 69.3, 111.0)
KERAS = ((23.6 + 3.5,) * 3, (81, 81), 0.0, 0.0)
SETS = {"davies2018": DAVIES, "sana_fe": SANA_FE, "sana_fe_dense": SANA_FE_DENSE, "keras_spiking": KERAS}


# ------------------------------------------------------------------------------------------------- programs


def weights(random: np.random.Generator, *shape: int, zeros: float = 0.3) -> np.ndarray:
    """Even, of both signs, some 0; one needs all 8 bits."""
    found = 2 * random.integers(-60, 70, shape) * (random.random(shape) >= zeros)
    found.reshape(-1)[:2] = 254, -2
    return ints(found)


def lif(threshold: int, du: int = 4096, dv: int = 700, bias: int = 0) -> Lif:
    """The bias in units of v_th_mant."""
    return Lif(du=ints(du), dv=ints(dv), v_th_mant=ints(threshold), bias_mant=ints(bias), bias_exp=ints(6))


def dense(random: np.random.Generator) -> Program:
    """Graded pixels, a bias that fires before and behind the sample, resets at arrivals: a stream costs less."""
    return Program(
        "dense",
        (Input("image", (20,), bits=8),),
        (
            Population("hidden", (16,), lif(3500, bias=4000), Reset(T, 2)),
            Population("out", (4,), lif(NEVER_FIRES, dv=0), Reset(T, 3)),
        ),
        (
            Synapses("first", "image", "hidden", Dense(weights(random, 16, 20)), graded=True),
            Synapses("last", "hidden", "out", Dense(weights(random, 4, 16))),
        ),
        Readout("out", "v"),
        T,
    )


def convolutions(random: np.random.Generator) -> Program:
    """A convolution with borders, pooling of stride 2 by groups, one-to-one synapses and delays."""
    pool = np.zeros((3, 1, 2, 2), np.int64) + 64
    pool[0, 0, 1, 1] = 0
    return Program(
        "convolutions",
        (Input("events", (2, 6, 6)),),
        (
            Population("conv", (3, 6, 6), lif(180), Reset(T, 4)),
            Population("pool", (3, 3, 3), lif(60), Reset(T, 5)),
            Population("copy", (3, 3, 3), lif(30), Reset(T, 6)),
            Population("out", (4,), lif(150), Reset(T, 8)),
        ),
        (
            Synapses("c", "events", "conv", Conv(weights(random, 3, 2, 3, 3), Window(padding=(1, 1))), delay=ints(2)),
            Synapses("p", "conv", "pool", Conv(ints(pool), Window(stride=(2, 2), groups=3))),
            Synapses("o", "pool", "copy", OneToOne(ints(40))),
            Synapses("d", "copy", "out", Dense(weights(random, 4, 27)), delay=ints(1)),
        ),
        Readout("out", "count"),
        T,
    )


def recurrent(random: np.random.Generator) -> Program:
    """Feedback with a delay for each synapse; u remembers."""
    back = weights(random, 14, 14)
    return Program(
        "recurrent",
        (Input("spikes", (9,)),),
        (Population("cells", (14,), lif(220, du=1500)), Population("out", (4,), lif(NEVER_FIRES, dv=300))),
        (
            Synapses("in", "spikes", "cells", Dense(weights(random, 14, 9))),
            Synapses("back", "cells", "cells", Dense(back), delay=ints(random.integers(0, 4, back.shape))),
            Synapses("last", "cells", "out", Dense(weights(random, 4, 14))),
        ),
        Readout("out", "v"),
        T,
    )


def wide(random: np.random.Generator) -> Program:
    """More synapse words than a core holds."""
    return Program(
        "wide",
        (Input("spikes", (512,)),),
        (Population("hidden", (256,), lif(2500), Reset(T, 2)), Population("out", (4,), lif(350), Reset(T, 3))),
        (
            Synapses("first", "spikes", "hidden", Dense(weights(random, 256, 512, zeros=0.0))),
            Synapses("last", "hidden", "out", Dense(weights(random, 4, 256))),
        ),
        Readout("out", "count"),
        T,
    )


def sigma_delta(random: np.random.Generator) -> Program:
    return Program(
        "sigma_delta",
        (Input("frames", (10,), bits=8, signed=True),),
        (
            Population("change", (10,), Delta(v_th=ints(5))),
            Population("hidden", (12,), SigmaDelta(v_th=ints(900), bias=ints(200))),
            Population("out", (4,), Sigma()),
        ),
        (
            Synapses("wire", "frames", "change", Wire()),
            Synapses("first", "change", "hidden", Dense(weights(random, 12, 10)), graded=True),
            Synapses("last", "hidden", "out", Dense(weights(random, 4, 12)), graded=True),
        ),
        Readout("out", "v"),
        T,
    )


# ------------------------------------------------------------------------------- synapse by synapse, step by step


@dataclass
class Edges:
    """All synapses of a group: flat source and target, weight, delay."""

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray
    delay: np.ndarray
    code: int
    """0 dense, 1 sparse, 2 convolution, as SETS has their prices."""
    counts: bool


def edges(program: Program, s: Synapses) -> Edges:
    shape_in, shape_out = program.shape(s.source), program.shape(s.target)
    one_by_one = np.arange(int(np.prod(shape_in)))
    match s.kind:
        case Dense(weights=w):
            i, j = np.indices(w.shape)
            return Edges(*(x.ravel() for x in (j, i, w, np.broadcast_to(s.delay, w.shape))), 0, True)
        case OneToOne(weights=w):
            return Edges(one_by_one, one_by_one, w + 0 * one_by_one, s.delay + 0 * one_by_one, 1, True)
        case Wire():
            return Edges(one_by_one, one_by_one, 1 + 0 * one_by_one, -1 + 0 * one_by_one, 0, False)
    assert isinstance(s.kind, Conv)
    w, window, found = s.kind.weights, s.kind.window, []
    of_group = w.shape[0] // window.groups
    for c, y, x, part, i, j in np.ndindex(*shape_out, *w.shape[1:]):
        row = y * window.stride[0] + i - window.padding[0]
        column = x * window.stride[1] + j - window.padding[1]
        if 0 <= row < shape_in[1] and 0 <= column < shape_in[2]:
            at = (c // of_group * w.shape[1] + part, row, column)
            a, b = np.ravel_multi_index(at, shape_in), np.ravel_multi_index((c, y, x), shape_out)
            found.append((int(a), int(b), int(w[c, part, i, j]), int(s.delay)))
    return Edges(*np.array(found).T, 2, True)


def towards_zero(state: np.ndarray, rate: Any) -> np.ndarray:
    return np.array([int(x * (4096 - int(rate)) / 4096) for x in state])


class Neurons:
    """State of one population and sample."""

    def __init__(self, population: Population) -> None:
        self.of, self.n = population.neuron, population.n_neurons
        self.state = {name: np.zeros(self.n, np.int64) for name in ("u", "v", "sigma", "act", "residue")}
        self.reset = population.reset
        self.n_saturations = self.n_beyond = 0

    def step(self, k: int, drive: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """What it sends, and in which neurons anything arrived or changed before a spike's reset."""
        before = {name: x.copy() for name, x in self.state.items()}
        if self.reset is not None and (k + 1) % self.reset.interval == self.reset.offset % self.reset.interval:
            self.state = {name: 0 * x for name, x in self.state.items()}
        s = self.state
        match self.of:
            case Lif() as cell:
                s["u"] = towards_zero(s["u"], cell.du) + 64 * drive
                assert abs(s["u"]).max() < V_MAX, "beyond it u wraps"
                exact = towards_zero(s["v"], cell.dv) + s["u"] + 64 * int(cell.bias_mant)
                s["v"] = np.clip(exact, -V_MAX, V_MAX)
                self.n_saturations += int((s["v"] != exact).sum())
                sent = (s["v"] > 64 * int(cell.v_th_mant)).astype(np.int64)
                active = (drive != 0) | (s["u"] != before["u"]) | (s["v"] != before["v"])
                s["v"] = np.where(sent, 0, s["v"])
            case Delta() as cell:
                change = drive - s["act"] + s["residue"]
                sent = np.where(abs(change) >= int(cell.v_th), change, 0)
                s |= {"act": drive, "residue": change - sent}
                active = (drive != 0) | (s["act"] != before["act"])
            case SigmaDelta() as cell:
                s["sigma"] = s["sigma"] + drive
                act = np.maximum(s["sigma"] + int(cell.bias), 0)
                change = act - s["act"] + s["residue"]
                sent = np.where(abs(change) >= int(cell.v_th), change, 0)
                s |= {"act": act, "residue": change - sent}
                active = (drive != 0) | (s["sigma"] != before["sigma"]) | (s["act"] != before["act"])
            case Sigma():
                s["sigma"] = s["sigma"] + drive
                sent, active = s["sigma"], drive != 0
        if not isinstance(self.of, Lif):  # these states are 24 bits wide on a chip
            self.n_beyond += int(np.any([(x > V_MAX) | (x < -V_MAX - 1) for x in s.values()], axis=0).sum())
        return sent, active


@dataclass
class Run:
    """(steps, samples, neurons) by name of inputs and populations."""

    n_steps: int
    arrival: dict[str, int]
    sent: dict[str, np.ndarray]
    active: dict[str, np.ndarray]
    v: dict[str, np.ndarray]
    moved: dict[str, np.ndarray]
    left_range: dict[str, tuple[int, int]]
    """How often v saturated, and another state left its 24 bits."""
    edges: dict[str, Edges]


def arrivals(program: Program) -> dict[str, int]:
    """Step of the first value that can reach a population: the programs here are chains, apart from feedback."""
    found = {i.name: 0 for i in program.inputs}
    for s in program.synapses:
        if s.target not in found:
            found[s.target] = found[s.source] + (0 if isinstance(s.kind, Wire) else 1 + int(s.delay.min()))
    return found


def run(program: Program, x: np.ndarray) -> Run:
    arrival = arrivals(program)
    assert program.readout is not None
    n_steps = T + arrival[program.readout.population]
    of = {s.name: edges(program, s) for s in program.synapses}
    sizes = {i.name: int(np.prod(i.shape)) for i in program.inputs} | {
        p.name: p.n_neurons for p in program.populations
    }
    sent = {name: np.zeros((n_steps, x.shape[1], n), np.int64) for name, n in sizes.items()}
    active, v, moved = (
        {p.name: np.zeros((n_steps, x.shape[1], p.n_neurons), np.int64) for p in program.populations}
        for _ in range(3)
    )
    entry = program.inputs[0].name
    sent[entry][:T] = x.reshape(T, x.shape[1], -1)
    if any(isinstance(p.neuron, Delta) for p in program.populations):
        sent[entry][T:] = sent[entry][T - 1]  # a frame stays until the next
    left_range = dict.fromkeys(active, (0, 0))
    for b in range(x.shape[1]):
        cells = {p.name: Neurons(p) for p in program.populations}
        for k in range(n_steps):
            for name, cell in cells.items():
                drive = np.zeros(cell.n, np.int64)
                for s in program.synapses:
                    if s.target == name:
                        e = of[s.name]
                        when = k - 1 - e.delay
                        value = np.where(when >= 0, sent[s.source][when, b, e.source], 0)
                        value = value if s.graded or not e.counts else value != 0
                        drive += np.bincount(e.target, e.weight * value, cell.n).astype(np.int64)
                before = {state: kept for state, kept in cell.state.items() if state != "u"}
                sent[name][k, b], active[name][k, b] = cell.step(k, drive)
                v[name][k, b] = sent[name][k, b] if isinstance(cell.of, Sigma) else cell.state["v"]
                moved[name][k, b] = np.any([cell.state[state] != kept for state, kept in before.items()], axis=0)
        for name, cell in cells.items():
            left_range[name] = left_range[name][0] + cell.n_saturations, left_range[name][1] + cell.n_beyond
    return Run(n_steps, arrival, sent, active, v, moved, left_range, of)


# ---------------------------------------------------------------------------------------- what they cost, by hand


@dataclass
class Cost:
    """Per inference; operations into each population by code."""

    operations: dict[str, list[float]]
    spikes: dict[str, float]
    updates: float
    active: float
    n_steps: int

    @property
    def n_operations(self) -> float:
        return sum(map(sum, self.operations.values()))

    def energies(self, constants: tuple, messages: float) -> tuple[float, float]:
        """Compute only, and all dynamic, J."""
        per_operation, (busy, idle), spike, message = constants
        compute = sum(n * pj for of in self.operations.values() for n, pj in zip(of, per_operation, strict=True))
        compute += self.active * busy + (self.updates - self.active) * idle
        return compute * PICO, (compute + sum(self.spikes.values()) * spike + messages * message) * PICO


def cost(program: Program, done: Run, windows: bool) -> Cost:
    """Of the whole run, or of each population's T steps alone."""
    n = next(iter(done.sent.values())).shape[1]

    def within(name: str) -> slice:
        return slice(done.arrival[name], done.arrival[name] + T) if windows else slice(None)

    operations = {p.name: [0.0, 0.0, 0.0] for p in program.populations}
    for s in program.synapses:
        e = done.edges[s.name]
        fan_out = np.bincount(e.source[e.weight != 0], minlength=done.sent[s.source].shape[2])
        if e.counts:
            operations[s.target][e.code] += float(((done.sent[s.source][within(s.source)] != 0) * fan_out).sum()) / n
    names = [p.name for p in program.populations]
    spikes = {name: float(np.count_nonzero(done.sent[name][within(name)])) / n for name in names}
    n_steps = T if windows else done.n_steps
    updates = sum(p.n_neurons for p in program.populations) * n_steps
    # steps of active updates are not kept, docs/energy.md: those of the whole run, at most all
    active = [min(float(done.active[p.name].sum()), p.n_neurons * n_steps * n) / n for p in program.populations]
    return Cost(operations, spikes, float(updates), sum(active), n_steps)


# ---------------------------------------------------------------------------------------------------- the report


def values(program: Program, random: np.random.Generator, n: int) -> np.ndarray:
    entry = program.inputs[0]
    x = random.integers(entry.low, entry.high + 1, (T, n, *entry.shape))
    if entry.signed:  # frames that change here and there
        return np.where(random.random(x.shape) < 0.5, x, 3)
    return x * (random.random(x.shape) < (0.6 if entry.bits else 0.7))


@dataclass
class Case:
    program: Program
    target: str
    done: Run
    labels: np.ndarray
    report: dict


PROGRAMS = (dense, convolutions, recurrent, wide, sigma_delta)


@cache
def recomputed(name: str) -> tuple[Program, np.ndarray, np.ndarray, Run]:
    """Program, samples, labels, and the run."""
    random = np.random.default_rng(5)
    program = next(make for make in PROGRAMS if make.__name__ == name)(random)
    n = 2 if name == "wide" else N
    x, labels = values(program, random, n), random.integers(0, 4, n)
    return program, x, labels, run(program, x)


def made(name: str, target: str, folder: Path) -> Case:
    program, x, labels, done = recomputed(name)
    save_program(program, folder / "p.h5")
    np.savez(folder / "x.npz", x=x, y=labels)
    api.deploy(folder / "p.h5", folder / "x.npz", folder=folder / "report", target=target, n_lava=0)
    return Case(program, target, done, labels, json.loads((folder / "report" / "report.json").read_text()))


# a chip of binary spikes has no price for the messages of sigma-delta
CASES = [
    *((make.__name__, target) for make in PROGRAMS[:-1] for target in ("loihi1", "loihi2")),
    ("sigma_delta", "loihi2"),
]


@pytest.fixture(scope="module", params=CASES, ids="-".join)
def case(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Case:
    return made(*request.param, tmp_path_factory.mktemp("case"))


def near(found: dict, expected: float) -> bool:
    """Numbers of the report have six digits."""
    assert found["value"] == pytest.approx(expected, rel=1e-5, abs=1e-30), found
    return True


def answers(case: Case) -> np.ndarray:
    assert case.program.readout is not None
    name, start = case.program.readout.population, case.done.arrival[case.program.readout.population]
    seen = slice(start, start + T)
    counted = case.program.readout.quantity == "count"
    read = np.count_nonzero(case.done.sent[name][seen], axis=0) if counted else case.done.v[name][seen][-1]
    return np.array([-1 if len(set(one)) == 1 else one.tolist().index(max(one)) for one in read])


def test_accuracy_with_its_interval(case: Case) -> None:
    (rung,) = case.report["accuracy"]["rungs"]
    assert case.report["accuracy"]["absent"] == ["Float network"]
    right = int((answers(case) == case.labels).sum())
    n, z = len(case.labels), 1.959963984540054
    # its ends are the p from which the share found is z standard errors away: (p - share)^2 = z^2 p (1 - p) / n
    ends = np.sort(np.roots([1 + z**2 / n, -2 * right / n - z**2 / n, (right / n) ** 2]))
    assert rung["n_correct"] == right
    assert near(rung["accuracy"], 100 * right / n)
    assert (rung["accuracy"]["low"], rung["accuracy"]["high"]) == pytest.approx(tuple(100 * ends), rel=1e-5, abs=1e-9)
    assert rung["n_unanswered"] == (answers(case) == -1).sum()


def fires(population: Population) -> bool:
    return not (isinstance(population.neuron, Lif) and int(population.neuron.v_th_mant) == NEVER_FIRES)


def test_spikes_and_operations_of_each_population(case: Case) -> None:
    whole, windows = cost(case.program, case.done, False), cost(case.program, case.done, True)
    assert near(case.report["run"]["spikes"], sum(whole.spikes.values()))
    assert near(case.report["run"]["sops"], whole.n_operations)
    for layer in case.report["layers"]:
        name = layer["name"]
        assert near(layer["sops"], sum(whole.operations[name]))
        assert layer["arrival"] == case.done.arrival[name]
        assert (layer["v_saturations"]["value"], layer["u_wraps"]["value"]) == case.done.left_range[name]
        assert layer["drive_wraps"]["value"] == 0
        assert ("A state left its 24 bits" in layer["words"]) == (case.done.left_range[name][1] > 0)
        if fires(case.program.population(name)):
            assert near(layer["spikes_deployed"], windows.spikes[name])
            each = case.done.sent[name][layer["arrival"] :][:T] != 0
            rates = each.mean(axis=(0, 1))
            assert layer["n_dead"]["value"] == (rates == 0).sum()
            assert layer["n_always"]["value"] == (rates == 1).sum()
            assert layer["rate_deployed"]["values"] == pytest.approx(
                each.sum(axis=(1, 2)) / len(case.labels), rel=1e-5
            )


STREAMED = {"dense", "convolutions", "wide"}


def main(case: Case) -> Cost:
    """What the report judges by: the stream's, where samples can be streamed."""
    return cost(case.program, case.done, case.program.name in STREAMED)


def n_synapses(case: Case) -> int:
    return sum(int(np.count_nonzero(e.weight)) for e in case.done.edges.values() if e.counts)


def messages(case: Case, windows: bool) -> float:
    """A spike to each core that needs it, for each group of synapses there: all that follows a population is on one.

    A matrix is stored without rows and columns of zeros, a kernel whole.
    """
    total = 0.0
    for s in case.program.synapses:
        e = case.done.edges[s.name]
        if e.counts and s.source not in {i.name for i in case.program.inputs}:
            start = case.done.arrival[s.source]
            sent = case.done.sent[s.source][slice(start, start + T) if windows else slice(None)] != 0
            total += sent[..., np.unique(e.source[(e.weight != 0) | (e.code == 2)])].sum() / len(case.labels)
    return float(total)


def test_energy_by_the_constants_of_the_sources(case: Case) -> None:
    energy, spent, windows = case.report["energy"], main(case), case.program.name in STREAMED
    sent = messages(case, windows)
    by_set = {name: spent.energies(constants, sent) for name, constants in SETS.items()}
    step_s = energy["step_s"]["value"]
    static = (104e-3 + 65e-3) * step_s * spent.n_steps  # a chip, and its processors
    for one in energy["sets"]:
        compute, dynamic = by_set[one["name"]]
        assert near(one["compute_j"], compute)
        assert near(one["dynamic_j"], dynamic)
        assert near(one["total_j"], dynamic + static)
        counts = {term["name"]: term["count"] for term in one["terms"]}
        assert near(counts["sops"], spent.n_operations)
        assert near(counts["updates"], spent.updates)
        assert near(counts["spikes"], sum(spent.spikes.values()))
        assert near(counts["messages"], sent)
        assert near(counts["hops"], 0)  # cores of one router
    ranked = sorted(by_set.values(), key=lambda pair: pair[1])
    of = {one["name"]: one["energy_j"] for one in energy["boundaries"]}
    for name, index, more in (
        ("compute only", 0, 0.0),
        ("on-chip dynamic", 1, 0.0),
        ("with static power", 1, static),
    ):
        ends = sorted(pair[index] + more for pair in by_set.values())
        assert near(of[name], ends[1])  # the lower of the two in the middle
        assert (of[name]["low"], of[name]["high"]) == pytest.approx((min(ends), max(ends)), rel=1e-5)
    for layer in energy["layers"]:
        assert near(layer["sops"], sum(spent.operations[layer["name"]]))
    assert sum(layer["energy_j"]["value"] for layer in energy["layers"]) == pytest.approx(ranked[1][1], rel=1e-4)


def test_break_even_bands_and_the_ann(case: Case) -> None:
    energy, spent = case.report["energy"], main(case)
    # of a program that sends changes every step is a frame, and the ANN passes once for each
    passes = T if case.program.name == "sigma_delta" else 1
    per_synapse = spent.n_operations / n_synapses(case) / passes
    rate = sum(spent.spikes.values()) / spent.updates
    for band in energy["bands"]:
        value = per_synapse if band["quantity"] == "spikes_per_synapse" else rate
        low, high = {
            "dampfhoffer2023": (0.15, 1.38),
            "davidson2021": (1.72, 1.72),
            "yan2024": (0.057, 0.064),
        }[band["name"]]
        assert near(band["value"], value)
        assert band["verdict"] == ("below" if value < low else "above" if value > high else "inside")
    # a matrix or a convolution of the ANN multiplies by every weight, zeros too
    macs = passes * sum(e.source.size for e in case.done.edges.values() if e.counts and e.code != 1)
    prices = {"ANN, fp32 MACs alone": macs * 4.6}
    if passes == 1:  # whose bits a network of spikes needs T steps for; a change says more than a spike
        prices[f"ANN at {ceil(log2(T + 1))} bits, MACs alone"] = macs * 0.23
    prices |= {"this network, fp32 additions alone": spent.n_operations * 0.9}
    prices |= {"this network, int8 additions alone": spent.n_operations * 0.03}
    assert {one["name"] for one in energy["rivals"]} == set(prices)
    for one in energy["rivals"]:
        assert near(one["energy_j"], prices[one["name"]] * PICO)
    dynamic = next(b["energy_j"]["value"] for b in energy["boundaries"] if b["name"] == "on-chip dynamic")
    assert energy["standing"].startswith(f"about {dynamic / (macs * 4.6 * PICO):.2g} × the ")


def test_streamed_and_alone(case: Case) -> None:
    costs = {one["mode"]: one for one in case.report["streaming"]["costs"]}
    streams = case.program.name in STREAMED
    assert set(costs) == {"single samples", *(("streamed", "single samples, held") if streams else ())}
    n_steps = case.done.n_steps
    for mode, windows in (("streamed", True), ("single samples", False))[0 if streams else 1 :]:
        spent, one = cost(case.program, case.done, windows), costs[mode]
        assert near(one["operations"], spent.n_operations)
        assert near(one["spikes"], sum(spent.spikes.values()))
        assert near(one["spikes_per_synapse"], spent.n_operations / n_synapses(case))
        _, dynamic = sorted((spent.energies(c, messages(case, windows)) for c in SETS.values()), key=lambda e: e[1])[
            1
        ]
        assert near(one["dynamic_j"], dynamic)
        # a stream answers every T steps, each answer as late as that of a sample alone
        step_s = one["latency_s"]["value"] / n_steps
        assert near(one["throughput_hz"], 1 / (step_s * spent.n_steps))
        assert step_s >= PERIOD_S * (1 - 1e-6)
        if case.program.name != "wide":  # whose busiest core needs longer than the period
            assert step_s == pytest.approx(PERIOD_S)
    assert near(case.report["energy"]["latency_s"], case.report["energy"]["step_s"]["value"] * n_steps)


# ------------------------------------------------------------------------------------ NeuroBench, cores, step time


def test_neurobench_by_its_definitions(case: Case) -> None:
    found = {one["name"]: one["value"] for one in case.report["neurobench"]["metrics"]}
    program, done, n = case.program, case.done, len(case.labels)
    n_weights = sum(s.kind.weights.size for s in program.synapses if not isinstance(s.kind, Wire))
    n_delays = sum(s.delay.size for s in program.synapses if s.delay.any())
    small, elements = n_weights + n_delays, n_weights + n_delays
    for p in program.populations:
        match p.neuron:
            case Lif() as cell:  # two rates, a threshold, a bias where there is one
                bias = bool(cell.bias_mant.any())
                small, elements = small + 2 * 2 + 4 + 3 * bias, elements + 3 + bias
            case SigmaDelta():
                small, elements = small + 4 + 3, elements + 2
            case Delta():
                small, elements = small + 4, elements + 1
    assert near(found["Footprint"], small)
    assert near(found["Footprint, fp32"], 4 * elements)
    layers = [s for s in program.synapses if isinstance(s.kind, Dense | Conv)]
    stored = np.concatenate([s.kind.weights.reshape(-1) for s in layers])
    assert near(found["Connection sparsity"], round(float((stored == 0).mean()), 4))
    windows = {name: slice(start, start + T) for name, start in done.arrival.items()}
    spiking = [done.sent[p.name][windows[p.name]] != 0 for p in program.populations if fires(p)]
    assert near(found["Activation sparsity"], 1 - sum(x.sum() for x in spiking) / sum(x.size for x in spiking))
    graded, binary, every = 0.0, 0.0, 0
    for s in layers:
        e = done.edges[s.name]
        count = ((done.sent[s.source][windows[s.source]] != 0)[..., e.source] * (e.weight != 0)).sum() / n
        graded, binary = (graded + count, binary) if s.graded else (graded, binary + count)
        every += e.source.size * T
    assert near(found["Effective MACs"], graded)
    assert near(found["Effective ACs"], binary)
    assert near(found["Dense"], every)
    updates = 0
    for p in program.populations:
        moved = done.moved[p.name][windows[p.name]]
        updates += moved[0].size + np.count_nonzero(moved[1:])
    assert near(found["Membrane updates"], updates / n)


def list_words(n: int, bits: int) -> int:
    """Entries of 60 synapses and a header of 10 bits, each in whole words of 64."""
    return sum(ceil((min(60, n - start) * bits + 10) / 64) for start in range(0, n, 60))


def index_bits(n: int) -> int:
    return next(width for width in (6, 7, 8, 9, 10, 11, 12) if 2**width >= n)


def conv_words(s: Synapses, n_rows: int, bits: int) -> list[int]:
    """Of the lists that loihi1 holds of a whole map: axons that meet the kernel alike share theirs."""
    assert isinstance(s.kind, Conv)
    k, step, pad = s.kind.weights.shape[2], s.kind.window.stride[0], s.kind.window.padding[0]
    n_out = (n_rows + 2 * pad - k) // step + 1
    channels = s.kind.weights.shape[0] // s.kind.window.groups
    met = defaultdict(list)
    for row, o, tap in product(range(n_rows), range(n_out), range(k)):
        if o * step - pad + tap == row:
            met[row].append((tap, o))
    ways = {tuple(tap for tap, _ in pairs): [o for _, o in pairs] for pairs in met.values()}
    words = []
    for rows, columns in product(ways.values(), repeat=2):
        n = len(rows) * len(columns) * channels
        # compartments of a map stand in rows of pixels, all channels of a pixel together
        of_map = s.kind.weights.shape[0]
        first, last = (
            (where[0] * n_out + where[1]) * of_map for where in ((rows[0], columns[0]), (rows[-1], columns[-1]))
        )
        span = last - first + channels
        words.append(list_words(n, bits + (index_bits(span) if span > n else 0)))
    return words * (s.kind.weights.shape[1] * s.kind.window.groups)


WIDTHS = {"p": 1, "o": 3}
"""Bits of weights: 64 = 1 << 6 and 40 = 5 << 3; all others are even, of both signs, and need 8."""


def resources(case: Case, s: Synapses) -> tuple[int, int, int, int]:
    """(input axons, words, longest list, formats) of a whole population on one core."""
    e, first = case.done.edges[s.name], case.target == "loihi1"
    planes = 8 if first and s.graded else 1
    bits = WIDTHS.get(s.name, 8) + int(s.delay.max()).bit_length()
    axons = len(np.unique(e.source))
    match s.kind:
        case Wire():
            return 0, 0, 0, 0
        case Dense(weights=w):
            each = [int(n) for n in (w != 0).sum(axis=0) if n]
            axons = len(each)
            filled = [list_words(len(w), bits)] * axons
            indexed = [list_words(n, bits + index_bits(len(w))) for n in each]
            words = filled if sum(filled) <= sum(indexed) else indexed
        case OneToOne():
            words = [list_words(1, bits)]
        case Conv(weights=w):
            if first:
                words = conv_words(s, case.program.shape(s.source)[1], bits)
                axons //= case.program.shape(s.source)[0]  # the channels of a pixel share an axon
            else:
                words = [list_words(w[0, 0].size * len(w) // s.kind.window.groups, bits)] * (
                    w.shape[1] * s.kind.window.groups
                )
    return axons * planes, sum(words) * planes, max(words), planes


def test_cores_by_the_rules_of_placement(case: Case) -> None:
    mapping, first = case.report["mapping"], case.target == "loihi1"
    # 512 lists of 256 synapses, 4 entries of 8 words and one of 3: more than 16,384 words, in halves 512 x 18
    two = case.program.name == "wide"
    assert mapping["n_cores"]["value"] == 1 + two
    assert mapping["n_chips"]["value"] == 1
    into = defaultdict(list)
    for s in case.program.synapses:
        into[s.target].append(resources(case, s))
    for layer in mapping["layers"]:
        used = {one["resource"]: one["used"]["value"] for one in layer["uses"]}
        axons, words, longest, formats = zip(*into[layer["name"]], strict=True)
        halved = two and layer["name"] == "hidden"
        assert layer["n_cores"] == 1 + halved
        assert used["compartments"] == case.program.population(layer["name"]).n_neurons // (1 + halved)
        assert used.get("input axons", 0) == sum(axons)
        assert used.get("synapse words", 0) == (512 * 18 if halved else sum(words))
        assert used.get("longest synapse list", 0) == (18 if halved else max(longest))
        assert used.get("synapse formats", 0) == sum(formats)
        sent = 0
        for s in case.program.out_of(layer["name"]):
            e = case.done.edges[s.name]
            if isinstance(s.kind, Conv):  # an axon for all channels of a pixel takes two entries on loihi1
                sent += (
                    len(np.unique(e.source)) * 2 // case.program.shape(s.source)[0]
                    if first
                    else len(np.unique(e.source))
                )
            else:
                reached = np.unique(e.source[e.weight != 0])
                sent += max((reached < 128).sum(), (reached >= 128).sum()) if halved else len(reached)
        assert used.get("output axons", 0) == sent


def test_the_longest_step_of_one_core(case: Case) -> None:
    if case.target == "loihi2":
        assert case.report["energy"]["step_time"] == []  # no times are published
        return
    if case.program.name == "wide":
        return
    windows, n = case.program.name in STREAMED, len(case.labels)
    spent = cost(case.program, case.done, windows)
    seconds = 0.0
    for p in case.program.populations:
        per_step = np.zeros(spent.n_steps)
        for s in case.program.into(p.name):
            e, start = case.done.edges[s.name], case.done.arrival[s.source] if windows else 0
            sent = (case.done.sent[s.source][start : start + spent.n_steps] != 0)[..., e.source]
            per_step += (sent * (e.weight != 0)).sum(axis=(1, 2)) / n
        updates = p.n_neurons * spent.n_steps
        active = min(float(case.done.active[p.name].sum()) / n, updates) / updates
        # each population at its own busiest step
        seconds += per_step.max() * 3.5e-9
        seconds += p.n_neurons * (active * 8.4e-9 + (1 - active) * 5.3e-9)
        seconds += spent.spikes[p.name] / spent.n_steps * 2.1e-9
    terms = {one["name"]: one["time_s"] for one in case.report["energy"]["step_time"]}
    assert near(terms["busiest core"], seconds)
    assert near(terms["busiest link"], 0)
    assert near(terms["barrier"], 113e-9)  # of one router
