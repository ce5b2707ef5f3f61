"""The NIR reader: what it takes, what it refuses, and that real files of others give the recorded spikes."""

import itertools
from pathlib import Path
from typing import Any

import h5py
import nir
import numpy as np
import pytest
from nir_files import METADATA, ONES3, chain, write

from seamount.compile.inspect import inspect_file
from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import Convolution, Delay, Linear, Reshape, Scale, SumPool
from seamount.compile.nir.file import read_raw
from seamount.compile.nir.read import Discretisation, NirOptions, read_nir
from seamount.compile.nir.timestep import no_step
from seamount.compile.options import compile_options
from seamount.compile.pipeline import compile_graph
from seamount.errors import ConfigError, InputError, Unsupported
from seamount.hardware_targets.simulator import simulate

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases"
DT = NirOptions(discretisation=Discretisation(dt=1e-3))


def refusal(source: Any, options: NirOptions = DT, kind: type[Exception] = InputError) -> str:
    with pytest.raises(kind) as caught:
        read_nir(source, options)
    assert type(caught.value) is kind
    return str(caught.value)


def changed(tmp_path: Path, **changes: Any) -> Path:
    nodes, edges = chain(**changes)
    return write(tmp_path / "net.nir", nodes, edges, metadata=METADATA)


def lif(**values: Any) -> tuple[str, dict[str, Any]]:
    return "LIF", {"tau": ONES3 * 0.01, "r": ONES3, "v_leak": ONES3 * 0, "v_threshold": ONES3, **values}


# ------------------------------------------------------------------------------------------------- reading


def test_a_plain_file_becomes_a_network(tmp_path: Path) -> None:
    net = read_nir(changed(tmp_path))
    assert str(net).splitlines() == [
        "network net, timestep 0.001 s",
        "  input input 2 spikes",
        "  population lif 3 a_s 1 a_m 0.1 v_th 1 reset value bias 0..0.1",
        "  connection affine input -> lif: linear 3x2",
        "  output output shows lif",
        "  readout count of lif",
    ]
    assert net.population("lif").gain == 0.1


def test_a_graph_object_reads_as_its_file(tmp_path: Path) -> None:
    def lif_of(n: int) -> nir.LIF:
        f = np.ones(n)
        return nir.LIF(tau=0.02 * f, r=f, v_leak=0 * f, v_threshold=f, v_reset=0 * f)

    nodes = {
        "input": nir.Input(np.array([1, 6, 6])),
        "conv": nir.Conv2d((6, 6), np.ones((2, 1, 3, 3)), 1, 1, 1, 1, np.zeros(2)),
        "flat": nir.Flatten({"input": np.array([2, 6, 6])}, 0, -1),
        "lif": lif_of(72),
        "output": nir.Output(np.array([72])),
    }
    edges = [("input", "conv"), ("conv", "flat"), ("flat", "lif"), ("lif", "output")]
    graph = nir.NIRGraph(nodes, edges, metadata=METADATA)
    nir.write(tmp_path / "net.nir", graph)
    from_file, from_object = (
        read_nir(tmp_path / "net.nir", NirOptions(name="net")),
        read_nir(graph, NirOptions(name="net")),
    )
    assert str(from_file) == str(from_object)
    x = np.random.default_rng(0).random((5, 2, 1, 6, 6))
    a, b = run_network(from_file, x)["lif"], run_network(from_object, x)["lif"]
    assert np.array_equal(a.v, b.v)


@pytest.mark.parametrize("value", [np.array(0.01), np.array([0.01]), np.full((1, 3), 0.01), ONES3 * 0.01])
def test_scalar_and_per_neuron_parameters(tmp_path: Path, value: np.ndarray) -> None:
    net = read_nir(changed(tmp_path, lif=lif(tau=value)))
    assert np.unique(net.population("lif").a_m).tolist() == [0.1]


@pytest.mark.parametrize("version", ["0.1.1", "0.2.0", "1.0.8", None])
def test_files_of_every_version(tmp_path: Path, version: str | None) -> None:
    nodes, edges = chain()
    net = read_nir(write(tmp_path / "net.nir", nodes, edges, version=version), DT)
    assert ("the file names no NIR version; read as 1.0" in net.assumptions) == (version is None)


def test_what_old_files_hold_is_understood(tmp_path: Path) -> None:
    nodes, edges = chain(
        affine=("Affine", {"weight": np.ones((3, 2)), "bias": False}),
        lif=("LIF", {"tau": 0.01, "r": 1, "v_leak": 0, "v_threshold": 1}),  # 0-d, whole numbers, no v_reset
        output=("Output", {"shape": np.array([1, 1, 3])}),
    )
    net = read_nir(write(tmp_path / "net.nir", nodes, edges), DT)
    assert net.population("lif").shape == (3,)
    assert "output: the file says shape (1, 1, 3), computed is (3,)" in net.assumptions


