"""Compile options from plain text: what the command line and ``train.toml`` give."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields
from typing import Any

from seamount.errors import ConfigError, nearest

from .lower.scale_search import SearchOptions
from .net.read import NetOptions
from .nir.presets import Discretisation
from .nir.read import NirOptions
from .pipeline import CompileOptions, SoftReset


def _truth(text: str) -> bool:
    return {"true": True, "false": False}[text.lower()]


def _axes(text: str) -> tuple[int, ...]:
    return tuple(int(n) for n in text.split("x"))


Reader = Callable[[str], Any]

SETTINGS: Mapping[str, Mapping[str, Reader]] = {
    "discretisation": {f.name: float if f.name == "dt" else str for f in fields(Discretisation)},
    "nir": {
        "input_bits": int,
        "input_scale": float,
        "input_signed": _truth,
        "readout": str,
        "readout_quantity": str,
        "n_steps": int,
        "name": str,
        "input_shape": _axes,
    },
    "net": {
        "reset_interval": int,
        "reset_offset": int,
        "n_layers": int,
        "skip_layers": int,
        "skip_unknown": _truth,
        "spike_exp": int,
    },
    "search": {"method": str, "percentile": float, "n_candidates": int},
    "compiler": {"soft_reset": str, "matrix_gib": float},
}
"""What each setting belongs to, and how its text is read; ``NAMED`` ones stand beside them."""

SCALE, BITS, SHAPE = "scale.", "weight_bits.", "input_shape."
NAMED: Mapping[str, Reader] = {SCALE: float, BITS: int, SHAPE: _axes}
"""Settings of one layer or input: the name stands behind the point, as the file writes it."""


def compile_options(
    *,
    written_by: str | None = None,
    settings: Iterable[str] = (),
    n_steps: int | None = None,
    print_after: str | None = None,
    calibration: Any = None,
    soft_reset: str | None = None,
    readout: str | None = None,
) -> CompileOptions:
    """Options from text.

    Args:
        written_by: a preset (``--from``).
        settings: "key=value": a field of Discretisation (``dt=1e-4``, ``reset=subtract``, with - or _), of the input
            (``input_bits=8``), of the scale search (``method=max-fit``), the scale of a population
            (``scale.hidden=312.5``), the bits of weights (``weight_bits=4``, ``weight_bits.hidden=6``), what a chain
            of operators may take written out (``matrix_gib=8``), the shape of an input (``input_shape=2x34x34`` as
            channels, height, width; ``input_shape.sensor=12`` of one of several), or for a ``.net`` file a field of
            NetOptions (``reset_interval=32``).
        n_steps: length of a sample.
        print_after: name of a pass.
        calibration: real inputs (T, B, *shape); makes "calibrated" the scale search unless ``method`` says otherwise.
        soft_reset: "refuse" or "emulate", also as the setting ``soft_reset``.
        readout: a population or an Output, and perhaps ":" and how it is read; wins over the setting ``readout``.
    """
    told: dict[str, dict[str, Any]] = {part: {} for part in (*SETTINGS, *NAMED)}
    for setting in settings:
        part, key, value = _parsed(setting)
        told[part][key] = value
    told["nir"] |= {k: v for k, v in (("n_steps", n_steps), ("readout", readout)) if v is not None}
    if told["nir"].get("n_steps", 1) < 1:
        raise ConfigError(f"{told['nir']['n_steps']}", where="n_steps", possible="at least 1 step is needed")
    if calibration is not None:
        told["search"].setdefault("method", "calibrated")
    return CompileOptions(
        nir=NirOptions(
            preset=written_by or "nir",
            discretisation=Discretisation(**told["discretisation"]),
            input_shapes=told[SHAPE],
            **told["nir"],
        ),
        net=NetOptions(**told["net"]),
        search=SearchOptions(**_checked(told["search"])),
        scales=told[SCALE],
        weight_bits=told[BITS] or None,
        calibration=calibration,
        soft_reset=_soft_reset(told["compiler"].get("soft_reset", soft_reset)),
        matrix_gib=_matrix_gib(told["compiler"].get("matrix_gib", CompileOptions.matrix_gib)),
        print_after=print_after,
    )


def _parsed(setting: str) -> tuple[str, str, Any]:
    """What a "key=value" belongs to, its name there, and its value."""
    key, equals, text = (part.strip() for part in setting.partition("="))
    if not equals:
        raise ConfigError("found no '='", where=f"--set {setting}", possible="needed is key=value")
    for prefix, read in NAMED.items():
        if key.startswith(prefix):
            return prefix, key.removeprefix(prefix), _value(setting, read, text)
    key = key.replace("-", "_")
    if key == "weight_bits":
        return BITS, "default", _value(setting, int, text)
    for part, readers in SETTINGS.items():
        if key in readers:
            return part, key, _value(setting, readers[key], text)
    raise _no_such_setting(key)


def _no_such_setting(key: str) -> ConfigError:
    named = (f"{SCALE}POPULATION", "weight_bits", f"{BITS}LAYER", f"{SHAPE}INPUT")
    possible = sorted({*(key for readers in SETTINGS.values() for key in readers), *named})
    return ConfigError(
        "no such setting",
        where=f"--set {key}",
        possible=f"possible are {', '.join(possible)}",
        ways_out=nearest(key, possible),
    )


def _soft_reset(text: str | None) -> SoftReset:
    match text:
        case None | "refuse":
            return "refuse"
        case "emulate":
            return "emulate"
        case _:
            raise ConfigError("no such choice", where=f"--soft-reset {text}", possible="possible are refuse, emulate")


def _matrix_gib(given: float) -> float:
    if not 0 < given <= 1024:
        raise ConfigError(
            "out of range", where=f"--set matrix_gib={given:g}", possible="possible are above 0 to 1024"
        )
    return given


def _value(setting: str, read: Reader, text: str) -> Any:
    try:
        return read(text)
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
