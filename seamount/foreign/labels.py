"""Labels: whole numbers from 0, few enough to be names of classes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError, plural

from .limits import CLASSES


def class_labels(
    labels: Any, where: object, name: str = "y", n_classes: int | None = None, n_samples: int | None = None
) -> NDArray[np.int64]:
    """Labels (N,) as int64; anything that names no class is refused, because it would count as a wrong answer.

    Args:
        name: of the array in its file.
        n_classes: how many there are, where it is known.
        n_samples: N, where it is known.

    Raises:
        InputError: real numbers, text, objects; negative; of no class, or of more classes than the limit; not N.
    """
    found = np.asarray(labels)
    if found.shape == (0,) and not n_samples:  # of no type, where it came as an empty list
        return np.zeros(0, np.int64)
    if found.ndim != 1 or found.dtype.kind not in "iu":
        raise _no_labels(found, where, name)
    if n_samples is not None and len(found) != n_samples:
        raise InputError(
            f"{name} {found.shape}",
            where=where,
            possible=f"needed is ({n_samples},), a label for each of {n_samples} {plural(n_samples, 'sample')}",
            ways_out=f"leave out what has no partner, or leave {name} out",
        )
    if found.size and int(found.min()) < 0:
        raise InputError(
            f"{name} holds the label {int(found.min())}",
            where=where,
            possible="possible are 0 and above",
            ways_out="leave out the samples without a label",
        )
    largest = int(found.max(initial=0))
    if n_classes is not None and largest >= n_classes:
        raise InputError(
            f"{name} holds the label {largest}",
            where=where,
            possible=f"{n_classes} classes have 0 to {n_classes - 1}",
            ways_out="count classes from 0" if largest == n_classes else "leave out the samples of other classes",
        )
    CLASSES.check(largest + 1, where, f"{name} holds the label {largest}, so {largest + 1} classes")
    return found.astype(np.int64)


def check_outputs(y: NDArray[Any], where: object, as_outputs: str) -> None:
    """Refuses real outputs y (N, K) that are labels, one-hot: nobody would miss the accuracy that is not shown.

    Args:
        as_outputs: how they are written if outputs they are.
    """
    if y.ndim == 2 and y.shape[1] > 1 and np.all(np.isin(y, (0, 1))) and np.all(y.sum(1) == 1) and len(y):
        raise InputError(
            f"y {y.shape} of type {y.dtype} has a single 1 in each row, as one-hot labels have",
            where=where,
            ways_out=("write y.argmax(1)", f"where outputs are meant, {as_outputs}"),
        )


def _no_labels(found: NDArray[Any], where: object, name: str) -> InputError:
    """What stands there in place of labels, and what usually makes labels of it."""
    needed, told = "needed are whole numbers of classes, one a sample", f"{name} {found.shape} of type {found.dtype}"
    if found.ndim and found.dtype.kind == "f" and not np.isfinite(found).all():
        at = np.argwhere(~np.isfinite(found))[0]
        told += f", {found[tuple(at)]} at sample {at[0]}"
        return InputError(told, where=where, possible=needed, ways_out="leave out the samples without a label")
    if found.ndim == 2 and found.shape[1] > 1:
        ways_out = f"write {name}.argmax(1), if a row has a number for each class"
    elif found.dtype.kind in "OSU":
        ways_out = f"number the classes, as np.unique({name}, return_inverse=True)[1] does"
    elif found.dtype.kind in "bf" and np.all(found == np.rint(found)):
        ways_out = f"write {name}.astype(int)"
    elif found.ndim == 2:
        ways_out = f"write {name}.reshape(-1)"
    else:
        ways_out = ""
    return InputError(told, where=where, possible=needed, ways_out=ways_out or ())
