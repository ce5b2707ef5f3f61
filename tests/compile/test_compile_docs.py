"""The tables in docs/nir_support.md are those of the code."""

from dataclasses import fields
from pathlib import Path

import nir
import pytest

from seamount.compile.nir.nodes import NODE_TYPES, support_table
from seamount.compile.nir.presets import DEFAULTS, PRESETS, Discretisation, choices

DOC = Path(__file__).resolve().parents[2] / "docs" / "nir_support.md"


def test_the_node_table_is_that_of_the_code() -> None:
    table = DOC.read_text().split("<!-- nodes -->\n")[1].split("\n<!-- end of nodes -->")[0]
    assert table.splitlines() == list(support_table())


def test_every_node_of_nir_stands_in_it() -> None:
    known = {
        name for name, item in vars(nir.ir).items() if isinstance(item, type) and issubclass(item, nir.ir.NIRNode)
    }
    assert known - {"NIRNode"} <= set(NODE_TYPES)


def test_settings_and_presets_are_those_of_the_code() -> None:
    text = DOC.read_text()
    for entry in fields(Discretisation):
        if entry.name == "dt":
            continue
        assert f"| {entry.name} | {', '.join(choices(entry.name))} | {getattr(DEFAULTS, entry.name)} |" in text
    for name, preset in PRESETS.items():
        told = ", ".join(f"{k} = {v}" for k, v in vars(preset).items() if v is not None)
        assert f"| {name} | {told or 'nothing but the defaults'} |" in text


@pytest.mark.parametrize("node", [n for n in NODE_TYPES if n not in ("NIRGraph", "Identity")])
def test_keys_are_those_of_nir(node: str) -> None:
    parameters = {f.name for f in fields(getattr(nir, node))} - {"metadata", "input_type", "output_type"}
    known = set(NODE_TYPES[node].required + NODE_TYPES[node].optional) - {"shape", "input_type"}
    assert known == parameters
