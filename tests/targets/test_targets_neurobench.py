"""NeuroBench's metrics: by hand, and against the package where it is installed."""

from typing import Any

import numpy as np
import pytest
import torch

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses
from seamount.errors import InputError
from seamount.hardware_targets.neurobench import NeuroBench, neurobench_metrics
from seamount.windows import Window

LIF = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(64))
READOUT = Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(NEVER_FIRES))


def small(bits: int = 0) -> Program:
    """Map (2, 5, 5) -> convolution -> matrix; some weights are zero."""
    random = np.random.default_rng(1)
    kernel, matrix = random.integers(-40, 41, (3, 2, 3, 3)) * 2, random.integers(-40, 41, (4, 27)) * 2
    kernel[random.random(kernel.shape) < 0.3] = 0
    matrix[random.random(matrix.shape) < 0.5] = 0
    return Program(
        "small",
        (Input("in", (2, 5, 5), bits),),
        (Population("a", (3, 3, 3), LIF, Reset(4, 2)), Population("out", (4,), READOUT, Reset(4, 3))),
        (
            Synapses("conv", "in", "a", Conv(ints(kernel)), graded=bits > 0),
            Synapses("fc", "a", "out", Dense(ints(matrix))),
        ),
        Readout("out", "v"),
        4,
    )


def run(program: Program, high: int = 1, **options: Any) -> tuple[Activity, np.ndarray]:
    inputs = np.random.default_rng(2).integers(0, high + 1, (4, 3, 2, 5, 5))
    return run_definition(program, inputs, **options), inputs


def test_the_metrics_by_hand() -> None:
    # in (2) -> a (2) -> out (1), 2 steps, 1 sample; a integrates (dv = 0), threshold 3 << 6, one weight is zero
    program = Program(
        "hand",
        (Input("in", (2,)),),
        (Population("a", (2,), Lif(ints(4096), ints(0), ints(3))), Population("out", (1,), READOUT)),
        (
            Synapses("s", "in", "a", Dense(ints([[4, 2], [2, 0]]))),
            Synapses("r", "a", "out", Dense(ints([[2, 2]]))),
        ),
        Readout("out", "v"),
        2,
    )
    # inputs 1 1, then 1 0: neuron 0 gets 6 > 3: spike, then 4 > 3: spike; neuron 1 gets 2, then 4 > 3: spike
    activity = run_definition(program, np.array([[[1, 1]], [[1, 0]]]))
    assert activity.spikes["a"][1:3, 0].tolist() == [[1, 0], [1, 1]]
    found = neurobench_metrics(program, activity)
    assert found.connection_sparsity == round(1 / 6, 4)
    # 3 spikes of 2 neurons in 2 steps; the readout never fires and is no activation
    assert found.activation_sparsity == pytest.approx(1 - 3 / 4)
    # input: step 0 meets 3 non-zero weights, step 1 the 2 of its first column; then 3 spikes to one neuron
    assert (found.effective_acs, found.effective_macs) == (3 + 2 + 3, 0)
    assert found.dense == 2 * (4 + 2)
    # a: v = 0, 2 (both counted first), then neuron 0 stays 0, neuron 1 falls to 0; out: 2 << 6, then another value
    assert activity.v["a"][1:3, 0].tolist() == [[0, 128], [0, 0]]
    assert found.membrane_updates == (2 + 1) + (1 + 1)
    # 6 weights, 2 x (du, dv: 2 bytes), 2 thresholds of 4 bytes
    assert found.footprint_bytes == 6 + 8 + 8
    assert found.footprint_fp32_bytes == 4 * (6 + 4 + 2)


def test_graded_input_counts_as_multiplications() -> None:
    program = small(bits=8)
    activity, _ = run(program, high=200)
    found = neurobench_metrics(program, activity)
    assert found.effective_macs > 0
    assert found.effective_acs == pytest.approx(activity.events["out"].sops.sum() / 3)


def test_names_are_neurobenchs() -> None:
    program = small()
    found = neurobench_metrics(program, run(program)[0])
    assert set(found.to_dict()["SynapticOperations"]) == {"Effective_MACs", "Effective_ACs", "Dense"}
    assert set(found.flat()) == {
        "Footprint",
        "FootprintFp32",
        "ConnectionSparsity",
        "ActivationSparsity",
        "Effective_MACs",
        "Effective_ACs",
        "Dense",
        "MembraneUpdates",
    }


def test_counts_alone_give_all_but_the_membrane_updates() -> None:
    program = small()
    recorded, bare = run(program)[0], run(program, record=())[0]
    with_traces, without = neurobench_metrics(program, recorded), neurobench_metrics(program, bare)
    assert without.membrane_updates is None
    assert without == NeuroBench(**{**vars(with_traces), "membrane_updates": None})


