"""CIFAR-10 within a time limit: teacher, two deployed students, and methods at equal epochs.

    python benchmarks/cifar10.py --root FOLDER --out FOLDER --seconds 460                (on one GPU)
    python benchmarks/cifar10.py --root FOLDER --out FOLDER --device cpu --at-once 2 --seconds 6000 --no-deployed \
        --teacher FILE --teacher-width 0.75 --start-epochs 2 --epochs 2 --lessons hard-0 kd-0 sastc-0

Every training is a process of its own, several at a time on the one GPU, and every one is resumed if the script is.
What is done when the time is up is written; what is not, says how far it came.

``--tell`` adds the lessons that OUT holds to benchmarks/results/cifar10.json and the table of docs/distillation.md.

OUT/cifar10.json      teacher, deployed students, methods: accuracy after every epoch and step, spikes, seconds
OUT/part-*            pieces of one .tar.xz: the teacher's weights and the folders of both runs (without their state)
``--tiny --device cpu`` does all of it small.
"""

from __future__ import annotations

import argparse
import io
import json
import multiprocessing
import os
import platform
import statistics
import sys
import tarfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from figures import DOCS, RESULTS, write_figures, write_table

from seamount.config import Config, parse
from seamount.distill import checkpoint
from seamount.distill.budget import fan_out
from seamount.distill.config import DataConfig, DistillConfig, TeacherConfig, TrainConfig
from seamount.distill.data import Data, Samples, load_data
from seamount.distill.methods import needs_teacher, weights_of
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import Trained, distill, finetune_quantised, train_teacher
from seamount.files import write_atomically
from seamount.models.spiking_net import INPUT, SpikingNet
from seamount.models.zoo import build_student, build_teacher
from seamount.presets import FAST_TEACHER, PRESETS
from seamount.run.pipeline import run_stages
from seamount.run.told import Told

PART_BYTES = 15 << 20
"""Of a piece of the archive."""


@dataclass(frozen=True)
class Plan:
    """How much is done.

    Attributes:
        ends: time.time() at which all is over; headline_ends: at which the deployed students are.
        start_epochs: of hard labels, from whose weights all lessons of a seed go on; 0: each from its own start.
        given_teacher: weights to use instead of training.
        views: of each image that lessons see in turn, so that the teacher is asked once for all of them.
    """

    device: str
    root: str
    work: Path
    ends: float
    headline_ends: float
    tiny: bool
    teacher_epochs: int
    teacher_width: float
    epochs: int
    long_epochs: int
    start_epochs: int
    batch_size: int
    n_train: int | None
    given_teacher: Path | None
    views: int | None

    def data(self, **changes: Any) -> DataConfig:
        section = {**PRESETS["cifar10"]["data"], "root": self.root, **changes}
        if self.tiny:
            section |= {"max_train": self.n_train, "max_test": 200}
        return DataConfig.model_validate(section)

    @property
    def teacher_file(self) -> Path:
        return self.given_teacher or self.work / "teacher.safetensors"

    def teacher(self) -> TeacherConfig:
        return TeacherConfig(
            arch="fast",
            options={"width": self.teacher_width},
            epochs=self.teacher_epochs,
            lr=0.3,
            train={**FAST_TEACHER, "warmup_epochs": 0.2 * self.teacher_epochs},
        )


# ------------------------------------------------------------------------------------------------------- jobs


def train_the_teacher(plan: Plan, data: Data) -> dict[str, Any]:
    started, cpu = time.monotonic(), time.process_time()
    trained = train_teacher(data, plan.teacher(), TrainConfig(), plan.work / "teacher", device=plan.device)
    # half the bytes, and the same answers but for a few of ten thousand
    halves = {name: v.bfloat16() if v.is_floating_point() else v for name, v in trained.network.state_dict().items()}
    checkpoint.save(plan.teacher_file, halves, {"best_epoch": trained.best_epoch})
    return {
        "test": trained.test.accuracy,
        "parameters": n_parameters(trained.network),
        "epochs": plan.teacher_epochs,
        "width": plan.teacher_width,
        "validation_by_epoch": [e.validation[-1] for e in trained.history],
        "seconds_by_epoch": [round(e.seconds, 3) for e in trained.history],
        "wall_s": time.monotonic() - started,
        "cpu_s": time.process_time() - cpu,
    }


