"""deploy, report: everything that can be known of a network, a program or a run, in one folder."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from seamount.errors import ConfigError

from .options import DEFAULT_TARGET, Data, GateOptions, Markdown, NetworkOptions, RequireLava, Samples, given
from .run_commands import Quiet, report_result, told
from .shell import Result, command

Out = Annotated[
    Path | None, typer.Option("--out", help="Folder of the report; default: in runs/, named as the file.")
]
FloatAnswers = Annotated[
    Path | None,
    typer.Option("--float-answers", help="A .npz with your own network's answers: classes (n,) or scores (n, K)."),
]
CrossCheck = Annotated[
    str | None,
    typer.Option("--cross-check", help="sana-fe: a second opinion on energy and time, where SANA-FE is installed."),
]


@command(example="seamount deploy net.nir --data x.npz --from norse --steps 16")
def deploy(
    source: Annotated[Path, typer.Argument(help="A NIR, .net or program file, or the folder of a run or report.")],
    data: Data = None,
    out: Out = None,
    samples: Samples = None,
    lava: Annotated[int, typer.Option(min=0, help="So many samples on Lava, where it is installed.")] = 20,
    require_lava: RequireLava = False,
    float_answers: FloatAnswers = None,
    cross_check: CrossCheck = None,
    quiet: Quiet = False,
    markdown: Markdown = False,
    *,
    network: NetworkOptions,
    gates: GateOptions,
) -> Result:
    """Compile, simulate, run on Lava, report: a network from its file to the proof, in one folder."""
    return _deployed(
        source,
        data,
        network,
        gates,
        markdown,
        out=out,
        n_samples=samples,
        n_lava=lava,
        require_lava=require_lava,
        float_answers=float_answers,
        cross_check=cross_check,
        told=told(quiet),
    )


@command(example="seamount report net.program.h5 --data x.npz --lava 20")
def report(
    source: Annotated[Path, typer.Argument(help="A finished run, a NIR, .net or program file, a report to repeat.")],
    data: Data = None,
    out: Out = None,
    samples: Samples = None,
    lava: Annotated[int | None, typer.Option(min=0, help="So many samples on Lava, too.")] = None,
    require_lava: RequireLava = False,
    float_answers: FloatAnswers = None,
    cross_check: CrossCheck = None,
    quiet: Quiet = False,
    markdown: Markdown = False,
    *,
    network: NetworkOptions,
    gates: GateOptions,
) -> Result:
    """Write report.json and report.html of a run, a network or a program and show the summary."""
    from seamount import api
    from seamount.artefacts import ReportFolder, RunFolder, recognised

    if isinstance(recognised(source), RunFolder | ReportFolder):
        others: dict[str, Any] = {"--data": data, "--out": out, "--samples": samples, "--lava": lava}
        others |= {"--require-lava": require_lava, "--float-answers": float_answers}
        others |= dict.fromkeys(given(network), True)
        _refuse(source, others)
        asked = gates.gates()
        return report_result(api.report(source, told(quiet), cross_check=cross_check), source, asked, markdown)
    return _deployed(
        source,
        data,
        network,
        gates,
        markdown,
        out=out,
        n_samples=samples,
        n_lava=(None if require_lava else 0) if lava is None else lava,
        require_lava=require_lava,
        float_answers=float_answers,
        cross_check=cross_check,
        told=told(quiet),
    )


def _refuse(source: Path, others: dict[str, Any]) -> None:
    """What a folder says itself."""
    found = [name for name, value in others.items() if value not in (None, False)]
    if found:
        again = f"`seamount deploy {shlex.quote(str(source))}`"
        raise ConfigError(
            f"{source} says itself what its report is made of",
            where=", ".join(found),
            ways_out=f"leave it out, or {again} with it makes another report of its network",
        )


def _deployed(
    source: Path,
    data: str | None,
    network: NetworkOptions,
    gates: GateOptions,
    markdown: bool,
    *,
    out: Path | None,
    **others: Any,
) -> Result:
    from seamount import api
    from seamount.runs import folder_for

    folder, asked = out or folder_for(source), gates.gates()
    report = api.deploy(
        source,
        data,
        folder=folder,
        target=network.target or DEFAULT_TARGET,
        reading=network.reading,
        data_settings=network.of_data,
        **others,
    )
    return report_result(report, folder, asked, markdown)
