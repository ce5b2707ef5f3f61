"""Pieces of a benchmark as processes, several at a time, whose results are kept one by one."""

from __future__ import annotations

import io
import json
import multiprocessing
import os
import platform
import tarfile
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch
from cifar10_plan import Plan
from figures import write_figures

from seamount.distill import checkpoint
from seamount.files import write_atomically

PART_BYTES = 15 << 20
"""Of a piece of the archive."""


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
