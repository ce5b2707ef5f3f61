"""`seamount convert`: a trained ANN as a sigma-delta program, in a folder.

program.h5          what a chip would run
samples.npz         what was compared, and answers.npz: the ANN's outputs of each frame
network.net         the same for lava-dl's netx, where it was asked for
conversion.json     what thresholds cost and give; the program against the ANN, frame by frame
conversion.html     the same as a page, with curves
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from seamount.artefacts import RunFolder, recognised
from seamount.chip_samples import require_data
from seamount.config import load_config
from seamount.errors import ConfigError, InputError
from seamount.files import check_place
from seamount.models.choices import check_teacher
from seamount.own import blamed, is_own
from seamount.own_source import check_source
from seamount.run.told import Told, usual
from seamount.surroundings import undisturbed

if TYPE_CHECKING:
    from torch import nn

    from seamount.distill.config import TeacherConfig
    from seamount.frames import Frames
    from seamount.sigma_delta import Conversion

PROGRAM, NET, DOCUMENT, PAGE = "program.h5", "network.net", "conversion.json", "conversion.html"
COMPARED, ANSWERS = "samples.npz", "answers.npz"

N_SAMPLES = 1000


@undisturbed
def convert(
    ann: nn.Module | Path | str,
    data: Any = None,
    *,
    threshold: float | None = None,
    messages: float | None = None,
    frames: bool = False,
    net: bool = False,
    settings: Sequence[str] = (),
    n_samples: int = N_SAMPLES,
    folder: Path | str | None = None,
    told: Told | None = None,
) -> Conversion:
    """A trained ANN as a program of sigma-delta neurons, without training; and how near it stays to the ANN.

    Scales follow from activations on real samples, weights are rounded to 8 bits, a change is sent where it reaches
    the threshold.

    Args:
        ann: a torch module of Linear, Conv2d, BatchNorm, pooling, ReLU and sums that takes x in [0, 1]; a function or
            class that gives one, as mine.py:make_net; a teacher by name, with teacher.checkpoint; or the folder of a
            run, whose teacher is taken.
        data: see ``frames_of``; of a run's folder its data set by default.
        threshold: a share, 0 to 1, of what activations of a layer seldom exceed; None: the largest of the curve with
            which outputs stay within 3 % of their spread of the ANN's, on the frames that calibrate.
        messages: in its place: as low a threshold as leaves at most so many messages a frame, on the frames that
            calibrate.
        frames: whether samples are sequences of frames.
        net: hold to what a .net file can say (fewer weight bits in deep networks), and write one.
        settings: of the sections teacher and data, as data.root=FOLDER or teacher.checkpoint=FILE.
        n_samples: at most so many are compared.
        folder: where files go; None: nothing is written.
        told: who hears how it goes; None: a bar in a terminal and in a notebook. ``Told()`` is silence.

    Raises:
        Unsupported: what in the ANN has no place among such layers, by name.
        ConfigError, InputError: see ``frames_of``.
    """
    told = told or usual()
    if folder is not None:
        _require_room(Path(folder))
    _check(ann, data, settings)
    from seamount.sigma_delta import convert as made  # after it, because it loads torch

    told.stage("read the network and its data")
    module, name, calibration, test = _asked(ann, data, frames, settings)
    if n_samples < 1:
        raise ConfigError(f"{n_samples}", where="--samples", possible="at least 1 is possible")
    compared = test.part(0, n_samples)
    with blamed():
        found = made(
            module,
            calibration,
            compared,
            name=name,
            threshold=threshold,
            messages=messages,
            for_netx=net,
            told=told,
        )
    if folder is not None:
        _write(found, compared, Path(folder), net)
    return found


def _require_room(folder: Path) -> None:
    check_place(folder)
    if folder.exists() and not folder.is_dir():
        raise ConfigError("is a file", where=folder, ways_out="name a folder with --out")
    ours = {PROGRAM, NET, DOCUMENT, PAGE, COMPARED, ANSWERS}
    foreign = {path.name for path in folder.iterdir()} - ours if folder.exists() else set()
    if foreign:
        raise ConfigError("holds something else", where=folder, ways_out="name another folder with --out")


def _write(found: Conversion, compared: Frames, folder: Path, net: bool) -> None:
    from seamount.compile.program.file import save_program
    from seamount.files import make_folder, write_atomically, write_json
    from seamount.programs import write_net
    from seamount.report.conversion import render_conversion_html
    from seamount.run.answers import write_arrays

    make_folder(folder)
    (folder / NET).unlink(missing_ok=True)
    save_program(found.program, folder / PROGRAM)
    y = {"y": compared.labels} if compared.labels is not None else {"y": compared.targets}
    write_arrays(
        folder / COMPARED, {"x": compared.x, **{key: value for key, value in y.items() if value is not None}}
    )
    write_arrays(folder / ANSWERS, {"answers": found.reference.outputs})
    document = found.to_dict()
    if net:
        document["netx"] = dict(write_net(found.program, folder / NET).arguments)
    write_json(folder / DOCUMENT, document)
    write_atomically(folder / PAGE, render_conversion_html(found))


def _check(ann: Any, data: Any, settings: Sequence[str]) -> None:
    """What is wrong with names and files, as far as it shows without loading what they are for."""
    other = [one for one in settings if one.partition(".")[0] not in ("teacher", "data")]
    if other:
        ways = "as data.root=FOLDER or teacher.checkpoint=FILE"
        raise ConfigError("no setting of teacher or data", where=f"--set {other[0]}", ways_out=ways)
    of_run = isinstance(ann, Path | str) and Path(ann).is_dir() and isinstance(recognised(ann), RunFolder)
    if data is None and not of_run:
        raise ConfigError("needed to calibrate the network on", where="--data", ways_out="name a file or a data set")
    if isinstance(data, Path | str):
        require_data(str(data), [one for one in settings if one.startswith("data.")])
    if isinstance(ann, Path | str) and not of_run:
        _check_named(str(ann), settings)


def _check_named(arch: str, settings: Sequence[str]) -> None:
    teacher = _teacher_settings(arch, settings)
    if is_own(arch):
        check_source(arch, "teacher.arch", teacher.options)
    elif teacher.checkpoint is None:
        ways = "name its trained weights with --checkpoint, or the folder of a run"
        raise ConfigError("has no trained weights", where=arch, ways_out=ways)
    else:
        check_teacher(arch, teacher.options)
    if teacher.checkpoint is not None and not Path(teacher.checkpoint).exists():
        raise InputError("no such file", where=teacher.checkpoint)


def _teacher_settings(arch: str, settings: Sequence[str]) -> TeacherConfig:
    return load_config(None, [f'teacher.arch="{arch}"', *(s for s in settings if s.startswith("teacher."))]).teacher


def _asked(
    ann: nn.Module | Path | str, data: Any, frames: bool, settings: Sequence[str]
) -> tuple[nn.Module, str, Frames, Frames]:
    """The network, its name, what to calibrate on and what to compare on."""
    from seamount.frames import frames_of

    if isinstance(ann, Path | str) and Path(ann).is_dir() and isinstance(recognised(ann), RunFolder):
        return _of_run(Path(ann), data, frames, settings)
    of_data = [one for one in settings if one.startswith("data.")]
    calibration, test = frames_of(data, frames=frames, settings=of_data)
    if not isinstance(ann, Path | str):
        return ann, type(ann).__name__, calibration, test
    arch = str(ann)
    return _named(arch, test, settings), arch.rpartition(":")[2], calibration, test


def _named(arch: str, test: Frames, settings: Sequence[str]) -> nn.Module:
    from seamount.distill import checkpoint
    from seamount.models.teachers import build_teacher

    teacher = _teacher_settings(arch, settings)
    n_classes = None if test.labels is None else int(test.labels.max()) + 1
    network = build_teacher(arch, n_classes=n_classes, input_shape=test.shape, **teacher.options)
    if teacher.checkpoint is not None:
        checkpoint.put(network, checkpoint.load_weights(Path(teacher.checkpoint)), teacher.checkpoint)
    return network


def _of_run(folder: Path, data: Any, frames: bool, settings: Sequence[str]) -> tuple[nn.Module, str, Frames, Frames]:
    """The teacher of a run, by default on its data set."""
    from seamount.distill.data import load_data
    from seamount.frames import frames_of, parts_of
    from seamount.run.folder import Run
    from seamount.run.names import going_on
    from seamount.run.settings import Teacher
    from seamount.run.stages import STAGES
    from seamount.run.stages.teacher import TEACHER, trained_teacher

    config = load_config(folder / "resolved.toml", settings)
    loaded = load_data(config.data, n_steps=config.student.n_steps)
    reads = Teacher(arch=config.teacher.arch, options=config.teacher.options)
    teacher = trained_teacher(Run(folder, STAGES).of(TEACHER), reads, loaded)
    if teacher is None:
        raise ConfigError("has no trained teacher", where=folder, ways_out=f"`{going_on(folder)}` trains it")
    found = parts_of(loaded) if data is None else frames_of(data, frames=frames)
    return teacher, f"{folder.resolve().name}-teacher", *found