def test_a_nested_graph_is_flattened_with_its_name_in_front(tmp_path: Path) -> None:
    inner_nodes, inner_edges = chain()
    nodes = {
        "in": ("Input", {"shape": np.array([2])}),
        "block": ("NIRGraph", {"nodes": inner_nodes, "edges": inner_edges}),
        "out": ("Output", {"shape": np.array([3])}),
    }
    for edges in ([("in", "block"), ("block", "out")], [("in", "block.input"), ("block.output", "out")]):
        net = read_nir(write(tmp_path / "net.nir", nodes, edges), DT)
        assert [p.name for p in net.populations] == ["block.lif"]
        assert [(c.name, c.source, c.target) for c in net.connections] == [("block.affine", "in", "block.lif")]
        assert net.outputs == {"out": "block.lif"}


def test_a_recurrent_population_reads_its_spikes_of_the_step_before(tmp_path: Path) -> None:
    nodes, edges = chain(rec=("Linear", {"weight": np.eye(3)}))
    net = read_nir(write(tmp_path / "net.nir", nodes, [*edges, ("lif", "rec"), ("rec", "lif")]), DT)
    assert {c.name: c.previous for c in net.connections} == {"affine": False, "rec": True}


def test_an_edge_that_stands_many_times_is_told_once(tmp_path: Path) -> None:
    nodes, edges = chain()
    net = read_nir(write(tmp_path / "net.nir", nodes, edges * 1000, metadata=METADATA))
    assert [line for line in net.assumptions if "affine" in line] == [
        "the edge input -> affine stands twice; it counts once",
        "the edge affine -> lif stands twice; it counts once",
    ]


def test_several_inputs_and_outputs(tmp_path: Path) -> None:
    nodes, edges = chain(
        second=("Input", {"shape": np.array([3])}),
        out2=("Output", {"shape": np.array([3])}),
        lif2=lif(),
    )
    edges = [*edges, ("second", "lif2"), ("lif", "lif2"), ("lif2", "out2")]
    net = read_nir(write(tmp_path / "net.nir", nodes, edges), DT)
    assert [i.name for i in net.inputs] == ["input", "second"]
    assert net.outputs == {"out2": "lif2", "output": "lif"}
    assert net.readout is None


def test_paths_of_operators_add_up_and_a_bias_counts_once(tmp_path: Path) -> None:
    # input -> a, b -> scale -> lif: 2 (W x + b + W x + b), the scale's own sum counted once
    nodes, _ = chain(
        b=("Affine", {"weight": np.ones((3, 2)), "bias": np.array([1.0, 2.0, 3.0])}),
        scale=("Scale", {"scale": np.array([2.0, 2.0, 4.0])}),
    )
    edges = [
        ("input", "affine"),
        ("input", "b"),
        ("affine", "scale"),
        ("b", "scale"),
        ("scale", "lif"),
        ("lif", "output"),
    ]
    net = read_nir(write(tmp_path / "net.nir", nodes, edges), DT)
    assert len(net.connections) == 2
    assert net.population("lif").bias.tolist() == [2.0, 2 * 2.1, 12.0]
    x = np.random.default_rng(0).random((4, 1, 2))
    weight = (nodes["affine"][1]["weight"] + 1) * np.array([[2.0], [2.0], [4.0]])
    assert np.allclose(run_network(net, x)["lif"].drive, x @ weight.T)


def test_an_output_of_operators_shows_what_arrives(tmp_path: Path) -> None:
    nodes, _ = chain()
    edges = [("input", "lif0"), ("lif0", "affine"), ("affine", "output")]
    nodes = {**nodes, "lif0": ("LIF", {"tau": 0.01, "r": 1.0, "v_leak": 0.0, "v_threshold": 0.05})}
    del nodes["lif"]
    net = read_nir(write(tmp_path / "net.nir", nodes, edges), DT)
    traces = run_network(net, np.ones((3, 1, 2)))
    weight = nodes["affine"][1]["weight"]
    assert np.array_equal(traces["output"].v, traces["lif0"].spikes @ weight.T + nodes["affine"][1]["bias"])


