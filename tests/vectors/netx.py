"""The ground truths that lava-dl's own tests of netx bring along in its wheel, against this project's simulator.

    python -m tests.vectors.netx [FOLDER]

FOLDER is ``tests/lava/lib/dl/netx`` of lava-dl; by default that of the installed wheel. Blocks that lava-dl's tests
build by hand are written as ``.net`` files here and read again. Prints the table of docs/migrating_from_lava.md; exit
code 1 if a value differs.
"""

from __future__ import annotations

import importlib.metadata
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seamount.compile.net.read import read_net
from seamount.compile.neurons.resonator import resonance
from seamount.compile.neurons.rf import Rf
from seamount.compile.neurons.rf_iz import RfIz
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity
from seamount.compile.program.program import Program
from seamount.hardware_targets.simulator import simulate

Array = NDArray[Any]
Pair = tuple[Array, Array]
"""What was found and what was recorded."""

LIF = {"type": "LOIHI", "vThMant": 25, "iDecay": 4096, "vDecay": 1024}
SDNN = {"type": "SDNN", "vThMant": 20}


@dataclass(frozen=True)
class Recorded:
    """A test of lava-dl with recorded values.

    Attributes:
        test: its file and name there.
        what: what is compared.
        made_on: what the values were recorded on.
        pairs: compares, given lava-dl's folder.
    """

    test: str
    what: str
    made_on: str
    pairs: Callable[[Path], Iterator[Pair]]


@dataclass(frozen=True)
class Row:
    test: str
    what: str
    made_on: str
    compared: int
    differing: int


def installed() -> Path | None:
    """lava-dl's folder with the recordings, if its wheel is installed and has it."""
    try:
        found = importlib.metadata.distribution("lava-dl").locate_file("tests/lava/lib/dl/netx")
    except importlib.metadata.PackageNotFoundError:
        return None
    folder = Path(str(found))
    return folder if (folder / "gts").exists() else None


# ------------------------------------------------------------------------------------------- parts of comparing


def of(folder: Path, name: str) -> Array:
    return np.asarray(np.load(folder / "gts" / f"{name}.npy"))


def net_file(path: Path, *layers: Mapping[str, Any]) -> Path:
    """A .net file of layers, each a key of the format -> value."""
    with h5py.File(path, "w") as file:
        for i, layer in enumerate(layers):
            for key, value in layer.items():
                text = isinstance(value, str)
                file[f"layer/{i}/{key}"] = np.array([value.encode()], "S20") if text else value
    return path


def net_of(*layers: Mapping[str, Any], **arguments: Any) -> Program:
    """The program of layers, by way of a file."""
    with tempfile.TemporaryDirectory() as folder:
        return read_net(net_file(Path(folder) / "block.net", *layers), **arguments)


def run(program: Program, x: Array, n_steps: int) -> Activity:
    """``x`` as Lava has it, time last; nothing arrives after its end."""
    stream = np.zeros((n_steps, 1, *program.inputs[0].shape), np.int64)
    given = np.moveaxis(x, -1, 0)[:n_steps]
    stream[: len(given), 0] = given if x.ndim == 2 else given.transpose(0, 3, 2, 1)
    return simulate(program, stream, n_steps=n_steps, record=("spikes", "states"))


def sent(activity: Activity, layer: int) -> Array:
    """As Lava has it, time last."""
    return np.asarray(activity.spikes[f"layer{layer}"][:, 0].T)


def neuron(values: Mapping[str, Any]) -> dict[str, Any]:
    return {f"neuron/{key}": value for key, value in values.items()}


def tiny_conv(folder: Path, part: str, of_neurons: Mapping[str, Any]) -> dict[str, Any]:
    kernel = of(folder, f"{part}/layer1_kernel")  # (out, width, height, in), flipped
    return {
        "type": "conv",
        "shape": [24, 6, 6],
        "weight": kernel.transpose(0, 3, 2, 1)[:, :, ::-1, ::-1],
        "bias": of(folder, f"{part}/layer1_bias"),
        "stride": 2,
        "padding": 0,
        "dilation": 1,
        "groups": 1,
        **neuron(of_neurons),
    }


