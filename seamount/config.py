"""The configuration of a run: TOML in, one frozen validated object out, and a commented file back.

Order of precedence: defaults < file < ``--set a.b=c``. A key that does not exist is refused with the nearest one.
"""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_args

from pydantic import BaseModel, Field, ValidationError, model_validator

from seamount.distill.config import (
    LEAST,
    NO_SWITCH,
    Count,
    DataConfig,
    DistillConfig,
    Natural,
    Positive,
    QuantConfig,
    Section,
    Seed,
    StudentConfig,
    TeacherConfig,
    Threads,
    TrainConfig,
)
from seamount.errors import ConfigError, InputError, Reason, nearest
from seamount.foreign.limits import TEXT_BYTES
from seamount.foreign.toml import parse_toml
from seamount.foreign.whole import file_bytes
from seamount.presets import preset_document

if TYPE_CHECKING:
    from tomlkit.items import Table

# what ``compile/fit/place`` can minimise, said again because loading that takes longer than answering ``--help``
Placement = Literal["cores", "load", "crossings"]


class RunConfig(Section):
    seed: Seed = Field(0, description="every random choice of the run follows from it")
    device: Annotated[str, Field(pattern=r"^(cpu|cuda(:\d{1,3})?)$")] = Field("cpu", description='"cpu" or "cuda"')
    n_threads: Threads | None = Field(
        None,
        description="CPU threads in training; not set: OMP_NUM_THREADS, or 1 for small students, or torch's choice",
    )


class CompileConfig(Section):
    heading = "How the student becomes a program."

    readout: str | None = Field(
        None,
        description="how the answer is read, as of `seamount compile --readout`: readout:max, readout:sum, "
        "readout:last; not set: as the student's readout means it",
    )


class TargetConfig(Section):
    name: str = Field("loihi1", description="a target that `seamount targets` lists, or a path to a target file")
    step_period_s: Positive = Field(
        1e-5, description="wall time of one timestep on the chip [s]; the static energy grows with it"
    )
    placement: Placement = Field(
        "cores", description=f"what the placement minimises: one of {', '.join(get_args(Placement))}"
    )


class LavaConfig(Section):
    n_samples: Natural = Field(20, description="test samples run on Lava itself; 0 leaves it out")
    time_limit_s: Annotated[float, Field(ge=LEAST, le=1e9), NO_SWITCH] = Field(
        600.0, description="the Lava process is ended after it [s]"
    )
    required: bool = Field(False, description="refuse to begin where Lava is not installed, as --require-lava does")


class ReportConfig(Section):
    n_compared: Count = Field(64, description="test samples whose spikes and membranes are compared, layer by layer")


class Config(Section):
    """A run, from data to report."""

    run: RunConfig = RunConfig()
    data: DataConfig = DataConfig()
    teacher: TeacherConfig = TeacherConfig()
    student: StudentConfig = StudentConfig()
    distill: DistillConfig = DistillConfig()
    train: TrainConfig = TrainConfig()
    quant: QuantConfig = QuantConfig()
    compile: CompileConfig = CompileConfig()
    target: TargetConfig = TargetConfig()
    lava: LavaConfig = LavaConfig()
    report: ReportConfig = ReportConfig()

    @model_validator(mode="after")
    def _together(self) -> Config:
        try:
            self.teacher.training(self.train)
        except ValidationError as error:
            found = [(".".join(map(str, e["loc"])), e["msg"].removeprefix("Value error, ")) for e in error.errors()]
            reasons = "; ".join(f"{key}: {text}" if key else text for key, text in found)
            raise ValueError(f"[teacher.train] and what it leaves to [train] do not go together: {reasons}") from None
        return self


def load_config(path: Path | None = None, overrides: Sequence[str] = (), *, preset: str | None = None) -> Config:
    """Read, override and check a configuration.

    Args:
        path: TOML file; None for the defaults, or for a preset.
        overrides: ``a.b=value`` each; the value is read as TOML, or as a string where it is none.
        preset: one of ``presets.PRESETS`` to start from.

    Raises:
        InputError: the file cannot be read.
        ConfigError: a key or a value is not possible; the message names file:key.
    """
    source = "defaults" if path is None else str(path)
    document: dict[str, Any] = {} if preset is None else preset_document(preset)
    if path is not None:
        if not path.exists():
            raise InputError(
                "no such file", where=path, ways_out=f"`seamount init {shlex.quote(str(path))}` writes one"
            )
        document = parse_toml(file_bytes(path, TEXT_BYTES, filled=False), path)
    for override in overrides:
        _apply(document, override)
    return parse(document, source)


