"""Spoken digits by the preset "fsdd": hard labels, a teacher, each speaker held out; students in integers.

    python benchmarks/fsdd.py --root FOLDER --out FOLDER
    python benchmarks/fsdd.py --root FOLDER --out FOLDER --variant "bands shifted" --only george-hard-mean-0 ... \
        --set 'data.augment=["time-shift", "gain", "crop"]' --set data.crop_padding=2

One thread; what is done is kept in OUT and not done again, a training that was interrupted goes on. The figures are
those of the student in the chip's integers after the last step; a run by the preset proves that these are the
program's and Lava's. Writes benchmarks/results/fsdd.json and the table of docs/distillation.md.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from figures import DOCS, RESULTS, cpu_name, write_figures, write_table
from torch import nn

from seamount.config import Config, load_config
from seamount.distill.config import DistillConfig
from seamount.distill.data import Data, load_data
from seamount.distill.evaluate import Evaluation
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import distill, finetune_quantised, train_teacher
from seamount.files import write_json
from seamount.models.zoo import build_student
from seamount.report.schema.quantities import wilson

SPEAKERS = ("george", "jackson", "lucas", "nicolas", "theo", "yweweler")
HARD, TAUGHT = "hard-mean", "kd"
"""The same loss of the labels; the second has a teacher beside it."""


@dataclass(frozen=True)
class Lesson:
    """A student that is trained: on the usual split (no speaker), or with a speaker held out.

    ``variant``: what its settings are called, where they are not the preset's.
    """

    speaker: str | None
    method: str
    seed: int
    arch: str
    variant: str = ""

    @property
    def split(self) -> str:
        return "usual" if self.speaker is None else self.speaker

    @property
    def name(self) -> str:
        """Without the student and the variant, which hold for a whole call."""
        return f"{self.split}-{self.method}-{self.seed}"

    @property
    def folder(self) -> str:
        return "-".join(
            filter(None, (self.split, self.arch, self.variant.replace(" ", "-"), self.method, str(self.seed)))
        )


def lessons(seeds: int, arch: str, variant: str) -> Iterator[Lesson]:
    """In the order of what is wanted first, because time may end."""
    for method in (TAUGHT, HARD):
        yield Lesson(None, method, 0, arch, variant)
    yield from (Lesson(speaker, HARD, 0, arch, variant) for speaker in SPEAKERS)
    yield from (Lesson(None, method, seed, arch, variant) for seed in range(1, seeds) for method in (HARD, TAUGHT))
    yield from (Lesson(speaker, TAUGHT, 0, arch, variant) for speaker in SPEAKERS)


def settings(root: Path, lesson: Lesson, more: Sequence[str]) -> Config:
    held = [] if lesson.speaker is None else [f"data.test_speaker={lesson.speaker}"]
    chosen = [f"data.root={root}", f"student.arch={lesson.arch}", *held]
    return load_config(None, [*chosen, *more], preset="fsdd")


def learn(root: Path, lesson: Lesson, more: Sequence[str], out: Path) -> dict[str, Any]:
    """What a lesson came to, kept in its folder."""
    folder = out / lesson.folder
    if (folder / "result.json").exists():
        found: dict[str, Any] = json.loads((folder / "result.json").read_text())
        return found
    config = settings(root, lesson, more)
    data = load_data(config.data, n_steps=config.student.n_steps)
    teacher = None if lesson.method == HARD else teacher_of(config, data, out / teacher_name(lesson))
    started = time.process_time()
    torch.manual_seed(lesson.seed)
    student = build_student(
        lesson.arch,
        n_classes=data.n_classes,
        input_shape=data.input_shape,
        n_steps=data.n_steps,
        input_bits=data.input_bits,
        input_scale=data.input_scale,
        **config.student.options,
    )
    method = DistillConfig(method=lesson.method)
    real = distill(data, teacher, student, method, config.train, folder / "student", seed=lesson.seed)
    integers = QuantisedStudent(real.network)
    chip = finetune_quantised(
        data, teacher, integers, method, config.quant, config.train, folder / "integers", seed=lesson.seed
    )
    result = {
        **asdict(lesson),
        "settings": [*more],
        "samples": [len(data.train), len(data.val), len(data.test)],
        "float": correct(real.test),
        "integers": correct(chip.test),
        "validation": correct(chip.validation),
        "anytime": [round(share, 4) for share in chip.test.anytime[4::5]],  # after step 5, 10, ...
        "rates": {name: round(rate, 4) for name, rate in chip.test.rates.items()},
        "parameters": sum(p.numel() for p in student.parameters()),
        "cpu_s": round(time.process_time() - started, 1),
    }
    write_json(folder / "result.json", result)
    return result


def teacher_name(lesson: Lesson) -> str:
    return "-".join(filter(None, (lesson.split, lesson.variant.replace(" ", "-"), "teacher")))


def teacher_of(config: Config, data: Data, folder: Path) -> nn.Module:
    started = time.process_time()
    trained = train_teacher(data, config.teacher, config.train, folder / "state")
    if not (folder / "result.json").exists():
        found = {"test": correct(trained.test), "cpu_s": round(time.process_time() - started, 1)}
        write_json(folder / "result.json", found)
    return trained.network


def correct(found: Evaluation) -> list[int]:
    """Right ones, of how many."""
    return [round(found.accuracy * found.n), found.n]


def tell(out: Path) -> None:
    """Figures and table of what OUT holds."""
    found = {path.parent.name: json.loads(path.read_text()) for path in sorted(out.glob("*/result.json"))}
    document = {
        "command": "python benchmarks/fsdd.py --root FOLDER --out FOLDER",
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": f"{cpu_name()}, 1 thread, shared with other work; torch {torch.__version__}",
        "found": found,
    }
    write_figures(RESULTS / "fsdd.json", document)
    write_table(DOCS / "distillation.md", "fsdd.py", table(found))


def table(found: dict[str, Any]) -> list[str]:
    lines = [
        "| student | test part | lesson | in integers % (95 % interval) | each | float % | teacher % | CPU s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    groups: dict[tuple[Any, ...], list[Lesson]] = {}
    for value in found.values():
        if "method" in value:
            lesson = Lesson(**{key: value[key] for key in Lesson.__dataclass_fields__ if key in value})
            kind = (lesson.arch, lesson.speaker is not None, lesson.variant, lesson.method == TAUGHT)
            groups.setdefault(kind, []).append(lesson)
    return [*lines, *(_row(groups[kind], found) for kind in sorted(groups))]


def _row(lessons: Sequence[Lesson], found: dict[str, Any]) -> str:
    """Means over seeds, or over the speakers held out."""
    first, rows = lessons[0], [found[lesson.folder] for lesson in lessons]
    held_out = first.speaker is not None
    shares = [row["integers"][0] / row["integers"][1] for row in rows]
    # of seeds the same samples answer again: they are not more of them
    n = sum(row["integers"][1] for row in rows) if held_out else rows[0]["integers"][1]
    low, high = wilson(round(statistics.mean(shares) * n), n)
    each = [
        f"{lesson.speaker or ''} {100 * share:.1f}".strip() for lesson, share in zip(lessons, shares, strict=True)
    ]
    taught = [found[teacher_name(lesson)]["test"] for lesson in lessons if lesson.method == TAUGHT]
    cells = (
        f"`{first.arch}`{first.variant and ', ' + first.variant}",
        f"each of {len(rows)} speakers held out" if held_out else "takes 0 to 4",
        first.method,
        f"{100 * statistics.mean(shares):.1f} ({100 * low:.1f} to {100 * high:.1f}, n = {n})",
        ", ".join(each),
        f"{100 * statistics.mean(row['float'][0] / row['float'][1] for row in rows):.1f}",
        f"{100 * statistics.mean(right / of for right, of in taught):.1f}" if taught else "",
        f"{statistics.mean(row['cpu_s'] for row in rows):.0f}",
    )
    return f"| {' | '.join(cells)} |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--root", type=Path, required=True, help="folder with recordings/")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--seeds", type=int, default=3, help="of both lessons on the usual split")
    parser.add_argument("--arch", default="conv1d")
    parser.add_argument("--only", nargs="+", help="of the lessons only these, as usual-kd-0")
    parser.add_argument("--variant", default="", help="a name for what --set changes")
    parser.add_argument("--set", dest="more", action="append", default=[], help="a setting of the preset, as a.b=1")
    options = parser.parse_args()
    torch.set_num_threads(1)
    for lesson in lessons(options.seeds, options.arch, options.variant):
        if options.only and lesson.name not in options.only:
            continue
        result = learn(options.root, lesson, options.more, options.out)
        print(f"{lesson.name}: {result['integers'][0]} of {result['integers'][1]}, {result['cpu_s']} s", flush=True)
        tell(options.out)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
