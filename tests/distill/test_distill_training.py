"""Training: exact resumption, two processes, what is kept, and what is said when it cannot go on."""

from __future__ import annotations

import errno
import itertools
import json
import multiprocessing
import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
import torch.nn.functional as F
from distill_worker import N_STEPS, SASTC_CASES, digits, one_step, sastc_gradients, smooth, student, teacher, train
from torch import Tensor, nn

from seamount.distill import checkpoint, maps
from seamount.distill.average import Average
from seamount.distill.config import Augmentation, DataConfig, DistillConfig, QuantConfig, TeacherConfig, TrainConfig
from seamount.distill.data import load_data
from seamount.distill.data.samples import Batch
from seamount.distill.evaluate import Evaluation, answers, evaluate
from seamount.distill.loop import Task, fit
from seamount.distill.methods.hard import Hard, HardMean
from seamount.distill.methods.lesson import Lesson, Settings
from seamount.distill.optimizers import learning_rate, make_optimizer
from seamount.distill.parallel import World, normalise
from seamount.distill.progress import QUIET, Progress, usual_progress
from seamount.distill.teacher_answers import TeacherAnswers
from seamount.distill.train import Trained, check_classes, distill, finetune_quantised, train_teacher
from seamount.errors import BackendMissing, ConfigError, InputError
from seamount.models.zoo import build_student
from tests.conftest import Once

WORKER = Path(__file__).with_name("distill_worker.py")
ALONE = World(0, 1, torch.device("cpu"))


def weights(folder: Path) -> dict[str, Tensor]:
    tensors, _ = checkpoint.load(folder / "last.safetensors")
    return {name: value for name, value in tensors.items() if name.startswith("learner.")}


def run_worker(python: str, *arguments: object, launcher: tuple[str, ...] = ()) -> subprocess.Popen[str]:
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHON_EXEC": python}  # that of torchrun's processes
    command = [python, *launcher, str(WORKER), *map(str, arguments)]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


# ---------------------------------------------------------------------------------------------- resumption


EPOCHS = 4


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As the worker has it: the order of a sum depends on the number of threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("one_thread")
def test_a_killed_run_resumes_to_the_same_weights(quick_python: str, tmp_path: Path) -> None:
    killed, whole = tmp_path / "seal-kd", tmp_path / "whole"
    process = run_worker(quick_python, "train", tmp_path, EPOCHS, 32, "seal-kd")
    last, deadline = killed / "last.safetensors", time.monotonic() + 900
    state = {"epoch": 0, "done": 0}
    while not (state["epoch"] >= 1 and state["done"] > 0):  # in the middle of an epoch
        assert time.monotonic() < deadline
        assert process.poll() is None, "the worker ended before it could be killed"
        time.sleep(0.02)
        with suppress(InputError):  # the library opens a file twice, and between the two it may be replaced
            state = checkpoint.load(last)[1]["state"] if last.exists() else state
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL  # and not: finished before
    resumed, uninterrupted = train(killed, epochs=EPOCHS), train(whole, epochs=EPOCHS)
    for name, value in weights(whole).items():
        assert torch.equal(value, weights(killed)[name]), name
    assert resumed.test == uninterrupted.test
    assert [e.loss for e in resumed.history] == [e.loss for e in uninterrupted.history]


def test_a_finished_run_is_only_evaluated_again(tmp_path: Path) -> None:
    first = train(tmp_path, epochs=1)
    changed = (tmp_path / "last.safetensors").stat().st_mtime_ns
    again = train(tmp_path, epochs=1)
    assert (tmp_path / "last.safetensors").stat().st_mtime_ns == changed
    assert (again.test, again.history) == (first.test, first.history)


