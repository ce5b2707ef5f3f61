"""CIFAR-10 within a time limit: teacher, two deployed students, and methods at equal epochs.

    python benchmarks/cifar10.py --root FOLDER --out FOLDER --seconds 460                (on one GPU)
    python benchmarks/cifar10.py --root FOLDER --out FOLDER --device cpu --at-once 2 --seconds 6000 --no-deployed \
        --teacher FILE --teacher-width 0.75 --start-epochs 2 --epochs 2 --lessons hard-0 kd-0 sastc-0

Every training is a process of its own, several at a time on the one GPU, and every one is resumed if the script is.
What is done when the time is up is written; what is not, says how far it came.

``--tell NAME`` adds the lessons that OUT holds to this comparison of benchmarks/results/cifar10.json, and writes its
table in docs/distillation.md: lessons of one machine, precision and teacher are a comparison.

OUT/cifar10.json      teacher, deployed students, methods: accuracy after every epoch and step, spikes, seconds
OUT/part-*            pieces of one .tar.xz: the teacher's weights and the folders of both runs (without their state)
``--tiny --device cpu`` does all of it small.
"""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch
from cifar10_deployed import DEPLOYED, TINY_DEPLOYED, deploy
from cifar10_jobs import Job, Shop, stamp
from cifar10_lessons import from_shared_starts, lessons, teach, tell
from cifar10_plan import Plan, train_the_teacher

from seamount.distill.data import load_data
from seamount.distill.methods import needs_teacher, weights_of

TINY_LESSONS = ("hard-0", "sastc-every-4-0", "free-sastc-T1", "kd-hta-0")


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
    parser.add_argument("--tell", metavar="NAME", help="write figures and table of the comparison in OUT, and end")
    options = parser.parse_args()
    if options.tell:
        tell(options.out, options.tell)
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
    if not plan.teacher_file.exists() and any(needs_teacher(weights_of(one.method), {}) for one in wanted):
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
