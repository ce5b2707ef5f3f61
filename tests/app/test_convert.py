"""convert: an ANN as a sigma-delta program, near the ANN, exact from file to file, and refused with a reason."""

from __future__ import annotations

import itertools
import json
import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.utils import prune
from torch.utils.data import TensorDataset
from typer.testing import CliRunner

from seamount import api, deployment
from seamount.cli import app
from seamount.compile.lower.sigma_delta import (
    RealLayer,
    RealPart,
    choose_scales,
    sigma_delta_program,
    whole_weights,
)
from seamount.compile.net.read import read_net
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.program.file import load_program
from seamount.errors import ConfigError, InputError, Unsupported
from seamount.hardware_targets.lava import lava_status
from seamount.hardware_targets.simulator import simulate
from seamount.report.parts.frames import Frames
from seamount.report.parts.mapping import Mapping
from seamount.report.schema.values import Missing, Series
from seamount.sigma_delta import Conversion
from seamount.trials import THRESHOLDS

STATUS = lava_status(try_it=False)


@dataclass(frozen=True)
class Made:
    """``x`` uint8 (N, 1, 8, 8); ``frames`` (N, T, 1, 8, 8), of which only some pixels change."""

    net: nn.Module
    x: np.ndarray
    y: np.ndarray
    frames: np.ndarray
    folder: Path
    done: Conversion


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    from sklearn.datasets import (
        load_digits,
    )  # here, because it takes a second to load

    digits = load_digits()
    x, y = (digits.images[:, None] * (255 / 16)).astype(np.uint8), digits.target
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, 8, 3, padding=1), nn.BatchNorm2d(8),
        nn.ReLU(), nn.Flatten(), nn.Linear(128, 24), nn.ReLU(), nn.Linear(24, 10),
    )  # fmt: skip
    optimiser = torch.optim.AdamW(net.parameters(), lr=5e-3)
    real, labels = torch.from_numpy(x).float() / 255, torch.from_numpy(y)
    for numbers in [part for _ in range(8) for part in torch.randperm(1400).split(64)]:
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(real[numbers]), labels[numbers]).backward()
        optimiser.step()
    rng = np.random.default_rng(0)
    noise = (rng.random((397, 6, 1, 8, 8)) < 0.03) * 120
    frames = np.clip(x[1400:, None] + noise, 0, 255).astype(np.uint8)
    folder = tmp_path_factory.mktemp("converted") / "made"
    parts = (x[:1400], y[:1400]), (x[1400:], y[1400:])
    done = api.convert(net.eval(), parts, threshold=0.05, net=True, folder=folder)
    return Made(net.eval(), x[1400:], y[1400:], frames, folder, done)


def test_a_program_stays_within_half_a_point_of_its_ann(made: Made) -> None:
    ann, chosen = made.done.reference, made.done.chosen
    assert ann.accuracy is not None
    assert chosen.accuracy is not None
    assert ann.accuracy > 0.9
    assert ann.accuracy - chosen.accuracy <= 2.5 / 397  # two of 397 samples are half a point
    assert chosen.operations < 0.7 * ann.operations
    assert chosen.left_range == 0
    card = made.done._repr_html_()
    assert "as sigma-delta: threshold 0.05" in card
    assert card.count("<tr>") == 1 + len(made.done.curve)


@pytest.mark.parametrize("kind", ["half", "double", "pruned", "in training"])
def test_a_network_of_another_precision_or_with_computed_weights_is_compared_in_float32_and_left_alone(
    kind: str,
) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 12), nn.BatchNorm1d(12), nn.ReLU(), nn.Linear(12, 3))
    net.train(kind == "in training")[2].eval()  # one of its layers is frozen
    if kind == "pruned":
        prune.l1_unstructured(net[1], "weight", 0.5)
    net.to({"half": torch.float16, "double": torch.float64}.get(kind, torch.float32))

    def state() -> list[object]:
        return [*(module.training for module in net.modules()), *(x.dtype for x in net.state_dict().values())]

    before, x = state(), np.random.default_rng(0).integers(0, 256, (40, 1, 4, 4), dtype=np.uint8)
    done = api.convert(net, (x, np.zeros(40, np.int64)), threshold=0.0)
    assert state() == before
    expected = net.float()(torch.from_numpy(x).float() / 255).double().detach().numpy()
    assert np.abs(done.reference.outputs[0] - expected).max() < 1e-5
    assert done.chosen.error_max < 0.05 * np.ptp(expected)