def test_other_settings_are_refused_but_another_batch_size_is_not(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    with pytest.raises(ConfigError) as error:
        train(tmp_path, epochs=1, lr=1e-3)
    assert str(error.value) == (
        f"student: {tmp_path} holds a run with other settings (train.lr was 0.002, is 0.001); use another folder, or "
        "set them back to resume it"
    )
    train(tmp_path, epochs=1, batch_size=16)


@dataclass
class After:
    """Progress that does something after the ninth step, and nothing else."""

    act: Callable[[], object]
    steps: int = 0

    def begin(self, task: str, total: int, done: int = 0) -> None: ...

    def advance(self, steps: int = 1) -> None:
        self.steps += 1
        if self.steps == 9:
            self.act()

    def say(self, text: str) -> None: ...

    def end(self) -> None: ...


# 3.12 and later warn of forks of a process with threads; readers run no code that could wait for one of them
forks = pytest.mark.filterwarnings("ignore:.*use of fork.*:DeprecationWarning")


@forks
@pytest.mark.parametrize("n_workers", [0, 2])
def test_ctrl_c_saves_the_step_and_the_run_goes_on(
    tmp_path: Path, n_workers: int, capfd: pytest.CaptureFixture[str]
) -> None:
    def ctrl_c() -> None:
        readers = [process.pid for process in multiprocessing.active_children()]
        assert len(readers) == n_workers
        for pid in (*readers, os.getpid()):  # a terminal sends it to all
            assert pid is not None
            os.kill(pid, signal.SIGINT)

    settings = TrainConfig(epochs=2, batch_size=32, lr=2e-3, n_workers=n_workers)
    arguments = (digits(), teacher(), student(), DistillConfig(method="seal-kd"), settings, tmp_path / "a")
    with pytest.raises(KeyboardInterrupt) as stop:
        distill(*arguments, progress=After(ctrl_c))
    assert str(stop.value) == f"student: stopped, saved in {tmp_path / 'a'}; run again to go on"
    assert checkpoint.load(tmp_path / "a" / "last.safetensors")[1]["state"]["epoch"] == 1
    train(tmp_path / "a")
    train(tmp_path / "b")
    for name, value in weights(tmp_path / "b").items():
        assert torch.equal(value, weights(tmp_path / "a")[name]), name
    assert capfd.readouterr() == ("", "")


def test_the_callers_random_numbers_are_left_alone(tmp_path: Path) -> None:
    data, net = digits(), student()
    before = torch.random.get_rng_state()
    distill(data, None, net, DistillConfig(method="hard"), TrainConfig(epochs=1), tmp_path)
    assert torch.equal(torch.random.get_rng_state(), before)


# ------------------------------------------------------------------------------------ reading processes


@forks
@pytest.mark.usefixtures("one_thread")
def test_readers_in_processes_of_their_own_change_nothing(tmp_path: Path) -> None:
    data = digits(augment=("crop", "autoaugment", "cutout"))  # autoaugment draws from torch's own generator
    for n_workers in (0, 2):
        settings = TrainConfig(epochs=2, batch_size=50, n_workers=n_workers)
        distill(data, teacher(), student(), DistillConfig(), settings, tmp_path / str(n_workers))
    for name, value in weights(tmp_path / "0").items():
        assert torch.equal(value, weights(tmp_path / "2")[name]), name


@forks
def test_a_reader_that_is_killed_is_explained(tmp_path: Path) -> None:
    def kill() -> None:
        reader = multiprocessing.active_children()[0]
        assert reader.pid is not None
        os.kill(reader.pid, signal.SIGKILL)
        reader.join(30)

    settings = TrainConfig(epochs=2, batch_size=8, n_workers=2)
    arguments = (digits(), None, student(), DistillConfig(method="hard"), settings, tmp_path)
    with pytest.raises(ConfigError) as error:
        distill(*arguments, progress=After(kill))
    assert str(error.value) == (
        "student: one of 2 processes that read data is gone; lower train.n_workers (0 reads without them) or give "
        f"them more memory; {tmp_path} is resumed"
    )


@forks
def test_a_damaged_image_in_a_reader_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    from PIL import Image

    for part in ("train", "val"):
        for name in ("cat", "dog"):
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(8):
                Image.new("RGB", (9, 9), (k, 0, 0)).save(tmp_path / part / name / f"{k}.png")
    config = DataConfig(name="imagenet", root=str(tmp_path), size=8, augment=("flip",))
    data = load_data(config, n_steps=N_STEPS)
    bad = tmp_path / "train" / "dog" / "3.png"
    bad.write_bytes(bad.read_bytes()[:50])
    settings = TrainConfig(epochs=1, batch_size=4, n_workers=2)
    with pytest.raises(InputError) as error:
        train_teacher(
            data,
            TeacherConfig(epochs=1),
            settings,
            tmp_path / "run",
            network=nn.Sequential(nn.Flatten(), nn.Linear(192, 2)),
        )
    assert str(error.value).startswith(f"imagenet: 1 of 4 files cannot be used: {bad}: not a readable image (")
    assert str(error.value).endswith("; replace them, or set data.skip_corrupt = true to go on without them")
    assert capfd.readouterr() == ("", "")


# -------------------------------------------------------------------------------------- several processes


TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2")
METHODS = ("seal-kd", "sastc", "seal-kd+sastc")


@dataclass(frozen=True)
class Ended:
    """Two processes that trained in float64 with each method, and then one of them failed."""

    folder: str
    code: int
    stderr: str


@pytest.fixture(scope="module")
def ended(quick_python: str, once: Once) -> Ended:
    """One start for what is computed and for the end."""

    def start(folder: Path) -> str:
        process = run_worker(quick_python, "double", folder, *METHODS, launcher=TWO)
        _, stderr = process.communicate(timeout=600)
        return json.dumps([str(folder), process.returncode, stderr])

    return Ended(*json.loads(once("two_processes", start)))


@pytest.mark.slow
@pytest.mark.usefixtures("one_thread")
def test_two_processes_give_the_result_of_one(ended: Ended, tmp_path: Path) -> None:
    """To rounding, in float64: the gradients of a spiking student, and the weights of one whose spikes cannot flip;
    SASTC's loss and its gradients over the whole batch.

    Over several steps a spiking student is no function of its weights that could be compared: rounding flips a spike.
    """
    for method in METHODS:  # batches of 33 are 17 + 16, the last ones less
        one_step(tmp_path / method / "one_step", method)
        smooth(tmp_path / method / "smooth", method)
    alone = {f"{n} {exact}": sastc_gradients(n, exact=exact) for n, exact in SASTC_CASES}
    folder = Path(ended.folder)
    assert (folder / "sastc.pt").exists(), ended.stderr
    for case in [Path(method, what) for method in METHODS for what in ("one_step", "smooth")]:
        one, two = tmp_path / case, folder / case
        found = weights(two)
        for name, value in weights(one).items():
            assert torch.allclose(found[name].double(), value.double(), rtol=1e-9, atol=1e-11), (case, name)
        histories = [checkpoint.load(k / "last.safetensors")[1]["state"]["history"] for k in (one, two)]
        for epoch, other in zip(*histories, strict=True):
            assert other["loss"] == pytest.approx(epoch["loss"], rel=1e-6)  # kept in float32
            assert other["validation"] == epoch["validation"]
    together = torch.load(folder / "sastc.pt")
    for what, found in alone.items():
        assert found.keys() == together[what].keys()
        for name, value in found.items():
            assert torch.allclose(together[what][name], value, rtol=1e-9, atol=1e-13), (what, name)


def test_a_shared_batch_norm_sends_one_message_each_way(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[int] = []
    all_reduce = dist.all_reduce
    monkeypatch.setattr(dist, "all_reduce", lambda x: (sent.append(x.numel()), all_reduce(x)))
    x = (1e4 + torch.randn(6, 3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)).requires_grad_()
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        found, count, mean, variance = normalise(x, 1e-5)
        (gradient,) = torch.autograd.grad(found.square().mul(torch.arange(4)).sum(), x)
    finally:
        dist.destroy_process_group()
    expected = F.batch_norm(x, None, None, training=True, eps=1e-5)
    (other,) = torch.autograd.grad(expected.square().mul(torch.arange(4)).sum(), x)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, other, rtol=1e-6, atol=1e-9)
    torch.testing.assert_close((mean, variance), tuple(reversed(torch.var_mean(x.detach(), (0, 2), correction=0))))
    assert count == 24
    assert sent == [7, 7]  # mean, variance of three channels, and how many


@pytest.mark.slow
def test_a_process_that_stops_with_an_error_ends_the_others_in_order(ended: Ended) -> None:
    assert ended.code == 1
    assert "error: second: no more" in ended.stderr
    assert "terminate called" not in ended.stderr
    assert "exitcode  : 1 " in ended.stderr  # of the first process that failed: no signal


@pytest.mark.slow
def test_a_process_that_is_killed_ends_the_others(quick_python: str, tmp_path: Path) -> None:
    process = run_worker(quick_python, "killed", tmp_path, launcher=TWO)
    started = time.monotonic()
    while not list(tmp_path.rglob("last.safetensors")) and process.poll() is None:
        assert time.monotonic() < started + 900
        time.sleep(0.02)
    _, stderr = process.communicate(timeout=600)
    assert process.returncode == 1, "torchrun's own code for a process that failed"
    assert "exitcode  : -9 " in stderr
    assert "terminate called" not in stderr


@pytest.mark.slow
def test_ctrl_c_stops_two_processes_after_the_same_step(quick_python: str, tmp_path: Path) -> None:
    process = run_worker(quick_python, "train", tmp_path, 50, 32, "hard", launcher=TWO)
    last, deadline = tmp_path / "hard" / "last.safetensors", time.monotonic() + 600
    while not last.exists():
        assert time.monotonic() < deadline
        assert process.poll() is None, "the workers ended before they could be stopped"
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)  # torchrun passes it on
    _, stderr = process.communicate(timeout=600)
    assert process.returncode != 0
    assert "terminate called" not in stderr
    assert stderr.count(f"KeyboardInterrupt: student: stopped, saved in {tmp_path / 'hard'}") == 2