ALL_NODES: dict[str, tuple[str, dict[str, Any]]] = {
    "input": ("Input", {"shape": np.array([2, 12])}),
    "conv1": (
        "Conv1d",
        {
            "weight": np.ones((4, 1, 4)),
            "stride": 1,
            "padding": "same",
            "dilation": 1,
            "groups": 2,
            "bias": np.ones(4),
        },
    ),
    "scale": ("Scale", {"scale": np.ones((4, 1)) * 2}),
    "threshold": ("Threshold", {"threshold": np.array(3.0)}),
    "delay": ("Delay", {"delay": np.array(0.002)}),
    "if": ("IF", {"r": np.array(1000.0), "v_threshold": np.array(1.0)}),
    "flatten": ("Flatten", {"input_type": np.array([4, 12]), "start_dim": 0, "end_dim": -1}),
    "linear": ("Linear", {"weight": np.ones((36, 48)) / 10}),
    "cubalif": (
        "CubaLIF",
        {"tau_syn": 0.002, "tau_mem": 0.004, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0, "w_in": 2.0},
    ),
    "affine": ("Affine", {"weight": np.ones((8, 36)), "bias": np.zeros(8)}),
    "cubali": ("CubaLI", {"tau_syn": 0.002, "tau_mem": 0.004, "r": 1.0, "v_leak": 0.0}),
    "li": ("LI", {"tau": 0.004, "r": 1.0, "v_leak": 0.5}),
    "i": ("I", {"r": 1000.0}),
    "output": ("Output", {"shape": np.array([8])}),
}


def test_every_node_type_runs(tmp_path: Path) -> None:
    names = list(ALL_NODES)
    net = read_nir(write(tmp_path / "net.nir", ALL_NODES, list(itertools.pairwise(names))), DT)
    assert [p.name for p in net.populations] == ["threshold", "if", "cubalif", "cubali", "li", "i"]
    kinds = {type(op) for c in net.connections for op in c.ops}
    assert kinds == {Convolution, Scale, Delay, Reshape, Linear}
    assert net.population("threshold").bias.shape == (4, 12)
    x = np.random.default_rng(0).integers(0, 2, (9, 2, 2, 12)).astype(float)
    traces = run_network(net, x)
    assert all(np.isfinite(t.v).all() for t in traces.values())
    assert traces["cubalif"].spikes.sum() > 0


def test_maps_convolve_and_pool_as_torch_does(tmp_path: Path) -> None:
    import torch

    rng = np.random.default_rng(1)
    weight = rng.normal(size=(4, 2, 3, 5))
    nodes = {
        "input": ("Input", {"shape": np.array([4, 9, 11])}),
        "conv": (
            "Conv2d",
            {
                "weight": weight,
                "stride": np.array([1, 2]),
                "padding": np.array([1, 0]),
                "dilation": np.array([2, 1]),
                "groups": 2,
                "bias": rng.normal(size=4),
                "input_shape": np.array([9, 11]),
            },
        ),
        "avg": (
            "AvgPool2d",
            {"kernel_size": np.array([3, 2]), "stride": np.array([2, 1]), "padding": np.array([1, 1])},
        ),
        "sum": ("SumPool2d", {"kernel_size": 2, "stride": 2, "padding": 0}),
        "li": ("LI", {"tau": 0.001, "r": 1.0, "v_leak": 0.0}),
        "output": ("Output", {"shape": np.array([4, 2, 2])}),
    }
    names = list(nodes)
    net = read_nir(write(tmp_path / "net.nir", nodes, list(itertools.pairwise(names))), DT)
    x = rng.normal(size=(1, 3, 4, 9, 11))
    y = torch.from_numpy(x[0])
    y = torch.conv2d(
        y, torch.from_numpy(weight), torch.from_numpy(nodes["conv"][1]["bias"]), (1, 2), (1, 0), (2, 1), 2
    )
    y = torch.nn.functional.avg_pool2d(y, (3, 2), (2, 1), (1, 1))
    y = torch.nn.functional.avg_pool2d(y, 2) * 4
    assert np.allclose(run_network(net, x)["li"].v[0], y.numpy())
    assert {type(op) for op in net.connections[0].ops} == {Convolution, SumPool, Scale}


@pytest.mark.filterwarnings("ignore:Using padding='same' with even kernel lengths:UserWarning")
@pytest.mark.parametrize("size", [(3, 3), (4, 2), (2, 5)])
@pytest.mark.parametrize("dilation", [1, 3])
def test_padding_same_is_that_of_torch(tmp_path: Path, size: tuple[int, int], dilation: int) -> None:
    import torch

    rng = np.random.default_rng(2)
    weight = rng.normal(size=(2, 1, *size))
    conv = {"weight": weight, "stride": 1, "padding": "same", "dilation": dilation, "groups": 1}
    nodes = {
        "input": ("Input", {"shape": np.array([1, 8, 9])}),
        "conv": ("Conv2d", conv),
        "li": ("LI", {"tau": 0.001, "r": 1.0, "v_leak": 0.0}),
        "output": ("Output", {"shape": np.array([2, 8, 9])}),
    }
    names = list(nodes)
    net = read_nir(write(tmp_path / "net.nir", nodes, list(itertools.pairwise(names))), DT)
    x = rng.normal(size=(1, 2, 1, 8, 9))
    y = torch.nn.functional.conv2d(
        torch.from_numpy(x[0]), torch.from_numpy(weight), padding="same", dilation=dilation
    )
    assert np.allclose(run_network(net, x)["li"].v[0], y.numpy())