def test_a_skip_is_no_layer_but_its_operations_are_told_apart() -> None:
    shape = (2, 4, 4)
    program = Program(
        "skip",
        (Input("in", shape),),
        (Population("a", shape, LIF), Population("r", shape, Relay()), Population("b", shape, LIF)),
        (
            Synapses("in>a", "in", "a", OneToOne(ints(128))),
            Synapses("a>r", "a", "r", OneToOne(ints(1))),
            Synapses("a>b", "a", "b", Conv(ints(np.full((2, 2, 3, 3), 2)), Window(padding=(1, 1))), delay=ints(1)),
            Synapses("r>b", "r", "b", OneToOne(ints(64))),
        ),
        Readout("b", "count"),
        4,
    )
    inputs = np.random.default_rng(0).integers(0, 2, (4, 3, *shape))
    activity = run_definition(program, inputs)
    found = neurobench_metrics(program, activity)
    sent = torch.from_numpy(activity.spikes["a"][1:5].sum(axis=0).astype(np.float64))
    ones = torch.ones((2, 2, 3, 3), dtype=torch.float64)
    assert found.effective_acs == pytest.approx(float(torch.nn.functional.conv2d(sent, ones, padding=1).sum()) / 3)


def test_a_program_without_samples_is_refused() -> None:
    program = small()
    activity, _ = run(program)
    with pytest.raises(InputError, match="small: the program names no number of steps"):
        neurobench_metrics(program.with_(n_steps=None), activity)


def test_sparse_weights_count_as_the_matrix_they_stand_for() -> None:
    program = Program(
        "sparse",
        (Input("in", (10,)),),
        (Population("out", (10,), LIF),),
        (Synapses("s", "in", "out", Sparse(ints([2, 4]), ints([0, 3]), ints([1, 1]), 10, 10)),),
        Readout("out", "count"),
        2,
    )
    activity = run_definition(program, np.ones((2, 1, 10), dtype=int))
    found = neurobench_metrics(program, activity)
    assert found.connection_sparsity == 0.98
    assert found.effective_acs == 2 * 2


class Replay(torch.nn.Module):
    """An activation layer that says, step by step, what the chip's population said."""

    def __init__(self, spikes: np.ndarray) -> None:
        super().__init__()
        self.spikes = torch.from_numpy(spikes.astype(np.float32))
        self.step = 0

    def forward(self, _: torch.Tensor) -> torch.Tensor:
        self.step += 1
        return self.spikes[self.step - 1]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("bits", "high"), [(0, 1), (8, 200)])
def test_the_package_counts_the_same(bits: int, high: int) -> None:
    pytest.importorskip("neurobench", reason="the neurobench package is not installed")
    from neurobench.metrics.static import ConnectionSparsity
    from neurobench.metrics.workload import ActivationSparsity, SynapticOperations
    from neurobench.models import TorchModel

    program = small(bits)
    activity, inputs = run(program, high=high)
    spikes = activity.spikes["a"][1:5]

    class Student(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.conv = torch.nn.Conv2d(2, 3, 3, bias=False)
            self.fire = Replay(spikes)
            self.fc = torch.nn.Linear(27, 4, bias=False)
            for layer, s in ((self.conv, program.synapses[0]), (self.fc, program.synapses[1])):
                assert isinstance(s.kind, Conv | Dense)
                layer.weight.data = torch.from_numpy(s.kind.weights.astype(np.float32))

        def forward(self, frames: torch.Tensor) -> torch.Tensor:
            steps = [self.fc(self.fire(self.conv(x)).flatten(1)) for x in frames.transpose(0, 1)]
            return torch.stack(steps, 1)

    net = Student()
    model = TorchModel(net)
    model.add_activation_module(Replay)
    model.register_hooks()
    data = torch.from_numpy(inputs.astype(np.float32)).transpose(0, 1)
    model(data)
    batch = (data, torch.zeros(3))
    found = neurobench_metrics(program, activity)
    operations = SynapticOperations()(model, None, batch)
    assert ConnectionSparsity()(model) == found.connection_sparsity
    assert ActivationSparsity()(model, None, batch) == pytest.approx(found.activation_sparsity)
    assert float(operations["Effective_ACs"]) == pytest.approx(found.effective_acs)
    assert float(operations["Effective_MACs"]) == pytest.approx(found.effective_macs)
    assert float(operations["Dense"]) == pytest.approx(found.dense)


def test_payloads_multiply_and_every_state_but_u_is_a_membrane() -> None:
    # x 3, 3, 5: Delta sends 3, 0, 2 to the two neurons of a SigmaDelta, one of whose weights is 0
    program = Program(
        "graded",
        (Input("x", (1,), 8),),
        (Population("d", (1,), Delta(ints(1))), Population("s", (2,), SigmaDelta(ints(2)))),
        (
            Synapses("xd", "x", "d", Dense(ints([[1]])), graded=True),
            Synapses("ds", "d", "s", Dense(ints([[2], [0]])), graded=True),
        ),
        Readout("s"),
        n_steps=3,
    )
    x = np.array([[[3]], [[3]], [[5]]])
    found = neurobench_metrics(program, run_definition(program, x, record=("spikes", "states")))
    assert (found.effective_macs, found.effective_acs) == (3 + 2, 0)
    # d: first step, then residue and act at the third; s: first step, then sigma as what was sent arrives
    assert found.membrane_updates == (1 + 1) + (2 + 1)
    assert neurobench_metrics(program, run_definition(program, x, record=("spikes", "v"))).membrane_updates is None
