"""Classic distillation (Hinton et al., arXiv 1503.02531) on logits averaged over the steps."""

from __future__ import annotations

from torch import Tensor, nn

from .lesson import Lesson, Settings, soft_divergence


class Kd(nn.Module):
    """Divergence of the student's mean logits from the teacher's, mean over samples."""

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__()
        self.temperature = temperature

    @classmethod
    def of(cls, settings: Settings) -> Kd:
        return cls(settings.temperature or 4.0)

    def forward(self, lesson: Lesson) -> Tensor:
        return soft_divergence(lesson.teacher, lesson.student.mean(0), self.temperature).mean()
