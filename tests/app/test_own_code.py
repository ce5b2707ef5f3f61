"""Code of one's own in a run: teacher, student, data, augmentation and loss named by the settings."""

import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from seamount import own
from seamount.config import Config, load_config
from seamount.distill.config import DataConfig, DistillConfig, TrainConfig
from seamount.distill.data import Pass, load_data
from seamount.distill.methods import Lesson, Settings, WeightedSum, needs_teacher, weights_of
from seamount.distill.train import distill
from seamount.errors import ConfigError, SeamountError
from seamount.files import file_hash
from seamount.models.spiking_net import SpikingNet
from seamount.models.teachers import build_teacher
from seamount.models.zoo import build_student
from seamount.run.contents import contents
from seamount.run.loading import load_once
from seamount.run.pipeline import run_stages
from seamount.run.reporting import report_run
from seamount.run.stages import STAGES

MINE = """
import norse.torch as norse
import torch
from torch import nn

import helper


class Blobs(torch.utils.data.Dataset):
    classes = ["left", "right"]

    def __init__(self, n):
        self.n = n
        self.lock = __import__("threading").Lock()  # which no pickle takes

    def __len__(self):
        return self.n

    def __getitem__(self, i):
        x = torch.zeros(1, 4, 4)
        x[..., (i % 2) * 2 + i // 2 % 2] = 1
        return x, i % 2


def make_data():
    return Blobs(64), Blobs(16)


def make_teacher(n_classes, width=8):
    return nn.Sequential(nn.Flatten(), nn.Linear(16, width), nn.ReLU(), nn.Linear(width, n_classes))


def make_student(n_classes):
    p = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(0.1))
    head = nn.Linear(64, n_classes)
    return norse.SequentialState(nn.Conv2d(1, 4, 3, padding=1), norse.LIFBoxCell(p), nn.Flatten(), head)


class Loss(nn.Module):
    def __init__(self, weight=0.5):
        super().__init__()
        self.weight = weight

    def forward(self, logits, labels, teacher_logits):
        mean = logits.mean(0)
        return nn.functional.cross_entropy(mean, labels) + self.weight * helper.mse(mean, teacher_logits)


def plain(logits, labels):
    return nn.functional.cross_entropy(logits.mean(0), labels)


def turned(x):
    return x.flip(-2) if torch.rand(()) < 0.5 else x
"""

HELPER = "def mse(a, b):\n    return (a - b).square().mean()\n"

SETTINGS = (
    'data.name="mine.py:make_data"',
    'data.augment=["mine.py:turned"]',
    'teacher.arch="mine.py:make_teacher"',
    "teacher.options={width = 4}",
    "teacher.epochs=1",
    'student.arch="mine.py:make_student"',
    "student.n_steps=2",
    'distill.method="mine.py:Loss"',
    "train.epochs=1",
    "train.n_workers=1",
    "quant.epochs=1",
    "lava.n_samples=0",
    "report.n_compared=4",
)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with the code, as the working directory."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "helper.py").write_text(HELPER)
    monkeypatch.chdir(tmp_path)
    before = list(sys.path)
    yield tmp_path
    sys.path[:] = before
    sys.modules.pop("helper", None)


def config(*more: str) -> Config:
    return load_config(None, [*SETTINGS, *more])


def refusal(call: Callable[[], Any]) -> str:
    with pytest.raises(SeamountError) as caught:
        call()
    return str(caught.value)


def test_a_run_of_nothing_but_ones_own(here: Path) -> None:
    run = run_stages(config(), here / "run")
    assert run is not None
    manifest = json.loads((here / "run/manifest.json").read_text())
    assert manifest["own"]["teacher.arch"] == {
        "name": "mine.py:make_teacher",
        "sha256": {name: file_hash(here / name) for name in ("helper.py", "mine.py")},
    }
    proof = json.loads((run.of(STAGES[5]) / "proof.json").read_text())
    assert proof["spikes_compared"] > 0
    assert proof["spikes_differing"] == 0


