"""What a configuration may choose by name: data sets, terms of a loss, and methods as weighted sums of them.

These are the only lists. A name leads to its file, which is imported when it is used: reading a configuration costs
no torch, so that the command line answers fast.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

DATA_SETS: Mapping[str, str] = {
    "digits": "digits",
    "mnist": "mnist",
    "fashion-mnist": "mnist",
    "cifar10": "cifar",
    "cifar100": "cifar",
    "imagenet": "imagenet",
    "n-mnist": "n_mnist",
    "dvs-gesture": "dvs_gesture",
    "cifar10-dvs": "event_folder",
    "shd": "shd",
    "event-folder": "event_folder",
    "fsdd": "fsdd",
    "audio-folder": "audio_folder",
    "file": "file",
}
"""Name -> the file of ``data/`` whose ``load`` reads it."""

STILL_IMAGES = frozenset({"digits", "mnist", "fashion-mnist", "cifar10", "cifar100", "imagenet"})
"""Those whose images are the same whatever the number of steps."""


@dataclass(frozen=True)
class Term:
    """A summand of a loss.

    Attributes:
        file, name: the class, a ``lesson.Term``, and the file of ``methods/`` that it stands in.
        teacher, maps: whether it needs the teacher's logits, and maps of both networks' layers.
    """

    file: str
    name: str
    teacher: bool = False
    maps: bool = False


TERMS: Mapping[str, Term] = {
    "hard": Term("hard", "Hard"),
    "hard-mean": Term("hard", "HardMean"),
    "kd": Term("kd", "Kd", teacher=True),
    "kd-per-step": Term("kd_per_step", "KdPerStep", teacher=True),
    "mean-step": Term("mean_step", "MeanStep"),
    "ela": Term("seal_kd", "ErrorAwareAlignment", teacher=True),
    "sta": Term("seal_kd", "SelectiveAlignment"),
    "sastc": Term("sastc", "Sastc", teacher=True, maps=True),
}

METHODS: Mapping[str, Mapping[str, float]] = {
    "hard": {"hard": 1.0},
    "hard-mean": {"hard-mean": 1.0},
    "kd": {"hard-mean": 1.0, "kd": 1.0},
    "kd-per-step": {"hard": 1.0, "kd-per-step": 0.2},
    "twsnn": {"hard": 1.0, "kd-per-step": 0.2, "mean-step": 0.5},
    "seal-kd": {"hard": 1.0, "ela": 0.6, "sta": 0.15},
    "sastc": {"hard-mean": 1.0, "kd": 1.0, "sastc": 100.0},
    "seal-kd+sastc": {"hard": 1.0, "ela": 0.6, "sta": 0.15, "sastc": 100.0},
}
"""Weights as published: TWSNN's and SeAl-KD's README, the default of SASTC's code (its released commands say 800)."""
