"""Why a layer differs: each rounding told apart on networks in which only that one happens."""

from html import unescape

import numpy as np
import pytest

from seamount.compile.network.network import (
    Connection,
    Convolution,
    Linear,
    Network,
    NetworkInput,
    Population,
    Reshape,
    Scale,
    reals,
)
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.errors import InputError
from seamount.report.why import ROUNDINGS, rounded, why
from seamount.windows import Window

T = 12


def population(name: str, shape: tuple[int, ...], **changes) -> Population:
    values = {
        "a_s": 1.0,
        "a_m": 0.25,
        "gain": 1.0,
        "bias": 0.0,
        "v_leak": 0.0,
        "v_th": 1.0,
        "v_reset": 0.0,
        "v_init": 0.0,
    }
    real = {key: None if value is None else reals(value) for key, value in (values | changes).items()}
    return Population(name, shape, **real)


def network(weights, out=None, **changes) -> Network:
    """image (1, 6, 6) -> a (conv) -> b (conv, and a itself, scaled) -> out (matrix, integrates)."""
    conv_a, conv_b, skip, dense = weights
    return Network(
        name="net",
        inputs=(NetworkInput("image", (1, 6, 6), bits=8, scale=255.0),),
        populations=(
            population("a", (3, 6, 6), **changes),
            population("b", (3, 6, 6), **changes),
            population("out", (4,), **({"a_m": 0.0, "v_th": None} | (out or {}))),
        ),
        connections=(
            Connection("conv_a", "image", "a", (Convolution(reals(conv_a), Window(padding=(1, 1))),)),
            Connection("conv_b", "a", "b", (Convolution(reals(conv_b), Window(padding=(1, 1))),)),
            Connection("skip", "a", "b", (Scale(reals(skip)),)),
            Connection("dense", "b", "out", (Reshape((108,)), Linear(reals(dense)))),
        ),
        outputs={"y": "out"},
        readout="out",
        n_steps=T,
    )


SCALES = {"a": 32640.0, "b": 256.0, "out": 256.0}
"""With them the weights 2 k / 256 (and 2 k / 128 behind the image) and the threshold 1 lie on the grid."""


def random_weights(seed: int):
    rng = np.random.default_rng(seed)
    return [
        rng.normal(0.1, 0.4, (3, 1, 3, 3)),
        rng.normal(0.05, 0.25, (3, 3, 3, 3)),
        np.array(0.5),
        rng.normal(0, 0.2, (4, 108)),
    ]


def grid_weights(seed: int):
    conv_a, conv_b, skip, dense = random_weights(seed)
    return [np.rint(conv_a * 64) / 64, *(np.rint(w * 128) / 128 for w in (conv_b, skip, dense))]


def images(seed: int, n: int = 5) -> np.ndarray:
    still = np.random.default_rng(seed).integers(0, 256, (1, n, 1, 6, 6))
    return np.repeat(still, T, axis=0)


def explained(net: Network, layer: str):
    compiled = compile_graph(net, options=CompileOptions(scales=SCALES))
    assert compiled.network is not None
    return why(compiled.network, compiled.program, images(1), layer)


@pytest.mark.parametrize("layer", ["a", "b", "out"])
def test_nothing_is_rounded_on_the_grid(layer: str) -> None:
    found = explained(network(grid_weights(0)), layer)
    assert [e.alone.value for e in found.effects] == [0, 0, 0, 0]
    assert found.rounded.value == found.own.value == 0
    assert found.difference.value == pytest.approx(0, abs=0.2)


def test_only_weights_are_rounded() -> None:
    found = explained(network(random_weights(0)), "b")
    effects = {e.name: e for e in found.effects}
    assert effects["weights"].alone.value == found.rounded.value != 0
    assert effects["weights"].without.value == 0
    assert [effects[name].alone.value for name in ("decays", "threshold", "bias")] == [0, 0, 0]
    assert found.words.startswith("Mostly the weights: with the network's own, 0.00 % of ")


def test_only_decays_are_rounded() -> None:
    # 0.1 is 409.6 / 4096
    found = explained(network(grid_weights(0), {"a_m": 0.1}), "out")
    effects = {e.name: e for e in found.effects}
    assert effects["decays"].alone.value == found.rounded.value != 0
    assert effects["decays"].without.value == 0


def test_only_thresholds_are_rounded() -> None:
    # 256 * 0.9 = 230.4
    found = explained(network(grid_weights(0), v_th=0.9), "out")
    effects = {e.name: e for e in found.effects}
    assert effects["threshold"].alone.value == found.rounded.value != 0


def test_only_biases_are_rounded() -> None:
    # 64 * 256 * 0.0301 = 493.2
    found = explained(network(grid_weights(0), {"bias": 0.0301}), "out")
    effects = {e.name: e for e in found.effects}
    assert "<th>the program&#39;s</th><td>only these</td>" in found._repr_html_()
    assert found.words in unescape(found._repr_html_())
    assert effects["bias"].alone.value == found.rounded.value != 0
    assert effects["bias"].without.value == 0


def test_the_rounded_network_is_nearly_the_program() -> None:
    found = explained(network(random_weights(2), a_m=0.1, v_th=0.9, bias=0.0301), "b")
    assert found.difference.value == pytest.approx(found.rounded.value, abs=1.0)
    assert found.n_saturations.value == 0


def test_no_effect_leaves_the_network_as_it_is() -> None:
    compiled = compile_graph(network(random_weights(0)), options=CompileOptions(scales=SCALES))
    assert compiled.network is not None
    same = rounded(compiled.network, compiled.program, ())
    assert same.connections == compiled.network.connections
    assert set(ROUNDINGS) == {"weights", "decays", "threshold", "bias"}


def test_a_layer_that_does_not_exist() -> None:
    with pytest.raises(InputError) as error:
        explained(network(grid_weights(0)), "oot")
    assert str(error.value) == "net: no layer 'oot'; did you mean out?"
