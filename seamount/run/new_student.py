"""The student that a configuration names, before anything is learned."""

from __future__ import annotations

import torch

from seamount.config import CompileConfig
from seamount.distill.config import StudentConfig
from seamount.distill.data import Data
from seamount.models.spiking_net import SpikingNet
from seamount.models.zoo import build_student

from .readout import asked_answer
from .settings import Readout, Student


def new_student(
    student: Student | StudentConfig, compiled: Readout | CompileConfig, data: Data, seed: int | None = None
) -> SpikingNet:
    """An untrained one; without a seed for weights that are put into it."""
    if seed is not None:
        torch.manual_seed(seed)
    network = build_student(
        student.arch,
        n_classes=data.n_classes,
        input_shape=data.input_shape,
        n_steps=student.n_steps,
        input_bits=data.input_bits,
        input_scale=data.input_scale,
        **student.options,
    )
    if compiled.readout is not None:
        network.answer = asked_answer(network, compiled.readout)
    return network