def the_teacher(plan: Plan, data: Data) -> torch.nn.Module:
    network = build_teacher("fast", n_classes=data.n_classes, input_shape=data.input_shape, width=plan.teacher_width)
    checkpoint.put(network, checkpoint.load_weights(plan.teacher_file), str(plan.teacher_file))
    return network.eval()


@dataclass(frozen=True)
class Lesson:
    """One student of the comparison."""

    name: str
    method: str | dict[str, float]
    seed: int
    epochs: int
    settings: dict[str, Any]
    n_steps: int = 2
    width: float = 0.25
    start: str | None = None


def teach(plan: Plan, data: Data, lesson: Lesson) -> dict[str, Any]:
    started, cpu = time.monotonic(), time.process_time()
    # direct coding shows the same images at each step
    data = replace(data, n_steps=lesson.n_steps, config=plan.data(views=plan.views if lesson.start else None))
    torch.manual_seed(lesson.seed)
    student = build_student(
        "vgg9",
        n_classes=data.n_classes,
        input_shape=data.input_shape,
        n_steps=lesson.n_steps,
        width=lesson.width,
    )
    if lesson.start is not None:
        path = plan.work / "lessons" / lesson.start / "best.safetensors"
        checkpoint.put(student, checkpoint.load_weights(path), str(path))
    config = DistillConfig.model_validate(
        {
            "method": lesson.method,
            "student_maps": ["conv7"],
            "teacher_maps": ["stage2", "stage3"],
            "teacher_cache": str(plan.work / "logits"),
            **lesson.settings,
        }
    )
    train = TrainConfig(
        epochs=lesson.epochs,
        batch_size=plan.batch_size,
        lr=4e-3,
        weight_decay=0.015,
        # a start is not the end: its rate stays up for what follows
        schedule="constant" if lesson.name.startswith("start-") else "cosine",
        warmup_epochs=0.0 if lesson.start else 0.5,
        precision="bf16",
        select_on="last-epoch",
    )
    trained = distill(
        data,
        the_teacher(plan, data) if needs_teacher(weights_of(config.method)) else None,
        student,
        config,
        train,
        plan.work / "lessons" / lesson.name,
        seed=lesson.seed,
        device=plan.device,
    )
    return {
        **asdict(lesson),
        "test": trained.test.accuracy,
        "anytime": trained.test.anytime,
        "validation_by_epoch": [e.validation[-1] for e in trained.history],
        "seconds_by_epoch": [round(e.seconds, 3) for e in trained.history],
        "terms": dict(trained.history[-1].terms),
        **spending(student.cpu(), trained, lesson.n_steps),
        "wall_s": time.monotonic() - started,
        "cpu_s": time.process_time() - cpu,
    }


def spending(student: SpikingNet, trained: Trained, n_steps: int) -> dict[str, Any]:
    """Operations of an inference by mean rates and mean fan-out; every pixel counts as one spike a step."""
    fan = fan_out(student)
    inner = {name: trained.test.rates[name] * n_steps * float(f.sum()) for name, f in fan.of.items() if name != INPUT}
    entrance = n_steps * float(fan.of[INPUT].sum())
    return {
        "synapses": fan.n_synapses,
        "operations": sum(inner.values()) + entrance,
        "per_synapse": (sum(inner.values()) + entrance) / fan.n_synapses,
        "rates": dict(trained.test.rates),
        "parameters": n_parameters(student),
    }


