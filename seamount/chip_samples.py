"""Samples as a program's inputs take them: from a file, a run's test set, a data set or one's own.

Everything heavy is imported where it is used, so that the command line answers fast.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seamount.artefacts import (
    SAMPLES,
    ReportFolder,
    RunFolder,
    recognised,
)
from seamount.compile.program.program import UNSAID, Input, Program
from seamount.errors import ConfigError, InputError, nearest
from seamount.foreign.arrays import Arrays
from seamount.foreign.labels import check_outputs, class_labels
from seamount.foreign.samples import ENDINGS, read_samples
from seamount.notebook import line
from seamount.surroundings import undisturbed

if TYPE_CHECKING:
    from seamount.distill.config import DataConfig

Ints = NDArray[np.int64]
Reals = NDArray[np.float64]


@dataclass(frozen=True)
class ChipSamples:
    """What enters the chip: ``inputs``, integers (T, B, *shape) by input; ``labels`` (B,) where they are known, or in
    their place real ``targets`` (T, B, K)."""

    inputs: Mapping[str, Ints]
    labels: Ints | None
    what: str
    targets: Reals | None = None

    def __repr__(self) -> str:
        arrays = [f"{name} {x.shape}" for name, x in self.inputs.items()]
        return line("ChipSamples", self.what, (*arrays, "no labels" if self.labels is None else "labels"))

    @property
    def n(self) -> int:
        """Samples; a program without inputs, which biases alone drive, runs one."""
        return next((x.shape[1] for x in self.inputs.values()), 1)

    def first(self, n: int | None) -> ChipSamples:
        """At most so many of the samples."""
        cut = {name: x[:, :n] for name, x in self.inputs.items()}
        labels = None if self.labels is None else self.labels[:n]
        return replace(self, inputs=cut, labels=labels, targets=None if self.targets is None else self.targets[:, :n])


def data_for(path: Path | str, data: Path | str | None) -> str | None:
    """What was asked for, else the samples of the run or report that ``path`` is the folder of."""
    if data is not None:
        return str(data)
    found = recognised(path)
    if isinstance(found, RunFolder):
        return str(found.path)
    if isinstance(found, ReportFolder) and (samples := found.path / SAMPLES).exists():
        return str(samples)
    return None


def require_data(data: str | None, settings: Sequence[str] = ()) -> None:
    """Refuses samples that are not there, as ``samples_for`` would, before minutes go into lowering a network.

    Raises:
        InputError, ConfigError: no such file, run, data set or function of one's own.
    """
    if data is None:
        return
    _check_settings_of(data, settings)
    if not _is_file(data):
        _config_of(data, settings)
    elif not Path(data).exists():
        raise InputError("no such file", where=data)


def _is_file(data: str) -> bool:
    return Path(data).suffix in ENDINGS and not Path(data).is_dir()


def _check_settings_of(data: str, settings: Sequence[str]) -> None:
    other = [setting for setting in settings if not setting.startswith("data.")]
    if other:
        raise ConfigError("no setting of data", where=f"--set {other[0]}", ways_out="as data.root=FOLDER")
    if settings and _is_file(data):
        raise ConfigError(f"{data} is a file, which is read as it is", where=f"--set {settings[0]}")


def _config_of(data: str, settings: Sequence[str]) -> DataConfig:
    """Of the run in that folder, or of the data set called so; its files are looked for."""
    from seamount.config import load_config
    from seamount.distill.choices import DATA_SETS
    from seamount.distill.layouts import LAYOUTS, root_of
    from seamount.own import is_own
    from seamount.own_source import check_source

    if Path(data).is_dir():
        if not (resolved := Path(data) / "resolved.toml").exists():
            ways = (f"name a run, or a file ({', '.join(ENDINGS)})", f"--data file --set data.root={data}")
            raise InputError("not the folder of a run (it has no resolved.toml)", where=data, ways_out=ways)
        config = load_config(resolved, settings).data
    elif not is_own(data) and data not in DATA_SETS:
        possible = f"a file ends in {', '.join(ENDINGS)}, data sets are {', '.join(DATA_SETS)}"
        raise InputError(
            "neither a file nor a data set", where=data, possible=possible, ways_out=nearest(data, DATA_SETS)
        )
    else:
        config = load_config(None, [f'data.name="{data}"', *settings]).data
    if is_own(config.name):
        check_source(config.name, "data.name", config.options)
    if config.name in LAYOUTS and not config.download:
        root_of(config)
    return config


@undisturbed
def samples_for(
    program: Program, data: str | None, n: int | None = None, settings: Sequence[str] = ()
) -> ChipSamples:
    """Integers for a program's inputs.

    Args:
        data: a file (``ENDINGS``) with an array for each input, called as the input (``x`` where there is one):
            integers (T, B, *shape), or (B, *shape) for a still image shown at every step, and perhaps ``y`` (B,); a
            run folder (its test set); or the name of a data set, or of one's own (mine.py:make_data). None for a
            program without inputs.
        n: at most so many samples.
        settings: of the data set, as data.root=FOLDER.
    """
    names = [i.name for i in program.inputs]
    if data is None:
        if names:
            raise ConfigError(f"{program.name} has the inputs {', '.join(names)}", where="--data", ways_out=NPZ)
        return ChipSamples({}, None, "no input")
    _check_settings_of(data, settings)
    if _is_file(data):
        return _samples_from_file(program, Path(data)).first(n)
    if len(names) != 1:
        told = f"{data} holds one array a sample, {program.name} has {len(names)} inputs ({', '.join(names)})"
        raise ConfigError(told, where="--data", ways_out=NPZ)
    return _test_set(data, settings, program, names[0], n)


def _test_set(data: str, settings: Sequence[str], program: Program, entry: str, n: int | None) -> ChipSamples:
    config = _config_of(data, settings)
    from seamount.distill.data import load_data  # after it, because it loads torch

    loaded = load_data(config, n_steps=program.n_steps or 1)
    numbers = list(range(len(loaded.test)))[:n]
    labels = loaded.test.labels[: len(numbers)].numpy()
    return ChipSamples({entry: loaded.chip_inputs(loaded.test, numbers)}, labels, f"{loaded.name} test set")


NPZ = f"pass a file ({', '.join(ENDINGS)}) with an array for each input"


def arrays_of(path: Path | str) -> Arrays:
    """x, or an array for each input by its name, and perhaps y, the labels; each is read when it is asked for."""
    path = Path(path)
    arrays = read_samples(path)
    if not set(arrays) - {"y"}:
        raise InputError(f"holds {', '.join(arrays) or 'nothing'}; x is needed, and y for labels", where=path)
    return arrays


def n_classes(program: Program) -> int | None:
    """A class is a neuron of the population that is read out."""
    return None if program.readout is None else program.population(program.readout.population).n_neurons


def _samples_from_file(program: Program, path: Path) -> ChipSamples:
    arrays = arrays_of(path)
    names = [i.name for i in program.inputs]
    # an input may be called y: then that is no label
    y = None if "y" in names else arrays.get("y")
    keys = {names[0]: "x"} if len(names) == 1 and names[0] not in arrays else {name: name for name in names}
    missing = sorted(set(keys.values()) - set(arrays))
    if missing:
        raise InputError(
            f"holds {', '.join(arrays)} and not {', '.join(missing)}",
            where=path,
            possible=f"needed is an array for each of the inputs ({', '.join(names)}), and perhaps y for labels",
        )
    inputs = {i.name: _over_time(program, i, arrays[key := keys[i.name]], key, path) for i in program.inputs}
    n = next((x.shape[1] for x in inputs.values()), 1)
    n_given = max(map(len, inputs.values()), default=program.n_steps)
    targets = None
    # one number a sample is the output of a network with one; of another they are labels
    if y is not None and y.dtype.kind == "f" and (y.ndim != 1 or n_classes(program) in (None, 1)):
        targets, y = _targets(program, y, n, n_given or 1, path), None
    if y is not None:
        y = class_labels(y, path, n_classes=n_classes(program), n_samples=n)
    short = program.n_steps is not None and n_given is not None and n_given < program.n_steps
    # not refused, because a pulse at the first steps is a sample, too
    told = f" ({n_given} of {program.n_steps} steps are in the file, silence fills up the others)" if short else ""
    dark = "".join(_dark(entry, inputs[entry.name], keys[entry.name]) for entry in program.inputs)
    return ChipSamples(inputs, y, f"{path}{told}{dark}", targets)


def _dark(entry: Input, x: NDArray[Any], key: str) -> str:
    """What is told of values that are hardly any: real images in black and white, perhaps.

    They may be meant, so they are not refused; and not multiplied, because 0 and 1 are whole numbers as they stand.
    """
    if entry.bits < 2 or x.dtype.kind not in "biuf" or not x.size or x.max() > 1:
        return ""
    return f" ({key} goes to {float(x.max()):g} where {entry.high} is possible)"


def _targets(program: Program, y: NDArray[Any], n: int, n_steps: int, path: Path) -> Reals:
    """Real outputs (T, B, K); those of the samples are those of each of their frames."""
    k = n_classes(program)
    if k is None:
        raise InputError("y are real outputs, and the program has no readout", where=path)
    check_outputs(y, path, "y[None]")
    if program.readout is not None and program.readout.scale is None:
        ways = ("give classes, whole numbers from 0", "leave y out", "a network that `seamount convert` made says it")
        raise InputError(f"y {y.shape} are real outputs, and {UNSAID}", where=path, ways_out=ways)
    found = y.reshape(1, n, -1) if y.ndim in (1, 2) and len(y) == n else y
    if found.shape[1:] != (n, k) or found.shape[0] not in (1, n_steps) or not np.isfinite(found).all():
        needed = f"needed are finite outputs ({n}, {k}), or ({n_steps}, {n}, {k}) of each frame"
        raise InputError(f"y {y.shape} of type {y.dtype}", where=path, possible=needed)
    return np.broadcast_to(found, (n_steps, n, k)).astype(np.float64)


def _over_time(program: Program, entry: Input, x: NDArray[Any], key: str, path: Path) -> NDArray[Any]:
    """(T, B, *shape); a still image stands at every step."""
    lines, found = entry.shape[:1] + entry.shape[2:], (x.shape[1:], x.shape[2:])
    if entry.shape[1:2] == (1,) and lines in found and entry.shape not in found:
        x = np.expand_dims(x, -2)  # (C, L), which the program holds as maps of height 1
    if x.shape[1:] == entry.shape:
        if program.n_steps is None:
            raise InputError(
                f"{key} {x.shape} has one image a sample, but the program names no number of steps",
                where=path,
                ways_out="say --steps 16, for as many steps as each is to be shown",
            )
        x = np.broadcast_to(x, (program.n_steps, *x.shape))
    _require_axes(x, entry.shape, program.n_steps, key, path)
    return x


def _require_axes(x: NDArray[Any], shape: tuple[int, ...], n_steps: int | None, key: str, path: Path) -> None:
    """Refuses axes that stand in another order than (T, B, *shape), as far as the numbers show it."""
    if x.shape[2:] != shape:
        needed = ", ".join(str(n) for n in shape)
        last = len(shape) == 3 and x.shape[-3:] == (*shape[1:], shape[0])
        ways = (
            (f"this looks like (..., H, W, C): np.moveaxis({key}, -1, -3) brings the channels in front",)
            if last
            else ()
        )
        raise InputError(
            f"{key} {x.shape}; the program needs (T, B, {needed}), or without T", where=path, ways_out=ways
        )
    if n_steps is not None and len(x) != n_steps and x.shape[1] == n_steps:
        raise InputError(
            f"{key} {x.shape} looks like (B, T, ...): samples of this program have {n_steps} steps, and time comes "
            "first",
            where=path,
            ways_out=f"write {key}.swapaxes(0, 1)",
        )
