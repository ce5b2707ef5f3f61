"""Classic distillation (Hinton et al., arXiv 1503.02531) on logits averaged over the steps."""

from __future__ import annotations

from torch import Tensor, nn

from ..config import Divergence
from .lesson import Lesson, Settings, divergence_of


class Kd(nn.Module):
    """Divergence of the student's mean logits from the teacher's, mean over samples."""

    def __init__(self, temperature: float = 4.0, divergence: Divergence = "kl") -> None:
        super().__init__()
        self.temperature = temperature
        self.divergence = divergence_of(divergence)

    @classmethod
    def of(cls, settings: Settings) -> Kd:
        return cls(settings.temperature or 4.0, settings.divergence)

    def forward(self, lesson: Lesson) -> Tensor:
        return self.divergence(lesson.teacher, lesson.student.mean(0), self.temperature).mean()
