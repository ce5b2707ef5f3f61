"""Programs of graded neurons on Lava: every state and message equals the simulator's."""

from collections.abc import Callable

import numpy as np
import pytest
from graded_programs import sigma_delta_chain

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.lower.sigma_delta import (
    INPUT,
    RealLayer,
    RealPart,
    choose_scales,
    sigma_delta_program,
    whole_weights,
)
from seamount.compile.neurons.atrlif import Atrlif
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.graded_relu_vec import GradedReluVec
from seamount.compile.neurons.graded_vec import GradedVec
from seamount.compile.neurons.models import Neuron
from seamount.compile.neurons.norm_vec_delay import NormVecDelay
from seamount.compile.neurons.prod_neuron import ProdNeuron
from seamount.compile.neurons.resonator import resonance
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.rf_iz import RfIz
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Reset
from seamount.compile.synapses.kinds import Dense, Sparse, Synapses, Wire
from seamount.errors import Unsupported
from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.lava.lower import lava_graph
from seamount.hardware_targets.lava.run import run_on_lava
from seamount.hardware_targets.simulator import simulate
from seamount.windows import Window
from tests.fuzz import on_lava

RECORD = ("spikes", "states")


def resonators(model: Callable[..., Rf | RfIz]) -> Program:
    """A complex matrix is two, into the two drives."""
    rng = np.random.default_rng(8)
    sin, cos = resonance("p", 7.3, 0.06)
    neuron = model(ints(sin), ints(cos), ints(150 << 6), 6)
    weights = [Dense(ints(2 * rng.integers(-120, 120, (9, n)))) for n in (8, 8, 9, 9)]
    return Program(
        "complex",
        (Input("x", (8,)),),
        (Population("a", (9,), neuron), Population("b", (9,), neuron)),
        (
            Synapses("re", "x", "a", weights[0], drive="real"),
            Synapses("im", "x", "a", weights[1], drive="imag"),
            Synapses("re2", "a", "b", weights[2], drive="real"),
            Synapses("im2", "a", "b", weights[3], drive="imag"),
        ),
    )


def wide() -> Program:
    """Values of up to 31 bits: what wraps, is cut, and is only held because Lava keeps 32 bits."""
    sin, cos = resonance("p", 7.3, 0.01)
    neurons: dict[str, Neuron] = {
        "rf": Rf(ints(sin), ints(cos), ints(900), 9),
        "rf_iz": RfIz(ints(sin), ints(cos), ints(7000), 9),
        "delta": Delta(ints(3 << 8), 4, 4),
        "cumulated": Delta(ints(1 << 20), 14, 5, cum_error=True),
        "relu": SigmaDelta(ints(3 << 8), ints(77), 4, 4),
        "unit": SigmaDelta(ints(1 << 22), ints(77), 0, 2, cum_error=True, rectified=False),
        "sigma": Sigma(),
        "product": ProdNeuron(ints(5), 7),
        "delayed": NormVecDelay(ints(5)),
        "vec": GradedVec(ints(5)),
        "positive": GradedReluVec(ints(-5)),
    }
    return Program(
        "wide",
        tuple(Input(name, (6,), 31, True) for name in "xy"),
        tuple(Population(name, (6,), neuron) for name, neuron in neurons.items()),
        tuple(
            Synapses(f"{name}.{drive}", source, name, Wire(), drive=drive)
            for name, neuron in neurons.items()
            for source, drive in zip("xy", neuron.drives, strict=False)
        ),
    )


def sums() -> Program:
    """Products and sums beyond 32 bits, of matrices that Lava adds up in different ways."""
    rng = np.random.default_rng(12)
    weights, delay = ints(2 * rng.integers(-128, 128, (5, 6))), ints(rng.integers(0, 3, (5, 6)))
    rows, columns = np.indices((5, 6)).reshape(2, -1)
    entries = Sparse(ints(weights.ravel()), ints(rows), ints(columns), 5, 6)
    ways = {
        "dense": (Dense(weights), ints(0)),
        "delayed": (Dense(weights), delay),
        "sparse": (entries, ints(0)),
        "delayed_sparse": (entries, ints(delay.ravel())),
    }
    ways_out = [(f"{way}_{exponent + 9}", *of, exponent) for way, of in ways.items() for exponent in (-9, 0, 2)]
    return Program(
        "sums",
        (Input("x", (6,), 31, True),),
        tuple(Population(name, (5,), Sigma()) for name, *_ in ways_out),
        tuple(Synapses(f"x-{n}", "x", n, kind, exponent, True, delays) for n, kind, delays, exponent in ways_out),
    )


def adaptive() -> Program:
    """Two layers of ATRLIF, with a bias, a fraction of a threshold unit and rates in 4096ths."""
    rng = np.random.default_rng(11)
    rates = {"du": ints(1639), "dv": ints(1638), "dtheta": ints(819), "dr": ints(300)}
    neuron = Atrlif(**rates, theta_0=ints(5 << 6), theta_step=ints(240), bias_mant=ints(3), bias_exp=ints(2))
    first = {"v_init": ints([70] * 8), "r_init": ints(range(-400, 400, 100))}
    slow = Atrlif(ints(4096), ints(0), ints(0), ints(400), ints(90 << 6), ints(33 << 6), **first)
    return Program(
        "adaptive",
        (Input("x", (6,), 20, True),),
        (Population("a", (9,), neuron), Population("b", (8,), slow)),
        (
            Synapses("in", "x", "a", Dense(ints(2 * rng.integers(-100, 127, (9, 6)))), graded=True),
            Synapses("on", "a", "b", Dense(ints(2 * rng.integers(-60, 127, (8, 9))))),
        ),
    )


