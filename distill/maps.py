"""Inner maps of a teacher, found by the names of its modules; any ``nn.Module`` works."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamount.errors import ConfigError

Shape = tuple[int, int, int]


@contextmanager
def recorded(module: nn.Module, names: Sequence[str]) -> Iterator[dict[str, Tensor]]:
    """Within it, every forward fills the dictionary: name -> that module's output."""
    found: dict[str, Tensor] = {}

    def keep(name: str) -> Any:
        def hook(_: nn.Module, __: Any, output: Any) -> None:
            if isinstance(output, Tensor):
                found[name] = output

        return hook

    modules = dict(module.named_modules())
    handles = [modules[name].register_forward_hook(keep(name)) for name in names]
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()


def pooled(maps: Mapping[str, Tensor], side: int | None) -> dict[str, Tensor]:
    """Maps (B, C, H, W), the larger ones brought to ``side`` by their means."""
    if side is None:
        return dict(maps)
    return {
        name: F.adaptive_avg_pool2d(values, (min(side, values.shape[2]), min(side, values.shape[3])))
        for name, values in maps.items()
    }


def teacher_shapes(teacher: nn.Module, x: Tensor) -> dict[str, Shape]:
    """Every module that gives a map (B, C, H, W) -> (C, H, W), in the order in which they finish."""
    with torch.no_grad(), recorded(teacher, [name for name, _ in teacher.named_modules() if name]) as found:
        teacher(x)
    return {name: _shape(maps) for name, maps in found.items() if maps.ndim == 4}


def student_shapes(spikes: Mapping[str, Tensor]) -> dict[str, Shape]:
    """Every population that is a map (T, B, C, H, W) -> (C, H, W)."""
    return {name: _shape(maps) for name, maps in spikes.items() if maps.ndim == 5}


def choose(who: str, shapes: Mapping[str, Shape], wanted: Sequence[str]) -> dict[str, Shape]:
    """The maps asked for by name, or the last of every size larger than one pixel."""
    if wanted:
        missing = [name for name in wanted if name not in shapes]
        if missing:
            raise ConfigError(
                f"no maps called {', '.join(missing)}; there are {', '.join(shapes) or 'none'}",
                where=who,
                ways_out=f"correct distill.{who}_maps",
            )
        return {name: shapes[name] for name in wanted}
    last = {shape[1:]: name for name, shape in shapes.items() if shape[1] * shape[2] > 1}
    if not last:
        raise ConfigError(
            "the loss compares maps (C, H, W), but no layer has any", where=who, ways_out="choose another method"
        )
    return {name: shapes[name] for name in shapes if name in last.values()}


def _shape(maps: Tensor) -> Shape:
    return maps.shape[-3], maps.shape[-2], maps.shape[-1]