# ------------------------------------------------------------------------------------------------ refusing


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (lif(tau=ONES3 * 0), "net: lif: tau goes down to 0, needed is above 0"),
        (lif(tau=ONES3 * -0.01), "net: lif: tau goes down to -0.01, needed is above 0"),
        (
            lif(tau=ONES3 * np.inf),
            "net: lif: tau holds NaN or infinite values; an infinite time constant is no leak (beta = 1) in "
            "some tools' files: say --from with the tool",
        ),
        (lif(v_threshold=np.array([1, np.nan, 1])), "net: lif: v_threshold holds NaN or infinite values"),
        (
            lif(v_threshold=np.array([1, 4, 1]), v_reset=np.array([0, 5, 0])),
            "net: lif: v_threshold 4 is not above v_reset 5; it fires for ever from its own reset: lower "
            "v_reset, or raise v_threshold, where it is trained",
        ),
        (lif(r=np.ones(4)), "net: lif: r of shape (4,) does not fit (3,)"),
        (
            lif(tau=ONES3 * 1e-4),
            "net: lif: tau goes down to 0.0001, less than the time step 0.001; is the time step or the time unit "
            "another one?",
        ),
        (("LIF", {"tau": ONES3, "r": ONES3, "v_leak": ONES3}), "net: lif: LIF without v_threshold"),
    ],
)
def test_a_bad_parameter_is_named(tmp_path: Path, node: Any, message: str) -> None:
    assert refusal(changed(tmp_path, lif=node)) == message


def test_text_and_complex_values_are_refused(tmp_path: Path) -> None:
    path = changed(tmp_path, lif=lif(tau="fast"))
    assert refusal(path) == "net: lif: tau is text, needed are numbers"
    path = changed(tmp_path, lif=lif(tau=ONES3 * 1j))
    assert refusal(path) == f"{path}: lif: tau: values of type complex128, needed are real numbers"


def numbered(tmp_path: Path, **more: Any) -> Path:
    nodes, edges = chain()
    names = {"affine": "0", "lif": "1"}
    told = {names.get(n, n): node for n, node in nodes.items()} | more
    return write(
        tmp_path / "net.nir", told, [(names.get(a, a), names.get(b, b)) for a, b in edges], metadata=METADATA
    )


def test_nodes_that_are_numbers_are_called_by_their_type(tmp_path: Path) -> None:
    path = numbered(tmp_path)
    told = str(read_nir(path))
    assert "  population LIF_1 3 " in told
    assert "  connection Affine_0 input -> LIF_1: linear 3x2" in told
    note = "nodes that the file calls by numbers are called by their type, too: 0 is Affine_0"
    assert note in read_nir(path).assumptions
    for asked in ("1", "1:count", "LIF_1", "output"):
        assert read_nir(path, NirOptions(readout=asked)).readout == "LIF_1"
    assert refusal(path, NirOptions(readout="2")) == "net: readout '2' is not there, possible are LIF_1, output"
    assert next(line for line in inspect_file(path) if " 1 " in line).startswith("  LIF 1 ")  # the file as it is


def test_a_number_keeps_its_name_where_another_node_has_the_longer_one(tmp_path: Path) -> None:
    nodes, _ = chain()
    path = numbered(tmp_path, LIF_1=nodes["lif"])
    assert {p.name for p in read_nir(path).populations} == {"1", "LIF_1"}


def test_numbers_in_files_of_ours_are_a_students_names(tmp_path: Path) -> None:
    nodes, edges = chain(lif=lif(tau=ONES3 * 0.01))
    ours = {**METADATA, "discretization": {**METADATA["discretization"], "exporter": "seamount 0.1"}}
    nodes = {"1" if name == "lif" else name: node for name, node in nodes.items()}
    edges = [(a.replace("lif", "1"), b.replace("lif", "1")) for a, b in edges]
    path = write(tmp_path / "net.nir", nodes, edges, metadata=ours)
    assert [p.name for p in read_nir(path).populations] == ["1"]