# --------------------------------------------------------------------------------------------------- the tests


def lif_input(folder: Path) -> Iterator[Pair]:
    program = net_of({"type": "input", "shape": [3, 16, 16], **neuron(LIF)})
    image = of(folder, "tinynet/input_bias")
    found = run(program, np.repeat(image[..., None], 15, axis=-1), 15)
    yield sent(found, 0), of(folder, "tinynet/input")[0].transpose(2, 1, 0, 3)[..., 1:]


def lif_conv(folder: Path) -> Iterator[Pair]:
    program = net_of(tiny_conv(folder, "tinynet", LIF), input_shape=(3, 16, 16), reset_interval=100, reset_offset=1)
    spikes = of(folder, "tinynet/input")[0].transpose(2, 1, 0, 3)
    found = run(program, spikes[..., 1:], 16)
    # lava-dl's test clears the neurons behind the first step, in which the bias alone acts
    recorded_s, recorded_u = (
        of(folder, f"tinynet/{name}")[0].transpose(2, 1, 0, 3) for name in ("layer1", "current")
    )
    yield sent(found, 0)[..., 1:], recorded_s[..., 1:]
    yield found.u["layer0"][:, 0].T[..., 1:], 64 * recorded_u[..., 1:]


def lif_dense(folder: Path) -> Iterator[Pair]:
    values = {"type": "LOIHI", "vThMant": 6, "iDecay": 4096, "vDecay": 415}
    program = net_of({"type": "dense", "shape": [256], "weight": of(folder, "dense/weight"), **neuron(values)})
    found = run(program, of(folder, "dense/in"), 2000)
    yield sent(found, 0), of(folder, "dense/out")


def resonators(program: Program, made: type[Rf] | type[RfIz], period: float, v_th: float) -> Program:
    """The block with the neurons of lava-dl's test, which no file can hold: its period has no whole decays."""
    sin, cos = resonance("block", period, alpha=0.05)
    (population,) = program.populations
    neuron = made(ints(sin), ints(cos), ints(int(v_th * 64)), state_exp=6)
    return program.with_(populations=(replace(population, neuron=neuron),))


RESONATOR = {"sinDecay": 2500, "cosDecay": 2500, "vThMant": 1}
"""To be replaced."""


def rf_iz_input(folder: Path) -> Iterator[Pair]:
    block = net_of({"type": "input", "shape": [200], **neuron({"type": "RF_IZHIKEVICH", **RESONATOR})})
    found = run(resonators(block, RfIz, 7, 1.1), of(folder, "complex_dense/in"), 2000)
    yield sent(found, 0), of(folder, "complex_dense/current")


def rf_dense(folder: Path) -> Iterator[Pair]:
    ends = {"real": "r", "imag": "img"}
    weights = {f"weight/{part}": of(folder, f"complex_dense/weight_{end}") for part, end in ends.items()}
    block = net_of({"type": "dense", "shape": [256], **weights, **neuron({"type": "RF_PHASE", **RESONATOR})})
    found = run(resonators(block, Rf, 11, 25), of(folder, "complex_dense/in"), 2000)
    yield sent(found, 0), of(folder, "complex_dense/out")


def sdnn_input(folder: Path) -> Iterator[Pair]:
    program = net_of({"type": "input", "shape": [3, 16, 16], **neuron(SDNN)})
    image, steps = of(folder, "tinynet_sdnn/input_bias"), np.arange(15)
    x = (np.repeat(image[..., None], 15, axis=-1) * np.sin(2 * np.pi * steps / 15)).astype(int)
    yield sent(run(program, x, 15), 0), of(folder, "tinynet_sdnn/input")


def sdnn_conv(folder: Path) -> Iterator[Pair]:
    """lava-dl's test runs one step, in which the bias alone acts."""
    program = net_of(tiny_conv(folder, "tinynet_sdnn", SDNN), input_shape=(3, 16, 16))
    yield sent(run(program, np.zeros((16, 16, 3, 1)), 1), 0), of(folder, "tinynet_sdnn/layer1")[..., :1]


