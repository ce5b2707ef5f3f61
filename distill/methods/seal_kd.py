"""SeAl-KD (arXiv 2605.14252): per-step distillation, corrected where a step errs, plus steps that teach each other.

The equations are those of the authors' released code, which ``tests/vectors/distill.py`` reproduces. Where the paper
may say something else (a divergence per pair of steps instead of one against a mixture of logits) there is an option.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from seamount.errors import InputError

from ..config import Divergence, StaTarget
from .lesson import Lesson, Settings, divergence_of, soft_divergence


class ErrorAwareAlignment(nn.Module):
    """ELA: per-step distillation with the competing logits equalised at wrong steps."""

    def __init__(self, temperature: float = 3.0, divergence: Divergence = "kl") -> None:
        super().__init__()
        self.temperature = temperature
        self.divergence = divergence_of(divergence)

    @classmethod
    def of(cls, settings: Settings) -> ErrorAwareAlignment:
        return cls(settings.temperature or 3.0, settings.divergence)

    def forward(self, lesson: Lesson) -> Tensor:
        student, teacher = align_errors(lesson.student, lesson.teacher, lesson.labels)
        return self.divergence(teacher, student, self.temperature).mean()


class SelectiveAlignment(nn.Module):
    """STA: every step learns from the others, weighted by their confidence and similarity. No teacher, no label."""

    def __init__(self, temperature: float = 3.0, target: StaTarget = "logit-mixture") -> None:
        super().__init__()
        self.temperature = temperature
        self.target: StaTarget = target

    @classmethod
    def of(cls, settings: Settings) -> SelectiveAlignment:
        return cls(settings.temperature or 3.0, settings.sta_target)

    def forward(self, lesson: Lesson) -> Tensor:
        logits = lesson.student
        if logits.shape[0] == 1:  # no other step to learn from
            return logits.new_zeros(())
        with torch.autocast(logits.device.type, enabled=False):  # which takes sums of products in bf16
            weights = step_weights(logits)
            if self.target == "weighted-kl":
                pairs = soft_divergence(logits.detach().unsqueeze(0), logits.unsqueeze(1), self.temperature)
                return (weights * pairs).sum(1).mean()
            return soft_divergence(mix_steps(weights, logits), logits, self.temperature).mean()


def align_errors(logits: Tensor, teacher: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
    """Student (T, B, K) and teacher (T, B, K) logits, with the true and the winning class made equal at wrong steps.

    A step is wrong where its own argmax (the lowest index among equals) is not the label. There the student's winning
    logit is replaced by its true class's, which so receives both gradients, and the teacher's two by their minimum.
    """
    teacher = teacher.expand_as(logits)
    truth = labels.expand(logits.shape[:2]).unsqueeze(-1)
    winner = logits.detach().argmax(-1, keepdim=True)
    classes = torch.arange(logits.shape[-1], device=logits.device)
    edited = (classes == winner) & (winner != truth)
    student = torch.where(edited, logits.gather(-1, truth), logits)
    lower = torch.minimum(teacher.gather(-1, truth), teacher.gather(-1, winner))
    edited_too = edited | ((classes == truth) & (winner != truth))
    return student, torch.where(edited_too, lower, teacher)


def step_weights(logits: Tensor) -> Tensor:
    """How much step i listens to step j, (i, j, B): softmax over j != i of j's confidence times their cosine."""
    n_steps, _, n_classes = logits.shape
    if n_classes < 2:
        raise InputError(
            f"{n_classes} class, confidence needs at least 2", where="seal-kd", ways_out="check the student's output"
        )
    logits = logits.detach()
    shares = F.softmax(logits, -1)
    confidence = 1 + (shares * (shares + 1e-8).log()).sum(-1) / math.log(n_classes)
    directions = F.normalize(logits, dim=-1, eps=1e-12)
    cosine = torch.einsum("ibk,jbk->ijb", directions, directions)
    itself = torch.eye(n_steps, dtype=torch.bool, device=logits.device).unsqueeze(-1)
    return (confidence.unsqueeze(0) * cosine).masked_fill(itself, -math.inf).softmax(1)


def mix_steps(weights: Tensor, logits: Tensor) -> Tensor:
    """The mixture of logits that teaches each step, (T, B, K), without gradient."""
    return torch.einsum("ijb,jbk->ibk", weights, logits.detach())