def parse(document: Mapping[str, Any], source: str) -> Config:
    """A checked configuration from a plain document; ``source`` is named in errors."""
    for key, text in _texts(document, ""):
        if "\0" in text:
            raise ConfigError("a character of zeros, which no name and no path holds", where=f"{source}:{key}")
        if not text.isascii() and any("\ud800" <= character <= "\udfff" for character in text):
            ways = "rename the file or folder, because a configuration is UTF-8"
            raise ConfigError("a name with bytes that are no UTF-8", where=f"{source}:{key}", ways_out=ways)
    try:
        return Config.model_validate(document)
    except ValidationError as error:
        raise ConfigError.together(_explain(source, dict(e)) for e in error.errors()) from None


def _texts(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """(setting, text) of all texts in a document."""
    match value:
        case str():
            yield key, value
        case list():
            for item in value:
                yield from _texts(item, key)
        case dict():
            for name, item in value.items():
                yield from _texts(item, f"{key}.{name}".lstrip("."))


def _apply(document: dict[str, Any], override: str) -> None:
    key, sign, text = override.partition("=")
    if not sign or not key.strip():
        raise ConfigError("needs the form section.key=value", where=f"--set {override}")
    try:
        value = parse_toml(f"value = {text}", "")["value"]
    except InputError:  # a text, as most are given: without quotes
        value = text
    *sections, last = key.strip().split(".")
    for section in sections:
        document = document.setdefault(section, {})
        if not isinstance(document, dict):
            raise ConfigError(f"{section} is a value, not a section", where=f"--set {override}")
    document[last] = value


def _explain(source: str, error: Mapping[str, Any]) -> Reason:
    path = [str(part) for part in error["loc"]]
    key = ".".join(path)
    if error["type"] == "extra_forbidden":
        known = list(_fields_at(path[:-1]))
        ways = nearest(path[-1], known)
        section = f"[{'.'.join(path[:-1])}]" if path[:-1] else "the configuration"
        return Reason(
            f"{path[-1]} is not a setting of {section}",
            where=f"{source}:{key}",
            possible="" if ways else f"possible are {', '.join(known)}",
            ways_out=ways,
        )
    if not key:  # of all sections together, which are too much to be said again
        return Reason(error["msg"].removeprefix("Value error, "), where=source)
    found = error["msg"].removeprefix("Value error, ")
    return Reason(f"{found}, found {error.get('input')!r}", where=f"{source}:{key}")


def _fields_at(path: Sequence[str]) -> Iterator[str]:
    model: Any = Config
    for part in path:
        fields = getattr(model, "model_fields", {})
        if part in fields:
            model = fields[part].annotation
    yield from getattr(model, "model_fields", {})


def to_toml(config: Config, *, comments: bool = True) -> str:
    """The whole configuration as TOML, each key with what it means; ``load_config`` reads it back unchanged."""
    import tomlkit

    document = tomlkit.document()
    for name in Config.model_fields:
        if document:
            document.add(tomlkit.nl())
        section: Section = getattr(config, name)
        if comments and section.heading:
            document.add(tomlkit.comment(section.heading))
        table = _table(section, comments)
        document.add(name, table)
        table.trivia.indent = ""  # tomlkit parts a table from the comment that is its heading
    return tomlkit.dumps(document)


def _table(section: BaseModel, comments: bool) -> Table:
    """A section; keys that are not set are comments, and its own tables stand behind the rest, as TOML needs it."""
    import tomlkit

    table, inner = tomlkit.table(), {}
    for key, value in section.model_dump().items():
        if isinstance(value, Mapping):
            inner[key] = value
            continue
        description = type(section).model_fields[key].description if comments else None
        line = f"# {key} = (not set)" if value is None else f"{key} = {tomlkit.item(value).as_string()}"
        described = f"{line:<30}  # {description}" if description else line
        if value is None:
            table.add(tomlkit.comment(described.removeprefix("# ")))
        else:
            item = tomlkit.item(value)
            item.trivia.trail = f"{described.removeprefix(line)}\n"
            table.add(key, item)
    for key, value in inner.items():
        table.add(tomlkit.nl())
        table.add(key, value)
    return table
