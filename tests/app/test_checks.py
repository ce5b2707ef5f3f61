"""What is wrong is said before anything is trained, and leaves nothing behind; a plan says what would be done."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from seamount import api
from seamount.config import load_config
from seamount.errors import BackendMissing, SeamountError
from seamount.models.teachers import build_teacher
from seamount.run.checks import check
from seamount.run.loading import load_once
from seamount.run.names import EVERY
from seamount.run.pipeline import run_stages
from seamount.run.stages import STAGES
from seamount.run.told import Told

MINE = """
import norse.torch as norse
import torch
from torch import nn

def net(n_classes, *cell, bias=True, k=None):
    layers = nn.Flatten(), nn.Linear(64, 8, bias=bias), *cell, nn.Linear(8, k or n_classes)
    return norse.SequentialState(*layers)

def relu(n_classes): return net(n_classes, nn.ReLU(), norse.LIFBoxCell())
def bias(n_classes): return net(n_classes, norse.LIFCell())
def leaky(n_classes): return net(n_classes, norse.LIFBoxCell(norse.LIFBoxParameters(v_leak=torch.tensor(0.1))))
def seven(n_classes): return net(n_classes, norse.LIFBoxCell(), k=7)
def good(n_classes): return net(n_classes, norse.LIFBoxCell())
def wide_awake(n_classes): return net(n_classes, norse.LIFBoxCell(norse.LIFBoxParameters(v_th=torch.tensor(1e-3))))
def deaf(n_classes): return net(n_classes, norse.LIFBoxCell(norse.LIFBoxParameters(v_th=torch.tensor(50.0))))

class Broken(nn.Module):
    def forward(self, x):
        return x @ torch.zeros(3, 3)

