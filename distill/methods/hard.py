"""Hard labels: cross-entropy of every step, or of the mean over steps. No teacher."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from .lesson import Lesson, Settings


class Hard(nn.Module):
    """Cross-entropy of each step's own logits, mean over steps and samples."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    @classmethod
    def of(cls, settings: Settings) -> Hard:
        return cls(settings.label_smoothing)

    def forward(self, lesson: Lesson) -> Tensor:
        steps = lesson.student.shape[0]
        labels = lesson.labels.repeat(steps)
        return F.cross_entropy(lesson.student.flatten(0, 1), labels, label_smoothing=self.label_smoothing)


class HardMean(nn.Module):
    """Cross-entropy of the logits' mean over steps."""

    def __init__(self, label_smoothing: float = 0.0) -> None:
        super().__init__()
        self.label_smoothing = label_smoothing

    @classmethod
    def of(cls, settings: Settings) -> HardMean:
        return cls(settings.label_smoothing)

    def forward(self, lesson: Lesson) -> Tensor:
        return F.cross_entropy(lesson.student.mean(0), lesson.labels, label_smoothing=self.label_smoothing)
