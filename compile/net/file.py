"""Reads the HDF5 structure of a lava-dl ``.net`` file, trusting nothing: sizes and types are checked before a value
is read, links and the sum of all sizes already where it is opened. What the values mean is said in ``read.py``."""

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
from seamount.foreign.hdf5 import DAMAGE, opened
from seamount.foreign.limits import NETWORK_BYTES, VALUES
from seamount.foreign.whole import file_bytes, first_line, not_hdf5

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
        raise InputError(
            f"cannot be read ({type(error).__name__}: {first_line(error)}); the file is damaged", where=where
        ) from None


@dataclass(frozen=True)
class Group:
    """A group of the file and what to call it in messages."""

    where: str
    group: Any  # h5py.Group
    content: bytes = field(repr=False)  # of the whole file: the program carries its hash

    def has(self, key: str) -> bool:
        with reading(f"{self.where}/{key}"):
            return key in self.group

    def child(self, key: str) -> Group:
        """A sub-group."""
        found = self._get(key)
        if not isinstance(found, h5py.Group):
            raise InputError("a group is expected here", where=f"{self.where}/{key}")
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
            if not is_text or dataset.size != 1 or dataset.dtype.itemsize > LONGEST_NAME:
                raise InputError(
                    f"a name is expected here, found {dataset.dtype} of shape {dataset.shape}", where=where
                )
            value = np.asarray(dataset[()]).reshape(-1)[0]
        raw = value if isinstance(value, bytes) else str(value).encode()
        if len(raw) > LONGEST_NAME:
            raise InputError(f"a name of {len(raw)} bytes, {LONGEST_NAME} are read", where=where)
        try:
            return raw.decode("ascii").strip("\0 ")
        except UnicodeDecodeError:
            raise InputError(f"{raw[:40]!r} is not a name", where=where) from None

    def numbers(self, key: str) -> NDArray[Any]:
        """A numeric array as it is stored; finite."""
        dataset = self._dataset(key)
        where = f"{self.where}/{key}"
        with reading(where):
            if dataset.dtype.kind not in "iufb":
                raise InputError(f"numbers are expected here, found {dataset.dtype}", where=where)
            if dataset.size is None or dataset.size < 1:
                raise InputError("holds no value", where=where)
            VALUES.check(dataset.size, where)
            values = np.asarray(dataset[()])
        if not np.all(np.isfinite(values)):
            raise InputError("holds NaN or infinity", where=where)
        low, high = float(values.min()), float(values.max())
        if low < -(1 << 31) or high >= 1 << 31:
            raise InputError(f"holds {low} to {high}, which are no 32-bit numbers", where=where)
        return values

    def integers(self, key: str) -> NDArray[np.int64]:
        """A numeric array that holds whole numbers."""
        values = self.numbers(key)
        if np.any(values != np.rint(values)):
            fraction = values[values != np.rint(values)].flat[0]
            raise InputError(f"{fraction} found", possible="whole numbers are possible", where=f"{self.where}/{key}")
        return values.astype(np.int64)

    def integer(self, key: str) -> int:
        """One whole number."""
        values = self.integers(key)
        if values.size != 1:
            raise InputError(f"shape {values.shape}", where=f"{self.where}/{key}", possible="one number is expected")
        return int(values.reshape(-1)[0])

    def _dataset(self, key: str) -> Any:
        found = self._get(key)
        where = f"{self.where}/{key}"
        if not isinstance(found, h5py.Dataset):
            raise InputError("a dataset is expected here", where=where)
        return found

    def _get(self, key: str) -> Any:
        where = f"{self.where}/{key}"
        with reading(where):
            if key not in self.group:
                raise InputError("is missing", where=where)
            return self.group[key]


@contextmanager
def open_net(path: Path) -> Iterator[list[Group]]:
    """The layers of a file, in order."""
    content = file_bytes(path, NETWORK_BYTES)
    try:
        file = opened(content, path)
    except DAMAGE as error:
        raise not_hdf5(content, path, f", or damaged ({first_line(error)})") from None
    with file:
        top = Group(str(path), file, content)
        if not top.has("layer"):
            raise InputError("no group 'layer'; not a .net file of lava-dl", where=path)
        layers = top.child("layer")
        names = layers.keys()
        if not 1 <= len(names) <= MAX_LAYERS:
            raise InputError(f"{len(names)} layers", where=path, possible=f"1 to {MAX_LAYERS} are possible")
        expected = [str(i) for i in range(len(names))]
        missing = [name for name in expected if name not in names]
        if missing:
            raise InputError(f"layers are numbered from 0, and layer/{missing[0]} is missing", where=path)
        yield [layers.child(name) for name in expected]