def test_the_default_threshold_is_the_largest_that_stays_close(made: Made) -> None:
    done = api.convert(made.net, (made.x, made.y), n_samples=200)
    close = 0.03 * float(np.std(done.reference.outputs))
    assert done.chosen.error_rms < 1.2 * close
    assert 0 < done.chosen.threshold < 0.4
    ann = done.reference.accuracy
    assert ann is not None
    assert done.chosen.accuracy is not None
    assert round(200 * abs(done.chosen.accuracy - ann)) <= 1, "half a point, which is one sample"


class Skipping(nn.Module):
    """Two ways from ``first`` to the sum, one of them longer; largest values of sums and of all places."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.first, self.second = nn.Conv2d(1, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.pool, self.third, self.head = nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.first((x - 0.3) / 0.5)).relu()
        x = (self.third(self.second(x).relu()) + x).relu()
        out: torch.Tensor = self.head(x.amax((2, 3)))
        return out


def test_skips_and_largest_values_follow_every_frame(made: Made) -> None:
    # frames of unlike samples: where two ways met with frames apart, sums would be of two images
    x = np.stack([made.x[k : k + 30] for k in (0, 60, 120, 180)], axis=1)
    done = api.convert(Skipping(), x, frames=True, threshold=0.0)
    assert done.chosen.error_rms < 0.01 * done.reference.largest
    assert done.chosen.left_range == 0
    delays = {s.name: int(s.delay) for s in done.program.synapses if np.any(s.delay)}
    assert delays["third_from_relu_3"] == 1


def test_what_a_net_file_has_no_place_for_is_refused_in_a_line_each_before_anything_is_calibrated(made: Made) -> None:
    ear = Ear()
    with pytest.raises(Unsupported) as error:
        api.convert(Skipping(), made.x, net=True, told=api.Told(ear, ear.stages.append))
    assert str(error.value).splitlines() == [
        "Skipping: 20 layers of sums or largest values, as pool_max1, a .net file holds a chain of layers; "
        "leave out --net",
        "Skipping: 3 layers without ReLU, as first_sum, netx rectifies every layer; leave out --net",
    ]
    assert ear.stages == ["read the network and its data"]


def test_biases_come_with_the_first_frame_and_zeros_stay_zeros(made: Made) -> None:
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, bias=False), nn.ReLU(), nn.Flatten(),
        nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2),
    )  # fmt: skip
    torch.manual_seed(4)
    program = api.convert(net, made.x[:60], threshold=0.0).program
    biases = {p.name: p.neuron.bias for p in program.populations if isinstance(p.neuron, SigmaDelta)}
    assert [name for name, bias in biases.items() if bias.any()] == ["layer0_bias", "layer6_bias", "layer8"]
    assert np.array_equal(biases["layer0_bias"], 127 * biases["layer0_bias"][1] // [1, 127])
    run = simulate(program, np.repeat(made.x[:1][None], 12, axis=0).astype(int), n_steps=12, record=("spikes",))
    arrivals = program.arrivals()
    for name in ("layer0", "layer2", "layer3", "layer6"):
        assert not run.spikes[name][: arrivals[name]].any()
        assert not run.spikes[name][arrivals[name] + 1 :].any()
    # with what a .net file holds each layer sends its biases before the frame comes
    chained = api.convert(net[:2] + net[5:6] + nn.Sequential(nn.Linear(144, 2)), made.x[:60], net=True).program
    spikes = simulate(chained, np.zeros((2, 1, 1, 8, 8), int), n_steps=2, record=("spikes",)).spikes
    assert spikes["layer0"][0].any()


def test_biases_of_layers_beyond_the_longest_delay_are_there_from_the_start() -> None:
    names = ["input", *(f"layer{k}" for k in range(1, 67))]
    layers = [
        RealLayer(name, (RealPart(before, np.ones((1, 1))),), np.full(1, 0.5), (1,), True, 4.0, 1.0)
        for before, name in itertools.pairwise(names)
    ]
    scales = choose_scales(layers, for_netx=False)
    weights = whole_weights(layers, scales)
    program = sigma_delta_program("deep", (1,), layers, scales, weights, 0.01, 1, late_biases=True)
    late = [p.name for p in program.populations if p.name.endswith("_bias")]
    assert late == [f"layer{k}_bias" for k in range(1, 64)]
    own = [p.name for p in program.populations[1:] if p.name in names and np.any(p.neuron.bias)]  # type: ignore[union-attr]
    assert own == ["layer64", "layer65", "layer66"]
    assert max(int(s.delay) for s in program.synapses) == 62


def test_a_higher_threshold_sends_less_and_errs_more(made: Made) -> None:
    curve = made.done.curve
    assert [point.threshold for point in curve] == [0, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4]
    for name in ("messages", "operations"):
        costs = [getattr(point, name) for point in curve]
        assert costs == sorted(costs, reverse=True)
    assert curve[0].error_rms < 0.02 * made.done.reference.largest
    assert curve[0].error_rms < curve[3].error_rms < curve[5].error_rms


class Ear:
    """Hears how it goes: (total, advanced) of each task."""

    def __init__(self) -> None:
        self.stages: list[str] = []
        self.tasks: list[tuple[int, int]] = []

    def begin(self, task: str, total: int, done: int = 0) -> None:
        self.tasks.append((total, done))

    def advance(self, steps: int = 1) -> None:
        total, done = self.tasks[-1]
        self.tasks[-1] = (total, done + steps)

    def say(self, text: str) -> None: ...

    def end(self) -> None: ...


def test_a_number_of_messages_chooses_the_threshold_on_what_calibrates(made: Made) -> None:
    ear = Ear()
    told = api.Told(ear, ear.stages.append)
    # inputs of a quarter of the size send less: were they looked at, the threshold would be another one
    parts = (made.x[:300], made.y[:300]), (made.x[300:] // 4, made.y[300:])
    done = api.convert(made.net, parts, messages=100, told=told)
    assert done.why == "at most 100 messages a frame on 256 samples of the calibration"
    assert done.chosen.messages < 90
    assert done.chosen.threshold not in THRESHOLDS
    assert [point.threshold for point in done.curve] == sorted({*THRESHOLDS, done.chosen.threshold})
    assert ear.stages[-2:] == [
        "look for 100 messages on 256 samples of the calibration",
        "compare 8 thresholds on 97 samples",
    ]
    # the layers, the search, and the curve's
    (_, look, compare) = ear.tasks
    assert compare[0] == compare[1]
    assert look[1] <= look[0]
    same = api.convert(made.net, (made.x[:256], made.y[:256]), messages=100)
    assert 95 < same.chosen.messages <= 100
    assert same.why.endswith("on 256 samples of the calibration, which is what is compared")
    with pytest.raises(ConfigError, match=r"--messages: 0.5, \d+.\d a frame and more are possible"):
        api.convert(made.net, (made.x, made.y), messages=0.5, n_samples=200)


def test_unchanged_frames_cost_hardly_anything_and_a_moving_one_is_followed(made: Made) -> None:
    still = np.repeat(made.x[:40, None], 6, axis=1)
    done = api.convert(made.net, (still, made.y[:40]), frames=True, threshold=0.05)
    alone = api.convert(made.net, (made.x[:40], made.y[:40]), threshold=0.05)
    # ten of each frame's messages are the answer, sent whole
    assert done.chosen.messages - 10 < 1.05 * (alone.chosen.messages - 10) / 6
    moving = api.convert(made.net, (made.frames, made.y), frames=True, threshold=0.02, n_samples=60)
    assert moving.n_frames == 360
    assert moving.chosen.same > 0.98
    assert moving.chosen.error_rms < 0.02 * moving.reference.largest


def test_weights_use_eight_bits_where_no_file_of_netx_is_asked_for(made: Made) -> None:
    free = api.convert(made.net, (made.x, made.y), n_samples=20)
    assert min(free.weight_bits.values()) > 7.99
    assert 5 < min(made.done.weight_bits.values()) <= max(made.done.weight_bits.values()) < 7.99


def test_the_net_file_reads_back_as_the_same_program(made: Made) -> None:
    program = load_program(made.folder / "program.h5")
    back = read_net(made.folder / "network.net", spike_exp=0)
    x = made.frames[:3].astype(np.int64).swapaxes(0, 1)
    a, b = (simulate(p, x, n_steps=14, record=("spikes",)) for p in (program, back))
    assert len(a.spikes) == len(b.spikes) == 6
    for mine, theirs in zip(a.spikes, b.spikes, strict=True):
        assert np.array_equal(a.spikes[mine], b.spikes[theirs]), mine
    document = json.loads((made.folder / "conversion.json").read_text())
    assert document["netx"] == {"spike_exp": 0}
    assert document["chosen"]["accuracy"] == made.done.chosen.accuracy


NETX = """
import sys
import numpy as np
sys.path.insert(0, sys.argv[1])
from plain_lava import make_importable
make_importable()
from lava.lib.dl import netx
from lava.magma.core.run_conditions import RunSteps
from lava.magma.core.run_configs import Loihi2SimCfg
from lava.proc import io

