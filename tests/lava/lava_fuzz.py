"""Damages .net files and reads them: refused with a reason or read, never a traceback, never slow, never large.

python tests/lava/lava_fuzz.py FOLDER [HOW MANY]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from seamount.compile.net.read import read_net
from seamount.errors import InputError, Unsupported


@dataclass(frozen=True)
class Fuzzed:
    n_read: int
    n_refused: int
    slowest_s: float


def mutate(data: bytes, rng: np.random.Generator) -> bytes:
    """Cut, flip bits, overwrite a stretch, insert."""
    found = bytearray(data)
    at = int(rng.integers(len(found)))
    match int(rng.integers(4)):
        case 0:
            del found[at:]
        case 1:
            for place in rng.integers(len(found), size=int(rng.choice([1, 1, 2, 4, 16]))):
                found[place] ^= 1 << int(rng.integers(8))
        case 2:
            length = min(int(rng.choice([1, 4, 8, 64])), len(found) - at)
            found[at : at + length] = bytes([int(rng.choice([0, 255, rng.integers(256)]))]) * length
        case _:
            found[at:at] = rng.bytes(int(rng.choice([1, 8])))
    return bytes(found)


def fuzz(sources: list[bytes], n: int, seed: int, folder: Path) -> Fuzzed:
    """Read ``n`` damaged files; any exception but a refusal that names the file gets out."""
    rng = np.random.default_rng(seed)
    path = folder / "damaged.net"
    n_refused, slowest_s = 0, 0.0
    for i in range(n):
        path.write_bytes(mutate(sources[i % len(sources)], rng))
        start = time.perf_counter()
        try:
            read_net(path, skip_unknown=bool(i % 2))
        except (InputError, Unsupported) as error:
            n_refused += 1
            if not str(error).startswith(str(path)):
                raise AssertionError(f"a refusal that does not name the file: {error}") from error
        slowest_s = max(slowest_s, time.perf_counter() - start)
    return Fuzzed(n - n_refused, n_refused, slowest_s)


def main() -> None:
    sources = [p.read_bytes() for p in sorted(Path(sys.argv[1]).rglob("*.net"))]
    n = int(sys.argv[2]) if len(sys.argv) > 2 else 20_000
    with tempfile.TemporaryDirectory() as folder:
        done = fuzz(sources, n, 1, Path(folder))
    peak_gib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    counts = f"{n} files: {done.n_read} read, {done.n_refused} refused"
    print(f"{counts}, slowest {done.slowest_s:.2f} s, peak {peak_gib:.2f} GiB")


if __name__ == "__main__":
    main()