def test_edited_code_is_another_content_for_those_who_use_it(here: Path) -> None:
    (here / "net.py").write_text("from mine import make_student\n")
    (here / "mind.py").write_text("from mine import make_teacher\n")
    made = load_config(None, ['student.arch="net.py:make_student"', 'teacher.arch="mind.py:make_teacher"'])

    def changed(edit: Callable[[], object]) -> list[str]:
        before = [contents(stage.settings(made), file_hash) for stage in STAGES]
        edit()
        after = [contents(stage.settings(made), file_hash) for stage in STAGES]
        return [stage.name for stage, a, b in zip(STAGES, before, after, strict=True) if a != b]

    assert changed(lambda: (here / "other.py").write_text("1\n")) == []
    assert changed(lambda: (here / "net.py").write_text("from mine import make_student  # again\n")) == [
        "distill",
        "quantise",
        "export",
        "simulate",
    ]
    everybody = ["teacher", "distill", "quantise", "export", "simulate"]
    assert changed(lambda: (here / "helper.py").write_text(HELPER + "\n")) == everybody


def test_a_report_mixes_no_run_with_the_data_of_edited_code(here: Path) -> None:
    folder = here / "run"
    assert run_stages(config(), folder) is not None
    report_run(folder)
    (here / "helper.py").write_text(HELPER + "\n")
    text = refusal(lambda: report_run(folder))
    assert text == (
        f"{folder}: mine.py:make_data is not the code that this run had its data from: a file of it was edited "
        f"since; put back what it was; or `seamount run {folder}/resolved.toml --out {folder} --resume` runs again "
        "what depends on it"
    )


def test_edited_code_is_loaded_again_in_the_same_process(here: Path) -> None:
    (here / "helper.py").write_text("n = 1\n")
    (here / "mine.py").write_text("import helper\n\ndef n():\n    return helper.n\n")
    assert own.make("mine.py:n", "data.name", {}, {}) == 1
    (here / "helper.py").write_text("n = 12\n")
    assert own.make("mine.py:n", "data.name", {}, {}) == 12


