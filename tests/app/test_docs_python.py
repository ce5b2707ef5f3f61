"""The Python that docs/*.md show runs as it stands, page by page, where its files are and with fewer epochs."""

import re
import shutil
from itertools import pairwise
from pathlib import Path
from typing import Any

import nir
import numpy as np
import pytest
import torch
from torch import nn
from torch.utils.data import TensorDataset

from seamount import api
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import Ints, ints
from seamount.compile.program.file import load_program
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.hardware_targets.lava import lava_status, write_net
from seamount.hardware_targets.simulator import simulate
from seamount.models.zoo import build_student

DOCS = Path(__file__).resolve().parents[2] / "docs"

PAGES = {
    page.name: blocks
    for page in sorted(DOCS.glob("*.md"))
    if (blocks := re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL))
}
SHORTER = {
    "DataConfig()": "DataConfig(max_train=64, max_test=16)",
    "TrainConfig()": "TrainConfig(epochs=1)",
    "TeacherConfig()": "TeacherConfig(epochs=1)",
    "QuantConfig()": "QuantConfig(epochs=1)",
    '["student.n_steps=4"]': '["train.epochs=1", "quant.epochs=1", "student.n_steps=4", "lava.n_samples=0"]',
    'folder="runs/loop")': 'folder="runs/loop", n_lava=0)',
    "reading=reading)": "reading=reading, n_lava=0)",
}


def chain() -> Program:
    """Three layers, as a lava-dl file has them."""
    rng = np.random.default_rng(3)
    names = ("input", "layer1", "layer2", "layer3")

    def weights() -> Ints:
        return ints(2 * rng.integers(-20, 40, (6, 6)))

    neuron = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(60))
    return Program(
        "chain",
        inputs=(Input("input", (6,)),),
        populations=tuple(Population(name, (6,), neuron) for name in names[1:]),
        synapses=tuple(Synapses(f"{a}-{b}", a, b, Dense(weights())) for a, b in pairwise(names)),
        readout=Readout("layer3", "count"),
        n_steps=32,
    )


def lif(n: int) -> nir.LIF:
    one = np.ones(n)
    return nir.LIF(tau=4e-3 * one, r=one, v_leak=0 * one, v_threshold=0.3 * one, v_reset=0 * one)


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages speak of: net.nir, x.npz, old.net, runs/demo, tinychip."""
    folder = tmp_path_factory.mktemp("docs")
    rng = np.random.default_rng(0)
    nodes = {
        "input": nir.Input({"input": np.array([12])}),
        "fc": nir.Linear(rng.normal(size=(8, 12))),
        "lif": lif(8),
        "head": nir.Linear(rng.normal(size=(3, 8))),
        "out": lif(3),
        "output": nir.Output({"output": np.array([3])}),
    }
    nir.write(folder / "net.nir", nir.NIRGraph(nodes, list(pairwise(nodes))))
    np.savez(folder / "x.npz", x=rng.integers(0, 2, (16, 6, 12)), y=rng.integers(0, 3, 6))
    reading = api.Reading(settings=("dt=1e-3",), n_steps=16)
    api.deploy(folder / "net.nir", folder / "x.npz", folder=folder / "runs/demo", reading=reading, n_lava=0)
    write_net(chain(), folder / "old.net")
    example = (DOCS / "targets.md").read_text().split("```toml\n# tinychip.toml\n")[1].split("```")[0]
    (folder / "tinychip.toml").write_text(example)
    return folder


def on_the_desk(page: str, desk: Path) -> dict[str, Any]:
    """The names that a page takes for granted."""
    rng = np.random.default_rng(1)
    match page:
        case "energy.md" | "targets.md":
            return {"program": load_program(desk / "runs/demo/program.h5"), "inputs": np.load(desk / "x.npz")["x"]}
        case "migrating_from_lava.md":
            x = rng.integers(0, 2, (32, 2, 6))
            spikes = simulate(api.load_any_program("old.net"), x[:, :1], n_steps=32, record=("spikes",)).spikes[
                "layer3"
            ]
            np.save("input.npy", x[:, 0].T)
            np.save("layer3_spikes.npy", spikes[:, 0].T)
            return {"x": x}
        case "own_code.md":
            x, y = torch.rand(40, 1, 8, 8), torch.arange(40) % 10
            data, teacher = TensorDataset(x, y), nn.Sequential(nn.Flatten(), nn.Linear(64, 10))
            student = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=4, width=0.25)
            own = {"teacher": teacher, "student": student, "train": data, "test": data}
            return {**own, "x": x, "labels": y, "x_test": x[:8], "y_test": y[:8]}
        case "sigma_delta.md":
            ann = nn.Sequential(nn.Linear(6, 8), nn.ReLU(), nn.Linear(8, 3))
            return {"module": ann, "x": rng.random((20, 5, 6)), "y": rng.integers(0, 3, 20)}
        case _:
            return {}


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES)
def test_the_python_of_a_page_runs(page: str, desk: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if "run_on_lava" in "".join(PAGES[page]) and not lava_status(try_it=False).present:
        pytest.skip("Lava is not installed")
    mine = shutil.copytree(desk, tmp_path / "desk")
    monkeypatch.chdir(mine)
    monkeypatch.setenv("SEAMOUNT_TARGETS", str(mine))
    monkeypatch.setenv("MPLBACKEND", "Agg")
    names = on_the_desk(page, mine)
    for block in PAGES[page]:
        for long, short in SHORTER.items():
            block = block.replace(long, short)
        exec(compile(block, page, "exec"), names)


def test_the_pages_with_python_are_these() -> None:
    """A page that is renamed or written otherwise is not left out unseen."""
    named = "bring_a_network distillation energy migrating_from_lava notebooks own_code report sigma_delta targets"
    assert {f"{page}.md" for page in named.split()} <= set(PAGES)
