"""No figure of a target is read by nobody, and no rule in one is ignored: what is not computed is refused by name."""

import ast
from collections.abc import Iterator
from dataclasses import fields
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from seamount.compile.fit.chip import Chip
from seamount.compile.formats import NumberFormats
from seamount.errors import ConfigError
from seamount.hardware_targets.target import (
    FOLDER,
    Energy,
    EnergySet,
    Figure,
    Formats,
    Limits,
    Static,
    Target,
    Timing,
    load_target,
)

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("compile", "distill", "hardware_targets", "seamount")
LOIHI1 = FOLDER / "loihi1.toml"

# ------------------------------------------------------------------------------------------------ who reads


@cache
def reads() -> frozenset[tuple[str, str, str]]:
    """(file, last name of what is asked, attribute) of every attribute that is read in the sources."""
    found = set()
    for folder in SOURCES:
        for path in (ROOT / folder).rglob("*.py"):
            if any(parent.is_symlink() for parent in path.parents):
                continue
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
                    asked = node.value
                    name = asked.attr if isinstance(asked, ast.Attribute) else getattr(asked, "id", "")
                    found.add((str(path.relative_to(ROOT)), name, node.attr))
    return frozenset(found)


def readers(field: str, *holders: str, but: tuple[str, ...] = ()) -> list[str]:
    """Files in which a field is read from something that is called as its record is; ``but`` some."""
    return [path for path, holder, name in reads() if name == field and holder in holders and path not in but]


DATA = ("hardware_targets/target.py", "compile/fit/chip.py", "compile/formats.py")
"""Where figures are only handed on, or compared with what is computed."""


def test_every_format_has_a_reader() -> None:
    assert [f.name for f in fields(NumberFormats)] == list(Formats.model_fields)
    properties = {"v_th_mant_bits": "v_th_mant_max", "drive_bits": "drive_max"}
    for name in Formats.model_fields:
        if name in RULES:
            assert readers(name, "formats"), f"formats.{name} is read by nobody"
        else:
            asked = properties.get(name, name)
            assert readers(asked, "formats", but=DATA), f"formats.{name} is read by nobody"


def test_every_limit_has_a_reader() -> None:
    target = load_target("loihi1")
    for name, figure in target.limits:
        changed = figure.model_copy(update={"value": "another"})
        chip = target.model_copy(update={"limits": target.limits.model_copy(update={name: changed})}).chip
        parts = [f.name for f in fields(Chip) if getattr(chip, f.name) != getattr(target.chip, f.name)]
        found = [path for part in parts for path in readers(part, "chip", but=DATA)]
        assert found or readers(name, "limits", but=DATA), f"limits.{name} is read by nobody"


@pytest.mark.parametrize(
    ("record", "holder"), [(EnergySet, "constants"), (Static, "static"), (Timing, "timing"), (Energy, "energy")]
)
def test_every_energy_and_time_has_a_reader(record: type[BaseModel], holder: str) -> None:
    for name in record.model_fields:
        assert readers(name, holder, but=DATA), f"{record.__name__}.{name} is read by nobody"


def test_everything_else_of_a_target_has_a_reader() -> None:
    records = {"formats", "limits", "energy", "timing"}  # tested above
    for name in set(Target.model_fields) - records:
        assert readers(name, "target", "chip", but=DATA), f"{name} is read by nobody"


def test_these_are_all_the_records_with_figures() -> None:
    def records(kind: Any) -> Iterator[type[BaseModel]]:
        for part in [kind, *getattr(kind, "__args__", ())]:
            if isinstance(part, type) and issubclass(part, BaseModel) and not issubclass(part, Figure):
                yield part
                for field in part.model_fields.values():
                    yield from records(field.annotation)

    assert set(records(Target)) == {Target, Formats, Limits, Energy, EnergySet, Static, Timing}


# --------------------------------------------------------------------------------------------- what is refused

OTHER_RULES = [
    ("u_bits", "23", "computed is 24"),
    ("u_bits", "16", "computed is 24"),
    ("u_overflow", '"saturate"', "computed is wrap"),
    ("v_bits", "32", "computed is 24"),
    ("v_overflow", '"wrap"', "computed is saturate"),
    ("decay_bits", "16", "computed is 12"),
    ("decay_rounding", '"floor"', "computed is towards_zero"),
    ("mixed_sign_step", "1", "computed is 2"),
    ("v_th_shift", "5", "computed is 6"),
    ("reset", '"subtract"', "computed is zero"),
    ("soft_reset", '"native"', "computed are two_compartments and none"),
]
RULES = {name for name, _, _ in OTHER_RULES}
"""Formats of which nothing but what the arithmetic computes loads: the refusal is their reader."""

BEYOND = [
    ("drive_bits", "33", "computed are 2 to 32"),
    ("weight_widths", "[8, 9]", "computed are 1 to 8"),
    ("weight_exponent", "[-40, 7]", "computed are -31 to 31"),
    ("weight_exponent", "[-7, 32]", "computed are -31 to 31"),
    ("bias_mant_max", "32768", "computed are 0 to 32767"),
    ("bias_exp_max", "20", "computed are 0 to 19"),
    ("delay_max", "64", "computed are 0 to 63"),
    ("payload_bits", "32", "computed are 0 to 31"),
]


def variant(folder: Path, name: str, value: str) -> Path:
    lines = LOIHI1.read_text(encoding="utf-8").splitlines()
    at = next(i for i, line in enumerate(lines) if line.startswith(f"{name} = {{ value = "))
    rest = lines[at].split(', unit = "', 1)[1]
    lines[at] = f'{name} = {{ value = {value}, unit = "{rest}'
    path = folder / "mine.toml"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


@pytest.mark.parametrize(("name", "value", "possible"), [*OTHER_RULES, *BEYOND])
def test_a_rule_that_the_arithmetic_does_not_compute_is_refused(
    tmp_path: Path, name: str, value: str, possible: str
) -> None:
    path = variant(tmp_path, name, value)
    with pytest.raises(ConfigError) as caught:
        load_target(path)
    (reason,) = caught.value.reasons
    assert reason.where == f"mine.toml: formats.{name}"
    assert reason.found.endswith(" is not what the arithmetic computes")
    assert reason.possible.startswith(possible)


def test_all_uncomputed_rules_are_told_together(tmp_path: Path) -> None:
    path = variant(tmp_path, "u_overflow", '"saturate"')
    path.write_text(
        path.read_text().replace('decay_rounding = { value = "towards_zero"', 'decay_rounding = { value = "floor"')
    )
    with pytest.raises(ConfigError) as caught:
        load_target(path)
    assert str(caught.value) == (
        "mine.toml: formats.u_overflow: saturate is not what the arithmetic computes, computed is wrap: u goes "
        "once around its bits (docs/arithmetic.md, step 3)\n"
        "mine.toml: formats.decay_rounding: floor is not what the arithmetic computes, computed is towards_zero: "
        "what a state keeps (docs/arithmetic.md)"
    )