def test_all_problems_are_named_at_once(tmp_path: Path) -> None:
    nodes, edges = chain(
        lif=lif(tau=ONES3 * -1), affine=("Affine", {"bias": np.zeros(3)}), alif=("ALIF", {"tau": ONES3})
    )
    told = refusal(write(tmp_path / "net.nir", nodes, [*edges, ("lif", "alif")]), kind=Unsupported)
    assert told.splitlines()[0].startswith("net: alif: node type 'ALIF' is not one of nir 1.0.8 (Input, Output, ")
    assert sorted(told.splitlines()[1:]) == [
        "net: affine: Affine without weight",
        "net: lif: tau goes down to -1, needed is above 0",
    ]


def test_an_extra_key_is_not_ignored(tmp_path: Path) -> None:
    path = changed(tmp_path, lif=lif(refractory=ONES3))
    assert refusal(path, kind=Unsupported) == (
        "net: lif: LIF with refractory, which NIR 1.0.8 does not define; remove it if it has no meaning"
    )


def test_edges_to_nowhere_and_graphs_without_input(tmp_path: Path) -> None:
    nodes, edges = chain()
    path = write(tmp_path / "net.nir", nodes, [*edges, ("lif", "ghost")])
    assert refusal(path) == f"{path}: ghost: an edge names it, but there is no such node"
    del nodes["input"]
    assert refusal(write(path, nodes, edges[1:])) == (
        "net: no Input node, and nothing leads into affine; put an Input in front of what the samples drive"
    )


def test_neurons_begin_a_graph_without_input(tmp_path: Path) -> None:
    """A leak above the threshold drives them."""
    lif = ("LIF", {"tau": [2e-3] * 2, "r": [1.0] * 2, "v_leak": [2.5, 0.0], "v_threshold": [1.0] * 2})
    path = write(tmp_path / "net.nir", {"lif": lif, "output": ("Output", {"shape": [2]})}, [("lif", "output")])
    made = compile_graph(path, None, compile_options(settings=["dt=1e-3"], n_steps=8))
    spikes = simulate(made.program, {}, record=("spikes",)).spikes["lif"]
    # v = 1.25 fires at every step; the other rests
    assert spikes.reshape(8, 2).tolist() == [[1, 0]] * 8


def test_a_missing_time_step_is_told_with_the_rest(tmp_path: Path) -> None:
    nodes, edges = chain(affine=("Affine", {"weight": np.ones((3, 5)), "bias": np.zeros(3)}))
    lines = refusal(write(tmp_path / "net.nir", nodes, edges), NirOptions()).splitlines()
    assert lines[0] == "net: affine: weight (3, 5) does not fit an input of shape (2,)"
    assert lines[1].startswith("net: the file names no time step; candidates: ")
    assert len(lines) == 2


def test_a_loop_without_a_neuron_is_an_equation(tmp_path: Path) -> None:
    nodes, edges = chain(a=("Linear", {"weight": np.eye(3)}), b=("Linear", {"weight": np.eye(3)}))
    edges = [*edges[:1], ("affine", "a"), ("a", "b"), ("b", "a"), ("a", "lif"), edges[2]]
    assert refusal(write(tmp_path / "net.nir", nodes, edges)) == (
        "net: loop without a neuron: a -> b -> a; put a neuron into it"
    )


def test_shapes_that_do_not_meet_are_named(tmp_path: Path) -> None:
    path = changed(tmp_path, affine=("Affine", {"weight": np.ones((3, 5)), "bias": np.zeros(3)}))
    assert refusal(path) == "net: affine: weight (3, 5) does not fit an input of shape (2,)"
    nodes, edges = chain(b=("Linear", {"weight": np.ones((4, 2))}))
    path = write(tmp_path / "net.nir", nodes, [*edges, ("input", "b"), ("b", "lif")])
    assert refusal(path) == "net: lif: gets shapes (3,) and (4,) (from b); what is added must have one shape"


def test_many_paths_are_refused_not_counted_out(tmp_path: Path) -> None:
    nodes, edges = chain()
    edges = [("lif", "output")]
    last = "affine"
    for i in range(40):
        for side in "ab":
            nodes[f"{side}{i}"] = ("Linear", {"weight": np.eye(3)})
        nodes[f"c{i}"] = ("Linear", {"weight": np.eye(3)})
        edges += [(last, f"a{i}"), (last, f"b{i}"), (f"a{i}", f"c{i}"), (f"b{i}", f"c{i}")]
        last = f"c{i}"
    edges += [("input", "affine"), (last, "lif")]
    assert refusal(write(tmp_path / "net.nir", nodes, edges)) == (
        "net: lif: more than 4096 paths of operators lead to it; merge branches"
    )


