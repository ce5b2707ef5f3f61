"""Evidence for a report, synthetic but real: random spiking features and a ridge readout on scikit-learn's digits.

The float student is computed here in float64, the program is run by the definition of the arithmetic.
"""

from functools import cache

import numpy as np
import torch
from torch.nn.functional import conv2d

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.fit.place.search import place
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.numbers import ints, weight_grid
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.program.streaming import windows_of
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses
from seamount.hardware_targets.agreement import Agreement
from seamount.hardware_targets.energy import estimate_energy
from seamount.hardware_targets.neurobench import neurobench_metrics
from seamount.hardware_targets.sana_fe import Opinion
from seamount.hardware_targets.target import load_target
from seamount.report.evidence import Answers, Evidence, Traced, Trial
from seamount.windows import Window

T = 8
N_TEST = 300
N_TRACED = 24
DV = 1024
OPINION = Opinion(
    version="2.2.9",
    n_samples=16,
    n_steps=13,
    counts={
        "operations": (186_253.0, 186_253.0),
        "spikes": (2770.0, 2770.0),
        "active updates": (10_738.0, 10_248.0),
        "messages": (3394.0, 3394.0),
        "hops": (0.0, 0.0),
    },
    difference=None,
    energy_j={"synapse": 5.55e-6, "dendrite": 0.0, "soma": 1.25e-6, "network": 3.77e-7},
    constants="sana_fe",
    ours_j={"synapse": 5.55e-6, "dendrite": 0.0, "soma": 1.26e-6, "network": 3.77e-7},
    low_j=5.56e-6,
    high_j=8.37e-6,
    inputs_j=2.95e-8,
    input_messages=265.5,
    step_mean_s=46.4e-6,
    step_max_s=110e-6,
    our_step_s=90.4e-6,
    delay_mean_s=8.58e-6,
    delay_max_s=20.9e-6,
)
"""What SANA-FE said of this program, to three digits."""


def digits():
    """(train x, train y, test x, test y), images (n, 1, 8, 8) of 0..255."""
    from sklearn.datasets import (
        load_digits,
    )  # here, because it takes a second to load

    data = load_digits()
    order = np.random.default_rng(7).permutation(len(data.target))
    images, labels = np.minimum(data.images[order] * 16, 255).astype(np.int64)[:, None], data.target[order]
    return images[N_TEST:], labels[N_TEST:], images[:N_TEST], labels[:N_TEST]


@cache
def real_weights():
    generator = np.random.default_rng(3)
    return {
        "conv1": generator.normal(0.08, 0.35, (6, 1, 3, 3)),
        "conv2": generator.normal(0.04, 0.28, (6, 6, 3, 3)),
        "conv3": generator.normal(0.0, 0.25, (6, 6, 3, 3)),
        "fc": generator.normal(0.0, 0.12, (96, 384)),
    }


def lif(drive, n_steps=T):
    """Float LIF with hard reset over drive (T, B, ...): spikes and v."""
    v = np.zeros_like(drive[0])
    spikes, potentials = [], []
    for step in range(n_steps):
        v = v * (1 - DV / 4096) + drive[step]
        fired = v > 1
        v = np.where(fired, 0.0, v)
        spikes.append(fired)
        potentials.append(v)
    return np.stack(spikes).astype(np.float64), np.stack(potentials)


def conv(x, weights):
    flat = torch.from_numpy(np.ascontiguousarray(x.reshape(-1, *x.shape[-3:])))
    made = conv2d(flat, torch.from_numpy(weights), padding=1).numpy()
    return made.reshape(*x.shape[:-3], *made.shape[1:])


def float_student(images, readout):
    w = real_weights()
    x = np.repeat(images[None] / 255.0, T, axis=0)
    spikes, v = {}, {}
    spikes["conv1"], v["conv1"] = lif(conv(x, w["conv1"]))
    spikes["conv2"], v["conv2"] = lif(conv(spikes["conv1"], w["conv2"]))
    spikes["block"], v["block"] = lif(conv(spikes["conv2"], w["conv3"]) + 0.6 * spikes["conv1"])
    flat = spikes["block"].reshape(T, len(images), -1)
    spikes["hidden"], v["hidden"] = lif(flat @ w["fc"].T)
    logits = None if readout is None else np.cumsum(spikes["hidden"] @ readout.T, axis=0)
    return spikes, v, logits