def narrow(n_classes): return nn.Sequential(nn.Flatten(), nn.Linear(64, 3))
def loss(logits, labels): return logits.mean(0)
def turn(x): return x[..., 1:]
"""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "mine.py").write_text(MINE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


REFUSED = {
    "teacher.arch=mine.py:narrow": "teacher.arch = mine.py:narrow: answers images (2, 1, 8, 8) with (2, 3), "
    "needed are "
    "logits (2, 10)",
    "teacher.arch=mine.py:Broken": "teacher.arch = mine.py:Broken: raises RuntimeError: mat1 and mat2 shapes "
    "cannot be "
    "multiplied (16x8 and 3x3) (mine.py, line 20) for images (2, 1, 8, 8)",
    "student.arch=mine.py:relu": "student.arch = mine.py:relu: relu cannot become a spiking program:\n"
    "  layer2: ReLU is not a weighted sum of spikes; possible are Conv2d, Linear, BatchNorm, average pooling",
    "student.arch=mine.py:bias": "layer1: a bias into the current of layer2 (LIFCell) leaves a transient that the "
    "chip does not have; bias=False in layer1; or LIFBoxCell, which has no current",
    "student.arch=mine.py:leaky": "leaky cannot be quantised:\n  layer2: v_leak 0.1, v_reset 0; both must be 0",
    "student.arch=mine.py:seven": "student.arch: the student answers with 7 classes, the data have 10; build it with "
    "n_classes = 10",
    "distill.method=mine.py:loss": "distill.method: mine.py:loss returned a tensor (2, 10), needed is one number",
    'data.augment=["mine.py:turn"]': "data.augment: mine.py:turn returned torch.uint8 (1, 8, 7), needed is "
    "torch.uint8 (1, 8, 8), as it was given",
    "student.options.widht=0.1": "student small: option 'widht' is none of width, decay, surrogate, readout, "
    "pooling, "
    "decay_syn, hidden, input_bits, input_scale; did you mean width?",
    "student.options.width=wide": "student small: option width is 'wide', Input should be a valid number",
    "student.options.pooling=maks": "student small: pooling 'maks' is none of stride, average, max",
    "student.options.input_bits=0": "student.options.input_bits: follows from the data; leave it out",
    "teacher.options.width=2": "teacher small-cnn: has no option width",
    "teacher.epochs=0": "teacher.epochs: 0 leaves small-cnn untrained; train it; or give teacher.checkpoint",
    "teacher.checkpoint=away.pt": "teacher.checkpoint: away.pt: no such file",
    "compile.readout=readout:last": "compile.readout: readout:last contradicts the student, whose readout adds up "
    "all steps and holds nothing else, possible are readout:sum, readout:mean; read so are leaky integrators: "
    'student.options.readout = "libox" or "li"',
    "compile.readout=conv3:count": "compile.readout: 'conv3' is not where a student answers, possible is readout, as "
    "readout:max",
    "compile.readout=:maxx": "compile.readout: 'maxx' is no way to read, possible are readout:sum, readout:mean",
    "quant.weight_bits=9": "quant.weight_bits: 9 bits, the target's weights can have 2, 3, 4, 5, 6, 8",
    "target.name=loihi3": "loihi3: no such target; there are loihi1, loihi2, or pass the path of a target's "
    ".toml file "
    "(docs/targets.md says how to write one)",
}


@pytest.mark.parametrize("setting", REFUSED)
def test_a_mistake_is_refused_at_once_and_leaves_nothing(here: Path, setting: str) -> None:
    with pytest.raises(SeamountError) as caught:
        api.run(None, [setting], folder=here / "runs/x")
    assert str(caught.value) == REFUSED[setting]
    assert not (here / "runs").exists()


def test_a_mistake_is_found_before_anything_is_loaded_that_does_not_show_it(tmp_path: Path) -> None:
    """What takes longest to load: torch, then norse (which brings matplotlib), then numba."""
    (tmp_path / "wrong.toml").write_text("[student]\nn_step = 4")
    (tmp_path / "light.py").write_text("def make(): pass")
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "torch_alone.py").write_text("import torch\ndef nobody(): pass")
    by_itself = [
        "target.name=loihi3",
        "student.arch=smal",
        "student.arch=light.py:mak",
        "teacher.arch=resnet",
        "teacher.checkpoint=away.pt",
        "quant.weight_bits=9",
        *(f"data.name={name} data.root={root}" for name, root in (("mnist", "away"), ("shd", "."), ("cifar10", "."))),
    ]
    (tmp_path / "bad.nir").write_text("no HDF5")
    commands = [
        ["run", "wrong.toml"],
        ["deploy", "bad.nir", "--data", "x.npz"],
        *(["demo", *(word for s in settings.split() for word in ("--set", s))] for settings in by_itself),
        ["demo", "--set", "teacher.arch=torch_alone.py:nobody"],
        ["demo", "--set", "student.arch=mine.py:relu"],
    ]
    code = (
        "import sys; from typer.main import get_command; from seamount.cli import app\n"
        f"for words in {commands}:\n"
        "    try: get_command(app)(words)\n"
        "    except SystemExit as ended:\n"
        "        print(ended.code, *(name for name in ('torch', 'norse', 'numba') if name in sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout == "2\n" * (2 + len(by_itself)) + "2 torch\n5 torch norse\n"


def test_the_stages_have_their_names() -> None:
    assert tuple(stage.name for stage in STAGES) == EVERY


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is here")
def test_a_gpu_that_is_not_here_is_refused_in_the_plan_too(here: Path) -> None:
    with pytest.raises(BackendMissing, match=r"device: 'cuda' asked for, but torch .* sees no CUDA device"):
        api.plan(None, ["run.device=cuda"], folder=here / "runs/x")


def test_a_mistake_leaves_the_run_of_before(here: Path) -> None:
    folder = here / "runs/x"
    folder.mkdir(parents=True)
    (folder / "resolved.toml").write_text("kept")
    with pytest.raises(SeamountError):
        api.run(None, ["student.arch=mine.py:relu"], folder=folder, overwrite=True)
    assert (folder / "resolved.toml").read_text() == "kept"


@pytest.mark.parametrize(("asked", "answer"), [("readout:max", "max"), (":mean", "sum"), ("readout:final", "v")])
def test_integrators_answer_as_compile_readout_says(asked: str, answer: str) -> None:
    config = load_config(None, ['student.options={readout="libox"}', f"compile.readout={asked}"])
    assert check(config, load_once()).student.answer == answer


def test_a_student_that_no_chip_holds_may_be_trained(here: Path) -> None:
    config = load_config(None, ["student.arch=mine.py:leaky"])
    assert check(config, load_once(), trains_only=True).student.name == "leaky"


def test_a_plan_says_what_would_be_done_and_writes_nothing(here: Path) -> None:
    plan = api.plan(None, ["student.arch=mine.py:good", "lava.n_samples=0"], folder=here / "runs/x")
    assert [stage.state for stage in plan.stages] == ["to do"] * 7
    assert [stage.name for stage in plan.stages if stage.about_s] == ["teacher", "distill", "quantise"]
    assert (plan.cores, plan.does_not_fit) == (1, None)
    teacher = build_teacher("small-cnn", n_classes=10, input_shape=(1, 8, 8))
    assert plan.teacher is not None
    assert plan.teacher.n_parameters == sum(p.numel() for p in teacher.parameters())
    text = "\n".join(plan.lines())
    assert "data     1x8x8, 10 classes: 1259 training, 179 validation, 359 test samples" in text
    assert "student  mine.py:good, 610 parameters" in text
    assert "<th>student</th><td>mine.py:good, 610 parameters</td>" in plan._repr_html_()
    assert "answer: the sum over all steps of readout" in text
    assert "target   loihi1: about 1 core" in text
    assert json.loads(json.dumps(plan.to_dict()))["n_classes"] == 10
    assert not (here / "runs").exists()


def test_a_student_that_sends_nothing_is_told_before_it_is_trained(here: Path) -> None:
    assert check(load_config(None, ["student.arch=mine.py:wide_awake"]), load_once()).warnings == ()
    (warning,) = check(load_config(None, ["student.arch=mine.py:deaf"]), load_once()).warnings
    assert warning.startswith("student: layer2 sends nothing on 16 training samples, and hardly anything is learned")
    told: list[str] = []
    small = ["data.max_train=40", "data.max_test=20", "teacher.epochs=1", "student.arch=mine.py:deaf"]
    run_stages(load_config(None, small), here / "run", until="teacher", told=Told(stage=told.append))
    assert told[0] == warning


def test_resumption_keeps_what_was_set_and_says_what_is_new(here: Path) -> None:
    small = ["data.max_train=40", "data.max_test=20", "teacher.epochs=1", "train.epochs=1", "distill.method=hard"]
    run = run_stages(load_config(None, small), here / "run", until="teacher", settings=small)
    assert run is not None
    said: list[str] = []
    rows = api.distill(
        None, ["train.epochs=2"], folder=here / "run", until="distill", resume=True, told=Told(stage=said.append)
    )
    assert rows is not None
    assert said[0] == "setting changed: train.epochs 1 -> 2"
    assert "teacher: again, changed: [train]" in said
    kept = json.loads((here / "run/manifest.json").read_text())["settings"]
    assert kept == [*small[:3], "distill.method=hard", "train.epochs=2"]
    assert 'method = "hard"' in (here / "run/resolved.toml").read_text()