# -------------------------------------------------------------------------------------------- what is kept


def test_a_run_keeps_best_and_last_and_logs_rates(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    result = train(tmp_path, epochs=3)
    assert len(result.history) == 3
    assert len(result.test.anytime) == N_STEPS
    assert result.test.accuracy == result.test.anytime[-1]
    best = max(range(3), key=lambda e: (result.history[e].validation[-1], -result.history[e].validation_loss))
    assert result.best_epoch == best
    assert set(result.test.rates) == {"conv1", "conv2", "conv3"}
    assert all(0 <= rate <= 1 for rate in result.test.rates.values())
    kept = checkpoint.load_weights(tmp_path / "best.safetensors")
    for name, value in result.network.state_dict().items():
        assert torch.equal(kept[name], value), name
    log = EventAccumulator(str(tmp_path / "tensorboard")).Reload()
    tags = set(log.Tags()["scalars"])
    assert {
        "loss",
        "lr",
        "terms/ela",
        "rates/conv2",
        "accuracy/after_step_1",
        f"accuracy/after_step_{N_STEPS}",
    } <= tags
    assert not list(tmp_path.glob(".*"))


def test_the_best_epoch_is_chosen_as_asked(tmp_path: Path) -> None:
    last = train(tmp_path / "last", epochs=2, select_on="last-epoch")
    assert last.best_epoch == 1
    papers = train(tmp_path / "papers", epochs=2, select_on="test-set-as-in-the-papers")
    assert papers.test.accuracy >= papers.last_test.accuracy


@pytest.mark.filterwarnings("ignore:cpu does not multiply bf16:RuntimeWarning")
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("method", ["hard-mean", "kd", "kd-per-step", "sastc", "seal-kd+sastc"])
def test_every_method_trains(method: str, precision: str, tmp_path: Path) -> None:
    if precision == "bf16" and method not in ("kd", "seal-kd+sastc"):
        pytest.skip("two methods suffice for bf16")
    result = train(tmp_path, method, epochs=2, precision=precision, optimizer="sgd", lr=0.05, clip_norm=5.0)
    assert result.history[1].loss < result.history[0].loss


@pytest.mark.parametrize(("augment", "views"), [((), None), (("crop", "alternating-flip"), 2)])
def test_cached_teacher_logits_change_nothing(
    augment: tuple[Augmentation, ...], views: int | None, tmp_path: Path
) -> None:
    data, settings = digits(augment=augment, views=views), TrainConfig(epochs=3)
    for cache in (True, False):
        config = DistillConfig(cache_teacher=cache)
        distill(data, teacher(), student(), config, settings, tmp_path / str(cache))
    assert len(list((tmp_path / "True").glob("teacher-*"))) == (views or 1)
    assert not list((tmp_path / "False").glob("teacher-*"))
    for name, value in weights(tmp_path / "False").items():
        assert torch.allclose(value, weights(tmp_path / "True")[name], atol=1e-5), name


def test_runs_of_other_methods_and_seeds_share_what_the_teacher_said(tmp_path: Path) -> None:
    asked: list[int] = []
    network = teacher()
    network.register_forward_hook(lambda _, inputs, __: asked.append(len(inputs[0])))
    data = digits(augment=("crop",), views=2)
    for seed, method in enumerate(("kd", "kd-per-step")):
        config = DistillConfig(method=method, teacher_cache=str(tmp_path / "shared"))
        distill(data, network, student(), config, TrainConfig(epochs=4), tmp_path / method, seed=seed)
    # and one sample for each run, to see whether the classes fit
    assert sum(asked) == 2 * len(data.train) + 2


def test_what_was_kept_of_other_images_or_another_teacher_answers_for_nobody(tmp_path: Path) -> None:
    data, numbers = digits(), torch.arange(5)
    assert data.train.values is not None
    others = replace(data, train=replace(data.train, values=255 - data.train.values))
    other_order = replace(data, train=data.train.subset(torch.arange(len(data.train)).flip(0)))
    sharper = nn.Sequential(*(nn.GELU() if isinstance(layer, nn.ReLU) else layer for layer in teacher()))
    asked = [(data, teacher()), (others, teacher()), (other_order, teacher()), (data, sharper)]
    for about, network in asked:
        TeacherAnswers(about, network.eval(), ALONE, tmp_path, bf16=False).of(numbers, 0)
    assert len(list(tmp_path.iterdir())) == len(asked)


class Heard:
    """What a training tells of its parts."""

    def __init__(self) -> None:
        self.tasks: list[str] = []

    def begin(self, task: str, total: int, done: int = 0) -> None:
        self.tasks.append(task)

    def advance(self, steps: int = 1) -> None: ...

    def say(self, text: str) -> None: ...

    def end(self) -> None: ...


def test_maps_are_kept_in_the_room_that_they_may_take(tmp_path: Path) -> None:
    asked: list[int] = []
    network, heard = teacher(), Heard()
    network.register_forward_hook(lambda _, inputs, __: asked.append(len(inputs[0])))
    data = digits(max_train=100, augment=("crop",), views=2)
    shared = {"method": "sastc", "teacher_cache": str(tmp_path / "shared"), "sastc_side": 2}

    def taught(seed: int, gib: float) -> None:
        config = DistillConfig.model_validate({**shared, "teacher_cache_gib": gib})
        distill(
            data, network, student(), config, TrainConfig(epochs=2), tmp_path / f"{seed}", seed=seed, progress=heard
        )

    for seed in (0, 1):
        taught(seed, 0.01)
    # and two samples for each run, to see whether the classes fit and what maps there are
    assert sum(asked) == 2 * len(data.train) + 4
    # maps of 6 x 2 x 2 and 8 x 2 x 2 in fp32
    size = f"{len(data.train) * 56 * 4 / 2**20:.3g} MiB"
    told = [task for task in heard.tasks if "maps" in task]
    assert told == [f"the teacher's maps, view {k} of 2, {size} in {tmp_path / 'shared'}" for k in (1, 2)]
    taught(2, 1e-6)
    assert "asked in every step: its maps take" in " ".join(heard.tasks)
    assert len(list((tmp_path / "shared").iterdir())) == 2
    # a second epoch of live answers
    assert sum(asked) == 4 * len(data.train) + 6


def test_kept_maps_are_those_that_the_teacher_would_give(tmp_path: Path) -> None:
    data, network, numbers = digits(augment=("crop",), views=2), teacher(), torch.tensor([3, 100, 7])
    kept = TeacherAnswers(data, network, ALONE, tmp_path, bf16=False, shapes={"1": (6, 8, 8), "2": (8, 4, 4)}, side=4)
    values, seeds = data.read(data.train, numbers, data.during(5, 3))
    batch = data.batch(values, seeds, data.train.labels[numbers])
    with torch.no_grad(), maps.recorded(network, ["1", "2"]) as live:
        logits = network(batch.teacher_x)
    found, found_maps = kept.of(numbers, epoch=3)
    assert torch.allclose(found, logits, atol=1e-6)
    assert torch.allclose(found_maps["1"], torch.nn.functional.avg_pool2d(live["1"], 2), atol=1e-6)
    assert torch.allclose(found_maps["2"], live["2"], atol=1e-6)
    assert sum(v.numel() for v in found_maps.values()) * len(data.train) // 3 * 4 * 2 == kept.n_bytes


def test_views_come_in_turn_and_are_those_of_every_run() -> None:
    data, numbers = digits(augment=("crop", "flip"), views=2), torch.arange(20)
    shown = [
        data.read(data.train, numbers, data.during(seed, epoch))[0]
        for seed, epoch in ((1, 0), (7, 2), (1, 1), (1, 3))
    ]
    assert torch.equal(shown[0], shown[1])
    assert torch.equal(shown[2], shown[3])
    assert not torch.equal(shown[0], shown[2])


def test_a_student_in_integers_is_fine_tuned_and_frozen(tmp_path: Path) -> None:
    from seamount.distill.quantised import QuantisedStudent

    data = digits()
    whole = train(tmp_path / "float", epochs=4)
    quantised = QuantisedStudent(whole.network)  # type: ignore[arg-type]
    settings = TrainConfig(batch_size=32)
    quant = QuantConfig(epochs=1, calibration_samples=64)
    tuned = finetune_quantised(data, teacher(), quantised, DistillConfig(), quant, settings, tmp_path / "tuned")
    assert len(tuned.history) == 1
    again = evaluate(tuned.network, data, data.test, ALONE, batch_size=7)
    assert (again.n, again.anytime) == (
        tuned.test.n,
        tuned.test.anytime,
    )  # freezing changes no answer, nor does the batch


def test_a_teacher_is_trained_or_loaded(tmp_path: Path) -> None:
    data = digits()
    config = TeacherConfig(epochs=6, lr=1e-2)
    trained = train_teacher(data, config, TrainConfig(batch_size=32), tmp_path / "a", network=teacher())
    assert trained.test.accuracy > 0.7  # chance is 0.1
    assert len(trained.test.anytime) == 1
    loaded = TeacherConfig(checkpoint=str(tmp_path / "a" / "best.safetensors"))
    again = train_teacher(data, loaded, TrainConfig(), tmp_path / "b", network=teacher())
    assert again.test == trained.test
    assert again.history == ()


def test_anytime_answers_are_means_of_the_steps_so_far() -> None:
    logits = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]]])
    assert answers(logits).tolist() == [[[1.0, 0.0]], [[0.5, 1.5]]]
    leaky = build_student("small", n_classes=2, input_shape=(1, 8, 8), n_steps=2, readout="libox")
    assert answers(logits, leaky) is logits  # the membrane is the answer