def sdnn_dense(folder: Path) -> Iterator[Pair]:
    weight = of(folder, "tinynet_sdnn/layer2_weight")
    layer = {"type": "dense", "shape": [100], "weight": weight, **neuron({"type": "SDNN", "sigma_output": True})}
    spikes = of(folder, "tinynet_sdnn/layer1").reshape(-1, 16) != 0  # its block has no message bits: counted as one
    yield sent(run(net_of(layer), spikes, 16), 0), of(folder, "tinynet_sdnn/layer2")


def tinynet(folder: Path) -> Iterator[Pair]:
    program = read_net(folder / "tiny.net", reset_interval=17)
    image = of(folder, "tinynet/input_bias")
    found = run(program, np.repeat(image[..., None], 17, axis=-1), 17)
    yield sent(found, 2)[..., 2:17], of(folder, "tinynet/output")[0].transpose(2, 1, 0, 3)[..., 1:]


def tinynet_on_chip(folder: Path) -> Iterator[Pair]:
    program = read_net(folder / "tiny.net", n_layers=3, reset_interval=16)
    image = of(folder, "tinynet/input_bias")
    found = run(program, np.repeat(image[..., None], 19, axis=-1), 19)
    yield sent(found, 2)[..., 2:17], of(folder, "tinynet/output")[0].transpose(2, 1, 0, 3)[..., 1:]


def ntidigits(folder: Path) -> Iterator[Pair]:
    program = read_net(folder / "gts/ntidigits/ntidigits.net", n_layers=5)
    found = run(program, of(folder, "ntidigits/input"), 3000)
    # the recording counts the input layer as a step
    yield sent(found, 4)[:, :2999], of(folder, "ntidigits/output")[:, 1:]


def pilotnet_lif(folder: Path) -> Iterator[Pair]:
    # the chip cleared layer n before step 17 + n, 0 the input's: a step later than lava-dl's test asks for
    program = read_net(folder / "gts/pilotnet_lif/network.net", reset_interval=17)
    found = run(program, np.repeat(of(folder, "pilotnet_lif/image")[..., None], 24, axis=-1), 24)
    files = ["input", *(f"conv-{i}" for i in range(5)), *(f"fc-{i}" for i in range(3))]
    for population, file in zip(program.populations, files, strict=False):
        spikes = found.spikes[population.name][:, 0]
        yield spikes, of(folder, f"pilotnet_lif/{file}").T
        if file == "input":
            continue
        yield found.u[population.name][:, 0], of(folder, f"pilotnet_lif/{file}-u").T
        # the chip's probe shows 128 where the membrane was just reset
        v = of(folder, f"pilotnet_lif/{file}-v").T
        yield found.v[population.name][:, 0][spikes == 0], v[spikes == 0]


def pilotnet_lif_answer(folder: Path) -> Iterator[Pair]:
    # of another run than the layers before it: cleared every 16 steps, the input's neurons before step 14 first
    program = read_net(folder / "gts/pilotnet_lif/network.net", reset_interval=16, reset_offset=-1)
    found = run(program, np.repeat(of(folder, "pilotnet_lif/image")[..., None], 25, axis=-1), 25)
    for traces, suffix in ((found.spikes, "s"), (found.u, "u"), (found.v, "v")):
        yield traces["layer10"][:, 0], of(folder, f"pilotnet_lif/fc-3-{suffix}").T


def pilotnet_lif_from_spikes(folder: Path) -> Iterator[Pair]:
    file = folder / "gts/pilotnet_lif/network.net"
    program = read_net(file, n_layers=5, skip_layers=1, reset_interval=16, reset_offset=1)
    found = run(program, of(folder, "pilotnet_lif/input-s"), 16)
    yield found.u["layer4"][15, 0].T, of(folder, "pilotnet_lif/conv-3-u")[..., 15]


def pilotnet_sdnn(folder: Path) -> Iterator[Pair]:
    program = read_net(folder / "gts/pilotnet_sdnn/network.net")
    yield sent(run(program, of(folder, "pilotnet_sdnn/input"), 9), 9), of(folder, "pilotnet_sdnn/output")