def test_links_and_foreign_data_are_refused(tmp_path: Path) -> None:
    other = write(tmp_path / "other.nir", *chain())
    path = changed(tmp_path)
    with h5py.File(path, "a") as file:
        del file["node/nodes/affine/weight"]
        file["node/nodes/affine/weight"] = h5py.ExternalLink(str(other), "node/nodes/affine/weight")
        file["node/nodes/again"] = h5py.SoftLink("/node/nodes/lif")
    assert refusal(path).splitlines() == [
        f"{path}: /node/nodes/affine/weight: a ExternalLink; only data inside of the file is read",
        f"{path}: /node/nodes/again: a SoftLink; only data inside of the file is read",
    ]


def test_a_group_that_contains_itself_ends(tmp_path: Path) -> None:
    path = changed(tmp_path)
    with h5py.File(path, "a") as file:
        file["node/nodes/self"] = file["node"]
    assert "the same group as /node; a graph must not contain itself" in refusal(path)


def test_a_huge_shape_takes_no_memory(tmp_path: Path) -> None:
    path = changed(tmp_path)
    with h5py.File(path, "a") as file:
        del file["node/nodes/affine/weight"]
        file["node/nodes/affine"].create_dataset("weight", (1 << 20, 1 << 20), dtype="f4", chunks=(1024, 1024))
    assert "affine/weight: shape (1048576, 1048576) needs" in refusal(path)


def test_damaged_and_foreign_files(tmp_path: Path) -> None:
    path = changed(tmp_path)
    whole = path.read_bytes()
    for n in (0, 8, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:n])
        assert str(path) in refusal(path)
    path.write_text("not a graph")
    assert refusal(path) == f"{path}: not an HDF5 file, so not a NIR file"
    assert "no such file" in refusal(tmp_path / "absent.nir")
    assert refusal(tmp_path) == f"{tmp_path}: not a file but a folder"
    write(path, *chain(), version="99.0")
    assert refusal(path) == f"{path}: version: found '99.0', readable are 0.1 to 1.x"


# ----------------------------------------------------------------------------------- time, presets, metadata


def test_a_missing_time_step_lists_what_can_be_seen(tmp_path: Path) -> None:
    nodes, edges = chain(lif=lif(tau=ONES3 * 0.01, r=ONES3 * 100))
    path = write(tmp_path / "net.nir", nodes, edges)
    assert refusal(path, NirOptions()) == (
        "net: the file names no time step; candidates: tau / r = 0.0001 for all neurons; say it with --set dt=..., "
        "or --from with the tool that wrote the file (nir, norse, norse-head, snntorch, sinabs, spikingjelly, "
        "rockpool, spyx, hxtorch, lava, nengo)"
    )
    assert read_nir(path, NirOptions(preset="lava")).timestep_s == 1e-4
    assert refusal(path, NirOptions(preset="norse")).endswith("for all neurons; say it with --set dt=...")


def test_options_win_over_metadata_over_presets(tmp_path: Path) -> None:
    path = changed(tmp_path)
    net = read_nir(path, NirOptions(preset="sinabs", discretisation=Discretisation(threshold=">")))
    p = net.population("lif")
    assert (p.reset, p.fires_at_threshold, p.multi_spike) == ("value", False, True)  # metadata, option, preset
    assert "reset = value (default)" not in net.assumptions
    assert "threshold = > (option)" in net.assumptions
    assert "multi_spike = on (preset sinabs)" in net.assumptions


def test_presets_and_options_that_do_not_exist(tmp_path: Path) -> None:
    told = refusal(changed(tmp_path), NirOptions(preset="brian"), ConfigError)
    assert told.startswith("--from brian: no such preset, possible are nir, norse, ")
    with pytest.raises(ConfigError, match="reset: found 'soft', possible are value, subtract"):
        Discretisation(reset="soft")  # type: ignore[arg-type]


def test_metadata_of_ours_is_checked(tmp_path: Path) -> None:
    nodes, edges = chain()
    for key, value, message in (
        ("n_steps", -3, "metadata/seamount/n_steps: found -3, possible are whole numbers 1 to 1048576"),
        ("input_bits", 99, "metadata/seamount/input_bits: found 99, possible are whole numbers 0 to 16"),
        ("readout", "ghost", "net: readout 'ghost' is not there, possible are lif, output"),
        ("readout", np.array([1, 2]), "metadata/seamount/readout: a ndarray, possible are texts"),
        ("readout_quantity", 3, "metadata/seamount/readout_quantity: a int, possible are texts"),
    ):
        path = write(tmp_path / "net.nir", nodes, edges, metadata={**METADATA, "seamount": {key: value}})
        assert refusal(path) == message
    path = write(tmp_path / "net.nir", nodes, edges, metadata={"quantised": {"scale": {"lif": float("nan")}}})
    assert refusal(path) == "metadata/quantised/scale/lif: found nan, needed is a number above 0"
    path = write(tmp_path / "net.nir", nodes, edges, metadata={"discretization": {"reset": "soft"}})
    assert refusal(path).startswith("metadata/discretization: reset: found 'soft', possible are value, subtract")