def test_learning_rates() -> None:
    cosine = TrainConfig(epochs=10, lr=1.0, warmup_epochs=2)
    assert learning_rate(cosine, 1.0) == pytest.approx(0.5, abs=1e-3)
    assert learning_rate(cosine, 6.0) == pytest.approx(0.5)
    assert learning_rate(cosine, 10.0) == pytest.approx(0)
    steps = TrainConfig(epochs=240, lr=1.0, schedule="steps", milestones=(150, 180, 210))
    assert [round(learning_rate(steps, e), 6) for e in (0, 149.9, 150, 200, 239)] == [1, 1, 0.1, 0.01, 0.001]
    with pytest.raises(ValueError, match="milestones go with schedule"):
        TrainConfig(milestones=(1,))


def test_one_cycle_rises_and_falls_in_straight_lines() -> None:
    config = TrainConfig(epochs=10, lr=1.0, warmup_epochs=2, schedule="one-cycle")
    assert [round(learning_rate(config, e), 2) for e in (0, 1, 2, 6, 9, 10)] == [0, 0.5, 1, 0.5, 0.12, 0]


def test_the_teacher_has_settings_of_its_own() -> None:
    student = TrainConfig(lr=1e-3, epochs=7, clip_norm=1.0)
    own = {"optimizer": "sgd", "nesterov": True, "schedule": "one-cycle", "label_smoothing": 0.1}
    found = TeacherConfig(lr=0.3, epochs=3, train=own).training(student)
    assert found == TrainConfig(lr=0.3, epochs=3, clip_norm=1.0, **own)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match=r"'nestrov' is none of epochs.*did you mean nesterov"):
        TeacherConfig(train={"nestrov": True})
    with pytest.raises(ValueError, match="epochs and lr of the teacher stand in"):
        TeacherConfig(train={"epochs": 3, "lr": 1.0})
    with pytest.raises(ValueError, match='nesterov goes with optimizer = "sgd"'):
        TrainConfig(nesterov=True)


