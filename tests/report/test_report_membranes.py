"""The error of v against the float student, from the student's own module to the report's number."""

import numpy as np
import torch
from torch import nn

from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.models.cells import lif_box
from seamount.models.export import to_nir
from seamount.models.spiking_net import SpikingNet, Sum, Synapse
from seamount.report.evidence import Evidence, Traced
from seamount.report.parts.divergence import membrane_rmse
from seamount.run.stages.simulate import float_membranes


def one_neuron(weight: float) -> SpikingNet:
    """v loses half of itself a step and gains the drive; it fires above 1."""
    into, out = nn.Linear(1, 1, bias=False), nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        into.weight.fill_(weight)
        out.weight.fill_(1.0)
    return SpikingNet(
        "one",
        input_shape=(1,),
        n_steps=4,
        populations={"hidden": lif_box(0.5), "readout": Sum()},
        synapses=[Synapse("into", "input", "hidden", into), Synapse("out", "hidden", "readout", out)],
        input_bits=0,
    ).eval()


def test_v_of_the_float_student_by_hand() -> None:
    # 0.75; 0.375 + 0.75 > 1 fires and falls to 0; and again. The graph halves v and threshold instead of doubling the
    # drive, as the cell's gain of 2 does
    v = float_membranes(one_neuron(0.75), torch.ones(3, 1))
    assert {name: found.shape for name, found in v.items()} == {"hidden": (4, 3, 1)}
    assert v["hidden"][:, 2, 0].tolist() == [0.375, 0.0, 0.375, 0.0]


def test_the_error_of_v_by_hand() -> None:
    # 0.75 lies on the chip's grid at this scale; the float student's v is 0.85, 0, 0.85, 0 and its threshold 1
    compiled = compile_graph(
        to_nir(one_neuron(0.75)), options=CompileOptions(scales={"hidden": 64.0, "readout": 64.0})
    )
    program = compiled.program
    run = simulate(program, np.ones((4, 1, 1), dtype=np.int64), record=("spikes", "v"))
    float_v = float_membranes(one_neuron(0.85), torch.ones(1, 1))
    evidence = Evidence("one", program, load_target("loihi1"), traced=Traced(run, float_v=float_v))
    found = membrane_rmse(evidence, program.population("hidden"))
    assert found.unit == "thresholds"
    assert abs(found.value - np.sqrt((0.1**2 + 0 + 0.1**2 + 0) / 4)) < 1e-6