def test_a_module_of_a_package_and_what_it_imports_there(here: Path) -> None:
    package = here / "lab" / "nets"
    package.mkdir(parents=True)
    (here / "lab/__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "tiny.py").write_text("from ..sizes import WIDTH\n\ndef width():\n    return WIDTH\n")
    (here / "lab/sizes.py").write_text("WIDTH = 3\n")
    assert own.make("lab.nets.tiny:width", "teacher.arch", {}, {}) == 3
    found = own.files("lab.nets.tiny:width", "teacher.arch")
    assert list(found) == ["lab/nets/tiny.py", "lab/sizes.py"]


# ------------------------------------------------------------------------------------------------ what may be given


def test_a_student_may_be_a_spiking_net_or_ones_own_module(here: Path) -> None:
    shape: dict[str, Any] = {"n_classes": 2, "input_shape": (1, 4, 4), "n_steps": 2}
    net = build_student("mine.py:make_student", **shape)
    assert (net.name, net.n_classes, net.input_bits) == ("make_student", 2, 8)
    (here / "net.py").write_text(
        "from seamount.models.zoo import build_student\n\n"
        "def make(n_classes, input_shape, n_steps):\n"
        "    return build_student('small', n_classes=n_classes, input_shape=input_shape, n_steps=n_steps)\n"
    )
    assert isinstance(build_student("net.py:make", **shape), SpikingNet)
    text = refusal(lambda: build_student("net.py:make", **shape, input_bits=0))
    assert text == (
        "student.arch: net.py:make gave a SpikingNet with input_bits 8, the data need 0; "
        "hand on the input_bits with which it is called"
    )


DATA = """
import numpy as np, torch
from torch.utils.data import DataLoader, TensorDataset

x, y = 255 * np.tile(np.eye(4, dtype=np.uint8)[:, None], (10, 1, 1)), np.arange(40) % 2

def arrays():
    return x, y

def parts():
    return (x[:30], y[:30]), (x[30:], y[30:])

def named():
    return {"x_train": x[:30], "y_train": y[:30], "x_test": x[30:], "y_test": y[30:]}

def tensors():
    return TensorDataset(torch.from_numpy(x), torch.from_numpy(y))

def loaders():
    return DataLoader(tensors(), batch_size=4), DataLoader(tensors())

def listed():
    return [(x[i], int(y[i])) for i in range(40)], [(x[i], int(y[i])) for i in range(10)]
"""


@pytest.mark.parametrize(
    ("name", "n"),
    [
        ("arrays", (32, 8)),
        ("parts", (30, 10)),
        ("named", (30, 10)),
        ("tensors", (32, 8)),
        ("loaders", (40, 40)),
        ("listed", (40, 10)),
    ],
)
def test_data_come_in_many_forms(here: Path, name: str, n: tuple[int, int]) -> None:
    (here / "data.py").write_text(DATA)
    data = load_data(load_config(None, [f'data.name="data.py:{name}"']).data, n_steps=2)
    assert (len(data.train) + len(data.val), len(data.test)) == n
    assert data.input_shape == (1, 4)
    assert data.n_classes == 2


@pytest.mark.parametrize(
    "made",
    [
        "x > 0",
        "torch.from_numpy(x / 255).bfloat16()",
        "torch.from_numpy(x / 255).to_sparse()",
        "x[::-1, :, ::-1]",
        "np.asfortranarray(x)",
    ],
)
def test_arrays_of_any_kind_hold_the_same_pixels(here: Path, made: str) -> None:
    (here / "data.py").write_text(f"{DATA}\ndef made():\n    return {made}, torch.from_numpy(y)\n")
    data = load_data(load_config(None, ['data.name="data.py:made"']).data, n_steps=2)
    values = data.train.values
    assert values is not None
    assert values[0, 0].tolist() == [255, 0, 0, 0]


def test_a_picture_with_a_palette_has_its_colours(here: Path) -> None:
    code = (
        "from PIL import Image\nimport numpy as np\n"
        "red = np.zeros((4, 4, 3), np.uint8) + np.array([200, 10, 0], np.uint8)\n"
        "one = Image.fromarray(red).convert('P', palette=Image.Palette.ADAPTIVE)\n"
        "def pictures(): return [(one, i % 2) for i in range(20)]\n"
    )
    (here / "data.py").write_text(code)
    data = load_data(load_config(None, ['data.name="data.py:pictures"']).data, n_steps=2)
    assert data.train.read(data.train.ids[:1], None)[0, :, 0, 0].tolist() == [200, 10, 0]


@pytest.mark.parametrize("kind", ["bool", "np.int64", "np.float32"])
@pytest.mark.parametrize(("values", "most"), [("binary", 1), ("count", 3)])
def test_events_in_frames_are_whole_numbers_of_any_type(here: Path, kind: str, values: str, most: int) -> None:
    factor = 1 if kind == "bool" else 3
    x = f"(np.eye(4)[None].repeat(40, 0) * {factor}).astype({kind})"
    (here / "it.py").write_text(f"import numpy as np\ndef d(): return {x}, np.arange(40) % 2")
    settings = ['data.name="it.py:d"', 'data.encoding="frames"', f'data.frame_values="{values}"']
    data = load_data(load_config(None, settings).data, n_steps=4)
    assert float(data.inputs(data.test, [0]).x.max()) == min(most, factor)
    assert int(data.chip_inputs(data.test, [0]).max()) == min(most, factor)


def test_shares_in_frames_are_no_events(here: Path) -> None:
    (here / "it.py").write_text("import numpy as np\ndef d(): return np.full((40, 4, 4), 0.3), np.arange(40) % 2")
    settings = ['data.name="it.py:d"', 'data.encoding="frames"']
    assert refusal(lambda: load_data(load_config(None, settings).data, n_steps=4)) == (
        "data.name = it.py:d: x has float64 values such as 0.3, needed are whole numbers: of spikes, or of events in "
        "a frame; images from 0 to 1 need a student with input_bits=8, as in from_module(module, ..., input_bits=8), "
        'and in a run data.encoding = "direct"'
    )


def test_a_large_data_set_is_read_when_it_is_needed(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = load_data(config().data, n_steps=2)
    assert small.class_names == ("left", "right")
    monkeypatch.setattr("seamount.distill.data.own.WHOLE_BYTES", 10)
    large = load_data(config().data, n_steps=2)
    numbers = torch.arange(len(small.train))
    for a, b in zip(
        small.read(small.train, numbers, Pass(0, 3)), large.read(large.train, numbers, Pass(0, 3)), strict=True
    ):
        assert torch.equal(a, b)
    assert torch.equal(small.train.labels, large.train.labels)


def test_an_augmentation_follows_from_the_sample_and_its_epoch_alone(here: Path) -> None:
    (here / "mine.py").write_text(MINE.replace("x[..., (i", "x[0, 0] = 0.5; x[..., (i"))
    data = load_data(config().data, n_steps=2)
    numbers = torch.arange(20)
    whole = data.read(data.train, numbers, Pass(0, 1))[0]
    assert torch.equal(whole[7:9], data.read(data.train, numbers[7:9], Pass(0, 1))[0])
    assert not torch.equal(whole, data.read(data.train, numbers, Pass(0, 2))[0])
    assert torch.equal(data.read(data.val, numbers[:4])[0], data.read(data.val, numbers[:4])[0])


NEEDS_AN_OPTION = """
import torch
from torch import nn


class Loss(nn.Module):
    seen = set()

    def __init__(self, weight):
        super().__init__()
        self.weight = weight

    def forward(self, logits, labels, student_maps):
        self.seen.add(tuple(student_maps))
        return self.weight * nn.functional.cross_entropy(logits.mean(0), labels)
"""


def test_a_loss_that_needs_options_and_maps_of_a_student_that_nobody_teaches(here: Path) -> None:
    (here / "need.py").write_text(NEEDS_AN_OPTION)
    mine = ('distill.method="need.py:Loss"', "distill.options={weight = 2.0}", "data.augment=[]", "quant.epochs=0")
    settings = [one for one in SETTINGS if one.partition("=")[0] not in {m.partition("=")[0] for m in mine}]
    run_stages(load_config(None, [*settings, *mine]), here / "run")
    assert own.find("need.py:Loss", "distill.method").seen == {("layer1",)}
    told = {fact.name: fact.value for fact in report_run(here / "run").run.facts}
    assert told["teacher"] == "none"


def test_losses_of_ones_own_weigh_among_ours(here: Path) -> None:
    logits, labels = torch.randn(2, 3, 2, requires_grad=True), torch.tensor([0, 1, 1])
    lesson = Lesson(logits, labels, torch.randn(3, 2))
    total, terms = WeightedSum(weights_of({"hard": 1.0, "mine.py:plain": 2.0}), Settings())(lesson)
    assert list(terms) == ["hard", "mine.py:plain"]
    assert torch.allclose(total, terms["hard"] + 2 * nn.functional.cross_entropy(logits.mean(0), labels))
    assert not needs_teacher({"mine.py:plain": 1.0}, {})
    assert needs_teacher({"mine.py:Loss": 1.0}, {"weight": 1.0})


ODD = """
import torch
from torch.nn.functional import cross_entropy

kept = []

def elsewhere(logits): return torch.zeros((), device="meta", requires_grad=True)
def imaginary(logits): return logits.sum() * 1j
def halves(logits, teacher_logits): return (logits.mean(0) - teacher_logits.div_(2)).sum()
def clears(logits, labels, student_maps): student_maps["conv"].zero_(); return cross_entropy(logits.mean(0), labels)
def again(logits, labels): kept.append(cross_entropy(logits.mean(0), labels)); return sum(kept)
"""


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "elsewhere",
            "returned a number of torch.float32 on meta, needed is a real number on cpu, where the logits are",
        ),
        (
            "imaginary",
            "returned a number of torch.complex64 on cpu, needed is a real number on cpu, where the logits are",
        ),
        ("halves", "changes teacher_logits in place; change a copy, as teacher_logits.clone()"),
        ("clears", "changes student_maps in place; change a copy, as student_maps.clone()"),
    ],
)
def test_a_loss_gives_a_real_number_and_leaves_its_lesson_as_it_is(here: Path, name: str, text: str) -> None:
    (here / "odd.py").write_text(ODD)
    lesson = Lesson(
        torch.randn(2, 3, 2, requires_grad=True),
        torch.tensor([0, 1, 1]),
        torch.randn(3, 2),
        {"conv": torch.zeros(2, 3, 1, 1, 1)},
    )
    loss = WeightedSum(weights_of({f"odd.py:{name}": 1.0}), Settings())
    assert refusal(lambda: loss(lesson)) == f"distill.method: odd.py:{name} {text}"


