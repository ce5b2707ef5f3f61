"""convert: an ANN as a sigma-delta program."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from seamount.errors import plural

from .run_commands import Quiet, told
from .shell import Result, command

if TYPE_CHECKING:
    from rich.table import Table

    from seamount.sigma_delta import Conversion
    from seamount.trials import Point


@command(example="seamount convert mine.py:make_net --data x.npz --threshold 0.05")
def convert(
    ann: Annotated[
        str, typer.Argument(help="mine.py:make_net, a teacher by name with --checkpoint, or the folder of a run.")
    ],
    data: Annotated[
        str | None,
        typer.Option(
            "--data",
            help="A file (.npz, .npy, .h5, .pt) with x, perhaps y; a data set; your own (mine.py:data).",
        ),
    ] = None,
    threshold: Annotated[
        float | None,
        typer.Option(
            help="Changes that are sent: a share, 0 to 1, of a layer's activations. Default: the largest that stays "
            "close to the network on the data that calibrate."
        ),
    ] = None,
    messages: Annotated[
        float | None, typer.Option(help="In its place: at most so many messages a frame of the data that calibrate.")
    ] = None,
    frames: Annotated[bool, typer.Option("--frames", help="Samples are sequences: x (T, B, ...) in a file.")] = False,
    checkpoint: Annotated[Path | None, typer.Option(help="Weights of the network (.safetensors or .pt).")] = None,
    net: Annotated[bool, typer.Option("--net", help="Write network.net for lava-dl's netx, too.")] = False,
    samples: Annotated[int, typer.Option(min=1, help="At most so many samples are compared.")] = 1000,
    out: Annotated[Path | None, typer.Option(help="Folder; default: runs/ and the network's name.")] = None,
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", help="As data.root=FOLDER or teacher.options.width=8; may be repeated."),
    ] = None,
    quiet: Quiet = False,
) -> Result:
    """Turn a trained ANN into a sigma-delta program without training, and show what thresholds cost and give."""
    from rich.console import Group

    from seamount import api
    from seamount.conversion import ANSWERS, COMPARED, NET, PAGE, PROGRAM
    from seamount.terminal import Text

    given = [*(settings or ()), *([f'teacher.checkpoint="{checkpoint}"'] if checkpoint is not None else [])]
    folder = out or Path("runs") / (Path(ann).name.rpartition(":")[2] + "-sigma-delta")
    done = api.convert(
        ann,
        data,
        threshold=threshold,
        messages=messages,
        frames=frames,
        net=net,
        settings=given,
        n_samples=samples,
        folder=folder,
        told=told(quiet),
    )
    files = [folder / PROGRAM, *([folder / NET] if net else [])]
    document = {**done.to_dict(), "written": [str(path) for path in files]}
    lines = [f"wrote {path}" for path in files]
    if net:
        lines[-1] += f"; load it with netx.hdf5.Network({str(files[-1])!r}, spike_exp=0)"
    lines += [f"page: {folder / PAGE}", _unit(done), "its report:"]
    # in lines of a narrow terminal, to be copied
    program, compared, answers = (shlex.quote(str(folder / name)) for name in (PROGRAM, COMPARED, ANSWERS))
    lines += [f"  seamount deploy {program} --target loihi2 \\", f"    --data {compared} \\"]
    lines += [f"    --float-answers {answers}"]
    return Result(
        document, Group(Text(_head(done)), _table(done), Text(_signs(done), "bold red"), Text("\n".join(lines)))
    )


def _head(done: Conversion) -> str:
    samples = plural(done.n_samples, "sample")
    per = "" if done.n_frames == done.n_samples else f" of {done.n_frames // done.n_samples} frames"
    ann = done.reference
    quality = "" if ann.accuracy is None else f", accuracy {100 * ann.accuracy:.2f} %"
    quality += "" if ann.rmse is None else f", RMSE {ann.rmse:.4g}"
    bits = sorted(done.weight_bits.values())
    return (
        f"{done.program.name} as sigma-delta: {done.n_samples:,} {samples}{per}, {done.what}\n"
        f"ANN: {ann.operations:,} multiplications a frame{quality}, outputs up to {ann.largest:.4g}\n"
        f"weights of {_span(bits[0], bits[-1])} bits; an answer is there {done.latency} frames after its frame\n"
        f"threshold {done.chosen.threshold:.3g}: {done.why}\n"
    )


def _span(low: float, high: float) -> str:
    ends = dict.fromkeys((f"{low:.1f}", f"{high:.1f}"))
    return " to ".join(ends)


def _table(done: Conversion) -> Table:
    """A row a threshold, a frame's costs and what the answers differ."""
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0))
    ann = done.reference
    quality = "right %" if ann.accuracy is not None else "RMSE" if ann.rmse is not None else "as ANN %"
    # short, because all of it has to stand in 60 columns
    for title in ("threshold", "messages", "SOPs", "% of ANN", quality, "max", "RMS"):
        table.add_column(title, justify="right")
    for point in done.curve:
        chosen = point.threshold == done.chosen.threshold
        table.add_row(
            f"{'→ ' if chosen else ''}{point.threshold:.3g}",
            f"{point.messages:,.1f}",
            f"{point.operations:,.0f}",
            f"{100 * point.operations / ann.operations:.1f}",
            _quality(point),
            f"{point.error_max:.3g}",
            f"{point.error_rms:.3g}",
            style="bold" if chosen else None,
        )
    table.caption = "messages and synaptic operations a frame; max, RMS: errors of the outputs against the ANN's"
    return table


def _quality(point: Point) -> str:
    if point.accuracy is not None:
        return f"{100 * point.accuracy:.2f}"
    return f"{point.rmse:.4g}" if point.rmse is not None else f"{100 * point.same:.2f}"


def _signs(done: Conversion) -> str:
    n, chance = done.chosen.left_range, done.reference.chance
    lost = f"✗ states left their 24 bits {n:,} times; calibrate on frames with activations as large\n" if n else ""
    return lost + (f"✗ the ANN's {chance}\n" if chance else "")


def _unit(done: Conversion) -> str:
    readout = done.program.readout
    assert readout is not None, "made with one"
    return f"an output of the ANN is (what is read - {readout.zero}) / {readout.scale:.6g}"
