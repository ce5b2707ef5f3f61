"""What two states of Seamount take for the same work, in turns: its start, compiling, and single samples.

    git worktree add /tmp/before COMMIT
    python benchmarks/before_after.py /tmp/before . [--n 15]

Starting takes a new process each time; the rest is asked of one living process for each state, so that loading
torch is no part of it. States take turns, first one, then the other first; CPU seconds, user and system. Networks
are made once, by the state that comes second, and read by both. Writes results/before_after.json.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import date
from functools import partial
from pathlib import Path

from figures import RESULTS, cpu_name, write_figures

STARTS = {
    "import seamount": ("-c", "import seamount"),
    "from seamount import api": ("-c", "from seamount import api"),
    "seamount --help": ("-m", "seamount", "--help"),
    "seamount targets list": ("-m", "seamount", "targets", "list"),
    "seamount compile, a quantised student": (
        *("-m", "seamount", "compile", "quantised.nir"),
        *("--out", "compiled.program.h5"),
    ),
}

NETWORKS = """
import sys, nir, torch
from seamount.distill.quantised import QuantisedStudent
from seamount.models.export import to_nir
from seamount.models.zoo import build_student
torch.manual_seed(0)
student = build_student("small", n_classes=10, input_shape=(1, 28, 28), n_steps=4).eval()
integers = QuantisedStudent(student).calibrate(torch.rand(16, 1, 28, 28))
nir.write(sys.argv[1] + "/float.nir", to_nir(student))
nir.write(sys.argv[1] + "/quantised.nir", integers.to_nir())
"""

WORKER = """
import sys, time
from pathlib import Path
import numpy as np, torch
from seamount import api
from seamount.hardware_targets.simulator import simulate
torch.set_num_threads(1)
folder = Path(sys.argv[1])

def compiled(name):
    return api.compile_source(folder / name, out=folder / f"{sys.argv[2]}.program.h5").compiled.program

program = compiled("quantised.nir")
images = np.random.default_rng(0).integers(0, 256, (4, 1, *program.inputs[0].shape))
work = {
    "compile, real weights": lambda: compiled("float.nir"),
    "compile, a quantised student": lambda: compiled("quantised.nir"),
    "simulate, one image, 20 times": lambda: [simulate(program, images) for _ in range(20)],
}
print(*work, sep=";", flush=True)
for line in sys.stdin:
    begun = time.process_time()
    work[line.strip()]()
    print(time.process_time() - begun, flush=True)
"""

Turn = Callable[[], float]


def environment(tree: Path) -> dict[str, str]:
    # Python's own code is kept, as it is for users; where it is not, the length of the source is what is measured
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return kept | {"PYTHONPATH": str(tree), "OMP_NUM_THREADS": "1"}


def started(tree: Path, arguments: tuple[str, ...], folder: Path) -> float:
    """CPU seconds of a process from its start to its end; it begins outside of any checkout."""
    with (folder / "said").open("wb") as said:
        process = subprocess.Popen(
            [sys.executable, *arguments], env=environment(tree), cwd=folder, stdout=said, stderr=subprocess.STDOUT
        )
        _, status, spent = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, (folder / "said").read_text(encoding="utf-8")
    return spent.ru_utime + spent.ru_stime


@contextmanager
def worker(tree: Path, name: str, folder: Path) -> Iterator[dict[str, Turn]]:
    """What a living process of a state does when it is asked to, once each to warm up: CPU seconds."""
    code = ["-W", "ignore", "-c", WORKER, str(folder), name]
    with subprocess.Popen(
        [sys.executable, *code],
        env=environment(tree),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given, said = process.stdin, process.stdout

        def turn(work: str) -> float:
            print(work, file=given, flush=True)
            return float(said.readline())

        yield {work: partial(turn, work) for work in said.readline().strip().split(";")}
        given.close()


def compared(before: Turn, after: Turn, n: int) -> dict[str, object]:
    """n pairs, after one that warms up both."""
    pairs = []
    for i in range(n + 1):
        if i % 2:
            new, old = after(), before()
        else:
            old, new = before(), after()
        pairs.append((old, new))
    ratios = sorted(new / old for old, new in pairs[1:])
    old, new = (statistics.median(pair[k] for pair in pairs[1:]) for k in (0, 1))
    return {
        "before_cpu_s": round(old, 4),
        "after_cpu_s": round(new, 4),
        "ratio": round(statistics.median(ratios), 3),
        "quartiles": [round(q, 3) for q in statistics.quantiles(ratios, n=4)[::2]],
        "least": round(min(new for _, new in pairs[1:]) / min(old for old, _ in pairs[1:]), 3),
    }


def state_of(tree: Path) -> str:
    asked = ["git", "-C", str(tree), "log", "-1", "--format=%h, %as"]
    return subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("before", type=Path)
    parser.add_argument("after", type=Path)
    parser.add_argument("--n", type=int, default=15)
    arguments = parser.parse_args()
    trees = {"before": arguments.before.resolve(), "after": arguments.after.resolve()}
    found: dict[str, dict[str, object]] = {}
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        folder = Path(place)
        subprocess.run(
            [sys.executable, "-W", "ignore", "-c", NETWORKS, place],
            env=environment(trees["after"]),
            cwd=place,
            check=True,
        )
        before, after = (stack.enter_context(worker(tree, name, folder)) for name, tree in trees.items())
        for what in after:
            found[what] = compared(before[what], after[what], arguments.n)
            print(what, found[what], flush=True)
        for what, command in STARTS.items():
            turns = [partial(started, tree, command, folder) for tree in trees.values()]
            found[what] = compared(turns[0], turns[1], arguments.n)
            print(what, found[what], flush=True)
    document = {
        "command": f"python benchmarks/before_after.py BEFORE AFTER --n {arguments.n}",
        "states": {name: state_of(tree) for name, tree in trees.items()},
        "n": arguments.n,
        "machine": f"{os.cpu_count()} cores of {cpu_name()}",
        "load": round(os.getloadavg()[0], 1),
        "date": date.today().isoformat(),
        "found": found,
    }
    write_figures(RESULTS / "before_after.json", document)


if __name__ == "__main__":
    main()
