"""Arrays of samples by name, from any of the files that people keep them in: .npz, .npy, HDF5, torch's .pt."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError

from .arrays import read_npy, read_npz
from .hdf5 import opened_data

ENDINGS = (".npz", ".npy", ".h5", ".hdf5", ".pt", ".pth")

Arrays = dict[str, NDArray[Any]]


def read_samples(path: Path) -> Arrays:
    """The arrays; one without a name is x, and of two the second is y.

    Raises:
        InputError: no such file, another kind, damaged, or more than plain numbers in it.
    """
    match path.suffix:
        case ".npz":
            return read_npz(path)
        case ".npy":
            return {"x": read_npy(path)}
        case ".h5" | ".hdf5":
            return _datasets(path)
        case ".pt" | ".pth":
            from .tensors import read_tensors  # here, because torch takes a second to load

            return {name: tensor.numpy() for name, tensor in read_tensors(path).items()}
        case _:
            raise InputError(f"unknown kind {path.suffix!r}; possible are {', '.join(ENDINGS)}", where=path)


def _datasets(path: Path) -> Arrays:
    import h5py

    with opened_data(path) as file:
        return {name: np.asarray(file[name][()]) for name in file if isinstance(file[name], h5py.Dataset)}
