"""Chips as data: formats, limits, energies and timings, every figure with its source, grade, status and conditions.

A target is one TOML file. A figure without any of these facts does not load, nor does a target whose figures
contradict each other: nobody should have to trust a number that cannot say where it comes from. How to add a target:
docs/targets.md.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Generic, Literal, Self, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from seamount.compile.fit.chip import Chip, ConvStorage
from seamount.compile.formats import FEWEST_BITS, NumberFormats, uncomputed
from seamount.errors import ConfigError, Reason
from seamount.files import special
from seamount.foreign.limits import TEXT_BYTES
from seamount.foreign.toml import parse_toml
from seamount.foreign.whole import file_bytes
from seamount.notebook import card, frame, line

if TYPE_CHECKING:
    from pandas import DataFrame

T = TypeVar("T")
R = TypeVar("R", bound=BaseModel)

FOLDER = Path(__file__).parent
USER_FOLDER_VARIABLE = "SEAMOUNT_TARGETS"

Grade = Literal["A", "B", "C", "?"]
GRADES: dict[Grade, str] = {
    "A": "vendor publication or vendor's code",
    "B": "peer-reviewed paper, or a published mapper that ran on the chip",
    "C": "secondary source",
    "?": "not published",
}
Status = Literal["documented", "measured", "fitted", "simulated", "derived", "assumed"]
FACTS = ("value", "unit", "source", "url", "grade", "status", "conditions")

Text = Annotated[str, Field(min_length=1)]
Positive = Annotated[int, Field(gt=0)]
Natural = Annotated[int, Field(ge=0)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]


class Record(BaseModel):
    """Frozen, and refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Figure(Record, Generic[T]):
    """One published (or openly assumed) value and how it is known.

    Attributes:
        grade: who says so, see ``GRADES``.
        status: how it was obtained: documented | measured | fitted | simulated | derived | assumed.
        conditions: what it holds for, and what speaks against it.
    """

    value: T
    unit: Text
    source: Text
    url: Text
    grade: Grade
    status: Status
    conditions: Text


class Formats(Record):
    """Numeric formats and the rules of their overflow: the fields of ``NumberFormats``, each with its source."""

    u_bits: Figure[Positive]
    u_overflow: Figure[Text]
    v_bits: Figure[Positive]
    v_overflow: Figure[Text]
    drive_bits: Figure[Positive]
    decay_bits: Figure[Positive]
    decay_rounding: Figure[Text]
    u_decay_offset: Figure[Natural]
    v_decay_offset: Figure[Natural]
    weight_widths: Figure[tuple[Positive, ...]]
    mixed_sign_step: Figure[Positive]
    weight_exponent: Figure[tuple[int, int]]
    v_th_mant_bits: Figure[Positive]
    v_th_shift: Figure[Natural]
    bias_mant_max: Figure[Natural]
    bias_exp_max: Figure[Natural]
    delay_max: Figure[Natural]
    refractory_max: Figure[Natural]
    payload_bits: Figure[Natural]
    ternary_spikes: Figure[bool]
    reset: Figure[Text]
    soft_reset: Figure[Text]
    reset_interval_power_of_two: Figure[bool]


class Limits(Record):
    """What a core, a chip and the largest system hold."""

    compartments_per_core: Figure[Positive]
    input_axons_per_core: Figure[Positive]
    output_axons_per_core: Figure[Positive]
    synapse_words_per_core: Figure[Positive]
    synapse_formats_per_core: Figure[Positive]
    compartment_configs_per_core: Figure[Positive]
    threshold_configs_per_core: Figure[Positive]
    words_per_list: Figure[Positive]
    entry_synapses: Figure[Positive]
    entry_header_bits: Figure[Natural]
    word_bits: Figure[Positive]
    index_widths: Figure[tuple[Natural, ...]]
    population_atoms: Figure[Natural]
    population_slots: Figure[Positive]
    conv_storage: Figure[ConvStorage]
    cores_per_chip: Figure[Positive]
    cores_per_tile: Figure[Positive]
    mesh: Figure[tuple[Positive, Positive]]
    neurons_per_chip: Figure[Positive]
    max_chips: Figure[Positive]


