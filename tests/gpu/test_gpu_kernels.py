"""Every Triton kernel compiles for GPUs that are not here, keeps its values in registers, and counts in 64 bits."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

pytest.importorskip("triton", reason="triton is not installed")

import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from . import compile_kernels
from .compile_kernels import Result, overflowing, read_log
from .variants import KERNELS, pairs

ROOT = Path(__file__).resolve().parents[2]

# compile_kernels goes by the compiler of Triton since 2025; the kernels themselves run in an older interpreter, too
compiles = pytest.mark.skipif(not hasattr(triton, "knobs"), reason=f"Triton {triton.__version__} has no knobs")


@compiles
@pytest.mark.slow
def test_every_kernel_compiles_for_three_generations_without_spills(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Every two values of flags, types and generations that can meet; all variants: without --pairs, some minutes."""
    monkeypatch.setattr(sys, "argv", ["compile_kernels", "--pairs", "--processes", "1"])
    code, told = compile_kernels.main(), capsys.readouterr().out
    assert code == 0, told
    assert "0 of them fail or spill" in told


def test_every_kernel_is_in_the_list() -> None:
    """Those that only other kernels call begin with an underscore."""
    found = set()
    for folder in ("models", "distill", "compile", "hardware_targets", "seamount"):
        for path in (ROOT / folder).rglob("*.py"):
            if "triton.jit" in path.read_text():
                tree = ast.parse(path.read_text())
                functions = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
                compiled = [f for f in functions if any("triton.jit" in ast.unparse(d) for d in f.decorator_list)]
                found |= {f.name for f in compiled if not f.name.startswith("_")}
    assert found == {kernel.name for kernel in KERNELS}


def test_a_spill_and_a_failure_end_with_1(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["compile_kernels", "--kernels", "lif_forward", "--sm", "90", "--pairs"])
    for bad, words in ((Result(255, 8), " 255      8 "), (Result(failed="no such type"), "failed: no such type")):
        monkeypatch.setattr(compile_kernels, "compile_all", lambda work, _, bad=bad: [bad] * len(work))
        assert compile_kernels.main() == 1
        assert words in capsys.readouterr().out
    monkeypatch.setattr(compile_kernels, "compile_all", lambda work, _: [Result(32)] * len(work))
    assert compile_kernels.main() == 0


def test_what_failed_is_not_remembered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A compiler that was not there, or a machine without memory, is no property of a kernel."""
    monkeypatch.setattr(compile_kernels, "BUILD", tmp_path)
    work, told = [(0, {"arch": 80}), (0, {"arch": 90})], [Result(32), Result(failed="no ptxas"), Result(40)]
    monkeypatch.setattr(compile_kernels, "compiled", lambda number, variant: told.pop(0))
    assert compile_kernels.compile_all(work, 1) == [Result(32), Result(failed="no ptxas")]
    assert compile_kernels.compile_all(work, 1) == [Result(32), Result(40)]
    assert compile_kernels.compile_all(work, 1) == [Result(32), Result(40)]
    assert not told


def test_the_words_of_ptxas_are_understood() -> None:
    log = (
        "ptxas info    : 0 bytes gmem\n    24 bytes stack frame, 12 bytes spill stores, 20 bytes spill loads\n"
        "ptxas info    : Used 255 registers, used 1 barriers\n"
    )
    assert read_log(log) == Result(255, 32)
    assert read_log("").failed == "ptxas said nothing of registers and spills: ''"


@triton.jit
def _late(x, stride, n_steps, WIDE: tl.constexpr, BLOCK: tl.constexpr):
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    if WIDE:
        stride = stride.to(tl.int64)
    for t in range(n_steps):
        tl.store(x + t * stride + at, 0)
        tl.store(x + (at + t * stride), 0)


@compiles
@pytest.mark.parametrize(("wide", "expected"), [(False, 2), (True, 0)])
def test_an_address_by_a_product_of_32_bits_is_found(wide: bool, expected: int) -> None:
    signature = {"x": "*i32", "stride": "i32", "n_steps": "i32", "WIDE": "constexpr", "BLOCK": "constexpr"}
    source = ASTSource(_late, signature, {"WIDE": wide, "BLOCK": 128}, {})
    made = triton.compile(source, GPUTarget("cuda", 90, 32))
    assert len(overflowing(made.asm["ttir"])) == expected


def test_pairs_leave_no_meeting_out() -> None:
    variants = [{"a": a, "b": b, "c": c} for a in range(3) for b in range(3) for c in (True, False)]
    chosen = pairs(variants)
    assert len(chosen) < len(variants)
    for one, other in (("a", "b"), ("a", "c"), ("b", "c")):
        assert {(v[one], v[other]) for v in chosen} == {(v[one], v[other]) for v in variants}