def test_gradients_that_a_loss_breaks_later_are_told_with_its_name(here: Path) -> None:
    (here / "odd.py").write_text(ODD)
    mine = ('distill.method="odd.py:again"', "data.augment=[]", "train.batch_size=8")
    settings = [one for one in SETTINGS if one.partition("=")[0] not in {m.partition("=")[0] for m in mine}]
    told = refusal(lambda: run_stages(load_config(None, [*settings, *mine]), here / "run"))
    assert told.startswith("odd.py:again: the gradients raise RuntimeError: Trying to backward through the graph a")
    assert told.endswith("; --debug shows the way there")


def test_what_a_student_raises_is_not_told_of_the_loss(here: Path) -> None:
    data = load_data(DataConfig(max_train=40, augment=()), n_steps=2)
    student = build_student("small", n_classes=10, input_shape=data.input_shape, n_steps=2)

    def fails(module: nn.Module, _: object) -> None:
        if module.training:
            raise RuntimeError("of the student")

    student.register_forward_pre_hook(fails)
    config, train = DistillConfig(method={"mine.py:plain": 1.0}), TrainConfig(epochs=1, batch_size=8)
    with pytest.raises(RuntimeError, match=r"^of the student$"):
        distill(data, None, student, config, train, here / "run")


# ------------------------------------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("code", "reference", "text"),
    [
        ("", "away.py:f", "teacher.arch: no such file, away.py; it is looked for in {here}"),
        ("", "away.net:f", "teacher.arch: no module away.net; a file is named as away.net.py:NAME"),
        ("def make(): pass", "it.py:mak", "teacher.arch: it.py has no mak; did you mean make?"),
        (
            "import nothing_of_it",
            "it.py:f",
            "teacher.arch: it.py cannot be imported, ModuleNotFoundError: No module named 'nothing_of_it' "
            "(it.py, line 1)",
        ),
        (
            "\n1 +",
            "it.py:f",
            "teacher.arch: it.py cannot be imported, SyntaxError: invalid syntax (it.py, line 2)",
        ),
        (
            "def f():\n    raise KeyError('w')",
            "it.py:f",
            "teacher.arch: it.py:f raised KeyError: 'w' (it.py, line 2)",
        ),
        (
            "class Odd(BaseException): pass\ndef f():\n    raise Odd('no')",
            "it.py:f",
            "teacher.arch: it.py:f raised Odd: no (it.py, line 3)",
        ),
        (
            "class Odd(BaseException):\n    def __str__(self): raise Odd\nraise Odd",
            "it.py:f",
            "teacher.arch: it.py cannot be imported, Odd (it.py, line 3)",
        ),
        ("def f():\n    exit(3)", "it.py:f", "teacher.arch: it.py:f raised SystemExit: 3 (it.py, line 2)"),
        (
            "def f(depth): pass",
            "it.py:f",
            "teacher.arch: it.py:f needs depth, it is called with n_classes, input_shape and teacher.options; "
            "set teacher.options.depth, or give it a default",
        ),
        (
            "def f(): pass",
            "it.py:f",
            "teacher.arch: it.py:f gave nothing (is there a return?), needed is a torch module that gives "
            "logits (B, K)",
        ),
        (
            "def f(): return 3",
            "it.py:f",
            "teacher.arch: it.py:f gave a int, needed is a torch module that gives logits (B, K)",
        ),
        ("x = " + 200_000 * "-" + "1", "it.py:f", "teacher.arch: it.py cannot be imported, MemoryError"),
        ("", "~nobody-of-that-name/it.py:f", "teacher.arch: no home ~nobody-of-that-name; write the whole path"),
        ("", "loop.py:f", "teacher.arch: no such file, loop.py; it is looked for in {here}"),
    ],
)
def test_code_that_cannot_be_used(here: Path, code: str, reference: str, text: str) -> None:
    (here / "it.py").write_text(code)
    (here / "loop.py").symlink_to("loop.py")
    assert refusal(lambda: build_teacher(reference, n_classes=2, input_shape=(1, 4, 4))) == text.format(here=here)


