"""Labels: whole numbers from 0, few enough to be names of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError

from .limits import CLASSES


def class_labels(labels: Any, where: object, name: str = "y", n_classes: int | None = None) -> NDArray[np.int64]:
    """Labels (N,) as int64; anything that names no class is refused, because it would count as a wrong answer.

    Args:
        name: of the array in its file.
        n_classes: how many there are, where it is known.

    Raises:
        InputError: real numbers, text, objects; negative; of no class, or of more classes than the limit.
    """
    found = np.asarray(labels)
    if found.shape == (0,):  # of no type, where it came as an empty list
        return np.zeros(0, np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise InputError(
            f"{name} {found.shape} of type {found.dtype}",
            where=where,
            possible="needed are whole numbers of classes, one a sample",
        )
    if found.size and int(found.min()) < 0:
        raise InputError(
            f"{name} holds the label {int(found.min())}", where=where, possible="possible are 0 and above"
        )
    largest = int(found.max(initial=0))
    if n_classes is not None and largest >= n_classes:
        raise InputError(
            f"{name} holds the label {largest}",
            where=where,
            possible=f"{n_classes} classes have 0 to {n_classes - 1}",
        )
    CLASSES.check(largest + 1, where, f"{name} holds the label {largest}, so {largest + 1} classes")
    return found.astype(np.int64)
