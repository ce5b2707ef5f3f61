"""Losses by which a student learns, one file each; ``choices.py`` lists them all."""

from .lesson import Lesson, Settings, soft_divergence
from .weighted import WeightedSum, Whose, needs_maps, needs_teacher, term, weights_of

__all__ = [
    "Lesson",
    "Settings",
    "WeightedSum",
    "Whose",
    "needs_maps",
    "needs_teacher",
    "soft_divergence",
    "term",
    "weights_of",
]