def test_imports_from_above_the_folder_are_none_of_its_files(here: Path) -> None:
    (here / "low").mkdir()
    (here / "low" / "it.py").write_text("from ..helper import mse\nfrom " + 40 * "." + " import helper\nimport near")
    (here / "low" / "near.py").write_text("")
    assert [*own.files("low/it.py:f", "teacher.arch")] == ["it.py", "near.py"]


def test_a_linked_file_is_known_by_what_it_leads_to(here: Path) -> None:
    (here / "link.py").symlink_to("mine.py")
    assert own.digest("link.py:make_data", "data.name") == own.digest("mine.py:make_data", "data.name")
    assert [*own.files("link.py:make_data", "data.name")] == ["helper.py", "mine.py"]


LATE = """
import torch

class Late(torch.nn.Module):
    def __init__(self, n_classes):
        super().__init__()
        self.layer = torch.nn.Linear(16, n_classes)
        self.calls = 0

    def forward(self, x):
        self.calls += 1
        if self.calls > 3:
            {last}
        return self.layer(x.flatten(1))
"""


@pytest.mark.parametrize(
    ("last", "told"),
    [
        ("raise KeyError('\\x1b[2J')", "KeyError: '\\x1b[2J'"),
        ("exit(0)", "SystemExit: 0"),
        ("raise BaseException('odd')", "BaseException: odd"),
    ],
)
def test_what_raises_in_the_middle_of_a_stage_is_told_with_its_line(here: Path, last: str, told: str) -> None:
    (here / "late.py").write_text(LATE.format(last=last))
    late = config('teacher.arch="late.py:Late"', "teacher.options={}", 'distill.method="seal-kd"')
    text = refusal(lambda: run_stages(late, here / "run", until="teacher"))
    assert text == f"late.py: raised {told} (late.py, line 13); --debug shows the way there"
    assert not (here / "run" / "stages" / "01-teacher" / "status.json").exists()


