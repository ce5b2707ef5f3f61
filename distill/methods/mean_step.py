"""TWSNN's second target (Yu et al., ICML 2025): every step also learns from the mean of the student's own steps.

The paper's mean is over all steps, and so is this one; its released code takes the steps alone that were right, zeros
where none was.
"""

from __future__ import annotations

from torch import Tensor, nn

from .lesson import Lesson, Settings, soft_divergence


class MeanStep(nn.Module):
    """Divergence of each step's logits from their mean over steps, which carries no gradient. Needs no teacher."""

    def __init__(self, temperature: float = 3.0) -> None:
        super().__init__()
        self.temperature = temperature

    @classmethod
    def of(cls, settings: Settings) -> MeanStep:
        return cls(settings.temperature or 3.0)

    def forward(self, lesson: Lesson) -> Tensor:
        logits = lesson.student
        return soft_divergence(logits.detach().mean(0, keepdim=True), logits, self.temperature).mean()