class Fixed(Loihi2SimCfg):
    def select(self, process, models):
        return next(model for model in models if "fixed_pt" in model.tags)

net = netx.hdf5.Network(net_config=sys.argv[2], spike_exp=0)
x = np.load("x.npy")
source, sink = io.source.RingBuffer(data=x), io.sink.RingBuffer(shape=net.out.shape, buffer=x.shape[-1])
source.s_out.connect(net.in_layer.neuron.a_in)
net.out_layer.out.connect(sink.a_in)
net.run(condition=RunSteps(num_steps=x.shape[-1]), run_cfg=Fixed(select_tag="fixed_pt"))
np.save("found.npy", sink.data.get())
net.stop()
"""


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.skipif("lava-dl" not in STATUS.versions, reason="lava-dl is not installed")
def test_netx_answers_as_the_program(quick_python: str, made: Made, tmp_path: Path) -> None:
    import seamount.hardware_targets.lava

    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 3, 3, stride=2), nn.ReLU(), nn.Flatten(), nn.Linear(27, 4))  # few processes
    program = api.convert(net, made.x[:9], threshold=0.02, net=True, folder=tmp_path / "few").program
    x = np.concatenate([made.frames[0], made.frames[1]]).astype(np.int64)
    np.save(tmp_path / "x.npy", x.T)
    (tmp_path / "run_netx.py").write_text(NETX)
    package = str(Path(seamount.hardware_targets.lava.__file__).parent)
    done = subprocess.run(
        [quick_python, "-P", "run_netx.py", package, str(tmp_path / "few" / "network.net")],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=900,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = simulate(program, x[:, None], n_steps=len(x), record=("spikes",)).spikes["answer"]
    assert np.array_equal(np.load(tmp_path / "found.npy"), found[:, 0].T)
    assert np.ptp(found[-1]) > 0


def test_real_outputs_have_their_error_in_place_of_classes(made: Made, tmp_path: Path) -> None:
    # an angle of a frame: the share of ink on the right, as a linear network has it
    net = nn.Sequential(nn.Flatten(), nn.Linear(64, 8), nn.ReLU(), nn.Linear(8, 1))
    torch.manual_seed(1)
    nn.init.normal_(net[1].weight, std=0.3)
    with torch.no_grad():
        y = net(torch.from_numpy(made.frames).float().flatten(0, 1) / 255).reshape(397, 6, 1).numpy()
    done = api.convert(net, (made.frames, y + 0.25), frames=True, threshold=0.0, n_samples=40)
    assert done.reference.accuracy is None
    assert done.reference.rmse == pytest.approx(0.25, abs=1e-4)
    assert done.chosen.rmse == pytest.approx(0.25, abs=0.02)
    assert " (RMS) from the ANN's" in repr(done)
    np.savez(tmp_path / "x.npz", x=made.frames.swapaxes(0, 1), y=(y + 0.25).swapaxes(0, 1))
    from_file = api.convert(net, tmp_path / "x.npz", frames=True, threshold=0.0, n_samples=40)
    assert from_file.chosen == done.chosen
    # training and test part, as a function of one's own gives them; a Dataset whose items have outputs, too
    x, outputs = torch.from_numpy(made.frames), torch.from_numpy(y + 0.25)
    parts = (TensorDataset(x[200:], outputs[200:]), [*zip(x[:40], outputs[:40], strict=True)])
    of_parts = api.convert(net, parts, frames=True, threshold=0.0)
    assert of_parts.n_samples == 40
    assert of_parts.reference.rmse == pytest.approx(0.25, abs=1e-4)
    assert of_parts.chosen.rmse == pytest.approx(0.25, abs=0.02)


def test_what_cannot_be_is_refused(made: Made, tmp_path: Path) -> None:
    data = (made.x, made.y)
    refusals: dict[str, dict[str, object]] = {
        "--threshold: 1.5, 0 to 1 is possible: a share of each layer's usual largest activation": {"threshold": 1.5},
        "--threshold, --messages: one of them chooses the threshold; leave one out": {
            "threshold": 0.1,
            "messages": 3,
        },
        "--messages: 0, more than 0 a frame is possible": {"messages": 0},
        "--set run.seed=1: no setting of teacher or data; as data.root=FOLDER or teacher.checkpoint=FILE": {
            "settings": ["run.seed=1"]
        },
    }
    for message, asked in refusals.items():
        with pytest.raises(ConfigError) as error:
            api.convert(made.net, data, **asked)  # type: ignore[arg-type]
        assert str(error.value) == message
    with pytest.raises(
        ConfigError, match="small-cnn: has no trained weights; name its trained weights with --checkpoint"
    ):
        api.convert("small-cnn", data)
    with pytest.raises(ConfigError, match="--data: needed to calibrate the network on"):
        api.convert(made.net)
    with pytest.raises(InputError, match=r"layer0: its activations are all 0 on the calibration frames"):
        api.convert(nn.Sequential(nn.Linear(3, 2), nn.ReLU()).apply(_silence), np.ones((4, 3)))
    with pytest.raises(InputError, match=r"data: x \(4, 3\), needed is \(B, T, ...\)"):
        api.convert(made.net, np.ones((4, 3)), frames=True)
    with pytest.raises(InputError, match=r"data: x has uint8 values of 0 and 1 alone, of 255; if 1 is white, write"):
        api.convert(made.net, ((made.x > 99).astype(np.uint8), made.y))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(ConfigError, match="holds something else; name another folder with --out"):
        api.convert(made.net, "before/data/are/read.npz", folder=tmp_path / "mine")
    with pytest.raises(ConfigError, match=r"thesis\.tex: is a file; name a folder with --out"):
        api.convert(made.net, "before/data/are/read.npz", folder=tmp_path / "mine" / "thesis.tex")


def _silence(module: nn.Module) -> None:
    for parameter in module.parameters(recurse=False):
        nn.init.constant_(parameter, -1)


def test_the_command_shows_the_curve(made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save(made.net.state_dict(), tmp_path / "weights.pt")
    np.savez(tmp_path / "x.npz", x=made.x, y=made.y)
    (tmp_path / "mine.py").write_text(
        "from torch import nn\n"
        "def make_net(width=8):\n"
        "    return nn.Sequential(nn.Conv2d(1, 6, 3, padding=1), nn.ReLU(), nn.AvgPool2d(2), nn.Conv2d(6, width, 3,\n"
        "        padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(128, 24), nn.ReLU(),\n"
        "        nn.Linear(24, 10))\n"
    )
    words = ["convert", "mine.py:make_net", "--data", "x.npz", "--checkpoint", "weights.pt", "--samples", "50"]
    done = CliRunner().invoke(app, [*words, "--set", "teacher.options={width = 8}", "--out", "runs/mine"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "make_net as sigma-delta: 50 samples, x.npz"
    assert sum(line.split()[:1] == ["→"] for line in lines) == 1
    assert "wrote runs/mine/program.h5" in lines
    assert lines[-3:] == [
        "  seamount deploy runs/mine/program.h5 --target loihi2 \\",
        "    --data runs/mine/samples.npz \\",
        "    --float-answers runs/mine/answers.npz",
    ]
    page = (tmp_path / "runs/mine/conversion.html").read_text()
    assert page.count('<svg class="chart framed"') == 2
    assert "(written)" in page
    shown = CliRunner().invoke(app, ["simulate", "runs/mine/program.h5", "--data", "x.npz", "--samples", "50"])
    assert "accuracy" in shown.stdout
    # without its weights the network knows nothing
    done = CliRunner().invoke(app, [*words[:4], "--samples", "50", "--out", "runs/untrained"])
    assert "✗ the ANN's accuracy" in done.stdout
    assert "is no better than chance" in " ".join(done.stdout.split())


# -------------------------------------------------------------------------------------- from frame to frame


@pytest.fixture(scope="module")
def moving(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a conversion on sequences with real outputs: the ANN's, and 0.5 more."""
    folder = tmp_path_factory.mktemp("moving") / "made"
    x = made.frames[:12]
    with torch.no_grad():
        y = made.net(torch.from_numpy(x).float().flatten(0, 1) / 255).reshape(12, 6, 10).numpy()
    api.convert(made.net, (x, y + 0.5), frames=True, folder=folder)
    return folder


