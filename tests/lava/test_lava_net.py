"""lava-dl's .net files: read as netx reads them, written so that netx reads them back."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from lava_fuzz import fuzz
from lava_programs import conv_net, even, lif, random_inputs, residual_net

from seamount.compile.net.read import read_net
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.rf import Rf
from seamount.compile.numbers import ints
from seamount.compile.options import compile_options
from seamount.compile.pipeline import compile_graph
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses, Wire
from seamount.compile.to_nir import net_to_nir
from seamount.errors import InputError, Unsupported
from seamount.hardware_targets.lava import lava_status, write_net
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window
from tests.vectors.lava import Outcome, check_case, implementations
from tests.vectors.netx import RECORDED, Recorded, compared, installed, net_file, net_of, run

NETS = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "lava_nets"
SHARED = Path(__file__).resolve().parents[2] / ".." / "shared" / "golden" / "lava"
STATUS = lava_status(try_it=False)
RECORD = ("spikes", "v", "u")


def dense_file(path: Path, weights: Any, **extra: Any) -> Path:
    """A .net file with one dense layer of LIF neurons."""
    weights = np.asarray(weights, np.float32)
    with h5py.File(path, "w") as file:
        layer = file.create_group("layer/0")
        layer["type"] = np.array([b"dense"], "S10")
        layer["shape"] = np.array([weights.shape[0]])
        layer["weight"] = weights
        for key, value in {"type": "LOIHI", "iDecay": 1024, "vDecay": 128, "vThMant": 80}.items():
            layer[f"neuron/{key}"] = value
        for key, value in extra.items():
            if key in layer:
                del layer[key]
            layer[key] = value
    return path


# ------------------------------------------------------------------------------------------------- reading


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the recorded vectors are not beside the checkout")
@pytest.mark.parametrize("case", sorted(p.stem for p in SHARED.glob("netx_*.npz")) or ["none"])
def test_recorded_netx_runs_are_reproduced(case: str) -> None:
    outcome = check_case(SHARED / f"{case}.npz", implementations())
    assert (outcome.n_differing, outcome.refused) == (0, "")
    assert outcome.n_compared > 1000


def test_a_minimum_of_minus_128_alone_becomes_minus_126_as_in_lava(tmp_path: Path) -> None:
    program = read_net(dense_file(tmp_path / "a.net", [[-128, -2], [-64, -32]]))
    synapses = program.synapses[0]
    assert isinstance(synapses.kind, Dense)
    assert (synapses.kind.weights / 2.0**-synapses.exponent).tolist() == [[-126, -2], [-64, -32]]
    assert program.provenance["layer0"] == "1 of 4 weights change on the chip's grid, as they do in lava-dl and Lava"


def test_odd_weights_keep_their_value_by_an_exponent(tmp_path: Path) -> None:
    synapses = read_net(dense_file(tmp_path / "a.net", [[5, -7], [1, 0]])).synapses[0]
    assert isinstance(synapses.kind, Dense)
    # 127/5 = 25 and 128/7 = 18: 2**4 times, and once more because signs take a bit
    assert (synapses.kind.weights.tolist(), synapses.exponent) == ([[160, -224], [32, 0]], -5)


def test_what_lava_dl_does_to_values_is_done_and_told(tmp_path: Path) -> None:
    zero = read_net(dense_file(tmp_path / "a.net", [[0, 0]]))
    assert zero.provenance["layer0"] == "all weights are 0; lava-dl's loader fails on such a layer"
    odd = read_net(dense_file(tmp_path / "b.net", [[300.5, -2.7]], delay=np.float32([70]), **{"neuron/refDelay": 3}))
    assert odd.provenance["layer0"].split("; ") == [
        "neuron/refDelay 3 is ignored, as lava-dl does",
        "delays beyond 62 are clipped to it, as lava-dl does",
        "2 fractional weights are truncated towards zero, as lava-dl does",
        "weights -2 to 300 are clipped to -256 to 254, as lava-dl does",
    ]
    assert odd.synapses[0].delay.max() == 62


def alif(path: Path) -> None:
    dense_file(path, [[1]], **{"neuron/type": "ALIF"})


def adaptive(path: Path) -> None:
    complex_weights(path, **{"neuron/type": "ADRF_PHASE"})


def biased_sigma(path: Path) -> None:
    dense_file(path, [[1]], bias=np.float32([1]), **{"neuron/type": "SDNN", "neuron/sigma_output": True})


def many_thresholds(path: Path) -> None:
    dense_file(path, [[1]], **{"neuron/type": "SDNN", "neuron/vThMant": np.array([1, 2])})


def wide_messages(path: Path) -> None:
    dense_file(path, [[1]], **{"neuron/type": "SDNN", "neuron/vThMant": 1, "neuron/messageBits": 25})


def wide_threshold(path: Path) -> None:
    dense_file(path, [[1]], **{"neuron/type": "SDNN", "neuron/vThMant": 1 << 20})


def concat(path: Path) -> None:
    dense_file(path, [[1]], type=np.array([b"concat"], "S10"))


def unknown(path: Path) -> None:
    dense_file(path, [[1]], type=np.array([b"batchnorm"], "S10"))


RESONATOR = {"neuron/type": "RF_PHASE", "neuron/sinDecay": 1500, "neuron/cosDecay": 3500}


def resonate(path: Path) -> None:
    dense_file(path, [[1]], **RESONATOR)


def half_complex(path: Path) -> None:
    complex_weights(path, **RESONATOR)
    with h5py.File(path, "a") as file:
        del file["layer/0/weight/real"]


def growing(path: Path) -> None:
    complex_weights(path, **RESONATOR | {"neuron/sinDecay": 4096})


def complex_weights(path: Path, **extra: Any) -> None:
    dense_file(path, [[1]], **extra)
    with h5py.File(path, "a") as file:
        del file["layer/0/weight"]
        file["layer/0/weight/real"] = file["layer/0/weight/imag"] = np.ones((1, 1))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (alif, "layer/0/neuron/type: neuron 'ALIF', which lava-dl does not know"),
        (adaptive, "layer/0/neuron/type: neuron 'ADRF_PHASE', which lava-dl would run without its adaptation"),
        (biased_sigma, "layer/0/bias: a bias in front of sigma_output; lava-dl's loader fails"),
        (many_thresholds, "layer/0/neuron/vThMant: shape (2,), one number is expected"),
        (wide_messages, "layer/0/neuron/messageBits: 25 found, 0 to 24 are possible"),
        (wide_threshold, "layer/0/neuron/vThMant: 1048576 found, 0 to 2047 are possible"),
        (resonate, "layer/0/weight/real: is missing"),
        (half_complex, "layer/0/weight/real: is missing"),
        (growing, "layer/0/neuron: sinDecay 4096 and cosDecay 3500, a state that grows of itself"),
        (concat, "layer/0: layer type 'concat': concatenation is not in lava-dl's loader"),
        (unknown, "layer/0: layer type 'batchnorm' is unknown; lava-dl leaves such layers out without a word"),
        (
            complex_weights,
            "layer/0: complex weights, but neurons without a complex state, RF and RF_IZ neurons take them",
        ),
    ],
)
def test_what_cannot_be_carried_over_is_refused_by_name(
    make: Callable[[Path], None], message: str, tmp_path: Path
) -> None:
    make(tmp_path / "a.net")
    with pytest.raises((InputError, Unsupported)) as error:
        read_net(tmp_path / "a.net")
    assert message in str(error.value)


def test_a_resonator_turns_the_other_way_where_its_sine_is_negative(tmp_path: Path) -> None:
    found = []
    for sign in (1, -1):
        complex_weights(tmp_path / "a.net", **RESONATOR | {"neuron/sinDecay": sign * 1500})
        neuron = read_net(tmp_path / "a.net").populations[0].neuron
        assert isinstance(neuron, Rf)
        found.append((int(neuron.sin_decay), int(neuron.cos_decay)))
    assert found == [(1500, 3500), (-1500, 3500)]


def test_graded_spikes_of_resonators_are_told_to_be_of_1(tmp_path: Path) -> None:
    complex_weights(tmp_path / "a.net", **RESONATOR | {"neuron/gradedSpike": True})
    told = read_net(tmp_path / "a.net").provenance["layer0"]
    assert told == "its graded spikes are spikes of 1, as Lava sends them whatever it is told"


@pytest.mark.parametrize("cos", [4096, 3500, 0, -4000])
def test_a_resonator_that_only_decays_is_taken_as_lava_does(cos: int, tmp_path: Path) -> None:
    complex_weights(tmp_path / "a.net", **RESONATOR | {"neuron/sinDecay": 0, "neuron/cosDecay": cos})
    (population,) = read_net(tmp_path / "a.net").populations
    assert isinstance(population.neuron, Rf)
    assert (int(population.neuron.sin_decay), int(population.neuron.cos_decay)) == (0, cos)


@pytest.mark.parametrize("key", ["weight", "bias"])
def test_an_input_layer_has_one_weight_and_one_bias(key: str, tmp_path: Path) -> None:
    path = net_file(tmp_path / "a.net", {"type": "input", "shape": [2], key: np.array([1.0, 2.0]), **NEURON})
    with pytest.raises(InputError, match=rf"layer/0/{key}: shape \(2,\), one number is expected$"):
        read_net(path)


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ({"weight": np.float32([[np.nan]])}, "weight: holds NaN or infinity"),
        ({"weight": np.array([[b"x"]], "S1")}, "weight: numbers are expected here, found |S1"),
        ({"weight": np.ones((3, 2))}, "weight: shape (3, 2), (1, inputs) is possible"),
        ({"shape": np.array([0])}, "shape: (0,) is not a shape that can be run"),
        ({"delay": np.float32([-3])}, "delay: -3 found, 0 to 62 are possible"),
        ({"delay": np.float32([1, 2, 3])}, "delay: shape (3,), (1,), (1,) or (1, 1) are possible"),
        ({"neuron/vThMant": 0.5}, "neuron/vThMant: 0.5 found, whole numbers are possible"),
        ({"neuron/iDecay": np.ones(4)}, "neuron/iDecay: shape (4,) does not fit neurons of shape (1,)"),
        ({"bias": np.ones(2)}, "bias: shape (2,) does not fit neurons of shape (1,)"),
        ({"weight": np.float64([[1e12]])}, "weight: holds 1000000000000.0 to 1000000000000.0, which are no 32-bit"),
    ],
)
def test_bad_values_are_refused_with_their_key(extra: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = dense_file(tmp_path / "a.net", [[1]], **extra)
    with pytest.raises(InputError) as error:
        read_net(path)
    assert str(error.value).startswith(f"{path}/layer/0/{message}")


@pytest.mark.parametrize("link", [h5py.SoftLink("/elsewhere"), h5py.ExternalLink("/etc/passwd", "/x")])
def test_links_are_not_followed(link: Any, tmp_path: Path) -> None:
    path = dense_file(tmp_path / "a.net", [[1]], weight=link)
    with pytest.raises(InputError) as error:
        read_net(path)
    told = f"{path}: /layer/0/weight: a {type(link).__name__}; only data inside of the file is read"
    assert str(error.value) == told


def test_files_that_are_no_net_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.net"
    with pytest.raises(InputError, match=r"a\.net: no such file$"):
        read_net(path)
    path.write_bytes(b"not HDF5")
    with pytest.raises(InputError, match=r"a\.net: not an HDF5 file, or damaged"):
        read_net(path)
    with h5py.File(path, "w") as file:
        file["node"] = 1
    with pytest.raises(InputError, match=r"a\.net: no group 'layer'; not a \.net file of lava-dl$"):
        read_net(path)
    with h5py.File(path, "w") as file:
        file.create_group("layer/1")
    with pytest.raises(InputError, match=r"layers are numbered from 0, and layer/0 is missing$"):
        read_net(path)
    with h5py.File(path, "w") as file:  # four terabytes of nothing
        file.create_dataset("layer/0/type", data=np.array([b"dense"], "S10"))
        file["layer/0/shape"] = [1]
        file.create_dataset("layer/0/weight", (1, 1 << 40), "f4", chunks=(1, 1024), compression="gzip")
    with pytest.raises(InputError, match=r"layer/0/weight: shape \(1, 1099511627776\) needs"):
        read_net(path)


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.exists(), reason="the recorded vectors are not beside the checkout")
def test_damaged_files_are_refused_and_never_crash(tmp_path: Path) -> None:
    done = fuzz([p.read_bytes() for p in sorted(SHARED.glob("*.net"))], 120, 0, tmp_path)
    assert done.n_refused > 30
    assert done.slowest_s < 10


# ----------------------------------------------------------------------- layers that slayer writes and netx lacks


NEURON = {"neuron/type": "CUBA", "neuron/iDecay": 4096, "neuron/vDecay": 4096, "neuron/vThMant": 10}


def test_average_counts_the_spikes_of_each_class(tmp_path: Path) -> None:
    dense = {"type": "dense", "shape": [6], "weight": 20 * np.eye(6), **NEURON}
    path = net_file(tmp_path / "a.net", dense, {"type": "average", "shape": [3, 1, 1]})
    program = read_net(path, n_steps=5)
    x = np.random.default_rng(0).integers(0, 2, (5, 4, 6))
    activity = simulate(program, x)
    groups = x.sum(axis=0).reshape(4, 3, 2).sum(axis=2)
    assert program.readout == Readout("layer1", "v")
    assert activity.readout is not None
    assert np.array_equal(activity.readout.reshape(4, 3), 64 * groups)
    assert activity.predictions().tolist() == groups.argmax(axis=1).tolist()


@pytest.mark.parametrize(("height", "width", "kernel"), [(3, 5, 2), (1, 2, 2), (6, 8, 4), (4, 6, 2)])
def test_a_pool_over_a_map_that_its_windows_do_not_fill_has_zeros_at_the_end(
    height: int, width: int, kernel: int, tmp_path: Path
) -> None:
    """As slayer's Pool, which exports the shape that they make."""
    ends = [n + n % kernel for n in (height, width)]
    padded = np.zeros((2, *ends), np.int64)
    padded[:, :height, :width] = np.random.default_rng(0).integers(0, 2, (2, height, width))
    sums = padded.reshape(2, ends[0] // kernel, kernel, ends[1] // kernel, kernel).sum((2, 4))
    pool = {"type": "pool", "shape": list(sums.shape), "weight": 3, "kernelSize": [kernel, kernel], "stride": kernel}
    program = read_net(
        net_file(tmp_path / "a.net", pool | {"padding": 0, "dilation": 1, **NEURON}), input_shape=(2, height, width)
    )
    found = simulate(program, padded[None, None, :, :height, :width], n_steps=2, record=("u",))
    assert np.array_equal(found.u["layer0"][1, 0], 64 * 3 * sums)


@pytest.mark.parametrize(
    ("layers", "message"),
    [
        (({"type": "average", "shape": [3]},), "layer/0: nothing before it that could be averaged"),
        (
            ({"type": "dense", "shape": [4], "weight": np.eye(4), **NEURON}, {"type": "average", "shape": [3]}),
            "layer/1: layer0 has 4 neurons, which 3 groups cannot share equally",
        ),
        (
            ({"type": "pool", "shape": [1, 2, 2], "weight": np.ones(3), "kernelSize": [2, 2], **NEURON},),
            "layer/0/weight: shape (3,), one kernel of 2 x 2 is possible",
        ),
    ],
)
def test_layers_that_do_not_fit_are_refused(layers: tuple[dict[str, Any], ...], message: str, tmp_path: Path) -> None:
    with pytest.raises(InputError) as error:
        read_net(net_file(tmp_path / "a.net", *layers), input_shape=(1, 4, 4))
    assert str(error.value) == f"{tmp_path}/a.net/{message}"


def test_a_mean_of_graded_messages_is_refused(tmp_path: Path) -> None:
    changes = {"neuron/type": "SDNN", "neuron/vThMant": 1}
    dense = {"type": "dense", "shape": [4], "weight": np.eye(4), **changes}
    with pytest.raises(Unsupported, match="layer/1: a mean of graded messages; slayer's is one of spikes"):
        read_net(net_file(tmp_path / "a.net", dense, {"type": "average", "shape": [2]}))


SDNN_INPUT = {"type": "input", "shape": [4], "neuron/type": "SDNN", "neuron/vThMant": 5}
COMPLEX = {
    "type": "dense",
    "shape": [2],
    "weight/real": np.ones((2, 4)),
    "weight/imag": np.ones((2, 4)),
    "neuron/type": "RF_PHASE",
    "neuron/vThMant": 5,
    "neuron/sinDecay": 300,
    "neuron/cosDecay": 3000,
}


@pytest.mark.parametrize(
    ("layer", "changes", "message"),
    [
        (SDNN_INPUT, {"neuron/vThMant": -1}, "neuron/vThMant: -1 found, 0 to 2047 are possible"),
        (SDNN_INPUT, {"neuron/vThMant": 2048}, "neuron/vThMant: 2048 found, 0 to 2047 are possible"),
        (SDNN_INPUT, {"neuron/messageBits": 25}, "neuron/messageBits: 25 found, 0 to 24 are possible"),
        (COMPLEX, {"neuron/vThMant": 0}, "neuron/vThMant: 0 found, 1 to 131071 are possible"),
        (
            COMPLEX,
            {"neuron/sinDecay": 5000},
            "neuron: sinDecay 5000 and cosDecay 3000, a state that grows of itself, a sum of their squares up to "
            "4096**2 is possible",
        ),
        (COMPLEX, {"weight/imag": None}, "weight/imag: is missing"),
        (COMPLEX, {"weight/real": None}, "weight/real: is missing"),
        (
            COMPLEX,
            {"weight/imag": np.ones((2, 3))},
            "weight/imag: shape (2, 3), (2, 4), that of weight/real, is possible",
        ),
    ],
)
def test_values_of_graded_layers_that_are_not_possible_are_refused_by_key(
    layer: dict[str, Any], changes: dict[str, Any], message: str
) -> None:
    changed = {key: value for key, value in {**layer, **changes}.items() if value is not None}
    with pytest.raises(InputError) as error:
        net_of(changed)
    assert str(error.value).endswith(f"block.net/layer/0/{message}")


def test_recurrent_is_the_older_name_of_dense_rec(tmp_path: Path) -> None:
    layer = {"shape": [3], "weight": 20 * np.eye(3), "weight_rec": 4 * np.ones((3, 3)), **NEURON}
    old, new = (
        read_net(net_file(tmp_path / f"{kind}.net", {"type": kind, **layer})) for kind in ("recurrent", "dense_rec")
    )
    assert str(old).splitlines()[1:] == str(new).splitlines()[1:]
    assert len(old.synapses) == 2


def test_another_input_scale_names_the_scale_to_change(tmp_path: Path) -> None:
    entry = {"type": "input", "shape": [3], "weight": np.array([64.0]), **NEURON}
    dense = {"type": "dense", "shape": [3], "weight": 20 * np.eye(3), **NEURON}
    program = read_net(net_file(tmp_path / "a.net", entry, dense), n_steps=8, reset_interval=8)
    graph = net_to_nir(program)
    assert compile_graph(graph).program.n_steps == 8
    with pytest.raises(InputError, match=r"give it another with --set scale\.layer0=NUMBER"):
        compile_graph(graph, None, compile_options(settings=["input_scale=100"]))


# --------------------------------------------------------------------- networks that lava-dl brings along


@pytest.mark.parametrize("recorded", RECORDED, ids=lambda recorded: recorded.test)
def test_what_lava_dl_recorded_is_given_in_every_value(recorded: Recorded) -> None:
    folder = installed()
    if folder is None:
        pytest.skip(
            "lava-dl is not installed, or without its tests; they bring networks with their recorded activity"
        )
    (row,) = compared(folder, [recorded])
    assert row.differing == 0
    assert row.compared > 8


WHOLE = {"user_sdnn": 28_737, "pilotnet_sdnn_gts_lava": 43_131, "pool_0_slayer": 74_640, "pool_1_slayer": 49_680}
"""Recordings of whole networks, and how many values each holds."""


@pytest.mark.shared
@pytest.mark.skipif(not NETS.exists(), reason="the recorded networks are not beside the checkout")
@pytest.mark.parametrize("case", WHOLE)
def test_recorded_networks_give_every_value(case: str) -> None:
    if "_gts" in case and installed() is None:
        pytest.skip("lava-dl, which brings the network, is not installed")
    assert check_case(NETS / f"{case}.npz", implementations()) == Outcome(case, 3 * WHOLE[case], 0)


@pytest.mark.shared
@pytest.mark.skipif(not NETS.exists(), reason="the recorded networks are not beside the checkout")
def test_a_users_sigma_delta_network_gives_what_lava_gave_for_other_exponents() -> None:
    with np.load(NETS / "user_sdnn.npz") as recording:
        x = recording["x"]
    # seen in Lava by netx's argument of that name
    for exponent, last in ((0, 4), (3, 86), (9, 6170)):
        program = read_net(NETS / "user_sdnn.net", spike_exp=exponent)
        answered = run(program, x, x.shape[-1])
        assert answered.readout is not None
        assert answered.readout.item() == last == int(answered.spikes["layer4"][-1].item())


# ------------------------------------------------------------------------------------------------- writing


def chain(n_steps: int = 7) -> Program:
    """Image -> conv with per-channel decays -> flatten -> recurrent dense with biases -> delayed dense."""
    rng = np.random.default_rng(3)
    per_channel, delays = ints(rng.integers(0, 4096, (3, 1, 1))), ints(rng.integers(0, 4, (5, 6)))
    hidden = Lif(ints(1024), ints(rng.integers(0, 900, 6)), ints(70), ints(rng.integers(-9, 30, 6) * 16), ints(2))
    return Program(
        "chain",
        (Input("image", (2, 5, 6), bits=4),),
        (
            Population("conv", (3, 3, 5), Lif(per_channel, ints(128), ints(300)), Reset(n_steps, 2)),
            Population("hidden", (6,), hidden, Reset(n_steps, 3)),
            Population("out", (5,), lif(40), Reset(n_steps, 4)),
        ),
        (
            Synapses(
                "a", "image", "conv", Conv(even(rng, (3, 2, 3, 2)), Window((2, 1), (1, 0))), 1, True, wrap_bits=24
            ),
            Synapses("b", "conv", "hidden", Dense(even(rng, (6, 45)))),
            Synapses("r", "hidden", "hidden", Dense(even(rng, (6, 6)))),
            Synapses("c", "hidden", "out", Dense(ints(rng.integers(1, 120, (5, 6)))), 1, delay=delays),
        ),
        Readout("out", "count"),
        n_steps,
    )


def values_of(program: Program) -> list[Any]:
    """What decides a program's run, whatever its names and exponents are."""
    found: list[Any] = []
    for p in program.populations:
        assert isinstance(p.neuron, Lif)
        bias = np.broadcast_to(p.neuron.bias_mant * 2.0**p.neuron.bias_exp, p.shape)
        broadcast = [np.broadcast_to(x, p.shape) for x in (p.neuron.du, p.neuron.dv, p.neuron.v_th_mant, bias)]
        found += [p.shape, None if p.reset is None else (p.reset.interval, p.reset.offset % p.reset.interval)]
        found += [x.tolist() for x in broadcast]
    for s in program.synapses:
        assert not isinstance(s.kind, Wire)
        found += [(s.kind.weights * 2.0**s.exponent).tolist(), s.graded, s.delay.tolist()]
    return found


def test_a_written_chain_reads_back_as_itself(tmp_path: Path) -> None:
    program = chain()
    written = write_net(program, tmp_path / "chain.net")
    assert written.arguments == {"input_message_bits": 4, "reset_interval": 7, "reset_offset": 1}
    back = read_net(written.path, reset_interval=7, reset_offset=1, input_bits=4, n_steps=7)
    assert values_of(back) == values_of(program)
    inputs = random_inputs(program, 2)
    a = simulate(program, inputs["image"], n_steps=12, record=RECORD)
    b = simulate(back, inputs["image"], n_steps=12, record=RECORD)
    for mine, theirs in (("conv", "layer1"), ("hidden", "layer3"), ("out", "layer4")):
        assert np.array_equal(a.v[mine], b.v[theirs])
        assert np.array_equal(a.spikes[mine], b.spikes[theirs])
    assert a.spikes["out"].any()


NETX = """
import json, sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from plain_lava import make_importable
make_importable()
from lava.lib.dl import netx
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io

folder, arguments = sys.argv[2], json.loads(sys.argv[3])
net = netx.hdf5.Network(net_config=f"{folder}/chain.net", **arguments)
x = np.load(f"{folder}/x.npy")
source, sink = io.source.RingBuffer(data=x), io.sink.RingBuffer(shape=net.out.shape, buffer=x.shape[-1])
source.s_out.connect(net.inp)
net.out.connect(sink.a_in)
net.run(condition=RunSteps(num_steps=x.shape[-1]), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
found = {"spikes": sink.data.get()}
for i, layer in enumerate(net.layers):
    for name in ("synapse", "synapse_rec"):
        if hasattr(layer, name):
            process = getattr(layer, name)
            weights = process.weight if hasattr(process, "weight") else process.weights
            found[f"{i}.{name}"] = weights.get() * 2.0 ** process.proc_params.get("weight_exp", 0)
net.stop()
np.savez(f"{folder}/found.npz", **found)
"""


@pytest.mark.lava
@pytest.mark.skipif("lava-dl" not in STATUS.versions, reason="lava-dl is not installed")
def test_netx_loads_a_written_chain_with_the_same_weights_and_spikes(quick_python: str, tmp_path: Path) -> None:
    import seamount.hardware_targets.lava

    program = chain()
    arguments = write_net(program, tmp_path / "chain.net").arguments
    image = np.random.default_rng(5).integers(0, 16, (20, 2, 5, 6))
    np.save(tmp_path / "x.npy", image.T)
    (tmp_path / "netx.py").write_text(NETX)
    package = str(Path(seamount.hardware_targets.lava.__file__).parent)
    done = subprocess.run(
        [quick_python, "-P", "netx.py", package, str(tmp_path), json.dumps(dict(arguments))],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = np.load(tmp_path / "found.npz")
    activity = simulate(program, image[:, None], n_steps=20, record=("spikes",))
    assert np.array_equal(found["spikes"], activity.spikes["out"][:, 0].T)
    assert activity.spikes["out"].sum() > 5
    a, b, r, c = (s.kind.weights * 2**s.exponent for s in program.synapses if not isinstance(s.kind, Wire))
    assert np.array_equal(found["0.synapse"], a[:, :, ::-1, ::-1].transpose(0, 3, 2, 1))
    for key, expected in {"1.synapse": b, "1.synapse_rec": r, "2.synapse": c}.items():
        assert np.array_equal(found[key], expected), key


def replaced(program: Program, item: Synapses | Population) -> Program:
    """The program with the item of that name exchanged, or added."""
    if isinstance(item, Population):
        return program.with_(populations=tuple(item if p.name == item.name else p for p in program.populations))
    others = tuple(s for s in program.synapses if s.name != item.name)
    return program.with_(synapses=(*others, item))


def test_what_the_format_cannot_hold_is_refused_with_the_reason(tmp_path: Path) -> None:
    program = chain()
    conv, _, _, out = program.synapses
    assert isinstance(out.kind, Dense)
    refusals = {
        "stem: feeds a1, a2; branches and skip connections have no place in the format": residual_net(),
        "c1: has biases that are no multiples of 64": conv_net(),
        "r2: is recurrence in a convolutional layer": replaced(
            program, Synapses("r2", "conv", "conv", OneToOne(ints(64)))
        ),
        "a: is a delayed convolution, whose delay lava-dl's loader ignores": replaced(
            program, Synapses("a", "image", "conv", conv.kind, 1, True, ints(1), 24)
        ),
        "c: has exponent -1, whose right shift loses bits of the sum": replaced(
            program, Synapses("c", "hidden", "out", out.kind, -1)
        ),
        "c: has weights that are all 0, on which lava-dl's loader fails": replaced(
            program, Synapses("c", "hidden", "out", Dense(ints(out.kind.weights * 0)))
        ),
        "c: has 1 weights (-128 to -3) that lava-dl's loader rounds": replaced(
            program, Synapses("c", "hidden", "out", Dense(ints(np.where(np.arange(30) == 7, -128, -3).reshape(5, 6))))
        ),
        "c: has weights -2 to 256, and -256 to 254 are possible": replaced(
            program, Synapses("c", "hidden", "out", Dense(ints(np.where(np.arange(30) == 7, 256, -2).reshape(5, 6))))
        ),
        "out: is not reset one step after the layer before it": replaced(
            program, Population("out", (5,), lif(40), Reset(7, 5))
        ),
        "out: starts from a state other than 0": replaced(
            program, Population("out", (5,), lif(40, v_init=ints(3)), Reset(7, 4))
        ),
    }
    for message, refused in refusals.items():
        with pytest.raises(Unsupported) as error:
            write_net(refused, tmp_path / "a.net")
        assert str(error.value).startswith(message)
        assert str(error.value).endswith("; a .net file cannot hold it, write_standalone can")
    assert not list(tmp_path.iterdir())
