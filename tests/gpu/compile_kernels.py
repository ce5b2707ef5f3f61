"""Compiles every Triton kernel for GPUs that need not be there: ``python -m tests.gpu.compile_kernels``.

Prints kernel, variant, registers, spills (ptxas -v) and the bytes that a neuron's step moves; ends with 1 if a
variant does not compile or spills. What was compiled once, of the same source by the same compiler, is remembered in
build/gpu.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import io
import json
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from typing import Any

from seamount.files import write_json

BUILD = Path(__file__).resolve().parents[2] / "build" / "gpu"
ARCHITECTURES = (80, 90, 100)

Job = tuple[int, dict[str, Any]]
"""A kernel's place in ``KERNELS``, and a variant of it with its "arch"."""


@dataclass(frozen=True)
class Result:
    """Of one variant for one architecture; spills are bytes stored and loaded; failed: the compiler's words."""

    registers: int = 0
    spills: int = 0
    failed: str = ""


def compiled(number: int, variant: dict[str, Any]) -> Result:
    """Variant of the kernel of this number; ``variant["arch"]`` is 80, 90 or 100."""
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource
    from triton.compiler import compile as triton_compile

    from .variants import KERNELS

    kernel = KERNELS[number]
    names = kernel.function.arg_names
    constants = {**kernel.constants, **{k: v for k, v in variant.items() if k.isupper()}}
    types = kernel.types(variant)
    signature = {name: "constexpr" if name in constants else types[name] for name in names}
    # what Triton assumes at a launch of arguments that are multiples of 16: loads of 16 bytes depend on it
    sixteen = [n for n in names if signature[n].startswith("*") or (variant["aligned"] and n in kernel.divisible)]
    attributes = {(names.index(name),): [["tt.divisibility", 16]] for name in sixteen}
    source = ASTSource(kernel.function, signature, constants, attributes)
    log = io.StringIO()
    try:
        with contextlib.redirect_stdout(log):
            made = triton_compile(source, GPUTarget("cuda", variant["arch"], 32), dict(kernel.options(variant)))
    except Exception as error:  # Triton's errors have no common class
        return Result(failed=f"{type(error).__name__}: {error}")
    wrong = overflowing(made.asm["ttir"])
    return Result(failed=f"addresses by products of 32 bits: {wrong}") if wrong else read_log(log.getvalue())


def overflowing(ttir: str) -> list[str]:
    """Values that are a product in 32 bits and become part of an address: t * stride is wrong from T * N = 2**31 on,
    and no test of a size that can be run here sees it.
    """
    products: set[str] = set()
    found = []
    for name, operation, rest in re.findall(r"^\s*(%\S+) = (\S+) (.*?)(?: loc\(.*)?$", ttir, re.MULTILINE):
        operands = set(re.findall(r"%[\w#]+", rest))
        if operation in ("arith.extsi", "tt.addptr"):
            found += operands & products
        elif operation == "arith.muli":
            products |= {name} if "i64" not in rest else set()
        elif operation in ("tt.splat", "arith.addi") and operands & products:
            products.add(name)
    return found


def read_log(ptxas: str) -> Result:
    """ptxas -v: "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads", "Used 34 registers"."""
    registers = re.search(r"Used (\d+) registers", ptxas)
    spills = re.findall(r"(\d+) bytes spill (?:stores|loads)", ptxas)
    if registers is None or not spills:
        return Result(failed=f"ptxas said nothing of registers and spills: {ptxas!r}")
    return Result(int(registers[1]), sum(map(int, spills)))


def jobs(kernels: list[str] | None, architectures: tuple[int, ...], only_pairs: bool) -> list[Job]:
    from .variants import KERNELS, pairs

    found = []
    for number, kernel in enumerate(KERNELS):
        if kernels is None or kernel.name in kernels:
            every = [{"arch": arch, **variant} for variant in kernel.variants() for arch in architectures]
            found += [(number, variant) for variant in (pairs(every) if only_pairs else every)]
    return found


@cache
def _sources() -> str:
    """Of kernels and compiler: what a remembered result depends on."""
    import triton

    from .variants import KERNELS

    files = sorted({Path(kernel.function.fn.__code__.co_filename) for kernel in KERNELS})
    variants = Path(__file__).with_name("variants.py")
    contents = [path.read_bytes() for path in (*files, variants, Path(__file__))]
    return hashlib.sha256(b"".join([triton.__version__.encode(), *contents])).hexdigest()


def _key(number: int, variant: dict[str, Any]) -> str:
    return f"{number} {json.dumps(variant, sort_keys=True)}"


def compile_all(work: list[Job], n_processes: int) -> list[Result]:
    kept = BUILD / f"{_sources()[:16]}.json"
    known = json.loads(kept.read_text()) if kept.exists() else {}
    new = [job for job in work if _key(*job) not in known]
    try:
        with _mapping(n_processes) as run:
            for job, result in zip(new, run(compiled, *zip(*new, strict=True)), strict=True) if new else ():
                known[_key(*job)] = asdict(result)
    finally:  # all variants take minutes: what is done when they are interrupted need not be done again
        # but what failed is tried again, because a compiler that was not found may be there by then
        write_json(kept, {key: result for key, result in known.items() if not result["failed"]})
    return [Result(**known[_key(*job)]) for job in work]


@contextlib.contextmanager
def _mapping(n_processes: int) -> Iterator[Callable[..., Iterable[Result]]]:
    """``map`` over so many processes; one is this one, which need not load torch and Triton again."""
    from triton import knobs

    if n_processes == 1:
        with knobs.nvidia.scope(), knobs.compilation.scope():
            _prepare()
            yield map
    else:
        # spawned, not forked: torch and numba have threads by now
        with ProcessPoolExecutor(n_processes, mp_context=get_context("spawn"), initializer=_prepare) as pool:
            yield pool.map


def _prepare() -> None:
    from triton import knobs

    knobs.nvidia.dump_ptxas_log = True
    knobs.compilation.always_compile = True  # what comes out of Triton's own cache has no log


def table(work: list[Job], results: list[Result]) -> list[str]:
    from .variants import KERNELS

    lines = [f"{'kernel':16}{'sm':>4}{'registers':>10}{'spills':>7}{'bytes':>6}  variant"]
    for (number, variant), result in zip(work, results, strict=True):
        kernel = KERNELS[number]
        flags = ", ".join(f"{k} {v}" for k, v in variant.items() if k != "arch")
        numbers = f"{result.registers:10}{result.spills:7}{kernel.moved(variant):6}"
        lines.append(f"{kernel.name:16}{variant['arch']:4}{numbers}  {flags}")
        if result.failed:
            lines.append(f"  failed: {result.failed}")
    return lines


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kernels", nargs="+", help="only these")
    parser.add_argument("--sm", type=int, nargs="+", default=ARCHITECTURES, help="only these architectures")
    parser.add_argument(
        "--pairs", action="store_true", help="not every variant, but every two values that can meet in one"
    )
    parser.add_argument("--processes", type=int, default=min(4, os.cpu_count() or 1))
    options = parser.parse_args()
    import triton

    work = jobs(options.kernels, tuple(options.sm), options.pairs)
    results = compile_all(work, options.processes)
    print("\n".join(table(work, results)))
    bad = [result for result in results if result.failed or result.spills]
    print(f"Triton {triton.__version__}: {len(work)} variants, {len(bad)} of them fail or spill")
    return 1 if bad or not work else 0


if __name__ == "__main__":
    sys.exit(main())
