"""Data of one's own (``data.name = "mine.py:make_data"``): torch Datasets of (x, label), or arrays."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import (
    BatchSampler,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    TensorDataset,
    default_collate,
)

from seamount import own
from seamount.errors import InputError
from seamount.foreign.labels import class_labels

from ..config import DataConfig
from .file import Parts, check_samples, source_of, to_bytes
from .samples import Samples, Source, in_memory

Array = NDArray[Any]

SETTING = "data.name"

WHOLE_BYTES = 1 << 30
"""So much of a Dataset is kept in memory as bytes; of a larger one each batch is read when it is needed."""

NEEDED = (
    "needed are a torch Dataset of (x, label), a pair of them (training, test), arrays (x, y), or a dict of arrays"
)


def load(config: DataConfig, n_steps: int) -> Source:
    """Whatever one's own function gives, as parts in bytes."""
    made = own.make(config.name, SETTING, {"root": config.root, "n_steps": n_steps}, config.options)
    where, frames = f"{SETTING} = {config.name}", config.encoding == "frames"
    parts: Parts = {}
    for suffix, part in _parts(made, where).items():
        steps = n_steps if frames else None
        parts[suffix] = _samples(part, f"{where}{suffix.replace('_', ', ')}", frames, steps)
    return source_of(parts, where, frames=frames, class_names=_class_names(made))


def all_samples(made: Any, *, n_steps: int, shape: tuple[int, ...], whole: bool) -> Samples:
    """The samples of anything that ``data.name`` may give: of a pair the test part.

    Args:
        shape: of one step; samples with an axis more are frames (T, *shape).
        whole: see ``to_bytes``.
    """
    parts = _parts(made, "data")
    part = parts.get("_test", parts.get(""))
    found = _samples(part, "data", whole, None)
    one = tuple(found.read(found.ids[:1], None).shape[1:])
    if one not in (shape, (n_steps, *shape)):
        raise InputError(f"samples {one}", where="data", possible=f"needed are {shape}, or {(n_steps, *shape)}")
    return found


def both_parts(made: Any, where: str) -> tuple[tuple[Array, Array], tuple[Array, Array]]:
    """Training and test part (x, y) of anything that ``data.name`` may give, the same twice where it has no parts.

    In place of labels y may be real outputs, of any shape.
    """
    parts = {suffix: _xy(part, where) for suffix, part in _parts(made, where).items()}
    return parts.get("_train", next(iter(parts.values()))), parts.get("_test", next(iter(parts.values())))


def _xy(part: Any, where: str) -> tuple[Array, Array]:
    part = _of_loader(part, where)
    part = part.tensors if isinstance(part, TensorDataset) else part
    if not isinstance(part, tuple):
        read = _OfDataset(part, where, outputs=True)
        read.refuse_random()
        items = [read.item(i) for i in range(read.n)]
        part = np.stack([x for x, _ in items]), np.stack([y for _, y in items])
    if len(part) != 2:
        raise InputError(f"{len(part)} arrays", where=where, possible="needed are two: x and y")
    return _array(part[0]), _array(part[1])


