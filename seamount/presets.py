"""Configurations to start from, by name: what differs from the defaults for a data set and a goal.

``seamount init train.toml --preset cifar10`` writes one out in full.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

from seamount.errors import ConfigError, none_of

FAST_TEACHER: Mapping[str, Any] = {
    "optimizer": "sgd",
    "nesterov": True,
    "batch_size": 256,
    "weight_decay": 5e-4,
    "schedule": "one-cycle",
    "label_smoothing": 0.1,
    "average_epochs": 0.5,
    "precision": "auto",
    "test_flip": True,
    "select_on": "last-epoch",
}
"""How the fast teacher learns CIFAR-10."""

CIFAR10: Mapping[str, Any] = {
    "data": {
        "name": "cifar10",
        "root": "cifar10",
        "augment": ["crop", "alternating-flip"],
        "crop_padding": 2,
        "validation": 0.02,
    },
    "teacher": {
        "arch": "fast",
        "epochs": 13,
        "lr": 0.3,
        "options": {"width": 0.75},
        "train": {**FAST_TEACHER, "warmup_epochs": 2.0},
    },
    "student": {"arch": "vgg8", "n_steps": 3, "options": {"width": 0.75, "pooling": "average"}},
    "distill": {"ann_epochs": 16, "one_step_epochs": 6, "spike_budget": {"per_synapse": 0.33}},
    "train": {
        "epochs": 12,
        "batch_size": 128,
        "lr": 3e-3,
        "weight_decay": 0.015,
        "warmup_epochs": 1.0,
        "precision": "auto",
        "average_epochs": 0.5,
        "select_on": "last-epoch",
    },
    "quant": {"epochs": 0},
    "lava": {"n_samples": 3},
    "report": {"n_compared": 32},
}

PRESETS: Mapping[str, Mapping[str, Any]] = {
    "cifar10": CIFAR10,
    "cifar10-small": {
        **CIFAR10,
        "data": {**CIFAR10["data"], "validation": 0.1},
        "teacher": {
            "arch": "fast",
            "epochs": 6,
            "lr": 0.3,
            "options": {"width": 0.5},
            "train": {**FAST_TEACHER, "warmup_epochs": 1.2},
        },
        "student": {"arch": "vgg8", "n_steps": 2, "options": {"width": 0.4, "pooling": "average"}},
        "distill": {**CIFAR10["distill"], "ann_epochs": 5, "one_step_epochs": 4},
        "train": {**CIFAR10["train"], "epochs": 6, "warmup_epochs": 0.5, "select_on": "validation"},
        "quant": {"epochs": 1, "lr": 3e-4},
    },
    "digits": {},
    "mnist": {
        "data": {"name": "mnist", "root": "mnist"},
        "teacher": {"epochs": 3},
        "student": {"n_steps": 4},
        "train": {"epochs": 4, "batch_size": 100, "precision": "auto"},
        "quant": {"epochs": 1},
    },
    "n-mnist": {
        "data": {"name": "n-mnist", "root": "n-mnist", "size": 17, "augment": []},
        "student": {"n_steps": 6},
        "train": {"batch_size": 50},
    },
    "fsdd": {
        "data": {"name": "fsdd", "root": "fsdd", "cut_longer": True, "augment": ["time-shift", "gain"]},
        "teacher": {"epochs": 6, "lr": 1e-3, "train": {"batch_size": 64}},
        "student": {"arch": "conv1d", "n_steps": 40, "options": {"decay": 0.1}},
        "train": {"epochs": 12, "batch_size": 128, "lr": 6e-3},
        "quant": {"epochs": 3},
        "lava": {"n_samples": 2},
    },
}
"""Name -> sections of a configuration; the data stand in a folder named beside it until ``data.root`` says where."""


def preset_document(name: str) -> dict[str, Any]:
    """The sections of a preset, to be changed freely."""
    if name not in PRESETS:
        raise ConfigError(none_of(name, PRESETS), where="--preset")
    return copy.deepcopy(dict(PRESETS[name]))