def test_what_nobody_elses_line_raised_stays_what_it_is(here: Path) -> None:
    (here / "it.py").write_text("f = 1")
    own.find("it.py:f", "teacher.arch")
    with pytest.raises(ZeroDivisionError), own.blamed():
        _ = 1 / 0


def test_data_of_code_that_was_edited_in_the_middle_of_a_run_are_read_again(here: Path) -> None:
    load, settings = load_once(), config().data
    assert load(settings, 2) is load(settings, 2)
    before = load(settings, 2)
    (here / "mine.py").write_text(MINE.replace("Blobs(64)", "Blobs(32)"))
    assert len(load(settings, 2).train) < len(before.train)


def test_options_that_are_not_taken(here: Path) -> None:
    def build() -> object:
        return build_teacher("mine.py:make_teacher", n_classes=2, input_shape=(1, 4, 4), widht=3)

    assert refusal(build) == "teacher.options: mine.py:make_teacher takes no widht; did you mean width?"
    assert "teacher small-cnn: has no option width" in refusal(
        lambda: build_teacher("small-cnn", n_classes=2, input_shape=(1, 8, 8), width=3)
    )


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("def d(): return 3", "data.name = it.py:d: gave a int, needed are a torch Dataset of (x, label), a pair of "
         "them (training, test), arrays (x, y), or a dict of arrays"),
        ("def d(): return [(x[0], 0), (x[1], 1)], [x[0], x[1]]",
         "data.name = it.py:d, test: sample 0 is a ndarray, needed is (x, label)"),
        ("def d(): return [x[0], x[1], x[2]]", "data.name = it.py:d: sample 0 is a ndarray, needed is (x, label)"),
        ("def d(): return [(x[0], 0), (x[1][:3], 1), (x[0], 0)]",
         "data.name = it.py:d: sample 1 has shape (3, 4), sample 0 (4, 4); bring all to one shape"),
        ("def d(): return [(x[0], 'cat'), (x[1], 'dog'), (x[1], 'dog')]",
         "data.name = it.py:d: y (3,) of type <U3, needed are whole numbers of classes, one a sample; "
         "number the classes, as np.unique(y, return_inverse=True)[1] does"),
        ("def d(): return x, y[:5]", "data.name = it.py:d: x (40, 4, 4) and y (5,); one label a sample is needed"),
        ("def d(): return x, y * 0", "it.py:d: all samples are of one class, at least 2 classes are needed"),
        ("def d(): return (x, y), (x[:, :3], y)",
         "data.name = it.py:d: training samples (4, 4), test samples (3, 4); they need one shape"),
        ("class D:\n    def __len__(self): return 4\n    def __getitem__(self, i): return np.random.rand(4), i % 2\n"
         "def d(): return D()", "data.name = it.py:d: gives sample 0 differently each time; leave random transforms "
         "out, and name them in data.augment"),
        ("class D:\n    def __len__(self): return 4\n    def __getitem__(self, i): return 1 / (i - 2), i % 2\n"
         "def d(): return D()", "data.name = it.py:d: sample 2 of 4 raised ZeroDivisionError: division by "
          "zero (it.py, line 5)"),
        ("class D:\n    def __len__(self): raise OSError('gone')\n    def __getitem__(self, i): return x[i], i % 2\n"
         "def d(): return D()", "data.name = it.py:d: __len__ of a Dataset raised OSError: gone (it.py, line 4)"),
        ("class D:\n    def __len__(self): return -1\n    def __getitem__(self, i): return x[i], i % 2\n"
         "def d(): return D()", "data.name = it.py:d: __len__ of a Dataset raised ValueError: __len__() should "
         "return >= 0"),
        ("class D:\n    def __len__(self): return 4\n"
         "    def __getitem__(self, i): return np.random.rand(4) * (i > 2), 0\n"
         "def d(): return D()", "data.name = it.py:d: gives sample 3 differently each time; leave random transforms "
         "out, and name them in data.augment"),
        ("from torch.utils.data import DataLoader, SubsetRandomSampler\n"
         "def d(): return DataLoader([(x[i], i % 2) for i in range(40)], sampler=SubsetRandomSampler(range(8)))",
         "data.name = it.py:d: a DataLoader with a sampler of its own; hand over torch.utils.data.Subset(dataset, "
         "numbers)"),
        ("from torch.utils.data import DataLoader\n"
         "def d(): return DataLoader([(x[i], i % 2) for i in range(40)], collate_fn=lambda items: None)",
         "data.name = it.py:d: a DataLoader with a collate_fn of its own; hand over a Dataset that gives what it "
         "makes"),
        ("def d(): return x.astype(int), y", "data.name = it.py:d: x has int64 values of 0 and 1 alone, of 255; if 1 "
         "is white, write x.astype(bool), or x * 255"),
        ("def d(): return np.ones((8, 9, 7, 3)), y[:8]", "data.name = it.py:d: x (8, 9, 7, 3) looks like (N, H, W, "
         "C); np.moveaxis(x, -1, 1) brings the channels in front"),
        ("def d(): return x - 3.0, y", "data.name = it.py:d: x has float64 values from -3 to 0; 0 to 1 is "
         "possible; undo the normalisation by mean and standard deviation: the first layer learns it"),
    ],
)  # fmt: skip
def test_data_that_cannot_be_used(here: Path, code: str, text: str) -> None:
    head = "import numpy as np\nx, y = np.tile(np.eye(4), (40, 1, 1)), np.arange(40) % 2\n"
    (here / "it.py").write_text(head + code)
    assert refusal(lambda: load_data(load_config(None, ['data.name="it.py:d"']).data, n_steps=2)) == text


