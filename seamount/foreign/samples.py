"""Arrays of samples by name, from any of the files that people keep them in: .npz, .npy, HDF5, torch's .pt."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError

from .arrays import Arrays, read_npy, read_npz

ENDINGS = (".npz", ".npy", ".h5", ".hdf5", ".pt", ".pth")


def read_samples(path: Path) -> Arrays:
    """The arrays; one without a name is x, and of two the second is y.

    Raises:
        InputError: no such file, another kind, damaged, or more than plain numbers in it.
    """
    match path.suffix:
        case ".npz":
            return read_npz(path)
        case ".npy":
            return Arrays(("x",), lambda _: read_npy(path))
        case ".h5" | ".hdf5":
            return _datasets(path)
        case ".pt" | ".pth":
            from .tensors import read_tensors  # here, because torch takes a second to load

            tensors = read_tensors(path)
            return Arrays(tuple(tensors), lambda name: tensors[name].numpy())
        case _:
            raise InputError(f"unknown kind {path.suffix!r}; possible are {', '.join(ENDINGS)}", where=path)


def read_folder(path: Path) -> Arrays:
    """The .npy files of a folder."""
    files = {one.stem: one for one in sorted(path.glob("*.npy"))}
    return Arrays(tuple(files), lambda name: read_npy(files[name]))


def _datasets(path: Path) -> Arrays:
    import h5py  # here, because few files need it, and it takes a while to load

    from .hdf5 import opened_data

    with opened_data(path) as file:
        names = tuple(name for name in file if isinstance(file[name], h5py.Dataset))
        if not names and len(file):
            found = f"holds groups alone ({', '.join(file)})"
            raise InputError(found, where=path, possible="needed are x and y, in no group")
    return Arrays(names, partial(_dataset, path))


def _dataset(path: Path, name: str) -> NDArray[Any]:
    from .hdf5 import opened_data

    with opened_data(path) as file:
        return np.asarray(file[name][()])
