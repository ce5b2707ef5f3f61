"""compile, simulate, run-lava, diff, inspect: what is done with one network or program."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from seamount.errors import ConfigError, plural
from seamount.files import check_apart

from .options import DEFAULT_TARGET, Data, NetworkOptions, Samples
from .shell import NOTHING, Result, command, stderr_console

if TYPE_CHECKING:
    from rich.table import Table

    from seamount.compile.fit.finding import Finding
    from seamount.compile.program.activity import Activity
    from seamount.compile.program.program import Program
    from seamount.programs import CompiledFile


@command(example="seamount compile net.nir --from snntorch --steps 16 --soft-reset emulate")
def compile_(
    source: Annotated[
        Path, typer.Argument(help="A NIR file, a lava-dl .net file, or the folder of a run or report.")
    ],
    out: Annotated[Path | None, typer.Option(help="Program file; default: beside the source.")] = None,
    print_after: Annotated[str | None, typer.Option(help="Print the network after this pass.")] = None,
    explain: Annotated[str | None, typer.Option(help="Show the formulas of this layer with the numbers in.")] = None,
    nir: Annotated[Path | None, typer.Option(help="Write the program as a NIR file, too, if NIR can say it.")] = None,
    net: Annotated[
        Path | None, typer.Option(help="Write it as a lava-dl .net file, too, if that can hold it.")
    ] = None,
    standalone: Annotated[
        Path | None, typer.Option(help="Write a folder, too, that runs it on Lava without Seamount.")
    ] = None,
    split: Annotated[
        Path | None, typer.Option(help="Write a program file, too, whose populations each fit a core of the target.")
    ] = None,
    one_by_one: Annotated[
        Path | None,
        typer.Option(help="Write a program file, too, for single samples alone: silent outside their windows."),
    ] = None,
    *,
    network: NetworkOptions,
) -> Result:
    """Lower a network to a fixed-point program, exactly or not at all."""

    from seamount import api
    from seamount.programs import options_of

    if network.of_data:
        raise ConfigError("compile runs no data set", where=f"--set {network.of_data[0]}", ways_out="leave it out")
    check_apart(
        {"--out": out, "--nir": nir, "--net": net, "--standalone": standalone}
        | {"--split": split, "--one-by-one": one_by_one},
        [source],
    )
    target = network.target or DEFAULT_TARGET
    options, labels = options_of(network.reading)
    options = replace(options, print_after=print_after, printer=_shown, whole_sums=split is not None)
    done = api.compile_source(source, target, out, options, labels)
    written = [f"wrote {done.path}", *_write_others(done.compiled.program, nir, net, standalone)]
    written += _write_split(done.compiled.program, target, split)
    written += _write_one_by_one(done.compiled.program, one_by_one)
    document = _compiled_document(done, explain)
    document["written"] = [
        str(path) for path in (done.path, nir, net, standalone, split, one_by_one) if path is not None
    ]
    findings = [f"{finding.severity} on {target}: {finding}" for finding in done.findings]
    lines = [*_compiled_lines(done, explain), *findings, *written]
    return Result(document, "\n".join(lines), exit_code=fit_code(done.findings))


def _shown(text: object) -> None:
    stderr_console().print(text, markup=False)


def _compiled_document(done: CompiledFile, explain: str | None) -> dict[str, Any]:
    from seamount.compile.inspect import explain as formulas

    document = {"file": str(done.path), "findings": [asdict(f) for f in done.findings], **done.compiled.to_dict()}
    document["rounded"] = None if done.rounded is None else asdict(done.rounded)
    if explain is not None:
        document["explain"] = formulas(done.compiled, explain).splitlines()
    return document


def _compiled_lines(done: CompiledFile, explain: str | None) -> list[str]:
    """The program and what rounding did, or the formulas of one layer alone."""
    from seamount.compile.inspect import explain as formulas

    compiled = done.compiled
    if explain is not None:
        return [formulas(compiled, explain)]
    lines = [str(compiled.program)]
    if compiled.rounding is not None:
        lines += ["", "rounding", *(f"  {line}" for line in compiled.rounding.lines())]
    if done.rounded is not None:
        lines.append(f"  {done.rounded}")
    lines += ["", "ranges", *(f"  {line}" for line in compiled.ranges.lines())]
    lines += [f"assumed: {text}" for text in compiled.assumptions]
    lines += [f"warning: {text}" for text in compiled.warnings]
    return lines


def _write_split(program: Program, target: str, path: Path | None) -> list[str]:
    from seamount import api

    if path is None:
        return []
    pieces = api.write_split(program, target, path).pieces
    n_pieces = sum(map(len, pieces.values()))
    return [f"wrote {path}; {len(pieces)} populations as {n_pieces}, each within a core of {target}"]


def _write_one_by_one(program: Program, path: Path | None) -> list[str]:
    from seamount import api

    if path is None:
        return []
    api.write_one_by_one(program, path)
    return [f"wrote {path}, for single samples alone: neurons are silent outside their windows"]


def _write_others(program: Program, nir: Path | None, net: Path | None, standalone: Path | None) -> list[str]:
    """The program in other forms; a line each."""
    from seamount import api

    lines = []
    if nir is not None:
        api.write_nir(program, nir)
        lines.append(f"wrote {nir}")
    if net is not None:
        arguments = "".join(f", {key}={value}" for key, value in api.write_net(program, net).arguments.items())
        lines.append(f"wrote {net}; load it with netx.hdf5.Network({str(net)!r}{arguments})")
    if standalone is not None:
        api.write_standalone(program, standalone)
        lines.append(f"wrote {standalone}; its README says how to run it")
    return lines


@command(example="seamount simulate net.program.h5 --data digits --record spikes,v")
def simulate(
    program: Annotated[Path, typer.Argument(help="A program, NIR or .net file, or the folder of a run or report.")],
    data: Data = None,
    samples: Samples = None,
    record: Annotated[str, typer.Option(help="Traces to keep: spikes, v, u, drive, joined by commas.")] = "",
    layers: Annotated[str, typer.Option(help="Layers whose traces are kept, as conv1,fc; default: all.")] = "",
    out: Annotated[Path | None, typer.Option(help="Write the traces and counts here (.npz).")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    memory_limit: Annotated[
        str | None, typer.Option(help="As 500MiB; cuts time and batch. Samples and traces come on top.")
    ] = None,
    stream: Annotated[bool, typer.Option("--stream", help="Samples enter without a pause.")] = False,
    *,
    network: NetworkOptions,
) -> Result:
    """Run a program on the simulator: exact integers, spike and operation counts always."""
    from rich.console import Group

    from seamount import api
    from seamount.compile.program.activity_file import save_activity
    from seamount.terminal import Text

    check_apart({"--out": out}, [program, data])
    done = api.simulate(
        program,
        data,
        target=network.target,
        reading=network.reading,
        n_samples=samples,
        record=[word for word in record.split(",") if word],
        populations=[word for word in layers.split(",") if word] or None,
        device=device,
        memory_limit_bytes=None if memory_limit is None else parse_bytes(memory_limit),
        stream=stream,
        settings=network.of_data,
    )
    if done is None:
        return NOTHING
    if out is not None:
        save_activity(done.activity, out)
    signs = list(done.symptoms.lines())
    run = done.activity
    no_answer = None if run.readout is None else run.n_unanswered()
    document = {"data": done.samples.what, "accuracy": done.accuracy, "no_answer": no_answer, "symptoms": signs}
    document["rmse"] = done.rmse
    document["streamed"] = stream
    document |= activity_document(run)
    size = f"{run.n_samples} {plural(run.n_samples, 'sample')}, {run.n_steps} {plural(run.n_steps, 'step')}"
    head = f"{done.program.name} on {done.samples.what}: {size}{' each, as a stream' if stream else ''}"
    accuracy = "" if done.accuracy is None else f"\naccuracy {100 * done.accuracy:.2f} %"
    written = "" if out is None else f"\nwrote {out}"
    accuracy += "" if done.rmse is None else f"\nRMSE after the last frame {done.rmse:.4g}"
    told = Text(head + accuracy)
    for sign in (*([no_answer_told(run)] if no_answer else []), *signs):
        told.append(f"\n✗ {sign}", style="bold red")
    if done.symptoms.slight:
        told.append(f"\n! {done.symptoms.slight}", style="yellow")
    told.append(written)
    return Result(document, Group(told, events_table(done.program, run)))


@command(example="seamount run-lava runs/demo --samples 20 --data digits")
def run_lava(
    program: Annotated[Path, typer.Argument(help="A program, NIR or .net file, or the folder of a run or report.")],
    data: Data = None,
    samples: Annotated[int, typer.Option(min=1, help="So many samples.")] = 20,
    time_limit: Annotated[float, typer.Option(min=1.0, help="Lava is ended after so many seconds.")] = 600.0,
    out: Annotated[Path | None, typer.Option(help="Write Lava's traces here (.npz).")] = None,
    *,
    network: NetworkOptions,
) -> Result:
    """Run a program on Lava itself (fixed point) and compare every spike and membrane with the simulator."""
    from seamount import api
    from seamount.compile.program.activity_file import save_activity

    check_apart({"--out": out}, [program, data])
    done = api.run_lava(
        program,
        data,
        target=network.target,
        reading=network.reading,
        n_samples=samples,
        time_limit_s=time_limit,
        settings=network.of_data,
    )
    if out is not None:
        save_activity(done.lava, out)
    no_answer = None if done.lava.readout is None else done.lava.n_unanswered()
    document = {"accuracy": done.accuracy, "no_answer": no_answer, **asdict(done.agreement)}
    told = f"{done.agreement}\n{no_answer_told(done.lava)}" if no_answer else str(done.agreement)
    return Result(document, told, 0 if done.agreement.exact else 3)


@command(example="seamount diff simulated.npz lava.npz")
def diff(
    a: Annotated[Path, typer.Argument(help="Traces written by simulate --out or run-lava --out.")],
    b: Annotated[Path, typer.Argument(help="The traces to compare with.")],
) -> Result:
    """Name the first step, population and neuron in which two runs differ, with the values around it."""
    from seamount import api

    found = api.diff(a, b)
    if found is None:
        steps = "of the steps in which a population answers to the samples, where both files say which these are"
        return Result({"equal": True}, f"equal: 0 differing values, {steps}")
    return Result({"equal": False, **asdict(found)}, str(found), exit_code=3)


@command(example="seamount inspect net.nir")
def inspect(path: Annotated[Path, typer.Argument(help="A NIR, .net or program file.")]) -> Result:
    """Print a NIR graph, a .net file or a program, a line an item."""

    from seamount import api

    lines = api.inspect(path)
    return Result({"file": str(path), "lines": lines}, "\n".join(lines))


def fit_code(findings: Iterable[Finding]) -> int:
    """Exit code of a program that was written: 5 and 4 as the errors would have, 0 if it fits as assumed."""
    found = {finding.severity for finding in findings}
    return 5 if "unsupported" in found else 4 if "does_not_fit" in found else 0


def parse_bytes(text: str) -> int:
    """``4GiB`` -> 4294967296."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([KMGT]?)(i?)B?", text.strip())
    if found is None or len(text) > 20:  # more digits are no number of bytes that a machine has
        raise ConfigError(f"{text!r} is not a size", where="--memory-limit", ways_out="write it as 4GiB or 500MiB")
    base = 1024 if found[3] else 1000
    return int(float(found[1]) * base ** " KMGT".index(found[2] or " "))


