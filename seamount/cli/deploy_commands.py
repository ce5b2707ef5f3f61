"""deploy, report: everything that can be known of a network, a program or a run, in one folder."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seamount.errors import ConfigError

from .program_commands import (
    PANEL,
    Calibrate,
    Data,
    Readout,
    SoftReset,
    Steps,
    Target,
    WrittenBy,
)
from .root import app
from .run_commands import Quiet, RequireLava, report_result, told
from .shell import Result, command

if TYPE_CHECKING:
    from seamount.asked import Reading

Settings = Annotated[
    list[str] | None,
    typer.Option("--set", help="One option, as dt=1e-4; of a data set as data.root=FOLDER; may be repeated."),
]
Out = Annotated[Path | None, typer.Option("--out", help="Folder of the report; default: runs/ and the file's name.")]
Samples = Annotated[int | None, typer.Option("--samples", min=1, help="At most so many samples.")]
FloatAnswers = Annotated[
    Path | None,
    typer.Option("--float-answers", help="A .npz with your own network's answers: classes (n,) or scores (n, K)."),
]
CrossCheck = Annotated[
    str | None,
    typer.Option("--cross-check", help="sana-fe: a second opinion on energy and time, where SANA-FE is installed."),
]


@command(app, "deploy", example="seamount deploy net.nir --data x.npz --from snntorch --steps 16", panel=PANEL)
def deploy(
    source: Annotated[Path, typer.Argument(help="A NIR, .net or program file, or the folder of a run or report.")],
    data: Data = None,
    target: Target = "loihi1",
    out: Out = None,
    written_by: WrittenBy = None,
    settings: Settings = None,
    steps: Steps = None,
    calibrate: Calibrate = None,
    soft_reset: SoftReset = None,
    readout: Readout = None,
    samples: Samples = None,
    lava: Annotated[int, typer.Option(min=0, help="So many samples on Lava, where it is installed.")] = 20,
    require_lava: RequireLava = False,
    float_answers: FloatAnswers = None,
    cross_check: CrossCheck = None,
    quiet: Quiet = False,
) -> Result:
    """Compile, simulate, run on Lava, report: a network from its file to the proof, in one folder."""
    reading, of_data = _reading(written_by, settings, steps, calibrate, soft_reset, readout)
    return _deployed(
        source,
        data,
        target=target,
        out=out,
        reading=reading,
        n_samples=samples,
        n_lava=lava,
        require_lava=require_lava,
        float_answers=float_answers,
        cross_check=cross_check,
        data_settings=of_data,
        told=told(quiet),
    )


@command(app, "report", example="seamount report net.program.h5 --data x.npz --lava 20", panel=PANEL)
def report(
    source: Annotated[Path, typer.Argument(help="A finished run, a NIR, .net or program file, a report to repeat.")],
    data: Data = None,
    target: Annotated[str | None, typer.Option("--target", help="A target or target file; default: loihi1.")] = None,
    out: Out = None,
    written_by: WrittenBy = None,
    settings: Settings = None,
    steps: Steps = None,
    calibrate: Calibrate = None,
    soft_reset: SoftReset = None,
    readout: Readout = None,
    samples: Samples = None,
    lava: Annotated[int | None, typer.Option(min=0, help="So many samples on Lava, too.")] = None,
    require_lava: RequireLava = False,
    float_answers: FloatAnswers = None,
    cross_check: CrossCheck = None,
    quiet: Quiet = False,
) -> Result:
    """Write report.json and report.html of a run, a network or a program and show the summary."""
    from seamount import api
    from seamount.artefacts import ReportFolder, RunFolder, recognised

    reading, of_data = _reading(written_by, settings, steps, calibrate, soft_reset, readout)
    if isinstance(recognised(source), RunFolder | ReportFolder):
        others: dict[str, Any] = {"--data": data, "--target": target, "--out": out, "--samples": samples}
        others |= {"--lava": lava}
        others |= {"--require-lava": require_lava, "--float-answers": float_answers, "options of a network": reading}
        others |= {"--set": of_data or None}
        _refuse(source, others)
        return report_result(api.report(source, told(quiet), cross_check=cross_check), source)
    return _deployed(
        source,
        data,
        target=target or "loihi1",
        out=out,
        reading=reading,
        n_samples=samples,
        n_lava=lava or (None if require_lava else 0),
        require_lava=require_lava,
        float_answers=float_answers,
        cross_check=cross_check,
        data_settings=of_data,
        told=told(quiet),
    )


def _refuse(source: Path, others: dict[str, Any]) -> None:
    """What a folder says itself."""
    from seamount.asked import Reading

    given = [name for name, value in others.items() if value not in (None, False, Reading())]
    if given:
        raise ConfigError(
            f"{source} says itself what its report is made of",
            where=", ".join(given),
            ways_out=f"leave it out, or `seamount deploy {source}` with it makes another report of its network",
        )


def _reading(
    written_by: str | None,
    settings: list[str] | None,
    steps: int | None,
    calibrate: Path | None,
    soft_reset: str | None,
    readout: str | None,
) -> tuple[Reading, tuple[str, ...]]:
    """How the network is read, and the settings of the data set."""
    from seamount.asked import Reading

    samples = None if calibrate is None else str(calibrate.absolute())
    of_data = tuple(setting for setting in settings or () if setting.startswith("data."))
    rest = tuple(setting for setting in settings or () if setting not in of_data)
    return Reading(written_by, rest, steps, soft_reset, readout, samples), of_data


def _deployed(source: Path, data: str | None, *, out: Path | None, **others: Any) -> Result:
    from seamount import api
    from seamount.runs import folder_for

    folder = out or folder_for(source)
    return report_result(api.deploy(source, data, folder=folder, **others), folder)