REUSED = """
import torch
class D:
    x = torch.zeros(1, 2, 2)
    def __len__(self): return 40
    def __getitem__(self, i):
        self.x.fill_(i / 100)
        return self.x, i % 2
def d(): return D()
"""


def test_a_dataset_may_write_each_sample_into_the_same_tensor(here: Path) -> None:
    (here / "it.py").write_text(REUSED)
    data = load_data(load_config(None, ['data.name="it.py:d"']).data, n_steps=2)
    found = data.test.read(data.test.ids, None)[:, 0, 0, 0]
    assert found.tolist() == [round(i * 2.55) for i in data.test.ids.tolist()]


@pytest.mark.parametrize(
    ("code", "text"),
    [
        ("def l(logits): return logits.mean(0)", "distill.method: it.py:l returned a tensor (3, 2), needed is "
         "one number"),
        ("def l(logits): return logits.detach().sum()", "distill.method: it.py:l returned a number that does "
         "not follow "
         "from the logits; compute it from them without detach() or item()"),
        ("def l(logits, labels): return logits[labels[0] + 9].sum()", "distill.method: it.py:l raised "
         "IndexError: index "
         "9 is out of bounds for dimension 0 with size 2 (it.py, line 1)"),
        ("def l(): return lambda x: x", "distill.method: it.py:l gives function, which has no parameter "
         "logits, a loss "
         "is called with what it names of logits, labels, teacher_logits, student_maps, teacher_maps"),
        ("def l(logits, temperature): return logits.sum()", "distill.method: it.py:l needs temperature, it is called "
         "with logits, labels, teacher_logits, student_maps, teacher_maps and distill.options; set "
         "distill.options.temperature, or give it a default"),
    ],
)  # fmt: skip
def test_losses_that_cannot_be_used(here: Path, code: str, text: str) -> None:
    (here / "it.py").write_text(code)
    lesson = Lesson(torch.randn(2, 3, 2, requires_grad=True), torch.tensor([0, 1, 1]), torch.randn(3, 2))
    assert refusal(lambda: WeightedSum(weights_of("it.py:l"), Settings())(lesson)) == text


def test_an_augmentation_that_changes_the_shape(here: Path) -> None:
    (here / "it.py").write_text("def a(x): return x[..., 1:]")
    data = load_data(config('data.augment=["it.py:a"]').data, n_steps=2)
    text = refusal(lambda: data.read(data.train, torch.arange(2), Pass(0, 1)))
    assert text == (
        "data.augment: it.py:a returned torch.uint8 (1, 4, 3), needed is torch.uint8 (1, 4, 4), as it was given"
    )


def test_a_name_that_is_none_of_ours_says_how_to_name_ones_own() -> None:
    text = refusal(lambda: load_config(None, ["data.name=mine"]))
    assert 'one\'s own is named as "mine.py:NAME" or "package.module:NAME"' in text


def test_what_was_handed_over_is_not_there_later() -> None:
    with pytest.raises(ConfigError, match=r"python:teacher was handed over in Python, and a new process does not"):
        own.find("python:teacher", "teacher.arch")
    with own.handed({"teacher": (np, "1")}) as names:
        assert own.find(names["teacher"], "teacher.arch") is np