def ridge(features, labels, strength=1.0):
    targets = np.eye(10)[labels] - 0.1
    return np.linalg.solve(features.T @ features + strength * np.eye(features.shape[1]), features.T @ targets).T


def program(readout, bits=8):
    w = real_weights()
    populations, synapses, scales = [], [], {}

    def population(name, shape, scale, fires=True):
        arrival = {"conv1": 1, "conv2": 2, "block": 3, "hidden": 4, "out": 5}[name]
        mant = ints(round(scale)) if fires else ints(NEVER_FIRES)
        neuron = Lif(du=ints(4096), dv=ints(DV if fires else 0), v_th_mant=mant)
        populations.append(Population(name, shape, neuron, Reset(T, arrival + 1)))
        scales[name] = float(round(scale))

    def grid(weights, scale, exponent=0):
        return weight_grid(np.rint(weights * scale / 2**exponent), None, bits)

    population("conv1", (6, 8, 8), 30_000)
    synapses.append(
        Synapses(
            "conv1.weights",
            "image",
            "conv1",
            Conv(grid(w["conv1"], 30_000 / 255), Window(padding=(1, 1))),
            graded=True,
        )
    )
    population("conv2", (6, 8, 8), 300)
    synapses.append(Synapses("conv2.weights", "conv1", "conv2", Conv(grid(w["conv2"], 300), Window(padding=(1, 1)))))
    population("block", (6, 8, 8), 290)
    synapses.append(Synapses("conv3.weights", "conv2", "block", Conv(grid(w["conv3"], 290), Window(padding=(1, 1)))))
    skip = OneToOne(grid(np.full(1, 0.6), 290))
    synapses.append(Synapses("skip", "conv1", "block", skip, delay=ints(1)))
    population("hidden", (96,), 560)
    synapses.append(Synapses("fc.weights", "block", "hidden", Dense(grid(w["fc"], 560))))
    population("out", (10,), 250 / np.abs(readout).max(), fires=False)
    synapses.append(Synapses("readout.weights", "hidden", "out", Dense(grid(readout, scales["out"]))))
    return Program(
        name="digits",
        inputs=(Input("image", (1, 8, 8), bits=8),),
        populations=tuple(populations),
        synapses=tuple(synapses),
        readout=Readout("out", "v"),
        n_steps=T,
        timestep_s=1e-3,
        scales=scales,
        provenance={"source": "synthetic"},
    )


def run(made: Program, images) -> Activity:
    return run_definition(made, np.repeat(images[None], T, axis=0))


@cache
def parts():
    """The slow things, once: readout, program, float student and deployed run on the test set."""
    train_x, train_y, test_x, test_y = digits()
    spikes, _, _ = float_student(train_x, None)
    readout = ridge(spikes["hidden"].sum(axis=0), train_y, 5.0)
    made = program(readout)
    float_spikes, float_v, logits = float_student(test_x, readout)
    return train_x, train_y, test_x, test_y, made, float_spikes, float_v, logits, run(made, test_x)


def first(activity: Activity, n: int) -> Activity:
    """The first n samples of a run; the counts stay those of all."""
    traces = {k: {name: x[:, :n] for name, x in found.items()} for k, found in activity.traces().items()}
    spikes, _ = traces.pop("spikes"), traces.pop("drive")
    assert activity.readout is not None
    return Activity(
        activity.n_steps, n, spikes=spikes, states=traces, readout=activity.readout[:n], events=activity.events
    )