RECIPE = {
    "optimizer": "sgd",
    "nesterov": True,
    "schedule": "one-cycle",
    "warmup_epochs": 0.5,
    "label_smoothing": 0.1,
    "average_epochs": 0.5,
    "test_flip": True,
}


def test_weights_are_averaged_for_what_is_judged_and_kept(tmp_path: Path) -> None:
    result = train(tmp_path, method="kd", epochs=2, select_on="last-epoch", **RECIPE)
    saved, _ = checkpoint.load(tmp_path / "last.safetensors")
    kept, _ = checkpoint.load(tmp_path / "best.safetensors")
    name = "synapses.conv1_in.0.weight"
    assert torch.equal(kept[f"network.{name}"], saved[f"average.{name}"])
    assert not torch.equal(saved[f"average.{name}"], saved[f"learner.student.{name}"])
    assert torch.equal(dict(result.network.named_parameters())[name], kept[f"network.{name}"])


def test_an_average_is_the_mean_until_its_window_is_full_and_then_forgets() -> None:
    network = nn.Linear(1, 1, bias=False)
    average = Average(network, window=4)
    seen = []
    for step, value in enumerate((1.0, 2.0, 6.0, 1.0, 5.0)):
        network.weight.data.fill_(value)
        average.update(step)
        seen.append(average.values["weight"].item())
    assert seen == pytest.approx([1, 1.5, 3, 2.5, 2.5 + 2.5 / 4])
    with average.in_place():
        assert network.weight.item() == pytest.approx(3.125)
    assert (network.weight.item(), average.values["weight"].item()) == (5.0, pytest.approx(3.125))


