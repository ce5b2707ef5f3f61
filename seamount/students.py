"""Students in Python: a module brought to the chip's integers, and written down so that it can be deployed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from seamount.asked import Asked
from seamount.compile.formats import BitsSetting
from seamount.distill.data.own import all_samples
from seamount.distill.quantised import QuantisedStudent
from seamount.errors import InputError
from seamount.files import make_folder
from seamount.hardware_targets.target import load_target
from seamount.models.export import to_nir
from seamount.models.spiking_net import SpikingNet
from seamount.prepared import require_room
from seamount.run.answers import write_arrays
from seamount.run.export import write_graph

NETWORK, DATA = "network.nir", "data.npz"


def quantise(
    student: nn.Module, x: Tensor, *, target: str = "loihi1", weight_bits: BitsSetting = None
) -> QuantisedStudent:
    """The student in the chip's integers; train it on as any module, then ``deploy`` it.

    Args:
        student: of ``build_student`` or ``from_module``.
        x: real samples as it takes them, from which scales are set: (B, *shape) or (T, B, *shape) in [0, 1].
        weight_bits: of all weights, or by layer; None: the widest that the target has.

    Raises:
        Unsupported: what the chip cannot hold, by name.
        InputError: no student; weights that are not float32 numbers; samples outside of [0, 1].
    """
    if not isinstance(student, SpikingNet):
        ways = "from_module(module, input_shape=..., n_steps=...) makes one of norse cells and layers"
        found = f"a {type(student).__name__}"
        raise InputError(found, where="student", possible="needed is a SpikingNet", ways_out=ways)
    _check_weights(student)
    for name, weights in student.named_parameters():  # another default of torch, say: calibration would end in torch
        if weights.dtype != torch.float32:
            found = f"{str(weights.dtype).removeprefix('torch.')} weights"
            raise InputError(
                found, where=f"student, {name}", possible="needed is float32", ways_out="student.float()"
            )
    if not isinstance(x, Tensor):
        raise InputError(
            f"a {type(x).__name__}", where="x", possible="needed is a tensor", ways_out="torch.as_tensor(x)"
        )
    formats = load_target(target).chip.formats
    return QuantisedStudent(student, formats=formats, weight_bits=weight_bits).calibrate(x)


def _check_weights(student: nn.Module) -> None:
    for name, weights in student.named_parameters():
        if weights.is_meta:
            ways = "build it on a device that holds numbers, or load its weights"
            raise InputError("weights without numbers (device meta)", where=f"student, {name}", ways_out=ways)


@contextmanager
def written(student: nn.Module, data: Any, folder: Path, asked: Asked) -> Iterator[Asked]:
    """What is asked for, with student and samples as files of the folder; they are gone if it fails.

    Args:
        data: samples and labels as ``data.name`` gives them (docs/own_code.md): of a pair the test part.
    """
    ours = _of_ours(student)
    require_room(folder)
    new = not folder.exists()
    paths = folder / NETWORK, folder / DATA
    make_folder(folder)
    try:
        write_graph(ours.to_nir() if isinstance(ours, QuantisedStudent) else to_nir(ours), paths[0])
        if data is not None:
            write_arrays(paths[1], _samples(ours, data))
        given = None if data is None else str(paths[1].absolute())
        yield Asked(**{**asked.__dict__, "source": str(paths[0].absolute()), "data": given})
    except BaseException:
        for path in paths if new else ():
            path.unlink(missing_ok=True)
        if new and not any(folder.iterdir()):
            folder.rmdir()
        raise


def _of_ours(student: nn.Module) -> SpikingNet | QuantisedStudent:
    if isinstance(student, SpikingNet | QuantisedStudent):
        _check_weights(student)
        return student
    ways = ("quantise(...) or from_module(...) makes one",)
    possible = "needed is a SpikingNet or a QuantisedStudent, or a file"
    raise InputError(f"a {type(student).__name__}", where="student", possible=possible, ways_out=ways)


def _samples(student: SpikingNet | QuantisedStudent, data: Any) -> dict[str, Any]:
    """The chip's integers (T, B, *shape) or (B, *shape), and the labels."""
    shape = tuple(student.input_shape)
    scale = (student.net if isinstance(student, QuantisedStudent) else student).input_scale
    whole = scale == 1  # spikes and numbers of events; else shares of 255
    samples = all_samples(data, n_steps=student.n_steps, shape=shape, whole=whole)
    values = samples.read(samples.ids, None)
    if values.dim() == len(shape) + 2:  # (N, T, *shape)
        values = values.swapaxes(0, 1)
    if not student.input_bits and (most := int(values.max() if values.numel() else 0)) > 1:
        found = f"x goes to {most}, but the student takes spikes (input_bits=0)"
        ways = (
            "images need a student with input_bits=8, as in from_module(module, ..., input_bits=8)",
            "x.clip(0, 1)",
        )
        raise InputError(found, where="data", ways_out=ways)
    given = values.double() if whole else values.double() / 255 * scale
    return {"x": torch.round(given).numpy().astype(np.int64), "y": samples.labels.numpy()}
