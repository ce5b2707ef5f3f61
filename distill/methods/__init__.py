"""Losses by which a student learns, one file each; ``weighted.py`` lists them all."""

from .lesson import Lesson, soft_divergence
from .weighted import METHODS, TERMS, Kind, Settings, WeightedSum, needs_maps, needs_teacher, weights_of

__all__ = [
    "METHODS",
    "TERMS",
    "Kind",
    "Lesson",
    "Settings",
    "WeightedSum",
    "needs_maps",
    "needs_teacher",
    "soft_divergence",
    "weights_of",
]