@pytest.mark.usefixtures("one_thread")
def test_a_run_with_the_whole_recipe_resumes_to_the_same_weights(tmp_path: Path) -> None:
    stopped = tmp_path / "stopped"
    with pytest.raises(KeyboardInterrupt):
        recipe(stopped, After(lambda: os.kill(os.getpid(), signal.SIGINT)))
    resumed, whole = recipe(stopped, QUIET), recipe(tmp_path / "whole", QUIET)
    files = [checkpoint.load(folder / "last.safetensors")[0] for folder in (stopped, tmp_path / "whole")]
    assert all(torch.equal(value, files[1][name]) for name, value in files[0].items())
    assert resumed.test == whole.test


def recipe(folder: Path, progress: Progress) -> Trained:
    config = TrainConfig(epochs=3, lr=0.05, batch_size=32, **RECIPE)  # type: ignore[arg-type]
    return distill(digits(), teacher(), student(), DistillConfig(method="kd"), config, folder, progress=progress)


def test_a_student_that_says_nothing_is_right_nowhere() -> None:
    data, network = digits(), student().eval()
    with torch.no_grad():
        for values in network.parameters():
            values.zero_()
    silent = evaluate(network, data, data.val, ALONE, batch_size=64)
    assert silent.anytime == (0.0,) * N_STEPS


def test_a_mirrored_evaluation_is_the_mean_over_both_sides() -> None:
    data, network = digits(), teacher()
    plain = evaluate(network, data, data.val, ALONE, batch_size=64, spiking=False)
    both = evaluate(network, data, data.val, ALONE, batch_size=64, spiking=False, mirrored=True)
    x = data.inputs(data.val, torch.arange(len(data.val))).teacher_x
    with torch.no_grad():
        answers = (network(x) + network(x.flip(-1))) / 2
    assert both.accuracy == pytest.approx(float((answers.argmax(1) == data.val.labels).float().mean()))
    assert both.loss != plain.loss


def test_smoothed_labels_cost_a_sure_answer() -> None:
    logits = torch.tensor([[[9.0, 0.0, 0.0]]])
    lesson = Lesson(logits, torch.tensor([0]))
    smooth = Settings(label_smoothing=0.3)
    for kind in (Hard, HardMean):
        assert float(kind.of(smooth)(lesson)) - float(kind.of(Settings())(lesson)) == pytest.approx(9 * 0.2)