def fingerprint(made: Any) -> str:
    """A digest of what it holds; of more than a GiB, of its size and first samples."""
    digest = hashlib.sha256()
    for suffix, part in _parts(made, "data").items():
        part = _of_loader(part, "data")
        part = part.tensors if isinstance(part, TensorDataset) else part
        digest.update(f"{suffix} {type(part).__name__}".encode())
        if isinstance(part, tuple):
            arrays = [_array(one) for one in part]
        else:
            read = _OfDataset(part, "data")
            n = read.n if read.n * read.item(0)[0].nbytes <= WHOLE_BYTES else 100
            digest.update(str(read.n).encode())
            arrays = [value for i in range(n) for value in read.item(i)]
        for array in arrays:
            digest.update(f"{array.dtype} {array.shape}".encode() + np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _parts(made: Any, where: str) -> dict[str, Any]:
    """ "" for everything, or "_train" and "_test": a Dataset or (x, y) each."""
    if isinstance(made, Mapping):
        names = {name: value for name, value in made.items() if _is_array(value) or isinstance(value, list)}
        for suffixes in (("_train", "_test"), ("",)):
            if {f"{xy}{suffix}" for xy in "xy" for suffix in suffixes} <= names.keys():
                return {suffix: (names[f"x{suffix}"], names[f"y{suffix}"]) for suffix in suffixes}
        found = f"a dict of {', '.join(map(str, made)) or 'nothing'}"
        raise InputError(found, where=where, possible="needed are x_train, y_train, x_test, y_test, or x and y")
    if isinstance(made, tuple | list) and len(made) == 2 and all(map(_is_part, made)):
        return {"_train": made[0], "_test": made[1]}
    if _is_part(made):
        return {"": made}
    raise InputError(f"gave {_kind(made)}", where=where, possible=NEEDED)


def _kind(made: Any) -> str:
    if made is None:
        return "nothing (is there a return?)"
    if isinstance(made, tuple | list):
        return f"{len(made)} things ({', '.join(type(one).__name__ for one in made[:4])})"
    return f"a {type(made).__name__}"


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray | Tensor)


def _is_part(value: Any) -> bool:
    """Arrays (x, y), a list of samples, or what has numbered samples."""
    if isinstance(value, tuple):
        return len(value) == 2 and _is_array(value[0]) and isinstance(value[1], np.ndarray | Tensor | list)
    if isinstance(value, list | Dataset | DataLoader):
        return True
    numbered = hasattr(value, "__len__") and hasattr(value, "__getitem__")
    return numbered and not isinstance(value, str | Mapping | np.ndarray | Tensor)


def _samples(part: Any, where: str, whole: bool, n_steps: int | None) -> Samples:
    part = _of_loader(part, where)
    if isinstance(part, TensorDataset):
        part = part.tensors
    if isinstance(part, tuple):
        return _of_arrays(part, where, whole, n_steps)
    return _OfDataset(part, where).samples(whole, n_steps)


def _of_arrays(part: Sequence[Any], where: str, whole: bool, n_steps: int | None) -> Samples:
    if len(part) != 2:
        raise InputError(f"{len(part)} arrays", where=where, possible="needed are two: x and the labels y")
    x, labels = _array(part[0]), class_labels(_array(part[1]), where)
    check_samples(where, "x", x, labels, whole=whole, n_steps=n_steps)
    return in_memory(to_bytes(where, "x", x, whole=whole), labels)


def _of_loader(part: Any, where: str) -> Any:
    """Of a DataLoader its Dataset, in whose order ours are drawn.

    Raises:
        InputError: it draws other samples than its Dataset has, or makes others of them.
    """
    if not isinstance(part, DataLoader):
        return part
    if (
        not isinstance(part.sampler, SequentialSampler | RandomSampler)
        or type(part.batch_sampler) is not BatchSampler
    ):
        found, ways = "a DataLoader with a sampler of its own", "hand over torch.utils.data.Subset(dataset, numbers)"
        raise InputError(found, where=where, ways_out=ways)
    if part.collate_fn is not default_collate:
        found, ways = "a DataLoader with a collate_fn of its own", "hand over a Dataset that gives what it makes"
        raise InputError(found, where=where, ways_out=ways)
    return part.dataset


