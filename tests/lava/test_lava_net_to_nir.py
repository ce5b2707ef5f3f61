"""lava-dl's .net files as NIR: compiled again they are the same integers, spike the same, or are refused by name."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
from lava_programs import conv_net, even

from seamount.compile.net.read import NetOptions, read_net
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import ints
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses, Wire
from seamount.compile.to_nir import net_to_nir
from seamount.errors import ConfigError, InputError, Unsupported
from seamount.hardware_targets.lava import write_net
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window

SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "lava"
N_STEPS = 12
NOT_IN_NIR = {
    "netx_conv_rect": "a kernel of (3, 2); nir's type check takes kernels for square",
    "netx_delay_out": "a delay per output or per synapse; NIR's stand on what comes in",
}


def assert_same_runs(program: Program, path: Path, n_samples: int = 3, late: int = 0) -> int:
    """Through a NIR file and the compiler: 0 differing spikes, u and v in every population. Returns the spikes.

    late: steps that the network from NIR may come later.
    """
    nir.write(path, net_to_nir(program))
    assert nir.read(path).nodes, "nir's own reader, with its type check"
    again = compile_graph(path).program
    entry = program.inputs[0]
    rng = np.random.default_rng(len(program.name))
    shape = (2 * N_STEPS, n_samples, *entry.shape)
    x = rng.integers(max(entry.low, -300), min(entry.high, 300) + 1, shape) * (rng.random(shape) < 0.4)
    runs = [simulate(p, x, n_steps=2 * N_STEPS + 6, record=("spikes", "v", "u")) for p in (program, again)]
    for quantity in ("spikes", "v", "u"):
        first, second = (getattr(run, quantity) for run in runs)
        assert first.keys() == second.keys()
        for name, trace in first.items():
            assert np.count_nonzero(trace[: len(trace) - late] != second[name][late:]) == 0, (quantity, name)
    return sum(int(np.count_nonzero(spikes)) for spikes in runs[0].spikes.values())


def lif(**settings: Any) -> Lif:
    return Lif(**{k: ints(v) for k, v in {"du": 1024, "dv": 200, "v_th_mant": 90, **settings}.items()})


def one_layer(neuron: Lif | None = None, **changes: Any) -> Program:
    """Three spiking inputs, four neurons."""
    kind = Dense(even(np.random.default_rng(0), (4, 3)))
    made = Program(
        "one",
        (Input("in", (3,)),),
        (Population("a", (4,), neuron or lif()),),
        (Synapses("a/synapses", "in", "a", kind),),
        Readout("a", "count"),
    )
    synapses = {k: changes.pop(k) for k in ("exponent", "delay", "graded", "kind") if k in changes}
    return made.with_(synapses=(replace(made.synapses[0], **synapses),), **changes)


# ------------------------------------------------------------------------------------------------- the same


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the recorded .net files are not beside the checkout")
@pytest.mark.parametrize("case", sorted(p.stem for p in SHARED.glob("*.net")) or ["none"])
def test_recorded_net_files_come_back_from_nir(case: str, tmp_path: Path) -> None:
    path = SHARED / f"{case}.net"
    program = read_net(path, skip_unknown=True, reset_interval=N_STEPS, reset_offset=1)
    if case in NOT_IN_NIR:
        with pytest.raises(Unsupported) as error:
            net_to_nir(program)
        assert NOT_IN_NIR[case] in str(error.value)
        return
    assert assert_same_runs(program, tmp_path / "a.nir") > 50
    free = read_net(path, skip_unknown=True)
    if not any(np.any(p.neuron.bias_mant) for p in free.populations if isinstance(p.neuron, Lif)):
        assert assert_same_runs(free, tmp_path / "b.nir") > 50


def chain(seed: int) -> Program:
    """A random chain that a .net file can hold: convolution, recurrent and dense layers, every kind of neuron."""
    rng = np.random.default_rng(seed)

    def neuron(shape: tuple[int, ...]) -> Lif:
        per = (*shape[:1], 1, 1) if len(shape) == 3 else shape
        du = [4096, rng.integers(300, 4097), rng.integers(300, 4097, per)][rng.integers(3)]
        dv = 0 if np.all(np.asarray(du) == 4096) and rng.integers(2) else rng.integers(1, 4097, per)
        bias = rng.integers(-10, 30, per) * rng.integers(2)
        return lif(du=du, dv=dv, v_th_mant=rng.integers(20, 200), bias_mant=bias, bias_exp=6)

    groups = int(rng.choice([1, 2]))
    side = int(rng.integers(1, 4))
    kernel = (side, side + 2 * int(rng.integers(2)))
    dilation = (1, int(rng.integers(1, 3)))
    conv = Conv(even(rng, (4, 2 // groups, *kernel)), Window((1, 2), (1, 0), dilation, groups))
    bits = int(rng.choice([0, 4]))
    height = 6 + 2 - (kernel[0] - 1)
    width = (11 - dilation[1] * (kernel[1] - 1) - 1) // 2 + 1
    n = 4 * height * width
    low = int(rng.choice([0, 1]))  # weights of one sign, odd ones among them
    shapes = {"c": (4, height, width), "r": (7,), "out": (5,)}
    resets = {name: Reset(N_STEPS, k + 2) for k, name in enumerate(shapes)}
    first = Synapses("c/synapses", "in", "c", conv, graded=bits > 0, wrap_bits=24)
    return Program(
        f"chain_{seed}",
        (Input("in", (2, 6, 11), bits),),
        tuple(Population(name, shape, neuron(shape), resets[name]) for name, shape in shapes.items()),
        (
            first,
            Synapses("r/synapses", "c", "r", Dense(even(rng, (7, n))), exponent=-1),
            Synapses("r/recurrent", "r", "r", Dense(even(rng, (7, 7))), exponent=-1),
            Synapses("out/synapses", "r", "out", Dense(ints(rng.integers(low, 100, (5, 7))))),
        ),
        Readout("out", "count"),
    )


def test_random_chains_come_back_through_net_and_nir(tmp_path: Path) -> None:
    refused: list[str] = []
    n_spikes = 0
    for seed in range(16):
        written = write_net(chain(seed), tmp_path / f"{seed}.net")
        options = {key: value for key, value in written.arguments.items() if key.startswith("reset")}
        bits = {"input_bits": 4} if chain(seed).inputs[0].bits else {}
        program = read_net(written.path, **options, **bits)
        try:
            graph = net_to_nir(program)
        except Unsupported as error:
            refused.append(str(error))
            continue
        assert isinstance(graph.nodes["layer1_synapses"], nir.Conv2d)
        n_spikes += assert_same_runs(program, tmp_path / "again.nir", n_samples=1)
    assert all("its bias alone makes it fire before its first input is there" in text for text in refused)
    assert len(refused) < 8
    assert n_spikes > 1000


def test_the_numbers_are_those_of_slayer() -> None:
    program = one_layer(lif(du=1024, dv=256, v_th_mant=96))
    graph = net_to_nir(program)
    neuron, weights = graph.nodes["a"], graph.nodes["a_synapses"]
    assert isinstance(neuron, nir.CubaLIF)
    # 1024 / 4096: tau_syn is four steps of 0.1 ms; 256 / 4096: tau_mem is 16; 96 / 64 = 1.5
    assert neuron.tau_syn.tolist() == [4e-4] * 4
    assert neuron.tau_mem.tolist() == [16e-4] * 4
    assert (neuron.w_in[0], neuron.r[0], neuron.v_threshold[0], neuron.v_leak[0]) == (4, 16, 1.5, 0)
    kind = program.synapses[0].kind
    assert isinstance(kind, Dense)
    assert np.array_equal(weights.weight, kind.weights / 64)
    assert graph.metadata["quantised"]["scale"] == {"a": 64.0}


@pytest.mark.parametrize(
    ("neuron", "node"),
    [
        (lif(du=4096), nir.LIF),
        (lif(du=4096, dv=0), nir.IF),
        (lif(du=4096, dv=0, v_th_mant=NEVER_FIRES), nir.I),
        (lif(du=4096, v_th_mant=2 * NEVER_FIRES), nir.LI),
        (lif(v_th_mant=NEVER_FIRES), nir.CubaLI),
        (lif(du=[4096, 1, 2, 3], dv=[1, 4096, 2, 3], v_th_mant=[1, 2, 3, NEVER_FIRES - 1]), nir.CubaLIF),
    ],
)
def test_every_kind_of_neuron_has_its_node(neuron: Lif, node: type, tmp_path: Path) -> None:
    program = one_layer(neuron)
    assert isinstance(net_to_nir(program).nodes["a"], node)
    assert_same_runs(program, tmp_path / "a.nir")


@pytest.mark.parametrize("neuron", [lif(du=4096), lif(du=4096, dv=0), lif(), lif(du=4096, v_th_mant=NEVER_FIRES)])
def test_a_bias_acts_on_v_alone(neuron: Lif, tmp_path: Path) -> None:
    biased = replace(neuron, bias_mant=ints([5, -3, 0, 77]), bias_exp=ints(6))
    program = one_layer(biased)
    program = program.with_(populations=(replace(program.populations[0], reset=Reset(N_STEPS, 2)),))
    graph = net_to_nir(program)
    assert isinstance(graph.nodes["a_synapses"], nir.Affine) is bool(np.all(neuron.du == 4096))
    assert compile_graph(graph).program.n_steps == N_STEPS
    assert_same_runs(program, tmp_path / "a.nir")


def test_weights_from_neuron_to_neuron_and_delays_of_the_inputs(tmp_path: Path) -> None:
    assert assert_same_runs(
        one_layer(kind=OneToOne(ints(50)), populations=(Population("a", (3,), lif()),)), tmp_path / "a"
    )
    delay = ints(np.broadcast_to([0, 3, 62], (4, 3)))
    program = one_layer(delay=delay)
    assert isinstance(net_to_nir(program).nodes["a_synapses_delay"], nir.Delay)
    assert assert_same_runs(program, tmp_path / "b")


def test_an_input_that_drives_neurons_comes_a_step_later(tmp_path: Path) -> None:
    wired = one_layer(inputs=(Input("in", (4,), 24, signed=True),), kind=Wire(), **population(reset=Reset(8, 1)))
    program = wired.with_(
        populations=(*wired.populations, Population("b", (3,), lif(), Reset(8, 2))),
        synapses=(*wired.synapses, Synapses("b/synapses", "a", "b", Dense(even(np.random.default_rng(0), (3, 4))))),
    )
    assert net_to_nir(program).metadata["seamount"]["input_scale"] == 64
    assert assert_same_runs(program, tmp_path / "a.nir", late=1) > 20


def test_a_compiled_program_goes_the_same_way(tmp_path: Path) -> None:
    program = conv_net(N_STEPS)
    assert isinstance(net_to_nir(program).nodes["c2-out_flatten"], nir.Flatten)
    assert_same_runs(program, tmp_path / "a.nir", n_samples=2)


# ------------------------------------------------------------------------------------------------- refused


def population(**changes: Any) -> dict[str, Any]:
    return {"populations": (replace(Population("a", (4,), lif()), **changes),)}


BIASED = lif(bias_mant=3, bias_exp=6)


@pytest.mark.parametrize(
    ("program", "message"),
    [
        (one_layer(lif(du=0)), "a: a current that never decays (iDecay 0) has no time constant"),
        (one_layer(lif(dv=0)), "a: a membrane that never decays (vDecay 0) has no time constant"),
        (one_layer(lif(du=4096, dv=[0, 0, 1, 1])), "a: a membrane that never decays"),
        (one_layer(lif(du=4097)), "a: du 4097 to 4097; a time constant can say 1 to 4096"),
        (one_layer(lif(v_th_mant=0)), "a: threshold 0, not above the reset"),
        (one_layer(lif(v_th_mant=[1, 1, 1, NEVER_FIRES])), "a: some of its neurons never fire"),
        (one_layer(lif(u_init=1)), "a: an initial state other than 0"),
        (one_layer(replace(lif(), refractory_steps=2)), "a: a refractory period; NIR has none"),
        (one_layer(replace(lif(), v_floor=ints(0))), "a: a floor of v; NIR has none"),
        (one_layer(BIASED), "a: its bias acts before its first input is there"),
        (
            one_layer(**population(neuron=TernaryLif(ints(1), ints(1), ints(5), ints(-5)))),
            "a: ternary neurons; NIR has none",
        ),
        (
            one_layer(**population(neuron=Delta(ints(1)))),
            "a: Delta neurons; NIR has none, program and .net files hold them",
        ),
        (
            one_layer(**population(neuron=SigmaDelta(ints(1)))),
            "a: SigmaDelta neurons; NIR has none, program and .net files hold them",
        ),
        (one_layer(**population(neuron=Sigma())), "a: Sigma neurons; NIR has none, program and .net files hold them"),
        (
            one_layer(**population(neuron=GradedVec(ints(1)))),
            "a: GradedVec neurons; NIR has none, program files hold them",
        ),
        (one_layer(**population(reset=Reset(8, 1))), "resets a every 8 steps + 1 are not those at which a sample"),
        (one_layer(**population(reset=Reset(8, 2)), n_steps=6), "samples of 6 steps, but resets a every 8 steps + 2"),
        (one_layer(exponent=-3), "a/synapses: its sums are floored (exponent -3); NIR's are not"),
        (one_layer(graded=True), "a/synapses: multiplies by the payload"),
        (one_layer(inputs=(Input("in", (3,), 8),)), "a/synapses: counts any payload as one spike"),
        (one_layer(inputs=(Input("in", (3,), 24),)), "in: an input of 24 bits, possible are 16"),
        (one_layer(delay=ints(2)), "a/synapses: at least 2 steps of delay everywhere"),
        (
            one_layer(delay=ints(np.broadcast_to([[0], [1], [2], [3]], (4, 3)))),
            "a/synapses: a delay per output or per synapse",
        ),
        (
            one_layer(kind=Dense(ints(np.full((4, 3), 257)))),
            "the compiler would not read it back from NIR: a_synapses",
        ),
        (
            one_layer(
                lif(),
                populations=(Population("a", (4,), replace(BIASED, bias_mant=ints(5001)), Reset(9, 2)),),
            ),
            "the compiler would not read it back from NIR: a: bias",
        ),
    ],
)
def test_what_nir_cannot_say_is_refused_by_name(program: Program, message: str) -> None:
    with pytest.raises(Unsupported) as error:
        net_to_nir(program)
    assert message in str(error.value)


def test_all_that_is_wrong_is_told_at_once() -> None:
    with pytest.raises(Unsupported) as error:
        net_to_nir(one_layer(lif(du=0, dv=0), exponent=-2))
    assert [line.split(":")[0].strip() for line in str(error.value).splitlines()] == ["one", "a", "a", "a/synapses"]


def test_a_layer_that_listens_to_one_that_never_fires_is_refused() -> None:
    silent = one_layer(lif(v_th_mant=NEVER_FIRES))
    program = silent.with_(
        populations=(*silent.populations, Population("b", (4,), lif())),
        synapses=(*silent.synapses, Synapses("b/synapses", "a", "b", OneToOne(ints(2)))),
        readout=Readout("b", "count"),
    )
    with pytest.raises(Unsupported, match="a: never fires, but others listen to it"):
        net_to_nir(program)


def test_neurons_that_drive_neurons_without_a_synapse_are_refused() -> None:
    first = one_layer()
    program = first.with_(
        populations=(*first.populations, Population("b", (4,), lif())),
        synapses=(*first.synapses, Synapses("b/wire", "a", "b", Wire())),
    )
    with pytest.raises(Unsupported, match="b/wire: drives neurons without a synapse"):
        net_to_nir(program)


# ------------------------------------------------------------------------------------------------- settings


def test_compiling_a_net_file_takes_its_own_settings_only(tmp_path: Path) -> None:
    path = write_net(one_layer(), tmp_path / "a.net").path
    options = CompileOptions(net=NetOptions(reset_interval=N_STEPS, reset_offset=1))
    assert compile_graph(path, None, options).program.populations[0].reset == Reset(N_STEPS, 2)
    with pytest.raises(ConfigError, match=r"a \.net file holds integers in known steps already"):
        compile_graph(path, None, CompileOptions(scales={"layer1": 3.0}))
    with pytest.raises(ConfigError, match=r"reset_interval, reset_offset: only a \.net file is read so"):
        compile_graph(net_to_nir(one_layer()), None, options)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_layers": 0}, "layers 0 to 0, counts from 0 on are possible"),
        ({"skip_layers": -1}, "layers -1 to None"),
        ({"input_shape": (0, 3, 3)}, "input shape (0, 3, 3), (C, H, W) of at least 1 is possible"),
    ],
)
def test_settings_that_mean_nothing_are_refused(settings: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = write_net(one_layer(), tmp_path / "a.net").path
    with pytest.raises(InputError) as error:
        read_net(path, **settings)
    assert message in str(error.value)