# ------------------------------------------------------------------------------------------------- presets


def braille_like(s: float = 1.0) -> dict[str, tuple[str, dict[str, Any]]]:
    cuba = {"tau_syn": 0.002 * s, "tau_mem": 0.004 * s, "r": 1.0, "v_leak": 0.0, "v_threshold": 1.0}
    return chain(lif=("CubaLIF", {**cuba, "w_in": 1.0}))[0]


def run_by_hand(a_s: float, a_m: float, gain_in: float, decayed: bool, x: np.ndarray) -> np.ndarray:
    i = v = np.zeros(3)
    spikes = []
    for drive in x:
        i = (1 - a_s) * (i + gain_in * drive) if decayed else (1 - a_s) * i + gain_in * drive
        v = (1 - a_m) * v + a_m * i
        spikes.append(v > 1)
        v = np.where(v > 1, 0, v)
    return np.array(spikes)


@pytest.mark.parametrize(
    ("preset", "dt", "a_s", "a_m", "gain", "decayed"),
    [
        ("nir", 1e-3, 0.5, 0.25, 0.5, False),
        ("norse-head", 1e-3, 0.5, 0.25, 1.0, False),
        ("nengo", 1e-3, 1 - np.exp(-0.5), 1 - np.exp(-0.25), 1 - np.exp(-0.5), False),
    ],
)
def test_a_preset_steps_as_its_tool_does(
    tmp_path: Path, preset: str, dt: float, a_s: float, a_m: float, gain: float, decayed: bool
) -> None:
    nodes = braille_like()
    path = write(tmp_path / "net.nir", nodes, chain()[1])
    net = read_nir(path, NirOptions(preset=preset, discretisation=Discretisation(dt=dt)))
    x = np.random.default_rng(0).integers(0, 2, (60, 1, 2)).astype(float) * 4
    drive = x[:, 0] @ nodes["affine"][1]["weight"].T + nodes["affine"][1]["bias"]
    expected = run_by_hand(a_s, a_m, gain, decayed, drive)
    assert np.array_equal(run_network(net, x)["lif"].spikes[:, 0] > 0, expected)
    assert expected.sum() > 10


def test_norse_1_1_0_wrote_time_constants_times_dt(tmp_path: Path) -> None:
    path = write(tmp_path / "net.nir", braille_like(1e-3), chain()[1])
    net = read_nir(path, NirOptions(preset="norse", discretisation=Discretisation(dt=1e-3)))
    assert np.allclose([net.population("lif").a_s, net.population("lif").a_m], [0.5, 0.25])


def test_late_and_soft_resets_of_the_interpreter() -> None:
    # v counts 1 a step; threshold 2.5: fires at v = 3
    from compile_networks import network, population

    from seamount.compile.network.network import Connection, NetworkInput, reals

    expected = {
        "value": [1, 2, 0, 1, 2, 0, 1],
        "subtract": [1, 2, 0.5, 1.5, 2.5, 1, 2],
        "subtract-next-step": [1, 2, 3, 1.5, 2.5, 3.5, 2],
        "value-next-step": [1, 2, 3, 0, 1, 2, 3],
    }
    for reset, v in expected.items():
        p = population("p", (1,), v_th=2.5, reset=reset)
        net = network([p], [Connection("c", "x", "p", (Scale(reals(1.0)),))], [NetworkInput("x", (1,))])
        assert run_network(net, np.ones((7, 1, 1)))["p"].v[:, 0, 0].tolist() == v, reset


# ----------------------------------------------------------------------------------------- files of others