@dataclass(frozen=True)
class Deployed:
    """A student that goes all the way to the program."""

    name: str
    arch: str
    width: float
    n_steps: int
    seed: int = 0


DEPLOYED = (
    Deployed("cifar10-resnet18", "resnet18", 0.5, 2),
    Deployed("cifar10-vgg9", "vgg9", 0.5, 2),
)
TINY_DEPLOYED = (Deployed("cifar10-vgg9", "vgg9", 0.0625, 2),)
TINY_LESSONS = ("hard-0", "sastc-every-4-0", "free-sastc-T1", "kd-hta-0")


def deploy(plan: Plan, data: Data, found: Deployed) -> dict[str, Any]:
    """Measures an epoch, chooses as many as the time allows, and runs the product's stages."""
    started = time.monotonic()
    torch.set_num_threads(1 if plan.tiny else 4)
    config = deployed_config(plan, found, epochs=2, quant_epochs=0)
    probe = run_probe(plan, data, found, config)
    left = plan.headline_ends - time.time()
    reserve = 10 if plan.tiny else 45
    quant = 1 if probe["integer_epoch_s"] < 0.15 * left else 0
    # with half as many as an ANN before, which take half of the time
    of_one = max(1.25 * probe["epoch_s"], 1e-3)
    epochs = int((left - reserve - quant * probe["integer_epoch_s"]) * 0.85 / of_one)
    epochs = 1 if plan.tiny else max(8, min(epochs, 150))
    print(f"{found.name}: {probe}, {epochs} epochs, {quant} in integers, {left:.0f} s left", flush=True)
    config = deployed_config(plan, found, epochs=epochs, quant_epochs=quant)
    folder = plan.work / "runs" / found.name
    run_stages(
        config,
        folder,
        resume=folder.exists(),
        until="simulate",
        told=Told(stage=lambda text: stamp(found.name, text)),
    )
    return {"probe": probe, "epochs": epochs, "wall_s": time.monotonic() - started, **read_run(folder)}


def deployed_config(plan: Plan, found: Deployed, *, epochs: int, quant_epochs: int) -> Config:
    preset = PRESETS["cifar10"]
    document = {
        **preset,
        "run": {"device": plan.device, "seed": found.seed},
        "data": plan.data(augment=["crop", "alternating-flip", "cutout"], cutout_size=8).model_dump(),
        "teacher": {**plan.teacher().model_dump(), "checkpoint": str(plan.teacher_file)},
        "student": {"arch": found.arch, "n_steps": found.n_steps, "options": {"width": found.width}},
        "distill": {
            **preset["distill"],
            "ann_epochs": epochs // 2,
            "spike_budget": None if plan.tiny else {"per_synapse": 0.35},
        },
        "train": {**preset["train"], "epochs": epochs, "batch_size": 256 if not plan.tiny else plan.batch_size},
        "quant": {**preset["quant"], "epochs": quant_epochs},
        "report": {"n_compared": 2 if plan.tiny else 32},
    }
    return parse(document, found.name)


def run_probe(plan: Plan, data: Data, found: Deployed, config: Config) -> dict[str, float]:
    """Seconds of an epoch of each kind, from two epochs and from a few integer steps."""
    torch.manual_seed(1)
    student = build_student(
        found.arch,
        n_classes=data.n_classes,
        input_shape=data.input_shape,
        n_steps=found.n_steps,
        width=found.width,
    )
    folder = plan.work / "probes" / found.name
    teacher = the_teacher(plan, data)
    data = replace(data, n_steps=found.n_steps)
    # without the budget, which may silence a student that is trained so briefly
    plain = config.distill.model_copy(update={"spike_budget": None, "ann_epochs": 0})
    trained = distill(data, teacher, student, plain, config.train, folder / "float", device=plan.device)
    result = {"epoch_s": min(e.seconds for e in trained.history[-1:]), "integer_epoch_s": float("inf")}
    try:
        n = min(4 * config.train.batch_size, len(data.train))
        few = first_images(data, n)
        quant = config.quant.model_copy(update={"epochs": 2, "calibration_samples": 64})
        integers = QuantisedStudent(trained.network.cpu())  # type: ignore[arg-type]
        tuned = finetune_quantised(
            few, teacher, integers, plain, quant, config.train, folder / "integers", device=plan.device
        )
        result["integer_epoch_s"] = tuned.history[-1].seconds * len(data.train) / n
    except Exception:  # the integers are the part that may fail on a new machine: rounding alone is left then
        traceback.print_exc()
    return result