class EnergySet(Record):
    """Energies per event from one source; [J] once loaded, whatever unit the file is written in."""

    description: Text
    sop_dense: Figure[Cost]
    sop_sparse: Figure[Cost]
    sop_conv: Figure[Cost]
    update_active: Figure[Cost]
    update_idle: Figure[Cost]
    spike: Figure[Cost]
    message: Figure[Cost]
    hop_ew: Figure[Cost]
    hop_ns: Figure[Cost]

    def figures(self) -> Iterator[tuple[str, Figure[float]]]:
        return ((name, value) for name, value in self if isinstance(value, Figure))


class Static(Record):
    """Power that flows whether or not anything spikes [W], and the energy of clearing a chip's state [J]."""

    chip: Figure[Cost]
    embedded_processors: Figure[Cost]
    state_reset: Figure[Cost]


class Timing(Record):
    """Seconds per event on one core, and the barrier that ends a step."""

    sop: Figure[Cost]
    update_active: Figure[Cost]
    update_idle: Figure[Cost]
    spike: Figure[Cost]
    link_message: Figure[Cost]
    chip_link_message: Figure[Cost]
    barrier_one_tile: Figure[Cost]
    barrier_full_chip: Figure[Cost]
    barrier_multi_chip: Figure[Cost]


class Energy(Record):
    """Constants to price events with. ``placeholder`` says that they are another chip's, and why."""

    placeholder: str = ""
    sets: dict[str, EnergySet]
    static: Static


