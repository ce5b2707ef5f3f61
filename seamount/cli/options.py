"""Options that several commands have: a group of them is one parameter of a command, see ``shell.command``."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, get_type_hints

import typer

from seamount.errors import ConfigError, none_of

if TYPE_CHECKING:
    from seamount.asked import Reading
    from seamount.report.gates import Gates, Metric

Data = Annotated[
    str | None,
    typer.Option(
        "--data",
        help="A file (.npz, .npy, .h5, .pt) with x, or with an array for each input, and perhaps y; a run folder; a "
        "data set, or your own (mine.py:data).",
    ),
]
Samples = Annotated[int | None, typer.Option("--samples", min=1, help="At most so many samples.")]
RequireLava = Annotated[bool, typer.Option("--require-lava", help="End with exit code 6 where Lava is not there.")]
Markdown = Annotated[bool, typer.Option("--markdown", help="Print Markdown, for the summary of a job on GitHub.")]
DEFAULT_TARGET = "loihi1"
OF_NETWORK, OF_GATES = "How a network is read", "Gates"
"""Panels of the help."""


@dataclass(frozen=True)
class NetworkOptions:
    """How a network file is read and lowered, and settings of a data set; of a program all but that is settled."""

    target: Annotated[
        str | None,
        typer.Option(
            "--target",
            help="A target that `seamount targets` lists, or a target file; default: loihi1.",
            rich_help_panel=OF_NETWORK,
        ),
    ] = None
    written_by: Annotated[
        str | None,
        typer.Option(
            "--from", help="Who wrote the NIR file: norse, snntorch, sinabs, lava, ...", rich_help_panel=OF_NETWORK
        ),
    ] = None
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            help="One option of a network file, as dt=1e-4, or reset_interval=32 for a .net file; of a data set as "
            "data.root=FOLDER; may be repeated.",
            rich_help_panel=OF_NETWORK,
        ),
    ] = None
    steps: Annotated[
        int | None,
        typer.Option("--steps", min=1, help="Timesteps of one sample at the input.", rich_help_panel=OF_NETWORK),
    ] = None
    calibrate: Annotated[
        Path | None,
        typer.Option(
            "--calibrate",
            help="Real inputs to round for (.npz): x (T, B, *shape) or an array for each, perhaps labels y.",
            rich_help_panel=OF_NETWORK,
        ),
    ] = None
    soft_reset: Annotated[
        str | None,
        typer.Option(
            "--soft-reset",
            help="A reset by subtraction: refuse (the default), or emulate.",
            rich_help_panel=OF_NETWORK,
        ),
    ] = None
    readout: Annotated[
        str | None,
        typer.Option(
            "--readout",
            help="Where the answer is read, and how: POPULATION[:count|sum|mean|max|last|final].",
            rich_help_panel=OF_NETWORK,
        ),
    ] = None

    @property
    def of_data(self) -> tuple[str, ...]:
        """Settings of the data set."""
        return tuple(setting for setting in self.settings or () if setting.startswith("data."))

    @property
    def reading(self) -> Reading:
        from seamount.asked import Reading

        rest = tuple(setting for setting in self.settings or () if not setting.startswith("data."))
        samples = None if self.calibrate is None else str(self.calibrate.absolute())
        return Reading(self.written_by, rest, self.steps, self.soft_reset, self.readout, samples)


@dataclass(frozen=True)
class PlaceOptions:
    """Where a run goes."""

    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Folder; default: in runs/, named as the file (a sweep: NAME-sweep; the demonstration: demo).",
        ),
    ] = None
    name: Annotated[str | None, typer.Option("--name", hidden=True)] = None
    """An earlier spelling: ``--name a`` is ``--out runs/a``."""

    def folder(self, usual: str) -> Path:
        """
        Args:
            usual: its name under runs/ where nobody says it.
        """
        if self.out is not None and self.name is not None:
            raise ConfigError("says the same as --out", where=f"--name {self.name}", ways_out="leave one of both out")
        return self.out or Path("runs") / (self.name or usual)


@dataclass(frozen=True)
class GateOptions:
    """What must hold, else the command ends with exit code 3 (or 4, if only the fit fails)."""

    min_accuracy: Annotated[
        float | None,
        typer.Option(
            "--min-accuracy", help="Gate: the program is right so often, in per cent.", rich_help_panel=OF_GATES
        ),
    ] = None
    max_accuracy_drop: Annotated[
        float | None,
        typer.Option(
            "--max-accuracy-drop",
            help="Gate: largest loss from float student to program, in percentage points.",
            rich_help_panel=OF_GATES,
        ),
    ] = None
    max_energy: Annotated[
        str | None,
        typer.Option(
            "--max-energy",
            help="Gate: on-chip dynamic energy of an inference, as 2.5uJ, 800nJ or 2.5e-6.",
            rich_help_panel=OF_GATES,
        ),
    ] = None
    max_spikes: Annotated[
        float | None,
        typer.Option(
            "--max-spikes", help="Gate: spikes of an inference, as the energy counts them.", rich_help_panel=OF_GATES
        ),
    ] = None
    max_spikes_per_synapse: Annotated[
        float | None,
        typer.Option(
            "--max-spikes-per-synapse",
            help="Gate: the same over the number of synapses, as 0.5.",
            rich_help_panel=OF_GATES,
        ),
    ] = None
    max_cores: Annotated[
        int | None, typer.Option("--max-cores", min=1, help="Gate: cores of the target.", rich_help_panel=OF_GATES)
    ] = None
    require_bit_exact: Annotated[
        bool, typer.Option("--require-bit-exact", help="Gate: proof checked and exact.", rich_help_panel=OF_GATES)
    ] = False
    require_fit: Annotated[
        bool, typer.Option("--require-fit", help="Gate: the program fits the target.", rich_help_panel=OF_GATES)
    ] = False
    against: Annotated[
        Path | None,
        typer.Option(
            "--against",
            help="Gate: accuracy, energy, spikes and cores are no worse than in this report (report.json or its "
            "folder).",
            rich_help_panel=OF_GATES,
        ),
    ] = None
    tolerance: Annotated[
        list[str] | None,
        typer.Option(
            "--tolerance",
            help="Of --against, as accuracy=0.5 (points) or energy=5 (per cent, as spikes and cores); repeatable.",
            rich_help_panel=OF_GATES,
        ),
    ] = None

    def gates(self, *, require_lava: bool = False) -> Gates | None:
        """None: nothing is asked for."""
        if self == GateOptions() and not require_lava:
            return None
        from seamount import api
        from seamount.report.gates import Gates

        if self.min_accuracy is not None and 0 < self.min_accuracy <= 1:
            found = f"is a share, {100 * self.min_accuracy:g} per cent is meant"
            raise ConfigError(found, where=f"--min-accuracy {self.min_accuracy:g}", ways_out="write it in per cent")
        for name, limit in (
            ("min-accuracy", self.min_accuracy),
            ("max-accuracy-drop", self.max_accuracy_drop),
            ("max-spikes", self.max_spikes),
            ("max-spikes-per-synapse", self.max_spikes_per_synapse),
        ):
            if limit is not None and not math.isfinite(limit):
                raise ConfigError("a number is needed", where=f"--{name} {limit}")
        if self.tolerance and self.against is None:
            raise ConfigError("needs --against", where=f"--tolerance {self.tolerance[0]}")
        return Gates(
            max_accuracy_drop_pp=self.max_accuracy_drop,
            require_bit_exact=self.require_bit_exact,
            require_fit=self.require_fit,
            require_lava=require_lava,
            min_accuracy=self.min_accuracy,
            max_energy_j=None if self.max_energy is None else joules(self.max_energy),
            max_spikes=self.max_spikes,
            max_spikes_per_synapse=self.max_spikes_per_synapse,
            max_cores=self.max_cores,
            baseline=None if self.against is None else api.load_report(self.against),
            tolerance=_tolerance(self.tolerance or ()),
        )


def _tolerance(words: list[str] | tuple[()]) -> dict[Metric, float]:
    from seamount.report.gates import METRICS

    found: dict[Metric, float] = {}
    for word in [part for words in words for part in words.replace(",", " ").split()]:
        key, _, value = word.partition("=")
        metric = next((known for known in METRICS if known == key.strip()), None)
        if metric is None:
            raise ConfigError(none_of(key.strip(), METRICS), where=f"--tolerance {word}")
        try:
            found[metric] = float(value)
        except ValueError:
            found[metric] = math.nan
        if not 0 <= found[metric] < math.inf:
            ways = f"write it as {metric}=0.5"
            raise ConfigError("a number from 0 up is needed", where=f"--tolerance {word}", ways_out=ways)
    return found


PREFIXES = {"": 1.0, "m": 1e-3, "u": 1e-6, "µ": 1e-6, "μ": 1e-6, "n": 1e-9, "p": 1e-12}


def joules(text: str) -> float:
    """``2.5uJ`` -> 2.5e-6; a bare number is in J."""
    found = re.fullmatch(r"(\d+(?:\.\d*)?(?:e[+-]?\d+)?)\s*(?:([munpµμ]?)J)?", text.strip(), re.IGNORECASE)
    if found is None or (found[2] or "") not in PREFIXES:
        ways = "write it as 2.5uJ, 800nJ or 2.5e-6"
        raise ConfigError(f"{text!r} is not an energy", where="--max-energy", ways_out=ways)
    return float(found[1]) * PREFIXES[found[2] or ""]


def given(options: Any) -> list[str]:
    """The options of a group that were set, as they are typed."""
    hints = get_type_hints(type(options), include_extras=True)
    found = [f.name for f in fields(options) if getattr(options, f.name) not in (None, False, [])]
    return [hints[name].__metadata__[0].param_decls[0] for name in found]
