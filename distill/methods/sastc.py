"""SASTC (arXiv 2501.08049): student maps regress onto teacher maps, weighted by how alike they relate samples.

Two readings of the relations. ``exact``: the released code, whose embeddings take a row of a batch's Gram matrix as
it is, so that their width is the batch size, a batch of 4 has one unit (which cannot learn) and a silent layer can
give 0/0. ``repaired`` (default): a row of cosines, sorted (a sample's place in the batch means nothing) and read at a
fixed number of points, and an epsilon in the norm; any batch, all else unchanged.

Under several processes a batch is still one: relations and statistics are those of all its samples.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamount.errors import ConfigError, InputError

from ..parallel import alone, normalise, whole_batch
from .lesson import Lesson, Settings, Shape, full

POINTS = 32
"""Width of the repaired embedding's input: a sorted row of cosines is read at so many places."""

EPS = 1e-5
"""Of the regressors' batch norm, torch's own."""

FACTOR = 4
"""The authors' reduction: widths n -> 2 (n // 4) -> n // 4."""


class Sastc(nn.Module):
    """Attention-weighted regression of every student layer onto every teacher layer, at every step.

    Args:
        student: layer -> (C, H, W), in the order in which the maps come.
        teacher: likewise.
        batch_size: None for the repaired relations; a number for the exact ones, which hold for this batch alone.
        every: the loss is multiplied by it; lessons without maps, where it is 0, stand in between.
        side: largest of the compared maps; larger ones are pooled, the student's to their maximum (the teacher's come
            pooled, to their mean).
    """

    def __init__(
        self,
        student: Mapping[str, Shape],
        teacher: Mapping[str, Shape],
        *,
        batch_size: int | None = None,
        every: int = 1,
        side: int | None = None,
        points: int = POINTS,
        factor: int = FACTOR,
    ) -> None:
        super().__init__()
        if not student or not teacher:
            raise ConfigError(
                "needs at least one map of the student and one of the teacher", where="sastc", ways_out="name them"
            )
        width = points if batch_size is None else batch_size
        if width // factor < 1:
            raise ConfigError(
                f"batch {width} is too small for the exact mode, its embedding has {width} // {factor} = 0 units",
                where="sastc",
                ways_out="use sastc = 'repaired', or a batch of at least 8",
            )
        self.student, self.teacher = dict(student), dict(teacher)
        self.batch_size, self.points, self.every = batch_size, points, every
        self.query = Embeddings(len(student), width, factor, repaired=batch_size is None)
        self.key = Embeddings(len(teacher), width, factor, repaired=batch_size is None)
        self._count = len(teacher)
        self.regressors = nn.ModuleList(
            group for source in student.values() for group in _regressors(source, list(teacher.values()), side)
        )

    @classmethod
    def of(cls, settings: Settings) -> Sastc:
        return cls(
            settings.student_shapes or {},
            settings.teacher_shapes or {},
            batch_size=settings.exact_batch,
            every=settings.sastc_every,
            side=settings.sastc_side,
        )

    def forward(self, lesson: Lesson) -> Tensor:
        if not lesson.teacher_maps:
            # of every parameter, because several processes wait for the gradient of each
            return 0 * torch.stack([parameter.sum() for parameter in self.parameters()]).sum()
        student = [lesson.student_maps[name].transpose(0, 1) for name in self.student]
        teacher = [lesson.teacher_maps[name].detach() for name in self.teacher]
        return (self.attention(student, teacher) * self.errors(student, teacher)).sum(-1).mean() * self.every

    def attention(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """How much student layer i listens to teacher layer j: (B, T, S, L), softmax over j.

        Args:
            student: per layer (B, T, C, H, W).
            teacher: per layer (B, C, H, W).
        """
        with torch.autocast(teacher[0].device.type, enabled=False):
            queries = torch.stack([self.relate(maps.transpose(0, 1)) for maps in student])  # (S, T, B, width)
            keys = torch.stack([self.relate(maps.unsqueeze(0)) for maps in teacher])  # (L, 1, B, width)
            scores = torch.einsum("stbd,lbd->btsl", self.query(queries), self.key(keys)[:, 0])
        return scores.softmax(-1)

    def relate(self, maps: Tensor) -> Tensor:
        """How each sample relates to its batch: (T, B, C, H, W) -> (T, B, width)."""
        flat = full(maps.flatten(2))
        if self.batch_size is not None:
            others = whole_batch(flat)
            if others.shape[1] != self.batch_size:
                raise InputError(
                    f"a batch of {others.shape[1]}, but the exact mode holds for batches of {self.batch_size} only",
                    where="sastc",
                    ways_out="drop short batches, or use sastc = 'repaired'",
                )
            return flat @ others.transpose(1, 2)
        flat = flat / flat.norm(dim=-1, keepdim=True).clamp_min(1e-6)
        cosines = (flat @ whole_batch(flat).transpose(1, 2)).sort(-1).values
        return F.interpolate(cosines, self.points, mode="linear", align_corners=True)

    def errors(self, student: list[Tensor], teacher: list[Tensor]) -> Tensor:
        """Mean squared error of each pair's regression: (B, T, S, L)."""
        rows = []
        groups = iter(self.regressors)
        targets: dict[tuple[int, tuple[int, int]], Tensor] = {}
        for maps in student:
            row: dict[int, Tensor] = {}
            while len(row) < self._count:
                group = next(groups)
                assert isinstance(group, Regressors)
                for j, value in group(maps).items():
                    if (j, group.size) not in targets:
                        targets[j, group.size] = F.adaptive_avg_pool2d(teacher[j], group.size)
                    row[j] = full((value - targets[j, group.size].unsqueeze(1)).square()).mean((2, 3, 4))
            rows.append(torch.stack([row[j] for j in range(self._count)], -1))
        return torch.stack(rows, 2)


class Embeddings(nn.Module):
    """One two-layer perceptron per map, all run at once, its output brought to length 1."""

    def __init__(self, n: int, width: int, factor: int, *, repaired: bool) -> None:
        super().__init__()
        hidden, out = 2 * (width // factor), width // factor
        self.weight1 = nn.Parameter(_uniform(n, hidden, width, fan_in=width))
        self.bias1 = nn.Parameter(_uniform(n, hidden, fan_in=width))
        self.weight2 = nn.Parameter(_uniform(n, out, hidden, fan_in=hidden))
        self.bias2 = nn.Parameter(_uniform(n, out, fan_in=hidden))
        self.repaired = repaired

    def forward(self, relations: Tensor) -> Tensor:
        """(n, T, B, width) -> (n, T, B, out)."""
        hidden = torch.einsum("ntbi,noi->ntbo", relations, self.weight1) + self.bias1[:, None, None]
        units = torch.einsum("ntbi,noi->ntbo", hidden.relu(), self.weight2) + self.bias2[:, None, None]
        length = units.square().sum(-1, keepdim=True)
        return units * (length + 1e-12).rsqrt() if self.repaired else units / length.sqrt()


class Regressors(nn.Module):
    """Maps of one student layer onto all teacher layers that are compared at one size.

    Per teacher layer of C_t channels: convolution 3x3 to 2 C_t, batch norm, ReLU, convolution 1x1 to C_t. The first
    convolutions are one, with their outputs side by side.
    """

    def __init__(self, channels: int, teachers: Mapping[int, int], size: tuple[int, int]) -> None:
        super().__init__()
        self.teachers, self.size = dict(teachers), size
        self.conv = nn.Conv2d(channels, 2 * sum(teachers.values()), 3, padding=1, bias=False)
        self.norm = StepNorm(2 * sum(teachers.values()))
        self.out = nn.ModuleList(nn.Conv2d(2 * n, n, 1, bias=False) for n in teachers.values())

    def forward(self, maps: Tensor) -> dict[int, Tensor]:
        """(B, T, C, H, W) -> per teacher layer (B, T, C_t, h, w)."""
        lead = maps.shape[:2]
        flat = maps.flatten(0, 1)
        if flat.shape[2:] != self.size:
            flat = F.adaptive_max_pool2d(flat, self.size)
        hidden = self.norm(self.conv(flat), lead[1]).relu()
        parts = hidden.split([2 * n for n in self.teachers.values()], 1)
        return {
            j: conv(part).unflatten(0, lead) for j, conv, part in zip(self.teachers, self.out, parts, strict=True)
        }


class StepNorm(nn.Module):
    """Batch norm whose statistics belong to one step and channel, as if it were called once a step, in one call.

    The running buffers follow the T calls; nothing reads them, they are kept because the authors' module keeps them.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor

    def __init__(self, channels: int, momentum: float = 0.1) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.momentum = momentum
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))
        self.register_buffer("num_batches_tracked", torch.tensor(0))

    def forward(self, maps: Tensor, n_steps: int) -> Tensor:
        """(B * T, M, h, w), samples outermost -> the same."""
        n, channels, height, width = maps.shape
        flat = maps.reshape(n // n_steps, n_steps * channels, height, width)
        weight, bias = self.weight.repeat(n_steps), self.bias.repeat(n_steps)
        if not alone():
            flat, count, mean, variance = normalise(flat, EPS)
            flat = (flat * weight[:, None, None] + bias[:, None, None]).to(maps.dtype)
            variance = variance * count / (count - 1)
        elif flat[:, 0].numel() == 1:  # 0, because a single value has no spread to be normalised by
            return maps * 0 + self.bias[:, None, None]
        else:
            mean = self.running_mean.new_zeros(n_steps * channels)
            variance = torch.ones_like(mean)
            flat = F.batch_norm(flat, mean, variance, weight, bias, training=True, momentum=1.0, eps=EPS)
        self._follow(mean.view(n_steps, channels), variance.view(n_steps, channels))
        return flat.view(n, channels, height, width)

    @torch.no_grad()
    def _follow(self, means: Tensor, variances: Tensor) -> None:
        """The running statistics after steps with these, (T, M)."""
        n_steps, keep = len(means), 1 - self.momentum
        shares = self.momentum * keep ** torch.arange(n_steps - 1, -1, -1, device=means.device, dtype=means.dtype)
        self.running_mean.mul_(keep**n_steps).add_(shares @ means)
        self.running_var.mul_(keep**n_steps).add_(shares @ variances)
        self.num_batches_tracked += n_steps


def _uniform(*shape: int, fan_in: int) -> Tensor:
    """Torch's own start of a linear layer."""
    return torch.empty(shape).uniform_(-1, 1) / math.sqrt(fan_in)


def _regressors(source: Shape, teacher: list[Shape], side: int | None) -> Iterator[Regressors]:
    """From one student map to all of the teacher's: those of one size together, so that it is pooled to it once."""
    largest = max(source[1:]) if side is None else side
    sizes = [(min(source[1], h, largest), min(source[2], w, largest)) for _, h, w in teacher]
    for size in dict.fromkeys(sizes):
        channels = {j: teacher[j][0] for j, s in enumerate(sizes) if s == size}
        yield Regressors(source[0], channels, size)
