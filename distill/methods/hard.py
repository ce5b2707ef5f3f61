"""Hard labels: cross-entropy of every step, or of the mean over steps. No teacher."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .lesson import Lesson, Settings


class Hard(nn.Module):
    """Cross-entropy of each step's own logits, mean over steps and samples."""

    @classmethod
    def of(cls, settings: Settings) -> Hard:
        return cls()

    def forward(self, lesson: Lesson) -> Tensor:
        steps = lesson.student.shape[0]
        return F.cross_entropy(lesson.student.flatten(0, 1), lesson.labels.repeat(steps))


class HardMean(nn.Module):
    """Cross-entropy of the logits' mean over steps."""

    @classmethod
    def of(cls, settings: Settings) -> HardMean:
        return cls()

    def forward(self, lesson: Lesson) -> Tensor:
        return F.cross_entropy(lesson.student.mean(0), lesson.labels)
