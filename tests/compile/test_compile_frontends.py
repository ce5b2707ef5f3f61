"""Networks of other tools, exported by themselves: our reading of the file does what the tool did.

The recordings were made by ``record_frontends.py``, with the versions that stand in them.
"""

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from frontend_recordings import FOLDER, Recording, compare
from nir_files import write

from seamount.compile.network.interpret import run_network
from seamount.compile.nir.presets import NOT_WRITTEN
from seamount.compile.nir.read import read_nir
from seamount.compile.options import compile_options
from seamount.compile.pipeline import compile_graph
from seamount.errors import SeamountError, Unsupported
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target

NAMES = sorted(path.stem for path in FOLDER.glob("*.npz"))


@pytest.mark.parametrize("name", NAMES)
def test_the_file_does_what_the_tool_did(name: str) -> None:
    recording = Recording.load(FOLDER / f"{name}.npz")
    found = compare(recording)
    assert recording.y.any()
    assert found.bins > 0
    assert found.differing == 0


def test_every_tool_is_there() -> None:
    assert {name.split("_")[0] for name in NAMES} == {"sinabs", "snntorch", "spikingjelly", "rockpool", "spyx"}


SOFT = "reset 'subtract', the chip resets to one value"
LATE = "reset 'subtract-next-step', the chip resets to one value"
HARD = ("reset=value", "multi_spike=off")


@pytest.mark.parametrize("target", ["loihi1", "loihi2"])
@pytest.mark.parametrize(
    ("name", "settings", "refusal"),
    [
        ("sinabs_lif", (), SOFT),
        ("sinabs_lif", HARD, None),
        ("snntorch_rleaky", (), LATE),
        ("snntorch_leaky_zero", (), None),
        ("spikingjelly_cuba", (), None),
        ("spikingjelly_if_reset", (), None),
        ("rockpool_lif", (), SOFT),
        ("rockpool_lif", HARD, None),
        ("spyx_rcuba", (), SOFT),
        ("spyx_psu", (), "layer_1 emits its potential, not spikes"),
    ],
)
def test_it_compiles_or_says_why_not(
    tmp_path: Path, name: str, settings: tuple[str, ...], refusal: str | None, target: str
) -> None:
    recording = Recording.load(FOLDER / f"{name}.npz")
    path = tmp_path / "net.nir"
    path.write_bytes(recording.file)
    options = compile_options(written_by=recording.tool, settings=[*recording.settings, *settings])
    if refusal is None:
        compiled = compile_graph(path, load_target(target), options)
        assert compiled.network is not None
        n_steps, program, arrivals = len(recording.x), compiled.program, compiled.program.arrivals()
        real = run_network(compiled.network, {compiled.network.inputs[0].name: recording.x.astype(float)})
        x, longer = recording.x.astype(np.int64), n_steps + max(arrivals.values())
        run = simulate(program, x, n_steps=longer, record=("spikes",))
        for p in program.populations:
            start = arrivals[p.name]
            expected, found = real[p.name].spikes, run.spikes[p.name][start : start + n_steps]
            # rounding to 8 bits moves some: measured at most 6.8 % of a layer's spikes
            assert expected.any()
            assert np.sum(expected != found) <= 0.1 * expected.sum()
        return
    with pytest.raises(SeamountError) as caught:
        compile_graph(path, load_target(target), options)
    assert refusal in str(caught.value)


@pytest.mark.parametrize("tool", ["sinabs", "snntorch", "rockpool", "spyx"])
def test_what_the_exporter_left_out_is_told(tool: str) -> None:
    recording = Recording.load(FOLDER / f"{next(n for n in NAMES if n.startswith(tool))}.npz")
    assert f"not in the file: {NOT_WRITTEN[tool]}" in recording.network().assumptions


@pytest.mark.parametrize(
    ("name", "told", "step"),
    [
        ("spikingjelly_if_dt", "dt = 0.001 (1 / r in the file)", 1e-3),
        ("spikingjelly_cuba_dt", "dt = 0.002 (tau_mem / r in the file)", 2e-3),
        ("rockpool_lif_dt", "dt = 0.01 (tau W(1 / r) in the file)", 1e-2),
        ("spyx_lif_dt", "dt = 0.001 (tau (1 - r) in the file)", 1e-3),
        ("snntorch_leaky", "dt = 0.0001 (preset snntorch)", 1e-4),
    ],
)
def test_the_time_step_that_the_file_shows_wins_over_the_preset(name: str, told: str, step: float) -> None:
    network = Recording.load(FOLDER / f"{name}.npz").network()
    assert told in network.assumptions
    assert network.timestep_s == step


# ----------------------------------------------------------------------------------------------- spyx, mended


def maps(behind: dict[str, Any], padding: int = 0) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    nodes = {
        "input": ("Input", {"shape": np.array([2, 4, 4])}),
        "pool": ("SumPool2d", {"kernel_size": 3, "stride": 1, "padding": np.array([padding, padding])}),
        "flat": ("Flatten", {"input_type": np.array([2, 4, 4]), "start_dim": 0, "end_dim": -1}),
        **behind,
    }
    names = list(nodes)
    return nodes, list(itertools.pairwise(names))


def test_what_spyx_wrote_otherwise_is_mended_and_told(tmp_path: Path) -> None:
    weight = np.arange(32.0).reshape(1, 32)
    behind = {
        "fc": ("Linear", {"weight": weight}),
        "if": ("IF", {"r": np.ones(1), "v_threshold": np.ones(1)}),
        "output": ("Output", {"shape": np.array([1])}),
    }
    network = read_nir(write(tmp_path / "net.nir", *maps(behind, 2)), compile_options(written_by="spyx").nir)
    assert "pool: padding [2, 2] of both sides in spyx, so [1, 1] each" in network.assumptions
    assert "fc: columns put in the order (C, H, W); spyx writes (H, W, C)" in network.assumptions
    op = network.connections[0].ops[-1]
    assert op.weight.reshape(2, 4, 4)[1, 0, 2] == weight.reshape(4, 4, 2)[0, 2, 1]  # type: ignore[union-attr]


def test_what_spyx_no_longer_tells_is_refused(tmp_path: Path) -> None:
    options = compile_options(written_by="spyx").nir
    neurons = {
        "if": ("IF", {"r": np.ones(32), "v_threshold": np.ones(32)}),
        "output": ("Output", {"shape": np.array([32])}),
    }
    with pytest.raises(Unsupported, match=r"^flat: spyx flattens with the channels last and writes that they come"):
        read_nir(write(tmp_path / "net.nir", *maps(neurons, 2)), options)
    fc = {"fc": ("Linear", {"weight": np.ones((1, 32))}), "output": ("Output", {"shape": np.array([1])})}
    path = write(tmp_path / "net.nir", *maps(fc, 1))
    with pytest.raises(Unsupported, match=r"^pool: spyx pads \[1, 1\] in all, so one side by a zero more"):
        read_nir(path, options)


def test_a_batch_axis_in_front_of_a_weight_is_dropped() -> None:
    network = Recording.load(FOLDER / "rockpool_lif.npz").network()
    assert network.inputs[0].shape == (12,)
    assert "input: shape (1, 12) read as (12,) (batch of 1 dropped)" in network.assumptions