def test_the_report_tells_what_happens_from_frame_to_frame(
    moving: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deployment, "N_COMPARED", 4)
    monkeypatch.setattr(deployment, "BATCH", 5)
    report = api.deploy(
        moving / "program.h5",
        moving / "samples.npz",
        float_answers=moving / "answers.npz",
        folder=tmp_path / "report",
        target="loihi2",
        n_lava=0,
    )
    page = (moving / "conversion.html").read_text()
    assert "RMSE" in page
    assert "class of the ANN" not in page
    told, found = json.loads((moving / "conversion.json").read_text()), report.frames
    assert isinstance(found, Frames)
    assert (found.n_frames, found.latency) == (6, told["latency_frames"])
    assert found.error_max.value == pytest.approx(told["chosen"]["error_max"], rel=1e-5)
    assert found.error_rms.value == pytest.approx(told["chosen"]["error_rms"], rel=1e-5)
    assert found.rmse.value == pytest.approx(told["chosen"]["rmse"], rel=1e-5)
    assert found.error_rms.n == found.rmse.n == 12, "all of them; layers are those of the first 4"
    assert [layer.name for layer in found.layers] == ["delta", "layer0", "layer3", "layer7", "layer9"]
    x = np.load(moving / "samples.npz")["x"]
    whole = simulate(load_program(moving / "program.h5"), x)
    operations = sum(int(events.sops.sum()) for events in whole.events.values())
    assert operations / (6 * 12) == pytest.approx(told["chosen"]["operations"], rel=1e-5), "an end costs nothing"
    activity = simulate(load_program(moving / "program.h5"), x[:, :4], record=("spikes", "act"))
    delta = found.layers[0]
    assert delta.sending.values[1] == pytest.approx(100 * np.mean(activity.spikes["delta"][1] != 0), rel=1e-5)
    assert isinstance(delta.zero, Series)
    assert delta.zero.values[1] == pytest.approx(100 * np.mean(activity.states["act"]["delta"][1] == 0), rel=1e-5)
    assert isinstance(report.accuracy, Missing)
    assert report.accuracy.missing.endswith(
        "holds real outputs in place of classes; their error stands with the frames"
    )
    assert "From frame to frame" in (tmp_path / "report" / "report.html").read_text()


