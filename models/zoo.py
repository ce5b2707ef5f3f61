"""Students by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from seamount.own import is_own

from . import students as s
from .choices import StudentOptions, check_classes, student_options
from .lines import conv1d
from .own import own_student
from .spiking_net import SpikingNet

Builder = Callable[[str, int, Sequence[int], int, StudentOptions], SpikingNet]

STUDENTS: dict[str, Builder] = {
    "small": s.small,
    "vgg8": partial(s.vgg, plan=s.VGG8, hidden=()),
    "vgg9": partial(s.vgg, plan=s.VGG9, hidden=(1024,)),
    "vgg11": partial(s.vgg, plan=s.VGG11, hidden=()),
    "vgg11-sastc": partial(s.vgg, plan=s.VGG11, hidden=(512, 512), bias=True, plain_head=True),
    "resnet18": partial(s.resnet, plan=s.RESNET18),
    "resnet19": partial(s.resnet, plan=s.RESNET19),
    "resnet19-sastc": partial(s.resnet, plan=s.RESNET19_SASTC),
    "wrn16-2": partial(s.resnet, plan=s.WRN16_2),
    "wrn16-2-sastc": partial(s.resnet, plan=s.WRN16_2_SASTC),
    "preact-resnet34": s.preact_resnet34,
    "recurrent": s.recurrent,
    "conv1d": partial(conv1d, loops=False),
    "conv1d-recurrent": partial(conv1d, loops=True),
}


def build_student(
    name: str, *, n_classes: int, input_shape: Sequence[int], n_steps: int, **options: Any
) -> SpikingNet:
    """A spiking student.

    Args:
        name: of ``STUDENTS``; docs/students.md says what each is. Or one's own, as mine.py:make_student.
        input_shape: (C, H, W); "recurrent" takes any, "conv1d" and "conv1d-recurrent" lines (C, 1, L).
        n_steps: T.
        options: ``choices.StudentOptions``, or of one's own.
    """
    if is_own(name):
        entrance = {key: options.pop(key) for key in ("input_bits", "input_scale") if key in options}
        return own_student(
            name, n_classes=n_classes, input_shape=input_shape, n_steps=n_steps, options=options, **entrance
        )
    chosen = student_options(name, options)
    check_classes(name, n_classes)
    return STUDENTS[name](name, n_classes, tuple(input_shape), n_steps, chosen)
