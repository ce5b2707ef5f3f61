"""Compile options from plain text: what the command line and ``train.toml`` give."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

from seamount.errors import ConfigError

from .lower.scale_search import SearchOptions
from .net.read import NetOptions
from .nir.presets import Discretisation
from .nir.read import NirOptions
from .pipeline import CompileOptions, SoftReset


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


NIR_KEYS = {
    "input_bits": int,
    "input_scale": float,
    "input_signed": _truth,
    "readout": str,
    "readout_quantity": str,
    "n_steps": int,
    "name": str,
}
NET_KEYS = {
    "reset_interval": int,
    "reset_offset": int,
    "n_layers": int,
    "skip_layers": int,
    "input_shape": lambda text: tuple(int(n) for n in text.split("x")),
    "skip_unknown": _truth,
}
NAMED = ("scale.", "weight_bits.")
OTHER_KEYS = ("scale.POPULATION", "soft_reset", "weight_bits", "weight_bits.LAYER")
SEARCH_KEYS = {"method": str, "percentile": float, "n_candidates": int}


def compile_options(
    *,
    written_by: str | None = None,
    settings: Iterable[str] = (),
    n_steps: int | None = None,
    print_after: str | None = None,
    calibration: Any = None,
    soft_reset: str | None = None,
) -> CompileOptions:
    """Options from text.

    Args:
        written_by: a preset (``--from``).
        settings: "key=value": a field of Discretisation (``dt=1e-4``, ``reset=subtract``, with - or _), of the input
            (``input_bits=8``), of the scale search (``method=max-fit``), the scale of a population
            (``scale.hidden=312.5``), the bits of weights (``weight_bits=4``, ``weight_bits.hidden=6``), or for a
            ``.net`` file a field of NetOptions (``reset_interval=32``, ``input_shape=2x34x34`` as channels, height,
            width).
        n_steps: length of a sample.
        print_after: name of a pass.
        calibration: real inputs (T, B, *shape); makes "calibrated" the scale search unless ``method`` says otherwise.
        soft_reset: "refuse" or "emulate", also as the setting ``soft_reset``.
    """
    told: dict[str, Any] = {}
    nir: dict[str, Any] = {}
    net: dict[str, Any] = {}
    search: dict[str, Any] = {} if calibration is None else {"method": "calibrated"}
    scales: dict[str, float] = {}
    bits: dict[str, int] = {}
    known = {f.name for f in fields(Discretisation)}
    for setting in settings:
        key, equals, text = setting.partition("=")
        key = key.strip() if key.startswith(NAMED) else key.strip().replace("-", "_")
        if not equals:
            raise ConfigError("found no '='", where=f"--set {setting}", possible="needed is key=value")
        if key.startswith("scale."):
            scales[key.removeprefix("scale.")] = _number(setting, float, text)
        elif key == "weight_bits" or key.startswith("weight_bits."):
            bits[key.removeprefix("weight_bits").removeprefix(".") or "default"] = _number(setting, int, text)
        elif key == "soft_reset":
            soft_reset = text.strip()
        elif key in known:
            told[key] = _number(setting, float, text) if key == "dt" else text.strip()
        elif key in NIR_KEYS:
            nir[key] = _number(setting, NIR_KEYS[key], text.strip())
        elif key in NET_KEYS:
            net[key] = _number(setting, NET_KEYS[key], text.strip())
        elif key in SEARCH_KEYS:
            search[key] = _number(setting, SEARCH_KEYS[key], text.strip())
        else:
            possible = sorted({*known, *NIR_KEYS, *NET_KEYS, *SEARCH_KEYS, *OTHER_KEYS})
            near = difflib.get_close_matches(key, possible, 1)
            raise ConfigError(
                "no such setting",
                where=f"--set {key}",
                possible=f"possible are {', '.join(possible)}",
                ways_out=[f"did you mean {name}?" for name in near],
            )
    if n_steps is not None:
        nir["n_steps"] = n_steps
    if nir.get("n_steps", 1) < 1:
        raise ConfigError(f"{nir['n_steps']}", where="n_steps", possible="at least 1 step is needed")
    options = NirOptions(preset=written_by or "nir", discretisation=Discretisation(**told), **nir)
    return replace(
        CompileOptions(nir=options, scales=scales, calibration=calibration, print_after=print_after),
        net=NetOptions(**net),
        weight_bits=bits or None,
        search=SearchOptions(**_checked(search)),
        soft_reset=_soft_reset(soft_reset),
    )


def _soft_reset(text: str | None) -> SoftReset:
    match text:
        case None | "refuse":
            return "refuse"
        case "emulate":
            return "emulate"
        case _:
            raise ConfigError("no such choice", where=f"--soft-reset {text}", possible="possible are refuse, emulate")


def _number(setting: str, kind: Any, text: str) -> Any:
    try:
        return kind(text)
    except (ValueError, KeyError):
        raise ConfigError(f"{text!r} is not a value of this setting", where=f"--set {setting}") from None


def _checked(search: Mapping[str, Any]) -> dict[str, Any]:
    percentile = search.get("percentile", 99.9)
    if not 50 <= percentile <= 100:
        raise ConfigError("out of range", where=f"--set percentile={percentile}", possible="possible are 50 to 100")
    n_candidates = search.get("n_candidates", 24)
    if not 1 <= n_candidates <= 1000:
        raise ConfigError(
            "out of range", where=f"--set n_candidates={n_candidates}", possible="possible are 1 to 1000"
        )
    return dict(search)