class _OfDataset:
    """Reads a Dataset of (x, label), and says which of its samples is not one.

    Args:
        outputs: real outputs may stand in place of the label.
    """

    def __init__(self, dataset: Any, where: str, *, outputs: bool = False) -> None:
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            found = f"a {type(dataset).__name__} without numbered samples"
            raise InputError(found, where=where, possible="needed is a Dataset with __len__ and __getitem__")
        self.dataset, self.where, self.outputs = dataset, where, outputs
        self.n = own.called("__len__ of a Dataset", where, lambda: len(dataset), {})
        if self.n == 0:
            raise InputError("has no samples", where=where)
        self.shape = self.item(0)[0].shape

    def refuse_random(self) -> None:
        for number in range(min(self.n, 10)):  # several, because a flip by chance leaves half of them as they were
            if not np.array_equal(self.item(number)[0], self.item(number)[0]):
                ways = "leave random transforms out, and name them in data.augment"
                raise InputError(f"gives sample {number} differently each time", where=self.where, ways_out=ways)

    def samples(self, whole: bool, n_steps: int | None) -> Samples:
        self.refuse_random()
        if self.n * math.prod(self.shape) > WHOLE_BYTES:
            return self._when_needed(whole, n_steps)
        items = [self.item(i) for i in range(self.n)]
        return _of_arrays((np.stack([x for x, _ in items]), [y for _, y in items]), self.where, whole, n_steps)

    def _when_needed(self, whole: bool, n_steps: int | None) -> Samples:
        told = getattr(self.dataset, "targets", None)  # where torchvision keeps the labels
        y = [self.item(i)[1] for i in range(self.n)] if told is None else _array(told)
        labels = class_labels(y, self.where)
        some = self.item(0)[0][None]
        check_samples(self.where, "x", some, labels[:1], whole=whole, n_steps=n_steps)

        def read(ids: Tensor, seeds: Tensor | None) -> Tensor:
            values = [to_bytes(self.where, f"sample {i}", self.item(i)[0], whole=whole) for i in ids.tolist()]
            return torch.from_numpy(np.stack(values))

        return Samples(torch.from_numpy(labels), read, torch.arange(self.n))

    def item(self, number: int) -> tuple[Array, Any]:
        item = own.called(f"sample {number} of {self.n}", self.where, lambda: self.dataset[number], {})
        if not isinstance(item, tuple | list) or len(item) != 2:
            found = f"sample {number} is {_kind(item)}"
            raise InputError(found, where=self.where, possible="needed is (x, label)")
        # copies, because a Dataset may write its next sample into the same tensor
        x, y = np.array(_array(item[0])), np.array(_array(item[1]))
        if x.dtype.kind not in "biuf":
            found = f"x of sample {number} is a {type(item[0]).__name__}"
            raise InputError(found, where=self.where, possible="needed is a tensor of numbers")
        if hasattr(self, "shape") and x.shape != self.shape:
            found = f"sample {number} has shape {x.shape}, sample 0 {self.shape}"
            raise InputError(found, where=self.where, ways_out="bring all to one shape")
        if y.shape != () and not (self.outputs and y.dtype.kind == "f"):
            found = f"the label of sample {number} has shape {y.shape}"
            raise InputError(found, where=self.where, possible="needed is a whole number of a class")
        return x, y


def _array(value: Any) -> Array:
    """Of a tensor, a picture of Pillow (with its channels in front) or numbers."""
    if isinstance(value, Tensor):
        value = value.detach().cpu().to_dense().resolve_neg()
        array: Array = (value.float() if value.dtype == torch.bfloat16 else value).numpy()
        return array
    if hasattr(value, "getbands"):
        value = value.convert("RGB") if value.mode == "P" else value  # its pixels are numbers of colours
        pixels: Array = np.asarray(value)
        return pixels[None] if pixels.ndim == 2 else np.moveaxis(pixels, -1, 0)
    return np.asarray(value)


def _class_names(made: Any) -> tuple[str, ...]:
    """As torchvision's Datasets hold them; () where there are none."""
    part = made[0] if isinstance(made, tuple | list) and made else made
    names: Any = getattr(getattr(part, "dataset", part), "classes", ())
    good = isinstance(names, list | tuple) and all(isinstance(name, str) for name in names)
    return tuple(names) if good else ()