def teacher(train_x, train_y, test_x):
    def distance(a, b):
        return ((a[:, None].reshape(len(a), 1, 64) - b.reshape(1, len(b), 64)) / 255.0) ** 2

    kernel = np.exp(-distance(train_x, train_x[:500]).sum(-1) / 4)
    weights = ridge(kernel, train_y, 0.1)
    return (np.exp(-distance(test_x, train_x[:500]).sum(-1) / 4) @ weights.T).argmax(1)


@cache
def evidence(name: str = "digits-seal-kd") -> Evidence:
    train_x, train_y, test_x, test_y, made, float_spikes, float_v, logits, deployed = parts()
    arrival = made.arrivals()["out"]
    read = deployed.v["out"][arrival : arrival + T].astype(np.int64)
    per_step, ranked = read.argmax(axis=-1), np.sort(read, axis=-1)
    margins = ranked[..., -1] - ranked[..., -2]
    target = load_target("loihi1")
    placement = place(made, target, activity=deployed)
    n_values = sum(p.n_neurons for p in made.populations) * T * N_TEST
    return Evidence(
        name=name,
        program=made,
        target=target,
        command=f"seamount demo --out runs/{name}",
        created="2026-11-22T05:30:00+00:00",
        wall_s={"teacher": 8.4, "distil": 61.0, "quantise": 17.9, "compile": 0.8, "simulate": 1.2, "lava": 23.0},
        seeds={"seed": 0},
        versions={"seamount": "0.1.0", "python": "3.11.2", "torch": "2.14.0", "norse": "1.1.0", "nir": "1.0.8"},
        hashes={"data": "9f2c…", "student.nir": "11ab…"},
        hardware="2 CPU cores, no GPU",
        oracle="lava-nc 0.10.0, fixed-point process models",
        answers=(
            Answers("teacher", teacher(train_x, train_y, test_x), test_y),
            Answers("float", logits[-1].argmax(-1), test_y, logits.argmax(-1)),
            Answers("quantised", deployed.predictions(), test_y),
            Answers("deployed", deployed.predictions(), test_y, per_step, margins=margins),
        ),
        validation=Answers(
            "deployed", deployed.predictions()[::2], test_y[::2], per_step[:, ::2], margins=margins[:, ::2]
        ),
        proof=(
            Agreement("quantised student", "simulator", N_TEST, n_values, 0, n_values, 0),
            Agreement("simulator", "Lava 0.10.0", 20, n_values // 15, 0, n_values // 15, 0),
        ),
        traced=Traced(
            deployed=first(deployed, N_TRACED),
            float_spikes={k: s[:, :N_TRACED] for k, s in float_spikes.items()},
            float_v={k: s[:, :N_TRACED] for k, s in float_v.items()},
            inputs=test_x[:N_TRACED],
            labels=test_y[:N_TRACED],
            note=f"the first {N_TRACED} test samples",
        ),
        full_run=deployed,
        placement=placement,
        neurobench=neurobench_metrics(made, deployed),
        energy=estimate_energy(made, windows_of(made, deployed), placement, target, 1e-3),
        single_energy=estimate_energy(made, deployed, placement, target, 1e-3),
        opinion=OPINION,
        budget=("per_synapse", 2.0),
        rounding={"conv1": ["weights rounded to 8 bits: RMS error 0.31 steps", "threshold 30000 is exact"]},
        assumptions=("dt = 1 ms, from the file's metadata", "hard reset to v_reset = 0"),
        sweep=tuple(
            Trial(
                f"bits {bits}, T {steps}", f"quant.weight_bits={bits} student.n_steps={steps}", acc, N_TEST, e, s, c
            )
            for bits, steps, acc, e, s, c in (
                (4, 2, 0.813, 6.1e-6, 310.0, 4),
                (4, 4, 0.860, 11.9e-6, 640.0, 4),
                (6, 4, 0.907, 12.0e-6, 655.0, 5),
                (6, 8, 0.910, 24.4e-6, 1320.0, 5),
                (8, 4, 0.917, 12.3e-6, 660.0, 6),
                (8, 8, 0.930, 24.9e-6, 1340.0, 6),
            )
        ),
    )
