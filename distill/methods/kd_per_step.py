"""Classic distillation of every step by itself: each step has to answer like the teacher."""

from __future__ import annotations

from torch import Tensor, nn

from ..config import Divergence
from .lesson import Lesson, Settings, divergence_of


class KdPerStep(nn.Module):
    """Divergence of each step's logits from the teacher's, mean over steps and samples."""

    def __init__(self, temperature: float = 3.0, divergence: Divergence = "kl") -> None:
        super().__init__()
        self.temperature = temperature
        self.divergence = divergence_of(divergence)

    @classmethod
    def of(cls, settings: Settings) -> KdPerStep:
        return cls(settings.temperature or 3.0, settings.divergence)

    def forward(self, lesson: Lesson) -> Tensor:
        return self.divergence(lesson.teacher.unsqueeze(0), lesson.student, self.temperature).mean()