def test_decay_spares_biases_and_norms() -> None:
    groups = make_optimizer(nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2)), TrainConfig()).param_groups
    assert [len(group["params"]) for group in groups] == [1, 3]
    assert groups[1]["weight_decay"] == 0


def test_progress_is_silent_where_nobody_looks(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert usual_progress() is QUIET
    train(tmp_path, epochs=1)
    assert capfd.readouterr() == ("", "")


def test_the_bar_counts_steps(capfd: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    from seamount.distill.progress import Bar

    bar: Progress = Bar()
    distill(digits(), teacher(), student(), DistillConfig(), TrainConfig(epochs=1), tmp_path, progress=bar)
    out, err = capfd.readouterr()
    assert out == ""
    assert "student" in err


# ------------------------------------------------------------------------------------------ bad circumstances


@dataclass(frozen=True)
class Answer:
    logits: Tensor
    spikes: Mapping[str, Tensor] = field(default_factory=dict)


class Broken(nn.Module):
    """A student that goes wrong on purpose from some step on."""

    def __init__(self, error: RuntimeError | None = None, after: int = 3, largest: int = 0) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(10))
        self.error, self.after, self.largest = error, after, largest
        self.calls = 0

    def forward(self, x: Tensor, *, record: bool = False) -> Answer:
        self.calls += self.training
        if self.training and self.calls > self.after and self.error is not None and len(x) > self.largest:
            raise self.error
        bad = float("nan") if self.training and self.calls > self.after and self.error is None else 1.0
        return Answer((x.flatten(1).sum(1, keepdim=True) * self.weight * bad).expand(N_STEPS, -1, -1))


def test_a_loss_that_is_not_finite_stops_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        distill(digits(), None, Broken(after=2), DistillConfig(method="hard"), TrainConfig(batch_size=64), tmp_path)
    assert str(error.value) == (
        "student: the loss is not finite at epoch 1, sample 128 (loss nan, hard nan; lr 0.00399); lower the learning "
        "rate, set train.clip_norm or train.warmup_epochs; nothing is saved yet"
    )


def test_out_of_memory_says_which_batch_fits_and_the_run_resumes(tmp_path: Path) -> None:
    data, config = digits(), DistillConfig(method="hard")
    broken = Broken(torch.cuda.OutOfMemoryError("CUDA out of memory"), after=2, largest=20)
    with pytest.raises(ConfigError) as error:
        distill(data, None, broken, config, TrainConfig(epochs=1, batch_size=64), tmp_path)
    assert str(error.value) == (
        "student: out of memory with a batch of 64; train.batch_size = 16 fits; precision = 'bf16' needs about half; "
        f"set it and run again, {tmp_path} is resumed"
    )
    fits = TrainConfig(epochs=1, batch_size=16)
    assert len(distill(data, None, broken, config, fits, tmp_path).history) == 1


def test_other_errors_are_passed_on(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="something else"):
        distill(
            digits(),
            None,
            Broken(RuntimeError("something else")),
            DistillConfig(method="hard"),
            TrainConfig(),
            tmp_path,
        )


def test_a_batch_of_one_trains(tmp_path: Path) -> None:
    data, config = digits(max_train=30), DistillConfig(method="seal-kd+sastc")
    result = distill(data, teacher(), student(), config, TrainConfig(epochs=1, batch_size=1), tmp_path)
    assert len(result.history) == 1


def test_a_batch_norm_that_sees_one_value_is_explained(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10), nn.BatchNorm1d(10))
    with pytest.raises(ConfigError) as error:
        train_teacher(digits(), TeacherConfig(), TrainConfig(batch_size=1), tmp_path, network=network)
    assert str(error.value) == "teacher: batch norm cannot learn from a batch of 1; raise train.batch_size"


def test_networks_that_disagree_on_the_classes_are_refused(tmp_path: Path) -> None:
    data = digits()
    other = student(n_classes=7)
    with pytest.raises(ConfigError) as error:
        distill(data, teacher(12), other, DistillConfig(), TrainConfig(), tmp_path)
    assert str(error.value) == (
        "digits: has 10 classes, but the teacher answers with 12 classes and the student answers with 7 classes; "
        "build it with n_classes = 10"
    )
    with pytest.raises(ConfigError) as shape:
        check_classes(data, nn.Flatten(0), None, ALONE)
    assert str(shape.value) == "teacher: answers one sample with (64,), needed are logits (1, 10)"
    with pytest.raises(ConfigError) as absent:
        distill(data, None, student(), DistillConfig(), TrainConfig(), tmp_path)
    assert str(absent.value) == "distill.method: kd learns from a teacher, but there is none"