class Target(Record):
    """A chip as the compiler and the report see it.

    Attributes:
        assumed_layout: names the layout that per-core limits assume where none is published; empty otherwise.
        energy, timing: None where nothing is published and nothing stands in.
        digest: SHA-256 of the file.
    """

    name: Text
    title: Text
    version: Positive
    assumed_layout: str = ""
    formats: Formats
    limits: Limits
    energy: Energy | None = None
    timing: Timing | None = None
    not_modelled: tuple[Text, ...] = ()
    digest: str = ""

    @model_validator(mode="after")
    def _figures_agree(self) -> Self:
        found = list(contradictions(self))
        if found:
            raise ValueError("; ".join(found))
        return self

    @property
    def chip(self) -> Chip:
        """The numbers alone, as the compiler takes them."""
        n = self.limits
        return Chip(
            name=self.name,
            assumed_layout=self.assumed_layout,
            formats=NumberFormats(**{key: figure.value for key, figure in self.formats}),
            compartments=n.compartments_per_core.value,
            input_axons=n.input_axons_per_core.value,
            output_axons=n.output_axons_per_core.value,
            synapse_words=n.synapse_words_per_core.value,
            synapse_formats=n.synapse_formats_per_core.value,
            compartment_configs=n.compartment_configs_per_core.value,
            threshold_configs=n.threshold_configs_per_core.value,
            words_per_list=n.words_per_list.value,
            entry_synapses=n.entry_synapses.value,
            entry_header_bits=n.entry_header_bits.value,
            word_bits=n.word_bits.value,
            index_widths=n.index_widths.value,
            population_atoms=n.population_atoms.value,
            population_slots=n.population_slots.value,
            conv_storage=n.conv_storage.value,
            cores_per_chip=n.cores_per_chip.value,
            cores_per_tile=n.cores_per_tile.value,
            mesh=n.mesh.value,
            max_chips=n.max_chips.value,
        )

    def figures(self) -> Iterator[tuple[str, Figure[Any]]]:
        """Every figure with its dotted key, in file order."""
        yield from _figures("", self)

    def rows(self) -> list[tuple[str, str, str, str, str, str]]:
        """Key, value, unit, grade and status, source, conditions of every figure: for tables."""
        return [
            (
                key,
                _plain(f.value),
                "" if isinstance(f.value, bool) else f.unit,
                f"{f.grade} {f.status}",
                f"{f.source} <{f.url}>",
                f.conditions,
            )
            for key, f in self.figures()
        ]

    def __repr__(self) -> str:
        return line("Target", self.name, (self.title, f"{len(self.rows())} figures"))

    def _repr_html_(self) -> str:
        layout = f"assumed core layout: {self.assumed_layout}; " if self.assumed_layout else ""
        rows = [(key, f"{value} {unit}", grade) for key, value, unit, grade, _, _ in self.rows()]
        head = ("figure", "value", "grade and status")
        return card(f"{self.name}: {self.title}", f"{layout}sources and conditions: table()", [head, *rows])

    def table(self) -> DataFrame:
        """A row a figure, with its source."""
        columns = ("figure", "value", "unit", "grade", "source", "conditions")
        return frame(dict(zip(columns, row, strict=True)) for row in self.rows())

    def to_dict(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def contradictions(target: Target) -> Iterator[str]:
    """What cannot all be true of one chip, in words."""
    yield from _of_formats(target.formats)
    yield from _of_limits(target.limits)
    for name, energies in ({} if target.energy is None else target.energy.sets).items():
        if energies.update_active.value < energies.update_idle.value:
            yield f"energy.sets.{name}: update_active is cheaper than update_idle"
    timing = target.timing
    if timing is not None and timing.barrier_one_tile.value > timing.barrier_full_chip.value:
        yield "timing.barrier_one_tile is longer than barrier_full_chip"


def _of_formats(f: Formats) -> Iterator[str]:
    widths = list(f.weight_widths.value)
    if not any(width >= FEWEST_BITS for width in widths):
        yield f"formats.weight_widths {widths} has none of {FEWEST_BITS} bits or more"
    if widths != sorted(set(widths)):
        yield f"formats.weight_widths {widths} must rise and name a width once"
    low, high = f.weight_exponent.value
    if low > high:
        yield f"formats.weight_exponent starts at {low} and ends at {high}"
    if f.v_th_mant_bits.value + f.v_th_shift.value > f.v_bits.value:
        yield (
            f"formats.v_th_mant_bits {f.v_th_mant_bits.value} shifted by v_th_shift {f.v_th_shift.value} "
            f"exceeds v_bits {f.v_bits.value}"
        )


def _of_limits(n: Limits) -> Iterator[str]:
    neurons = n.compartments_per_core.value * n.cores_per_chip.value
    if n.neurons_per_chip.value > neurons:
        yield (
            f"limits.neurons_per_chip {n.neurons_per_chip.value} is more than compartments_per_core x cores_per_chip "
            f"= {neurons}"
        )
    columns, rows = n.mesh.value
    if columns * rows * n.cores_per_tile.value < n.cores_per_chip.value:
        yield (
            f"limits.mesh {columns} x {rows} with {n.cores_per_tile.value} cores a router has no room for "
            f"cores_per_chip {n.cores_per_chip.value}"
        )
    if n.words_per_list.value > n.synapse_words_per_core.value:
        yield (
            f"limits.words_per_list {n.words_per_list.value} is more than synapse_words_per_core "
            f"{n.synapse_words_per_core.value}"
        )


# ------------------------------------------------------------------------------------------------- loading

UNITS = {
    "pJ": (1e-12, "J"),
    "nJ": (1e-9, "J"),
    "uJ": (1e-6, "J"),
    "mW": (1e-3, "W"),
    "ns": (1e-9, "s"),
    "us": (1e-6, "s"),
}


def folders() -> list[Path]:
    """Where targets are looked for, user's first: $SEAMOUNT_TARGETS, ~/.config/seamount/targets, this package."""
    named = os.environ.get(USER_FOLDER_VARIABLE, "")
    config = Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config")
    return [*(Path(f) for f in named.split(os.pathsep) if f), config / "seamount" / "targets", FOLDER]


def list_targets() -> list[str]:
    """Names that ``load_target`` knows, the user's own included."""
    return sorted({path.stem for folder in folders() for path in folder.glob("*.toml")})


def load_target(name_or_path: str | Path) -> Target:
    """A target by name (``list_targets``) or by the path of its TOML file.

    Raises:
        ConfigError: unknown name, a file with a missing, negative or contradictory figure, or one with a rule that
            the arithmetic does not compute; names file and key.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        found = [folder / f"{name_or_path}.toml" for folder in folders()]
        path = next((p for p in found if p.is_file()), path)
    if not path.is_file():
        raise ConfigError(
            f"not a file but {special(path)}" if path.exists() else "no such target",
            where=name_or_path,
            ways_out=f"there are {', '.join(list_targets())}, or pass the path of a target's .toml file "
            "(docs/targets.md says how to write one)",
        )
    target = load_figures(path, Target)
    if refused := list(uncomputed(target.chip.formats)):
        raise ConfigError.together(replace(reason, where=f"{path.name}: {reason.where}") for reason in refused)
    return target


def load_figures(path: Path, kind: type[R]) -> R:
    """A file of figures as the record it must be; ``digest`` is the SHA-256 of its bytes.

    Raises:
        ConfigError: names file and key of what is missing, of the wrong type or contradictory.
    """
    text = file_bytes(path, TEXT_BYTES)
    data = _with_borrowed_energy(_tables(text, path.name), path)
    sources = data.get("sources", {})
    resolved = {key: _resolve(value, sources, path.name, key) for key, value in data.items() if key != "sources"}
    try:
        return kind.model_validate(resolved | {"digest": hashlib.sha256(text).hexdigest()})
    except ValidationError as error:
        raise ConfigError.together(_complaint(path.name, e) for e in error.errors()) from error


@lru_cache(maxsize=8)  # every compile loads its target, and reading TOML takes most of that
def _tables(text: bytes, file: str) -> Mapping[str, Any]:
    return parse_toml(text, file)


def _with_borrowed_energy(data: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """``energy.constants_of`` takes another target's constants, as assumptions that say so."""
    energy = data.get("energy", {})
    donor_name = energy.get("constants_of") if isinstance(energy, dict) else None
    if donor_name is None:
        return data
    if not energy.get("placeholder"):
        raise ConfigError(
            "constants of another chip need energy.placeholder, the sentence that stands beside every number made "
            "with them",
            where=f"{path.name}: energy.constants_of",
        )
    donor = load_target(
        path.parent / f"{donor_name}.toml" if (path.parent / f"{donor_name}.toml").is_file() else donor_name
    )
    if donor.energy is None:
        raise ConfigError(f"{donor.name} has no energy constants", where=f"{path.name}: energy.constants_of")

    def lend(figure: dict[str, Any]) -> dict[str, Any]:
        told = f"placeholder: a constant of {donor.name} ({figure['status']}); {figure['conditions']}"
        return figure | {"grade": "?", "status": "assumed", "conditions": told}

    lent = donor.energy.model_dump(mode="json")
    sets = {
        name: {k: lend(v) if isinstance(v, dict) else v for k, v in figures.items()}
        for name, figures in lent["sets"].items()
    }
    static = {k: lend(v) for k, v in lent["static"].items()}
    own = {key: value for key, value in energy.items() if key != "constants_of"}
    return {**data, "energy": {**own, "sets": sets, "static": static}}


def _resolve(value: Any, sources: dict[str, Any], file: str, key: str) -> Any:
    """Writes title and URL of each figure's source into it, and SI units; names the key of an incomplete figure."""
    if not isinstance(value, dict):
        return value
    if "value" not in value:
        return {k: _resolve(v, sources, file, f"{key}.{k}" if key else k) for k, v in value.items()}
    figure = dict(value)
    named = figure.get("source")
    if "url" not in figure and named is not None:
        if named not in sources:
            raise ConfigError(
                f"source {named} stands neither in [sources] nor with a url of its own", where=f"{file}: {key}"
            )
        figure |= {"source": sources[named].get("title", ""), "url": sources[named].get("url", "")}
    missing = [fact for fact in FACTS if figure.get(fact) in (None, "")]
    if missing:
        raise ConfigError(
            f"no {' and no '.join(missing)}",
            where=f"{file}: {key}",
            ways_out=f"every figure carries {', '.join(FACTS)} (source: a name from [sources], which has title and "
            "url)",
        )
    if figure["unit"] in UNITS and isinstance(figure["value"], int | float):
        factor, unit = UNITS[figure["unit"]]
        figure |= {"value": figure["value"] * factor, "unit": unit}
    return figure


def _complaint(file: str, error: Any) -> Reason:
    key = ".".join(str(part) for part in error["loc"] if part != "value")
    found = "" if isinstance(error["input"], dict) or error["type"] == "missing" else f" (found {error['input']!r})"
    message = error["msg"].removeprefix("Value error, ")
    return Reason(f"{message}{found}", f"{file}: {key}" if key else file)


def _figures(prefix: str, record: BaseModel) -> Iterator[tuple[str, Figure[Any]]]:
    for name, value in record:
        key = f"{prefix}{name}"
        if isinstance(value, Figure):
            yield key, value
        elif isinstance(value, BaseModel):
            yield from _figures(f"{key}.", value)
        elif isinstance(value, dict):
            for inner, entry in value.items():
                yield from _figures(f"{key}.{inner}.", entry)


def _plain(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, tuple):
        return ", ".join(str(v) for v in value)
    return f"{value:g}" if isinstance(value, float) else str(value)
