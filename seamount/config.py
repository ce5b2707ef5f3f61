"""The configuration of a run: TOML in, one frozen validated object out, and a commented file back.

Order of precedence: defaults < file < ``--set a.b=c``. A key that does not exist is refused with the nearest one.
"""

from __future__ import annotations

import difflib
import json
import math
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, cast

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from seamount.distill.config import (
    DataConfig,
    DistillConfig,
    QuantConfig,
    StudentConfig,
    TeacherConfig,
    TrainConfig,
)
from seamount.errors import ConfigError, InputError


class Section(BaseModel):
    """A part of the configuration: frozen, and no key but the known ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RunConfig(Section):
    seed: Annotated[int, Field(ge=0)] = Field(0, description="every random choice of the run follows from it")
    device: str = Field("cpu", description='"cpu" or "cuda"')
    n_threads: Annotated[int, Field(ge=1)] | None = Field(
        None, description="CPU threads in training; not set: 1 for samples below 256 values, else torch's choice"
    )


class TargetConfig(Section):
    name: str = Field("loihi1", description="a target that `seamount targets` lists, or a path to a target file")
    step_period_s: Annotated[float, Field(gt=0)] = Field(
        1e-5, description="wall time of one timestep on the chip [s]; the static energy grows with it"
    )
    placement: Literal["cores", "load", "crossings"] = Field(
        "cores", description='what the placement minimises: "cores", "load" or "crossings"'
    )


class LavaConfig(Section):
    n_samples: Annotated[int, Field(ge=0)] = Field(20, description="test samples run on Lava itself; 0 leaves it out")
    time_limit_s: Annotated[float, Field(gt=0)] = Field(600.0, description="the Lava process is ended after it [s]")


class ReportConfig(Section):
    n_compared: Annotated[int, Field(ge=1)] = Field(
        64, description="test samples whose spikes and membranes are compared, layer by layer"
    )


class Config(Section):
    """A run, from data to report."""

    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    teacher: TeacherConfig = TeacherConfig()
    student: StudentConfig = StudentConfig()
    distill: DistillConfig = DistillConfig()
    train: TrainConfig = TrainConfig()
    quant: QuantConfig = QuantConfig()
    target: TargetConfig = TargetConfig()
    lava: LavaConfig = LavaConfig()
    report: ReportConfig = ReportConfig()


def load_config(path: Path | None = None, overrides: Sequence[str] = ()) -> Config:
    """Read, override and check a configuration.

    Args:
        path: TOML file; None for the defaults.
        overrides: ``a.b=value`` each; the value is read as TOML, or as a string where it is none.

    Raises:
        InputError: the file cannot be read.
        ConfigError: a key or a value is not possible; the message names file:key.
    """
    source = "defaults" if path is None else str(path)
    document: dict[str, Any] = {}
    if path is not None:
        try:
            document = tomllib.loads(path.read_text())
        except FileNotFoundError:
            raise InputError(f"{path}: no such file; `seamount init {path}` writes one") from None
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: not TOML: {error}") from None
    for override in overrides:
        _apply(document, override)
    return parse(document, source)


def parse(document: Mapping[str, Any], source: str) -> Config:
    """A checked configuration from a plain document; ``source`` is named in errors."""
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError("\n".join(_explain(source, dict(e)) for e in error.errors())) from None


def _apply(document: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError(f"--set {override}: needs the form section.key=value")
    try:
        value = tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        value = text
    *sections, last = key.strip().split(".")
    for section in sections:
        document = document.setdefault(section, {})
        if not isinstance(document, dict):
            raise ConfigError(f"--set {override}: {section} is a value, not a section")
    document[last] = value


def _explain(source: str, error: Mapping[str, Any]) -> str:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = list(_fields_at(path[:-1]))
        nearest = difflib.get_close_matches(path[-1], known, n=1)
        where = f"[{'.'.join(path[:-1])}]" if path[:-1] else "the configuration"
        hint = f"did you mean {nearest[0]}?" if nearest else f"possible are {', '.join(known)}"
        return f"{source}:{key}: {path[-1]} is not a setting of {where}; {hint}"
    found = error.get("input")
    return f"{source}:{key}: {error['msg']}, found {found!r}"


def _fields_at(path: Sequence[str]) -> Iterator[str]:
    model: Any = Config
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = fields[part].annotation
    yield from getattr(model, "model_fields", {})


def to_toml(config: Config, *, comments: bool = True) -> str:
    """The whole configuration as TOML, each key with what it means; ``load_config`` reads it back unchanged."""
    blocks = []
    for name, field in Config.model_fields.items():
        section = cast(BaseModel, getattr(config, name))
        heading = (field.annotation.__doc__ or "").strip().splitlines() if field.annotation is not None else []
        lines = [f"# {heading[0]}"] if comments and heading and not heading[0].startswith("A part") else []
        lines.append(f"[{name}]")
        tables = []
        for key, inner in type(section).model_fields.items():
            value = getattr(section, key)
            if isinstance(value, BaseModel):
                value = value.model_dump()
            if isinstance(value, Mapping):
                tables += ["", f"[{name}.{key}]", *(f"{_key(k)} = {_value(v)}" for k, v in value.items())]
                continue
            lines.append(_line(key, value, inner, comments))
        blocks.append("\n".join([*lines, *tables]))
    return "\n\n".join(blocks) + "\n"


def _line(key: str, value: Any, field: FieldInfo, comments: bool) -> str:
    text = f"# {key} = (not set)" if value is None else f"{_key(key)} = {_value(value)}"
    return f"{text:<30}  # {field.description}" if comments and field.description else text


def _key(key: str) -> str:
    return key if key.replace("_", "").replace("-", "").isalnum() else json.dumps(key)


def _value(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case float() if not math.isfinite(value):
            return "inf" if value > 0 else "-inf"
        case int() | float():
            return repr(value)
        case list() | tuple():
            return "[" + ", ".join(_value(item) for item in value) + "]"
        case Mapping():
            return "{" + ", ".join(f"{_key(k)} = {_value(v)}" for k, v in value.items()) + "}"
        case _:
            return json.dumps(str(value))
