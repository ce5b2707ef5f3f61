"""What must lie in ``data.root`` for each data set; importing it costs no torch, which reading them does."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from seamount.errors import ConfigError, InputError
from seamount.files import named_path
from seamount.foreign.samples import ENDINGS

from .config import DataConfig


@dataclass(frozen=True)
class Layout:
    """
    Attributes:
        by_hand: how to come to it.
        fetched_by: the library that can fetch it.
        below: a folder of the root in which all of it may lie instead.
        needed: (folder below the root, what is said to be missing in it) -> patterns, one of which must be there.
    """

    by_hand: str
    fetched_by: str = ""
    below: str = ""
    needed: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)

    @property
    def hint(self) -> str:
        fetched = f", or set data.download = true to let {self.fetched_by} fetch them" if self.fetched_by else ""
        return self.by_hand + fetched


def idx_places(folder: str, name: str) -> tuple[str, ...]:
    """Where a file of MNIST may lie, the best place first."""
    return tuple(f"{place}{name}{end}" for place in (f"{folder}/raw/", "raw/", "") for end in ("", ".gz"))


def _idx(folder: str) -> Layout:
    names = [f"{part}-{what}-ubyte" for part in ("train", "t10k") for what in ("images-idx3", "labels-idx1")]
    places = {name: idx_places(folder, name) for name in names}
    return Layout(
        f"put the four idx files (.gz or unpacked) into ROOT or ROOT/{folder}/raw",
        "torchvision",
        needed={("", f"{name} is not there (nor with .gz, nor in {folder}/raw)"): at for name, at in places.items()},
    )


def _cifar(folder: str, *shards: str) -> Layout:
    return Layout(
        f"unpack the Python version of the archive so that ROOT/{folder} exists",
        "torchvision",
        needed={("", f"{folder} is not there"): (folder, *shards)},
    )


def _parts(by_hand: str, *parts: str, what: str, files: str, fetched_by: str = "", below: str = "") -> Layout:
    """In a folder each."""
    needed = {(part, f"no {what}"): (files,) for part in parts}
    return Layout(by_hand, fetched_by, below, needed)


LAYOUTS: Mapping[str, Layout] = {
    "mnist": _idx("MNIST"),
    "fashion-mnist": _idx("FashionMNIST"),
    "cifar10": _cifar("cifar-10-batches-py", "test_batch.npz"),
    "cifar100": _cifar("cifar-100-python"),
    "imagenet": _parts(
        "lay the images out as ROOT/train/CLASS/*.jpg and ROOT/val/CLASS/*.jpg",
        "train",
        "val",
        what="folders of classes",
        files="*/*",
    ),
    "n-mnist": _parts(
        "unpack the data set's Train.zip and Test.zip into ROOT (or ROOT/NMNIST)",
        "Train",
        "Test",
        what="folders 0 to 9 with .bin files",
        files="[0-9]/*.bin",
        fetched_by="tonic",
        below="NMNIST",
    ),
    "dvs-gesture": _parts(
        "unpack ibmGestureTrain.tar.gz and ibmGestureTest.tar.gz into ROOT",
        "ibmGestureTrain",
        "ibmGestureTest",
        what="USER/LABEL.npy files",
        files="*/[0-9]*.npy",
        fetched_by="tonic",
        below="DVSGesture",
    ),
    "cifar10-dvs": Layout("unpack CIFAR10DVS.zip and its ten class archives into ROOT", "tonic", "CIFAR10DVS"),
    "event-folder": Layout(
        "lay the recordings out as ROOT/CLASS/FILE, or ROOT/train/CLASS/FILE and ROOT/test/CLASS/FILE"
    ),
    "shd": Layout(
        "unpack shd_train.h5.gz and shd_test.h5.gz into ROOT (or ROOT/SHD)",
        "tonic",
        "SHD",
        {("", f"{name} is not there"): (name,) for name in ("shd_train.h5", "shd_test.h5")},
    ),
    "fsdd": Layout(
        "unpack the data set into ROOT, so that ROOT/recordings/7_jackson_32.wav is there",
        below="recordings",
        needed={("", "no recordings DIGIT_SPEAKER_TAKE.wav"): ("[0-9]_*_[0-9]*.wav",)},
    ),
    "audio-folder": _parts(
        "lay the recordings out as ROOT/train/CLASS/FILE.wav and ROOT/test/CLASS/FILE.wav",
        "train",
        "test",
        what="folders of .wav files",
        files="*/*.[wW][aA][vV]",
    ),
    "file": Layout(
        f"set data.root to a file ({', '.join(ENDINGS)}) with x_train, y_train, x_test, y_test, or x and y"
    ),
}
"""Of every data set but the digits, which come with scikit-learn."""


def root_of(config: DataConfig) -> Path:
    """The folder (or file) in which the data lie; what must be in it is there.

    Raises:
        ConfigError: none is named. InputError: it does not exist, or something is missing in it.
    """
    layout = LAYOUTS[config.name]
    if config.root is None:
        raise ConfigError(f"{config.name} needs a folder", where="data.root", ways_out=layout.hint)
    root = named_path(config.root, "data.root")
    if not root.exists():
        raise InputError(f"no such folder, looked for {config.name}", where=root, ways_out=layout.hint)
    if layout.below and (root / layout.below).is_dir():
        root = root / layout.below
    for (folder, what), patterns in layout.needed.items():
        if not any(any((root / folder).glob(pattern)) for pattern in patterns):
            raise InputError(what, where=root / folder, ways_out=layout.hint)
    return root
