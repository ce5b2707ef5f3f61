"""Bits of weights as a setting: what is rounded to n bits is stored in n bits, and who asks for others is refused."""

from pathlib import Path

import numpy as np
import pytest
from compile_networks import network, population
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from seamount.compile.fit.place import place
from seamount.compile.fit.place.rules import weight_format
from seamount.compile.fit.verify import require, verify_program
from seamount.compile.formats import LOIHI, WeightBits, grid_ends, grid_step, weight_bits
from seamount.compile.lower.quantise import exact_weights, nearest_on_grid, round_weights, whole_pieces
from seamount.compile.lower.scale_search import Method, SearchOptions
from seamount.compile.network.network import Connection, Convolution, Linear, Network, NetworkInput, Reshape, reals
from seamount.compile.numbers import ints, weight_grid
from seamount.compile.options import compile_options
from seamount.compile.pipeline import Compiled, CompileOptions, compile_graph
from seamount.compile.synapses.kinds import Wire
from seamount.errors import ConfigError
from seamount.hardware_targets.target import load_target
from seamount.windows import Window

LOIHI1 = load_target("loihi1")
BITS = st.sampled_from([2, 3, 4, 5, 6, 8])
weights = arrays(np.float64, st.integers(1, 20), elements=st.floats(-2000, 2000, allow_subnormal=False))


def maps_to_classes(seed: int = 0) -> Network:
    """A convolution and a matrix, of weights that need all of their bits."""
    rng = np.random.default_rng(seed)
    cells = [population("conv", (6, 5, 5), a_m=0.25, v_th=40.0), population("fc", (7,), v_th=None)]
    ops = (Convolution(reals(rng.normal(size=(6, 1, 3, 3)) * 20), Window(padding=(1, 1))),)
    connections = [
        Connection("first", "x", "conv", ops),
        Connection("second", "conv", "fc", (Reshape((150,)), Linear(reals(rng.normal(size=(7, 150)))))),
    ]
    return network(cells, connections, [NetworkInput("x", (1, 5, 5))], n_steps=4, readout_quantity="v")


def needed(compiled: Compiled) -> dict[str, int]:
    """Synapse group -> bits of the narrowest format of Loihi 1 that holds it exactly."""
    found = {}
    for s in compiled.program.synapses:
        assert not isinstance(s.kind, Wire)
        form = weight_format(s.kind.weights, s.exponent, LOIHI1.chip)
        assert form.width is not None
        found[s.name] = form.width
    return found


@pytest.mark.parametrize("bits", [2, 3, 4, 6, 8])
def test_the_grid_is_what_lava_keeps(bits: int) -> None:
    # weight_grid is Lava's rule, word for word: the top bits survive
    for mode, values in (("mixed", range(-256, 256)), ("excitatory", range(256)), ("inhibitory", range(-255, 1))):
        kept = np.unique(weight_grid(list(values), mode, bits))
        low, high = grid_ends(mode, bits)
        assert (kept[0], kept[-1]) == (low, high)
        assert np.all(np.diff(kept) == grid_step(mode, bits))
        assert np.array_equal(nearest_on_grid(reals(kept), mode, bits), kept)


@given(weights, BITS)
def test_what_is_rounded_to_n_bits_is_stored_in_n_bits(values: np.ndarray, bits: int) -> None:
    rounded = round_weights(values, weight_bits=bits)
    folded = rounded.folded(bits)
    assert np.array_equal(folded.effective, rounded.effective)
    assert rounded.exponent >= 0 or folded.exponent >= rounded.exponent
    form = weight_format(folded.weights, folded.exponent, LOIHI1.chip)
    assert form.width is not None
    assert form.width <= bits


@given(arrays(np.int64, st.integers(1, 9), elements=st.integers(0, 4000)), BITS)
def test_whole_weights_are_the_sum_of_their_pieces(whole: np.ndarray, bits: int) -> None:
    pieces = whole_pieces(ints(whole), weight_bits=bits)
    assert np.array_equal(sum((part << exponent for part, exponent in pieces), np.zeros_like(whole)), whole)
    for part, exponent in pieces:
        width = weight_format(part, exponent, LOIHI1.chip).width
        assert width is not None
        assert width <= bits