def no_answer_told(activity: Activity) -> str:
    """What is said of samples in which all values of the readout are equal."""
    n = activity.n_samples
    return f"no answer in {activity.n_unanswered()} of {n} {plural(n, 'sample')}: all values of the readout are equal"


def activity_document(activity: Activity) -> dict[str, Any]:
    """The counts of a run as plain numbers."""
    return {
        "n_steps": activity.n_steps,
        "n_samples": activity.n_samples,
        "populations": {
            name: {
                key: value.tolist() if hasattr(value, "tolist") else value for key, value in asdict(events).items()
            }
            for name, events in activity.events.items()
        },
    }


def events_table(program: Program, activity: Activity) -> Table:
    """Counts per sample, a row a population."""
    from rich.table import Table

    # 60 columns have to do
    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("name", overflow="fold")
    for title in ("neurons", "spikes", "sops", "updates", "saturated", "wrapped"):
        table.add_column(title, justify="right", no_wrap=True)
    n = activity.n_samples
    for name, events in activity.events.items():
        table.add_row(
            name,
            f"{program.population(name).n_neurons:,}",
            f"{events.n_spikes.sum() / n:,.1f}",
            f"{events.sops.sum() / n:,.1f}",
            f"{events.n_updates / n:,.0f}",
            f"{events.n_v_saturations:,}",
            f"{events.n_u_wraps + events.n_drive_wraps:,}",
        )
    table.caption = f"spikes, sops and updates per sample (n = {n}); saturated and wrapped: in the whole run"
    return table