def pilotnet_sdnn_on_chip(folder: Path) -> Iterator[Pair]:
    program = read_net(folder / "gts/pilotnet_sdnn/network.net", skip_layers=1)
    found = run(program, of(folder, "pilotnet_sdnn/act0"), 20)
    for layer in (1, 2):
        yield found.states["sigma"][f"layer{layer}"][:, 0].T, of(folder, f"pilotnet_sdnn/sigma{layer}")


def pilotnet_sdnn_square(folder: Path) -> Iterator[Pair]:
    program = read_net(folder / "gts/pilotnet_sdnn/square_network.net", skip_layers=1)
    found = run(program, of(folder, "pilotnet_sdnn/act0")[:33, :33], 20)
    for layer in (1, 2, 3, 4):
        yield found.states["sigma"][f"layer{layer}"][:, 0].T, of(folder, f"pilotnet_sdnn/sigma{layer}_square")


RECORDED: Sequence[Recorded] = (
    Recorded("test_blocks LIF input", "spikes", "slayer", lif_input),
    Recorded("test_blocks LIF conv", "spikes, u", "slayer", lif_conv),
    Recorded("test_blocks LIF dense", "spikes", "slayer", lif_dense),
    Recorded("test_blocks RF_IZ input", "spikes", "slayer", rf_iz_input),
    Recorded("test_blocks RF complex dense", "spikes", "slayer", rf_dense),
    Recorded("test_blocks SDN input", "messages", "Lava", sdnn_input),
    Recorded("test_blocks SDN conv", "messages", "Lava", sdnn_conv),
    Recorded("test_blocks SDN dense", "messages", "Lava", sdnn_dense),
    Recorded("test_hdf5 TinyNet", "spikes", "slayer", tinynet),
    Recorded("test_hdf5 N-TIDIGITS (delays)", "spikes", "slayer", ntidigits),
    Recorded("test_hdf5 PilotNet SDNN", "messages", "Lava", pilotnet_sdnn),
    Recorded("test_hdf5_nx TinyNet", "spikes", "slayer", tinynet_on_chip),
    Recorded("test_hdf5_nx PilotNet LIF", "spikes, u, v", "Loihi 2", pilotnet_lif),
    Recorded("test_hdf5_nx PilotNet LIF answer", "spikes, u, v", "Loihi 2", pilotnet_lif_answer),
    Recorded("test_hdf5_nx PilotNet LIF from spikes", "u", "Loihi 2", pilotnet_lif_from_spikes),
    Recorded("test_hdf5_nx PilotNet SDNN", "sigma", "Loihi 2", pilotnet_sdnn_on_chip),
    Recorded("test_hdf5_nx PilotNet SDNN square", "sigma", "Loihi 2", pilotnet_sdnn_square),
)


def compared(folder: Path, recorded: Sequence[Recorded] = RECORDED) -> Iterator[Row]:
    for one in recorded:
        n = differing = 0
        for found, expected in one.pairs(folder):
            if found.shape != expected.shape:
                raise ValueError(f"{one.test}: {found.shape} found, {expected.shape} recorded")
            n += expected.size
            differing += int(np.count_nonzero(found != expected))
        yield Row(one.test, one.what, one.made_on, n, differing)


def table(rows: Sequence[Row]) -> list[str]:
    """In Markdown."""
    lines = ["| test of lava-dl 0.6.0 | compared | recorded with | values | differing |", "|---|---|---|---|---|"]
    lines += [f"| {r.test} | {r.what} | {r.made_on} | {r.compared:,} | {r.differing:,} |" for r in rows]
    return lines


def main() -> int:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else installed()
    if folder is None:
        print(
            "lava-dl is not installed, or without its tests: name the folder tests/lava/lib/dl/netx", file=sys.stderr
        )
        return 2
    rows = list(compared(folder))
    print("\n".join(table(rows)))
    print(f"\n{sum(r.compared for r in rows):,} values, {sum(r.differing for r in rows):,} differing")
    return int(any(r.differing for r in rows))


if __name__ == "__main__":
    sys.exit(main())
