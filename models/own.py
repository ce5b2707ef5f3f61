"""Teachers and students of one's own: ``teacher.arch = "mine.py:make_teacher"``, likewise ``student.arch``."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from torch import nn

from seamount import own
from seamount.errors import ConfigError, SeamountError

if TYPE_CHECKING:
    from .spiking_net import SpikingNet


def own_teacher(
    reference: str, *, n_classes: int | None, input_shape: Sequence[int], options: Mapping[str, Any]
) -> nn.Module:
    """The module that one's own function gives; it is asked for logits (B, K) of images (B, *input_shape)."""
    known = {} if n_classes is None else {"n_classes": n_classes}
    offered: dict[str, Any] = {**known, "input_shape": tuple(input_shape)}
    made: nn.Module = _module(reference, "teacher.arch", offered, options, "a torch module that gives logits (B, K)")
    return made


def own_student(
    reference: str,
    *,
    n_classes: int,
    input_shape: Sequence[int],
    n_steps: int,
    options: Mapping[str, Any],
    input_bits: int = 8,
    input_scale: float | None = None,
) -> SpikingNet:
    """The student that one's own function gives: a SpikingNet as it is, any other module by ``from_module``."""
    setting, shape = "student.arch", tuple(input_shape)
    scale = input_scale or (float((1 << input_bits) - 1) if input_bits else 1.0)
    entrance = {"input_shape": shape, "n_steps": n_steps, "input_bits": input_bits, "input_scale": scale}
    needed = "a SpikingNet, or a torch module of norse cells and layers"
    made = _module(reference, setting, {"n_classes": n_classes, **entrance}, options, needed)
    # here, because they bring norse, which takes longer to load than it takes to find out that there is no student
    from .from_module import from_module
    from .spiking_net import SpikingNet

    if not isinstance(made, SpikingNet):
        try:
            made = from_module(made, name=_name(reference), snap_decays=True, **entrance)  # type: ignore[arg-type]
        except SeamountError as error:
            raise type(error).together(
                reason.inside(f"{setting} = {reference}") for reason in error.reasons
            ) from error
    for what, wanted in entrance.items():
        if getattr(made, what) != wanted:
            found = f"{reference} gave a SpikingNet with {what} {getattr(made, what)}, the data need {wanted}"
            raise ConfigError(found, where=setting, ways_out=f"hand on the {what} with which it is called")
    return made


def _name(reference: str) -> str:
    return reference.rpartition(":")[2]


def _module(reference: str, setting: str, offered: Mapping[str, Any], options: Mapping[str, Any], needed: str) -> Any:
    made = own.make(reference, setting, offered, options)
    if not isinstance(made, nn.Module):
        raise ConfigError(f"{reference} gave {_kind(made)}", where=setting, possible=f"needed is {needed}")
    # a copy of what exists once, because each stage begins with an untrained one
    return made if own.is_maker(own.find(reference, setting)) else copy.deepcopy(made)


def _kind(made: object) -> str:
    return "nothing (is there a return?)" if made is None else f"a {type(made).__name__}"
