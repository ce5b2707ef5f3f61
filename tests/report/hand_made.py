"""A report small enough to be checked by hand: two neurons, an integrator, four samples, three steps."""

import numpy as np

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Dense, OneToOne, Synapses
from seamount.hardware_targets.agreement import Agreement
from seamount.hardware_targets.target import load_target
from seamount.report.evidence import Answers, Evidence, Traced

# u forgets, v keeps: v counts weights; the threshold is 10 << 6
PROGRAM = Program(
    name="hand",
    inputs=(Input("in", (2,)),),
    populations=(
        Population("hidden", (2,), Lif(ints(4096), ints(0), ints(10)), Reset(3, 2)),
        Population("out", (2,), Lif(ints(4096), ints(0), ints(NEVER_FIRES)), Reset(3, 3)),
    ),
    synapses=(
        Synapses("in.hidden", "in", "hidden", Dense(ints([[12, 0], [0, 6]]))),
        Synapses("hidden.out", "hidden", "out", OneToOne(ints(4))),
    ),
    readout=Readout("out", "v"),
    n_steps=3,
    timestep_s=1e-3,
    scales={"hidden": 10.0},
)

# (T, B, 2): neuron 0 fires at every input (12 > 10), neuron 1 at every second (6 + 6 > 10)
INPUTS = np.zeros((3, 4, 2), np.int64)
INPUTS[:, 0] = [[1, 0], [1, 0], [1, 0]]
INPUTS[:, 1] = [[0, 1], [0, 1], [0, 1]]
INPUTS[:, 2] = [[1, 1], [0, 1], [0, 0]]
INPUTS[:, 3] = 0

FLOAT_SPIKES = np.zeros((3, 4, 2))
FLOAT_SPIKES[:, 0, 0] = 1  # as deployed
FLOAT_SPIKES[1, 1, 1] = 1  # as deployed
FLOAT_SPIKES[0, 2] = 1  # deployed: only neuron 0 here, neuron 1 a step later

LABELS = np.array([0, 1, 1, 0])


def hand_made(**changes) -> Evidence:
    run = run_definition(PROGRAM, INPUTS)
    deployed = run.predictions()
    parts = {
        "name": "hand",
        "program": PROGRAM,
        "target": load_target("loihi1"),
        "command": "seamount demo",
        "created": "2026-11-22T05:30:00+00:00",
        "seeds": {"run": 0},
        "versions": {"seamount": "0.1.0"},
        "oracle": "lava-nc 0.10.0",
        "answers": (
            Answers("teacher", LABELS, LABELS),
            Answers("float", np.array([0, 1, 1, 1]), LABELS),
            Answers("deployed", deployed, LABELS),
        ),
        "proof": (Agreement("simulator", "Lava", 4, 24, 0, 48, 0),),
        "traced": Traced(run, {"hidden": FLOAT_SPIKES}, inputs=INPUTS, labels=LABELS, note="all four samples"),
        "reasons": {"mapping": "left out by hand", "energy": "left out by hand"},
    }
    return Evidence(**(parts | changes))
