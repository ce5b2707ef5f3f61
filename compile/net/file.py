"""Reads the HDF5 structure of a lava-dl ``.net`` file, trusting nothing: links, sizes and types are checked before a
value is read. What the values mean is said in ``read.py``."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError

from ..hdf5.open import DAMAGE, file_bytes, opened, stored_elsewhere

MAX_VALUES = 1 << 24
"""Numbers that one dataset, or one of its chunks, may hold: 16 million weights are more than a chip has."""

MOST_COMPRESSION = 1100
"""Deflate reaches 1032; a dataset that stores less than its size says is damaged, or a trap."""

MAX_LAYERS = 1000

LONGEST_NAME = 1000
"""Bytes of a layer's or neuron's type."""


@contextmanager
def reading(where: str) -> Iterator[None]:
    """Turns whatever h5py raises for a damaged file into an ``InputError`` that names the place."""
    try:
        yield
    except InputError:
        raise
    except DAMAGE as error:
        raise InputError(f"{where}: cannot be read ({type(error).__name__}: {error}); the file is damaged") from None


@dataclass(frozen=True)
class Group:
    """A group of the file and what to call it in messages."""

    where: str
    group: Any  # h5py.Group
    content: bytes = field(repr=False)  # of the whole file: what texts claim is looked up here

    def has(self, key: str) -> bool:
        with reading(f"{self.where}/{key}"):
            return key in self.group

    def child(self, key: str) -> Group:
        """A sub-group."""
        found = self._get(key)
        if not isinstance(found, h5py.Group):
            raise InputError(f"{self.where}/{key}: a group is expected here")
        return Group(f"{self.where}/{key}", found, self.content)

    def keys(self) -> list[str]:
        with reading(self.where):
            return list(self.group.keys())

    def text(self, key: str) -> str:
        """A string: fixed or variable length, scalar or the first of an array."""
        dataset = self._dataset(key)
        where = f"{self.where}/{key}"
        with reading(where):
            is_text = dataset.dtype.kind == "S" or h5py.check_string_dtype(dataset.dtype) is not None
            if not is_text or dataset.size != 1 or _text_length(dataset, self.content, where) > LONGEST_NAME:
                raise InputError(f"{where}: a name is expected here, found {dataset.dtype} of shape {dataset.shape}")
            value = np.asarray(dataset[()]).reshape(-1)[0]
        raw = value if isinstance(value, bytes) else str(value).encode()
        try:
            return raw.decode("ascii").strip("\0 ")
        except UnicodeDecodeError:
            raise InputError(f"{where}: {raw[:40]!r} is not a name") from None

    def numbers(self, key: str) -> NDArray[Any]:
        """A numeric array as it is stored; finite."""
        dataset = self._dataset(key)
        where = f"{self.where}/{key}"
        with reading(where):
            if dataset.dtype.kind not in "iufb":
                raise InputError(f"{where}: numbers are expected here, found {dataset.dtype}")
            if dataset.size is None or dataset.size < 1:
                raise InputError(f"{where}: holds no value")
            sizes = [dataset.size] + ([int(np.prod(dataset.chunks, dtype=float))] if dataset.chunks else [])
            if max(sizes) > MAX_VALUES:
                raise InputError(f"{where}: {max(sizes)} values, at most {MAX_VALUES} are read")
            if dataset.id.get_storage_size() * MOST_COMPRESSION < dataset.nbytes:
                raise InputError(f"{where}: {dataset.size} values announced, but they are not in the file")
            values = np.asarray(dataset[()])
        if not np.all(np.isfinite(values)):
            raise InputError(f"{where}: holds NaN or infinity")
        low, high = float(values.min()), float(values.max())
        if low < -(1 << 31) or high >= 1 << 31:
            raise InputError(f"{where}: holds {low} to {high}, which are no 32-bit numbers")
        return values

    def integers(self, key: str) -> NDArray[np.int64]:
        """A numeric array that holds whole numbers."""
        values = self.numbers(key)
        if np.any(values != np.rint(values)):
            fraction = values[values != np.rint(values)].flat[0]
            raise InputError(f"{self.where}/{key}: {fraction} found, whole numbers are possible")
        return values.astype(np.int64)

    def integer(self, key: str) -> int:
        """One whole number."""
        values = self.integers(key)
        if values.size != 1:
            raise InputError(f"{self.where}/{key}: shape {values.shape}, one number is expected")
        return int(values.reshape(-1)[0])

    def _dataset(self, key: str) -> Any:
        found = self._get(key)
        where = f"{self.where}/{key}"
        if not isinstance(found, h5py.Dataset):
            raise InputError(f"{where}: a dataset is expected here")
        with reading(where):
            if stored_elsewhere(found):
                raise InputError(f"{where}: its values lie in another file, which is not followed")
        return found

    def _get(self, key: str) -> Any:
        where = f"{self.where}/{key}"
        with reading(where):
            if key not in self.group:
                raise InputError(f"{where}: is missing")
            if not isinstance(self.group.get(key, getlink=True), h5py.HardLink):
                raise InputError(f"{where}: is a link, which is not followed")
            return self.group[key]


@contextmanager
def open_net(path: Path) -> Iterator[list[Group]]:
    """The layers of a file, in order."""
    content = file_bytes(path)
    try:
        file = opened(content, path)
    except DAMAGE as error:
        raise InputError(f"not an HDF5 file, or damaged ({error})", where=path) from None
    with file:
        top = Group(str(path), file, content)
        if not top.has("layer"):
            raise InputError(f"{path}: no group 'layer'; not a .net file of lava-dl")
        layers = top.child("layer")
        names = layers.keys()
        if not 1 <= len(names) <= MAX_LAYERS:
            raise InputError(f"{path}: {len(names)} layers, 1 to {MAX_LAYERS} are possible")
        expected = [str(i) for i in range(len(names))]
        missing = [name for name in expected if name not in names]
        if missing:
            raise InputError(f"{path}: layers are numbered from 0, and layer/{missing[0]} is missing")
        yield [layers.child(name) for name in expected]


def _text_length(dataset: Any, content: bytes, where: str) -> int:
    """Bytes that a dataset says its string has, read before HDF5 allocates them: 4 GiB in a damaged file."""
    if h5py.check_string_dtype(dataset.dtype) is None or dataset.dtype.kind == "S":
        return int(dataset.dtype.itemsize)
    offset = dataset.id.get_offset()
    if offset is None:
        raise InputError("a string that is stored in pieces", where=where)
    return int.from_bytes(content[offset : offset + 4], "little")