@pytest.mark.shared
@pytest.mark.skipif(not CASES.is_dir(), reason="the recorded cases are not beside the checkout")
class TestCases:
    @pytest.mark.parametrize("folder", ["nir_paper_01_lif", "nirtorch_tests"])
    def test_the_single_lif_spikes_as_recorded(self, folder: str) -> None:
        options = NirOptions(preset="norse-head", discretisation=Discretisation(dt=1e-4))
        net = read_nir(CASES / folder / "lif_norse.nir", options)
        recorded = np.loadtxt(CASES / "nir_paper_01_lif" / "lif_norse.csv", delimiter=",")
        trace = run_network(net, recorded[:, 0].reshape(-1, 1, 1))["LIF_1"]
        assert np.flatnonzero(trace.spikes).tolist() == [460, 510, 710, 760]
        assert np.flatnonzero(recorded[:, 2]).tolist() == [460, 510, 710, 760]

    def test_the_cnn_classifies_the_recorded_sample(self) -> None:
        net = read_nir(CASES / "nir_paper_02_cnn" / "cnn_sinabs.nir", NirOptions(preset="norse"))
        raw = np.fromfile(CASES / "nir_paper_02_cnn" / "sample_nmnist.bin", np.uint8).reshape(-1, 5).astype(int)
        t = (raw[:, 2] & 127) << 16 | raw[:, 3] << 8 | raw[:, 4]
        frame = (t - t[0]) // 1000
        x = np.zeros((310, 1, 2, 34, 34))
        kept = frame < 310
        np.add.at(x, (frame[kept], 0, raw[kept, 2] >> 7, raw[kept, 1], raw[kept, 0]), 1)
        counts = run_network(net, x)["IF_12"].spikes.sum((0, 1))
        assert counts.tolist() == [1, 0, 1, 0, 146, 1, 0, 0, 0, 0]

    def test_the_recurrent_graph_loads(self) -> None:
        told = refusal(CASES / "nirtorch_tests" / "braille.nir", NirOptions())
        assert "tau_mem / r = 0.0001 for all neurons, tau_syn / w_in = 0.0001 for all neurons" in told
        net = read_nir(CASES / "nirtorch_tests" / "braille.nir", NirOptions(preset="snntorch"))
        assert {c.name: c.previous for c in net.connections} == {"fc1": False, "lif1.w_rec": True, "fc2": False}
        assert np.allclose(net.population("lif1.lif").gain, 0.1 * 10 * 0.45 * 2.2222222810910086)

    def test_the_rest_loads_or_says_why_not(self) -> None:
        dt = NirOptions(discretisation=Discretisation(dt=1e-4))
        assert (
            "output: the file says shape (1, 1, 1), computed is (1,)"
            in read_nir(CASES / "nir_paper_01_lif" / "lif_rockpool.nir", dt).assumptions
        )
        assert len(read_nir(CASES / "nir_paper_01_lif" / "two_lif_neurons.nir", dt).populations) == 2
        assert refusal(CASES / "nirviz" / "srnn.nir", NirOptions()).splitlines() == [
            f"srnn: {name}: {key} goes down to -1.27593, needed is above 0"
            for name in ("cu1", "cu2")
            for key in ("tau_mem", "tau_syn")
        ] + [str(no_step(read_raw(CASES / "nirviz" / "srnn.nir"), "nir").inside("srnn"))]


@pytest.mark.parametrize("n_steps", [None, 20])
def test_a_bias_in_front_of_a_delay_begins_with_it(tmp_path: Path, n_steps: int | None) -> None:
    """Against the equation: neuron i hears step t - d_i, and nothing before it, not even the bias."""
    bias, delay = np.array([3.0, -2.0, 1.0]), np.array([2, 0, 5])
    weight = np.array([[2.0, 1.0], [4.0, 3.0], [1.0, 5.0]])
    nodes: dict[str, Any] = {
        "input": ("Input", {"shape": np.array([2])}),
        "fc": ("Affine", {"weight": weight, "bias": bias}),
        "delay": ("Delay", {"delay": delay * 1e-3}),
        "if": ("IF", {"r": ONES3 * 1000, "v_threshold": ONES3 * 9.5}),
        "output": ("Output", {"shape": np.array([3])}),
    }
    path = write(tmp_path / "net.nir", nodes, list(itertools.pairwise(nodes)))
    made = compile_graph(path, None, compile_options(settings=["dt=1e-3"], n_steps=n_steps))
    x = np.random.default_rng(0).integers(0, 2, (20, 1, 2))
    v, expected = np.zeros(3), np.zeros((20, 3), int)
    for t in range(20):
        for i, d in enumerate(delay):
            v[i] += weight[i] @ x[t - d, 0] + bias[i] if t >= d else 0.0
        expected[t] = v > 9.5
        v = np.where(expected[t], 0.0, v)
    assert made.source is not None
    assert np.array_equal(run_network(made.source, x.astype(float))["if"].spikes[:, 0], expected)
    assert made.schedule is not None
    first = made.schedule.arrival["if"]
    assert n_steps is None or made.program.arrivals()["if"] == first
    spikes = simulate(made.program, x, n_steps=20 + first, record=("spikes",)).spikes["if"]
    assert np.array_equal(spikes[first:, 0], expected)
    assert 0 < expected.sum() < expected.size
