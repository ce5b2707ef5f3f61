"""What the README tells people to type exists, and what it links to is there."""

import re
import shlex
from pathlib import Path

import pytest

from seamount.cli import app, load_commands

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text()
load_commands()
COMMANDS = {command.name: command for command in app.registered_commands}


def typed_lines() -> list[str]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    return [line.split("  #")[0].strip() for block in blocks for line in block.splitlines() if line.strip()]


@pytest.mark.parametrize("line", [line for line in typed_lines() if line.startswith("seamount")])
def test_a_seamount_line_names_a_command_and_its_options(line: str) -> None:
    import typer

    _, name, *words = shlex.split(line)
    assert name in COMMANDS, line
    made = typer.main.get_command(app).commands[name]  # type: ignore[attr-defined]
    known = {option for parameter in made.params for option in parameter.opts}
    for word in words:
        if word.startswith("--"):
            assert word in known, f"{word} in: {line}"


@pytest.mark.parametrize("line", [line for line in typed_lines() if line.startswith("make")])
def test_a_make_line_names_a_target(line: str) -> None:
    target = shlex.split(line)[1]
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_a_link_of_the_readme_leads_somewhere(link: str) -> None:
    assert (ROOT / link).exists()


def test_the_readme_has_no_figure_left_to_fill_in() -> None:
    assert re.findall(r"\b(FIGURES|LIMITS|SPEED_\w+)\b", README) == []