@given(arrays(np.int64, st.integers(1, 20), elements=st.integers(-7, 7)), st.integers(-3, 7))
def test_exact_weights_of_four_bits_are_recovered(values: np.ndarray, exponent: int) -> None:
    real = 2 * values * 2.0**exponent
    assert np.array_equal(exact_weights(real, weight_bits=4).folded(4).effective, real)


@pytest.mark.parametrize("method", ["mse", "max-fit", "calibrated"])
@pytest.mark.parametrize("bits", [6, 4, 3])
def test_a_program_of_n_bits(bits: int, method: Method) -> None:
    calibration = np.random.default_rng(1).random((4, 8, 1, 5, 5)) < 0.5 if method == "calibrated" else None
    options = CompileOptions(search=SearchOptions(method), weight_bits=bits, calibration=calibration)
    made = compile_graph(maps_to_classes(), LOIHI1, options)
    assert max(needed(made).values()) <= bits
    assert all(s.exponent >= 0 for s in made.program.synapses if s.name == "first"), "Lava's convolutions have none"
    assert made.rounding is not None
    assert [g.weight_bits for p in made.rounding.populations for g in p.groups] == [bits, bits]
    assert f"of {bits} bits up to" in str(made.rounding)
    assert made.program.provenance["weight_bits"] == str(bits)
    require(verify_program(made.program, LOIHI1))


def test_a_layer_of_its_own_bits_by_group_or_population() -> None:
    by_group = compile_graph(maps_to_classes(), LOIHI1, CompileOptions(weight_bits={"second": 3}))
    by_population = compile_graph(maps_to_classes(), LOIHI1, CompileOptions(weight_bits={"fc": 3}))
    assert needed(by_group) == needed(by_population) == {"first": 8, "second": 3}
    both = compile_graph(maps_to_classes(), LOIHI1, CompileOptions(weight_bits={"default": 4, "fc": 3}))
    assert needed(both) == {"first": 4, "second": 3}
    assert both.program.provenance["weight_bits"] == "4, fc 3"


def test_fewer_bits_take_fewer_words() -> None:
    def words(bits: int) -> float:
        made = compile_graph(maps_to_classes(), LOIHI1, CompileOptions(weight_bits=bits))
        return sum(core.use.synapse_words for core in place(made.program, LOIHI1).cores)

    assert words(3) < words(8)


def test_more_bits_than_the_target_has_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_graph(maps_to_classes(), LOIHI1, CompileOptions(weight_bits={"default": 9, "fc": 7}))
    possible = "the target's weights can have 2, 3, 4, 5, 6, 8"
    assert str(caught.value) == f"weight_bits: 9 bits, {possible}\nweight_bits.fc: 7 bits, {possible}"
    with pytest.raises(ConfigError, match=r"weight_bits: 1 bits, the target's weights can have 2, "):
        weight_bits(1, LOIHI)
    assert weight_bits(None, LOIHI) == WeightBits(8)


def test_bits_of_an_unknown_layer_are_refused() -> None:
    with pytest.raises(ConfigError) as caught:
        compile_graph(maps_to_classes(), LOIHI1, CompileOptions(weight_bits={"hidden": 4}))
    assert str(caught.value) == "weight_bits: no layer is called hidden, possible are first, second, conv, fc"


def test_a_net_file_has_its_bits_already() -> None:
    with pytest.raises(ConfigError, match=r"some\.net: a \.net file holds integers in known steps already"):
        compile_graph(Path("some.net"), LOIHI1, CompileOptions(weight_bits=4))


def test_the_setting_as_text() -> None:
    assert compile_options(settings=["weight_bits=4"]).weight_bits == {"default": 4}
    several = compile_options(settings=["weight_bits=4", "weight_bits.conv-1=6"])
    assert several.weight_bits == {"default": 4, "conv-1": 6}
    assert compile_options().weight_bits is None
    with pytest.raises(ConfigError, match=r"--set weight_bits=four: 'four' is not a value of this setting"):
        compile_options(settings=["weight_bits=four"])
