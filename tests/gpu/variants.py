"""Every kernel that is launched on a GPU, with the flags and types that it is compiled for.

A variant names a value for each flag; flags in capitals are the kernel's own constants, the others choose types and
how well things are aligned.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from seamount.compile.arithmetic import scan_triton
from seamount.models.lif import gpu as lif_gpu
from seamount.models.lif.constants import METHODS

BYTES = {"fp64": 8, "i64": 8, "fp32": 4, "i32": 4, "bf16": 2, "fp16": 2, "u8": 1}
SWITCH = (True, False)
Variant = Mapping[str, Any]


@dataclass(frozen=True)
class Kernel:
    """One kernel.

    Attributes:
        function: what Triton compiles.
        flags: each with its possible values.
        types: of a variant, for each argument that is no constant.
        divisible: arguments besides the pointers that are multiples of 16 where things are aligned.
        moved: bytes read and written per neuron and step of a long run.
        options: of Triton's compiler, as the launch gives them.
        constants: that are the same in every variant.
    """

    function: Any
    flags: Mapping[str, tuple[Any, ...]]
    types: Callable[[Variant], Mapping[str, str]]
    divisible: tuple[str, ...]
    moved: Callable[[Variant], int]
    options: Callable[[Variant], Mapping[str, Any]]
    constants: Mapping[str, Any] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return str(self.function.fn.__name__)

    def variants(self) -> Iterator[dict[str, Any]]:
        for values in itertools.product(*self.flags.values()):
            yield dict(zip(self.flags, values, strict=True))


def pairs(variants: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """So few of the variants that every two values that meet in one of them still meet in one."""

    def meetings(variant: Variant) -> set[Any]:
        return set(itertools.combinations(sorted((k, str(v)) for k, v in variant.items()), 2))

    met = [meetings(v) for v in variants]
    missing = set().union(*met)
    chosen = []
    while missing:
        best = max(range(len(variants)), key=lambda k: len(missing & met[k]))
        chosen.append(variants[best])
        missing -= met[best]
    return chosen


_STATES = dict.fromkeys(("u_state", "v_state", "rest_state", "counts", "v_out", "u_out", "before_out"), "*i32")
_OUTPUTS = {"reset": "*u8", "spikes": "*u8", "totals": "*i64"}
_SIZES = dict.fromkeys(("n_steps", "stride", "n_lanes", "n", "refractory"), "i32")
_TRACES = ("WANT_V", "WANT_U", "WANT_BEFORE")
_WANTED: dict[str, tuple[Any, ...]] = dict.fromkeys((*_TRACES, "COUNT", "aligned"), SWITCH)
_LEARNING = {"WANT_V": False, "WANT_U": False, "WANT_BEFORE": True, "COUNT": False, "REAL": True}
"""What a student's forward pass asks for."""
_PARAMETERS = ("keep_u", "keep_v", "high", "low", "bias", "floor")


def _scan_types(drive: str, parameter: str) -> dict[str, str]:
    own = dict.fromkeys(("own_u", "own_v", "own_high", "own_bias"), "i32")
    parameters = dict.fromkeys(_PARAMETERS, f"*{parameter}")
    return {"drive": f"*{drive}", **_STATES, **_OUTPUTS, **_SIZES, "unit": "fp32", **own, **parameters}


def _real_types(drive: str, parameter: str, real: str) -> dict[str, str]:
    return {**_scan_types(drive, parameter), "spikes": f"*{real}", "before_out": f"*{real}"}


def _scan_moved(drive: str, variant: Variant) -> int:
    return BYTES[drive] + 1 + 4 * sum(variant[trace] for trace in _TRACES)


_LIF_NUMBERS = dict.fromkeys(("a_mem", "a_syn", "v_leak", "v_th", "v_reset", "gain", "alpha"), "fp32")
_LIF_SIZES = dict.fromkeys(("n", "n_steps", "stride"), "i32")
_FLOATS = ("fp32", "bf16", "fp16")


def _lif_types(variant: Variant) -> dict[str, str]:
    rows = ("x_ptr", "spikes_ptr", "kept_ptr", "gradient_ptr", "out_ptr")
    return {**dict.fromkeys(rows, f"*{variant['type']}"), **_LIF_NUMBERS, **_LIF_SIZES}


KERNELS = (
    Kernel(
        scan_triton.scan_32,
        {
            "type": ("fp32", "i32"),
            "LANES": (scan_triton.LANES, scan_triton.MANY_LANES),
            **_WANTED,
        },
        lambda v: _scan_types(v["type"], "i32"),
        ("stride", "n_lanes", "n"),
        lambda v: _scan_moved(v["type"], v),
        lambda _: {"num_warps": scan_triton.WARPS},
        {"REAL": False},
    ),
    Kernel(
        scan_triton.scan_32,
        {
            "type": ("fp32", "i32"),
            "LANES": (scan_triton.LANES, scan_triton.MANY_LANES),
            "real": ("fp32", "bf16"),
            "aligned": SWITCH,
        },
        lambda v: _real_types(v["type"], "i32", v["real"]),
        ("stride", "n_lanes", "n"),
        lambda v: BYTES[v["type"]] + 2 * BYTES[v["real"]],
        lambda _: {"num_warps": scan_triton.WARPS},
        _LEARNING,
    ),
    Kernel(
        scan_triton.scan_64,
        {"LANES": (scan_triton.LANES,), **_WANTED},
        lambda v: _scan_types("i64", "i64"),
        ("stride", "n_lanes", "n"),
        lambda v: _scan_moved("i64", v),
        lambda _: {"num_warps": scan_triton.WARPS},
        {"REAL": False},
    ),
    Kernel(
        scan_triton.scan_64,
        {"LANES": (scan_triton.LANES,), "real": ("fp32", "bf16"), "aligned": SWITCH},
        lambda v: _real_types("i64", "i64", v["real"]),
        ("stride", "n_lanes", "n"),
        lambda v: BYTES["i64"] + 2 * BYTES[v["real"]],
        lambda _: {"num_warps": scan_triton.WARPS},
        _LEARNING,
    ),
    Kernel(
        lif_gpu.lif_forward,
        {"type": _FLOATS, "BOX": SWITCH, "aligned": SWITCH},
        _lif_types,
        ("n", "stride"),
        lambda v: 3 * BYTES[v["type"]],
        lambda _: {"enable_fp_fusion": False},
        {"BLOCK": lif_gpu.BLOCK},
    ),
    Kernel(
        lif_gpu.lif_backward,
        {
            "type": _FLOATS,
            "BOX": SWITCH,
            "REPEATED": SWITCH,
            "DETACH": SWITCH,
            "CODE": tuple(range(len(METHODS))),
            "aligned": SWITCH,
        },
        _lif_types,
        ("n",),
        lambda v: (2 if v["REPEATED"] else 3) * BYTES[v["type"]],
        lambda v: {"num_warps": lif_gpu.MANY_WARPS if v["REPEATED"] else lif_gpu.WARPS},
        {"BLOCK": lif_gpu.BLOCK},
    ),
)