def test_layers_that_do_not_exist_are_named(tmp_path: Path) -> None:
    data, settings = digits(), TrainConfig(epochs=1)
    with pytest.raises(ConfigError) as error:
        distill(
            data,
            teacher(),
            student(),
            DistillConfig(method="sastc", teacher_maps=("1", "layer9")),
            settings,
            tmp_path,
        )
    assert str(error.value) == "teacher: no maps called layer9; there are 0, 1, 2, 3; correct distill.teacher_maps"
    with pytest.raises(ConfigError) as missing:
        distill(data, teacher(), student(), DistillConfig(method="sastc", student_maps=("c",)), settings, tmp_path)
    assert str(missing.value) == (
        "student: no maps called c; there are conv1, conv2, conv3; correct distill.student_maps"
    )


def test_a_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    wider = student(width=1.0)
    with pytest.raises(InputError) as error:
        checkpoint.put(wider, checkpoint.load_weights(tmp_path / "best.safetensors"), "best.safetensors")
    assert str(error.value).startswith(
        "best.safetensors: a checkpoint of another architecture; shapes: synapses.conv1_in.0.weight is (8, 1, 3, 3), "
        "needed (16, 1, 3, 3)"
    )
    settings = TrainConfig(epochs=1, batch_size=32, lr=2e-3, checkpoint_every_s=1e-3)
    with pytest.raises(InputError, match=r"last\.safetensors: a checkpoint of another architecture; shapes: "):
        distill(digits(), teacher(), wider, DistillConfig(method="seal-kd"), settings, tmp_path)


def test_a_clock_that_is_set_back_at_every_look_costs_no_checkpoint_and_no_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = itertools.count()
    monkeypatch.setattr(time, "time", lambda: 1.8e9 - 86_400 * next(later))
    monkeypatch.setattr(time, "time_ns", lambda: int(1.8e18) - 86_400 * 10**9 * next(later))
    saved: list[object] = []
    save = checkpoint.save
    monkeypatch.setattr(checkpoint, "save", lambda *given, **named: saved.append(given[0]) or save(*given, **named))
    history = train(tmp_path, epochs=2, checkpoint_every_s=1e-9).history
    assert all(0 < epoch.seconds < 1000 for epoch in history)
    assert len(saved) > 2 * len(history)  # within an epoch, too


def test_a_full_disk_leaves_the_checkpoint_of_before_and_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "last.safetensors"
    checkpoint.save(path, {"a": torch.ones(2)}, {"epoch": 1})
    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        checkpoint.save(path, {"a": torch.zeros(2)}, {"epoch": 2})
    assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(path))
    assert checkpoint.load(path)[1] == {"epoch": 1}
    assert list(tmp_path.iterdir()) == [path]


def test_damaged_checkpoints_are_refused(tmp_path: Path) -> None:
    train(tmp_path, epochs=1)
    path = tmp_path / "last.safetensors"
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(InputError) as error:
        train(tmp_path, epochs=1)
    assert str(error.value).startswith(f"{path}: not a readable safetensors file (")
    assert str(error.value).endswith("); delete it to start anew")
    with pytest.raises(InputError) as absent:
        checkpoint.load_weights(tmp_path / "none.safetensors")
    assert str(absent.value) == f"{tmp_path / 'none.safetensors'}: no such file"


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a CUDA device")
def test_cuda_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(BackendMissing) as error:
        distill(digits(), None, student(), DistillConfig(method="hard"), TrainConfig(), tmp_path, device="cuda")
    assert str(error.value) == (
        f"device: 'cuda' asked for, but torch {torch.__version__} sees no CUDA device; set device = 'cpu'; or "
        "install the driver and a CUDA build of torch"
    )


def test_a_batch_larger_than_the_data_is_used_as_it_is(tmp_path: Path) -> None:
    assert len(train(tmp_path, epochs=1, batch_size=4096).history) == 1


def test_the_exact_sastc_leaves_out_short_batches(tmp_path: Path) -> None:
    config = DistillConfig(method="sastc", sastc="exact")
    settings = TrainConfig(epochs=1, batch_size=64)
    result = distill(digits(), teacher(), student(), config, settings, tmp_path)
    assert result.history[0].terms["sastc"] > 0


def test_a_task_needs_nothing_of_teachers_or_students(tmp_path: Path) -> None:
    """The loop by itself: a linear map on the images."""
    data = digits()
    network = nn.Sequential(nn.Flatten(), nn.Linear(64, 10))

    class Learner(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.network = network

        def forward(self, batch: Batch) -> tuple[Tensor, dict[str, Tensor]]:
            return nn.functional.cross_entropy(self.network(batch.teacher_x), batch.labels), {}

    def judge(part: str) -> Evaluation:
        samples = {"validation": data.val, "test": data.test}[part]
        return evaluate(network, data, samples, ALONE, batch_size=64, spiking=False)

    task = Task("linear", Learner(), network, lambda batch, *_: (batch,), judge, {"a": 1})
    history = fit(task, data, TrainConfig(epochs=4, lr=0.05), tmp_path, seed=0, world=ALONE, progress=QUIET)
    assert [epoch.number for epoch in history] == [0, 1, 2, 3]
    assert judge("test").accuracy > 0.7  # chance is 0.1