def first_images(data: Data, n: int) -> Data:
    """The same with n training images, and a few of the other parts."""

    def first(part: Samples, most: int) -> Samples:
        return part.subset(torch.arange(min(most, len(part))))

    return replace(data, train=first(data.train, n), val=first(data.val, 64), test=first(data.test, 64))


def read_run(folder: Path) -> dict[str, Any]:
    """What the stages of a run say that are done."""
    found: dict[str, Any] = {}
    for stage in sorted((folder / "stages").glob("*")):
        for name in ("metrics.json", "proof.json", "status.json"):
            if (stage / name).exists():
                content = json.loads((stage / name).read_text())
                if name == "status.json":
                    content = {"seconds": content["seconds"]}
                found[f"{stage.name}/{name}"] = content
    return found


def n_parameters(network: torch.nn.Module) -> int:
    return sum(p.numel() for p in network.parameters())


# ----------------------------------------------------------------------------------------------- running them


@dataclass(frozen=True)
class Job:
    """What a process does; its result is RESULTS/NAME.json."""

    name: str
    work: Callable[[], dict[str, Any]]


def stamp(name: str, text: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {name}: {text}", flush=True)


class Shop:
    """Jobs in forked processes, so many at a time; a process takes one job after the other until one fails."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.results = plan.work / "results"
        self.logs = plan.work / "logs"
        for folder in (self.results, self.logs):
            folder.mkdir(parents=True, exist_ok=True)
        self.fork = multiprocessing.get_context("fork")

    def run(self, jobs: Sequence[Job], at_once: int, until: float) -> None:
        """In order; those that run at ``until`` are ended."""
        jobs = [job for job in jobs if not (self.results / f"{job.name}.json").exists()]
        begun = self.fork.Value("i", 0)
        workers: list[BaseProcess] = []
        while time.time() < until and (begun.value < len(jobs) or workers):
            while begun.value < len(jobs) and len(workers) < min(at_once, len(jobs)):
                worker = self.fork.Process(target=self._worker, args=(jobs, begun))
                worker.start()
                workers.append(worker)
                time.sleep(0.05)  # so that it has taken its job before the next one is counted
            time.sleep(0.1)
            workers = [worker for worker in workers if worker.is_alive()]
        for worker in workers:
            worker.terminate()
        for worker in workers:
            worker.join(2)
            if worker.is_alive():
                worker.kill()
        done = sum((self.results / f"{job.name}.json").exists() for job in jobs)
        stamp("jobs", f"{done} of {len(jobs)} done, {min(begun.value, len(jobs))} begun")

    def _worker(self, jobs: Sequence[Job], begun: Any) -> None:
        while True:
            with begun.get_lock():
                number = begun.value
                begun.value += 1
            if number >= len(jobs):
                return
            job = jobs[number]
            with (self.logs / f"{job.name}.log").open("a", buffering=1) as log:
                os.dup2(log.fileno(), 1)
                os.dup2(log.fileno(), 2)
            try:
                write_figures(self.results / f"{job.name}.json", job.work())
            except BaseException as error:
                traceback.print_exc()
                failed = {"failed": f"{type(error).__name__}: {error}", "where": traceback.format_exc(limit=-4)}
                write_figures(self.results / f"{job.name}.failed.json", failed)
                return  # a device that failed once may fail for good; another process takes the rest

    def collect(self, out: Path) -> dict[str, Any]:
        """Everything found so far, as one document; of students not done, the history in their last checkpoint."""
        found = {path.stem: json.loads(path.read_text()) for path in sorted(self.results.glob("*.json"))}
        for path in sorted((self.plan.work / "lessons").glob("*/last.safetensors")):
            if path.parent.name not in found:
                try:
                    history = checkpoint.load(path)[1]["state"]["history"]
                except Exception as error:
                    history = str(error)
                found[f"{path.parent.name} (not finished)"] = {"history": history}
        document = {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "device": self.plan.device,
            "plan": {
                name: str(value) if isinstance(value, Path) else value for name, value in asdict(self.plan).items()
            },
            "found": found,
        }
        write_figures(out / "cifar10.json", document)
        return document

    def archive(self, out: Path) -> None:
        """Teacher, runs without their state and float graphs (made again from the weights), and all logs."""
        packed = io.BytesIO()
        known: set[str] = set()
        with tarfile.open(fileobj=packed, mode="w:xz", preset=0) as tar:
            if self.plan.teacher_file.exists():
                tar.add(self.plan.teacher_file, "teacher.safetensors")
            tar.add(self.logs, "logs")
            for path in sorted((self.plan.work / "runs").rglob("*")):
                # both runs have the same teacher: one copy is enough
                if path.is_file() and "state" not in path.parts and path.name not in ("float.nir", *known):
                    known |= {path.name} & {"teacher.safetensors"}
                    tar.add(path, str(path.relative_to(self.plan.work)))
        content = packed.getvalue()
        for number, start in enumerate(range(0, len(content), PART_BYTES)):
            (out / f"part-{number}").write_bytes(content[start : start + PART_BYTES])
        stamp("archive", f"{len(content) / 1e6:.1f} MB")

    def failures(self, out: Path) -> None:
        """The ends of the logs of what failed, in one file."""
        failed = [path.name.removesuffix(".failed.json") for path in sorted(self.results.glob("*.failed.json"))]
        ends = [f"== {name}\n{(self.logs / f'{name}.log').read_text()[-2000:]}" for name in failed]
        write_atomically(out / "failures.txt", "\n".join(ends))


METHODS: dict[str, tuple[str | dict[str, float], dict[str, Any]]] = {
    "hard": ("hard", {}),
    "kd": ("kd", {}),
    "sastc": ("sastc", {}),
    "seal-kd": ("seal-kd", {}),
    "seal-kd-and-kd": ({"hard": 1.0, "ela": 0.6, "sta": 0.15, "kd": 1.0}, {}),
    "kd-per-step": ("kd-per-step", {}),
    "seal-kd-and-sastc": ("seal-kd+sastc", {}),
    "seal-kd-and-sastc-every-4": ("seal-kd+sastc", {"sastc_every": 4}),
    "kd-hta": ("kd", {"divergence": "hta-kl"}),
    "seal-kd-hta": ("seal-kd", {"divergence": "hta-kl"}),
    "twsnn": ("twsnn", {}),
    "sastc-every-4": ("sastc", {"sastc_every": 4}),
    "sastc-side-4-every-2": ("sastc", {"sastc_every": 2, "sastc_side": 4}),
}
"""Of the comparison: name -> the method, and further settings of ``[distill]``."""


def lessons(plan: Plan, n_seeds: int) -> list[Lesson]:
    """The comparison, the most wanted first."""
    found = [
        Lesson(f"{name}-{seed}", method, seed, plan.epochs, settings)
        for seed in range(n_seeds)
        for name, (method, settings) in METHODS.items()
    ]
    budgets = [
        Lesson(f"budget-{name}-{limit:g}-T{n_steps}", name, 0, plan.epochs, spending_limit(limit), n_steps)
        for limit in (0.1, 0.2, 0.3)
        for n_steps in (2,)
        for name in ("hard", "sastc")
    ]
    budgets += [
        Lesson(f"budget-{name}-{limit:g}-T{n_steps}", name, 0, plan.epochs, spending_limit(limit), n_steps)
        for n_steps, limits in ((4, (0.2, 0.4)), (1, (0.1, 0.2)))
        for limit in limits
        for name in ("hard", "sastc")
    ]
    budgets += [
        Lesson(f"free-{name}-T{n_steps}", name, 0, plan.epochs, {}, n_steps)
        for n_steps in (1, 4)
        for name in ("hard", "sastc")
    ]
    long = [Lesson(f"long-{name}", name, 0, plan.long_epochs, {}) for name in ("hard", "sastc", "kd")]
    ann = [
        Lesson(f"ann-{name}-{seed}", name, seed, plan.epochs, {"ann_epochs": 2 * plan.epochs})
        for seed in range(n_seeds)
        for name in ("hard", "kd", "sastc")
    ]
    return [*found[: len(METHODS)], *ann, *long, *found[len(METHODS) :], *budgets]


def from_shared_starts(plan: Plan, wanted: Sequence[Lesson]) -> tuple[list[Lesson], list[Lesson]]:
    """The starts that the wanted lessons need, and these lessons behind them; what starts as an ANN needs none."""
    if not plan.start_epochs:
        return [], list(wanted)
    behind = [one if "ann_epochs" in one.settings else replace(one, start=f"start-{one.seed}") for one in wanted]
    seeds = sorted({one.seed for one in behind if one.start is not None})
    return [Lesson(f"start-{seed}", "hard", seed, plan.start_epochs, {}) for seed in seeds], behind


def spending_limit(limit: float) -> dict[str, Any]:
    return {"spike_budget": {"per_synapse": limit}}


def tell(out: Path) -> None:
    """Adds the lessons of a comparison that is done to the figures, and makes the table of all of them."""
    done = json.loads((out / "cifar10.json").read_text())["found"]
    figures = json.loads((RESULTS / "cifar10.json").read_text())
    lessons = figures["lessons"]
    lessons["found"] |= {name: value for name, value in done.items() if "test" in value and "method" in value}
    write_figures(RESULTS / "cifar10.json", figures)
    write_table(DOCS / "distillation.md", "cifar10.py", table(lessons["found"]))


def table(found: dict[str, Any]) -> list[str]:
    """A row for each lesson: mean over its seeds, and the spread where there are several."""
    lessons_of: dict[str, list[dict[str, Any]]] = {}
    for name, value in found.items():
        if "method" in value and not name.startswith("start-"):
            kind = name if value["name"].startswith(("budget", "free", "long")) else name.rpartition("-")[0]
            lessons_of.setdefault(kind, []).append(value)
    hard = {value["seed"]: value["test"] for value in lessons_of.get("hard", [])}
    lines = [
        "| lesson | seeds | test %, mean (each) | minus hard | after step 1 | per synapse | operations | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for kind, values in lessons_of.items():
        mean = {
            key: statistics.mean(v[key] for v in values) for key in ("test", "per_synapse", "operations", "cpu_s")
        }
        first = statistics.mean(v["anytime"][0] for v in values)
        each = ", ".join(f"{100 * v['test']:.2f}" for v in values)
        gains = [100 * (v["test"] - hard[v["seed"]]) for v in values if v["seed"] in hard]
        gain = f"{statistics.mean(gains):+.2f}" if gains and kind != "hard" else ""
        lines.append(
            f"| {kind} | {len(values)} | {100 * mean['test']:.2f} ({each}) | {gain} | {100 * first:.2f} "
            f"| {mean['per_synapse']:.3f} | {mean['operations'] / 1e6:.2f} M | {mean['cpu_s']:.0f} |"
        )
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", help="folder with CIFAR-10")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path, default=Path("/tmp/seamount-cifar10"))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seconds", type=float, default=460)
    parser.add_argument("--headline-seconds", type=float, default=210)
    parser.add_argument("--at-once", type=int, default=10)
    parser.add_argument("--teacher", type=Path, help="weights of a fast teacher; default: one is trained")
    parser.add_argument("--teacher-width", type=float, default=1.0)
    parser.add_argument("--teacher-epochs", type=int, default=32)
    parser.add_argument("--no-deployed", action="store_true", help="the comparison alone")
    parser.add_argument("--epochs", type=int, default=8, help="of every lesson")
    parser.add_argument(
        "--start-epochs", type=int, default=0, help="of hard labels before, one start for all of a seed"
    )
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--views", type=int, help="of each image that lessons see in turn; default: always new ones")
    parser.add_argument("--batch-size", type=int, default=256)
    parser.add_argument("--lessons", nargs="+", help="of the comparison only these, as hard-0 budget-sastc-0.2-T2")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--tell", action="store_true", help="write figures and table of what OUT holds, and end")
    options = parser.parse_args()
    if options.tell:
        tell(options.out)
        return 0
    if options.root is None:
        parser.error("--root says where CIFAR-10 is")
    started = time.time()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(1)  # before the forks, which a pool of threads does not survive
    plan = Plan(
        device=options.device,
        root=options.root,
        work=options.work,
        ends=started + options.seconds - (0 if options.tiny else 10),
        headline_ends=started + options.headline_seconds + 60,
        tiny=options.tiny,
        teacher_epochs=1 if options.tiny else options.teacher_epochs,
        teacher_width=0.25 if options.tiny else options.teacher_width,
        epochs=1 if options.tiny else options.epochs,
        long_epochs=1 if options.tiny else 5 * options.epochs,
        start_epochs=options.start_epochs,
        batch_size=25 if options.tiny else options.batch_size,
        n_train=1000 if options.tiny else None,
        given_teacher=options.teacher,
        views=options.views,
    )
    return work_through(plan, options, started)


def work_through(plan: Plan, options: argparse.Namespace, started: float) -> int:
    """Teacher, deployed students, lessons; what is found is written after each."""
    shop = Shop(plan)
    data = load_data(plan.data(), n_steps=2)
    headline_data = replace(data, config=plan.data(augment=["crop", "alternating-flip", "cutout"], cutout_size=8))
    stamp("data", f"{len(data.train)} training images after {time.time() - started:.0f} s")
    wanted = lessons(plan, 1 if options.tiny else options.seeds)
    names = TINY_LESSONS if options.tiny else options.lessons
    starts, wanted = from_shared_starts(plan, [one for one in wanted if names is None or one.name in names])
    if plan.given_teacher is None:
        shop.run([Job("teacher", lambda: train_the_teacher(plan, headline_data))], 1, plan.ends)
        shop.collect(options.out)
    if not plan.teacher_file.exists() and any(needs_teacher(weights_of(one.method)) for one in wanted):
        stamp("teacher", "is not there; nothing can be taught")
        shop.failures(options.out)
        return 1
    packing = None
    if not options.no_deployed:
        deployed = TINY_DEPLOYED if options.tiny else DEPLOYED
        jobs = [Job(found.name, partial(deploy, plan, headline_data, found)) for found in deployed]
        shop.run(jobs, len(jobs), min(plan.headline_ends, plan.ends))
        stamp("deployed", f"after {time.time() - started:.0f} s")
        shop.collect(options.out)
        packing = shop.fork.Process(target=shop.archive, args=(options.out,))
        packing.start()
    for group in (starts, wanted):
        shop.run([Job(one.name, partial(teach, plan, data, one)) for one in group], options.at_once, plan.ends)
        shop.collect(options.out)
    shop.failures(options.out)
    if packing is not None:
        packing.join(30)
    stamp("all", f"after {time.time() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main())