def test_simulate_tells_the_error_of_real_outputs(moving: Path) -> None:
    done = api.simulate(moving / "program.h5", moving / "samples.npz")
    assert done.accuracy is None
    assert done.rmse is not None
    assert 0.4 < done.rmse < 0.6


def test_sequences_and_outputs_of_another_shape_are_refused(moving: Path, tmp_path: Path) -> None:
    x = np.load(moving / "samples.npz")["x"].astype(np.int64)
    path, program = tmp_path / "x.npz", moving / "program.h5"
    refusals: dict[str, dict[str, np.ndarray]] = {
        "x (6, 12, 1, 8, 7); the program needs (T, B, 1, 8, 8), or without T": {"x": x[..., :7]},
        "y (12, 9) of type float64, needed are finite outputs (12, 10), or (6, 12, 10) of each frame": {
            "x": x,
            "y": np.zeros((12, 9)),
        },
        "y (5, 12, 10) of type float64, needed are finite outputs (12, 10), or (6, 12, 10) of each frame": {
            "x": x,
            "y": np.zeros((5, 12, 10)),
        },
    }
    for message, arrays in refusals.items():
        np.savez(path, **arrays)  # type: ignore[arg-type]
        with pytest.raises(InputError) as error:
            api.simulate(program, path)
        assert str(error.value) == f"{path}: {message}"
    np.savez(path, x=x)
    answers = tmp_path / "answers.npz"
    np.savez(answers, answers=np.zeros((5, 12, 10)))
    with pytest.raises(InputError) as error:
        api.deploy(program, path, float_answers=answers, folder=tmp_path / "report", target="loihi2", n_lava=0)
    needed = "needed are outputs (6, 12, K), of each frame and sample"
    assert str(error.value) == f"{answers}: answers (5, 12, 10) of type float64, {needed}"


def test_a_chip_of_binary_spikes_is_refused_for_every_layer(moving: Path, tmp_path: Path) -> None:
    report = api.deploy(moving / "program.h5", moving / "samples.npz", folder=tmp_path / "report", n_lava=0)
    (fits,) = [verdict for verdict in report.verdicts if verdict.title == "Fits"]
    assert fits.state == "error"
    assert isinstance(report.mapping, Mapping)
    assert isinstance(report.energy, Missing)
    assert report.energy.missing == (
        "loihi1: has no neuron model Delta, which delta needs: nothing of it has a price there"
    )
    assert "delta: neuron model Delta, loihi1 has leaky integrate-and-fire neurons" in report.mapping.words
    assert report.mapping.words.endswith("; and 14 more")  # three stand there