def products() -> Program:
    one = Dense(ints(np.diag([3, 1, 250, 7])))
    narrow: dict[str, Neuron] = {
        "vec": GradedVec(ints(11)),
        "relu": GradedReluVec(ints(-4)),
        "prod": ProdNeuron(ints(40), exp=3),
        "norm": NormVecDelay(ints(5)),
    }
    drives = {"vec": ("drive",), "relu": ("drive",), "prod": ("first", "second"), "norm": ("first", "second")}
    return Program(
        "products",
        (Input("x", (4,), 16, True), Input("y", (4,), 16, True)),
        tuple(Population(name, (4,), neuron) for name, neuron in narrow.items()),
        tuple(
            Synapses(f"{source}.{name}.{drive}", source, name, one, graded=True, drive=drive)
            for name in narrow
            for source, drive in zip(("x", "y"), drives[name], strict=False)
        ),
    )


def late_biases() -> Program:
    """A converted network: biases come from neurons without input, over delays."""
    rng = np.random.default_rng(5)

    def layer(name: str, source: str, weight: tuple[int, ...], shape: tuple[int, ...], largest: float) -> RealLayer:
        part = RealPart(source, rng.normal(size=weight), Window() if len(weight) == 4 else None)
        return RealLayer(name, (part,), rng.normal(size=weight[0]), shape, name != "out", largest, largest / 4)

    layers = (
        layer("conv", INPUT, (3, 1, 3, 3), (3, 2, 2), 12.0),
        layer("hidden", "conv", (5, 12), (5,), 60.0),
        layer("out", "hidden", (2, 5), (2,), 200.0),
    )
    scales = choose_scales(layers, for_netx=False)
    weights = whole_weights(layers, scales)
    return sigma_delta_program("late", (1, 4, 4), layers, scales, weights, 0.01, 20, late_biases=True)


PROGRAMS = {
    "late biases": late_biases(),
    "sigma-delta": sigma_delta_chain(),
    "cumulated error": sigma_delta_chain(cum_error=True),
    "rf": resonators(Rf),
    "rf_iz": resonators(RfIz),
    "products": products(),
    "wide": wide(),
    "sums": sums(),
    "adaptive": adaptive(),
}


@pytest.mark.usefixtures("lava_imported_once")
@pytest.mark.parametrize("seed", [8, 14])
def test_programs_drawn_at_random_are_lavas(seed: int) -> None:
    assert on_lava.tried(seed) == "equal"


@pytest.mark.usefixtures("lava_imported_once")
@pytest.mark.parametrize("name", PROGRAMS)
def test_every_state_and_message_is_lavas(name: str) -> None:
    program, rng = PROGRAMS[name], np.random.default_rng(4)
    x = {i.name: np.cumsum(rng.integers(-3, 4, (20, 2, *i.shape)), axis=0) for i in program.inputs}
    if name.startswith("rf"):
        x = {"x": rng.integers(0, 2, (20, 2, 8))}
    elif name == "late biases":
        x = {INPUT: rng.integers(0, 256, (20, 2, 1, 4, 4))}
    elif name == "products":
        x = {entry: rng.integers(-30000, 30000, (20, 2, 4)) >> rng.integers(0, 15, (20, 2, 4)) for entry in x}
    elif name == "adaptive":
        x = {"x": rng.integers(-(2**19), 2**19, (20, 2, 6)) >> rng.integers(0, 20, (20, 2, 6))}
    elif name in ("wide", "sums"):
        x = {entry: rng.integers(-(2**29), 2**29, (20, 2, 6)) >> rng.integers(0, 30, (20, 2, 6)) for entry in x}
    simulated = simulate(program, x, n_steps=26, record=RECORD)
    on_lava = run_on_lava(program, x, n_steps=26, record=RECORD)
    found = compare_runs(program, ("simulator", simulated), ("Lava", on_lava), whole=True)
    assert found.exact, str(found)
    assert all(spikes.any() for spikes in simulated.spikes.values())
    defined = run_definition(program, x, 26, RECORD)
    assert compare_runs(program, ("simulator", simulated), ("definition", defined), whole=True).exact


def test_what_lava_has_not_is_refused_by_name() -> None:
    program = sigma_delta_chain()
    first, second, *rest = program.populations
    reset = Population("delta", first.shape, first.neuron, Reset(4, 0))
    with pytest.raises(Unsupported, match="delta: Lava's Delta has no reset"):
        lava_graph(program.with_(populations=(reset, second, *rest)))
    several = Population("conv", second.shape, SigmaDelta(ints([[[1]], [[2]], [[3]]])))
    with pytest.raises(Unsupported, match="conv: v_th 1 to 3, Lava's SigmaDelta takes one for all neurons"):
        lava_graph(program.with_(populations=(first, several, *rest)))
