"""N-MNIST (Orchard et al., 2015): ROOT/Train/LABEL/*.bin and ROOT/Test/LABEL/*.bin, 34 x 34, two polarities."""

from __future__ import annotations

from pathlib import Path

from seamount.errors import InputError

from ..config import DataConfig
from .events import framed
from .files import root_of
from .samples import Samples, Source

SENSOR = (34, 34)
CLASSES = tuple(str(k) for k in range(10))


def load(config: DataConfig, n_steps: int) -> Source:
    hint = "unpack the data set's Train.zip and Test.zip into ROOT (or ROOT/NMNIST), or set data.download = true"
    if config.download and config.root is not None:
        import tonic

        for train in (True, False):
            tonic.datasets.NMNIST(config.root, train=train)
    root = root_of(config, hint)
    root = root / "NMNIST" if (root / "NMNIST").is_dir() else root
    return Source(
        _part(root, "Train", n_steps, config, hint), _part(root, "Test", n_steps, config, hint), CLASSES, True
    )


def _part(root: Path, part: str, n_steps: int, config: DataConfig, hint: str) -> Samples:
    pairs = [(path, int(label)) for label in CLASSES for path in sorted((root / part / label).glob("*.bin"))]
    if not pairs:
        raise InputError("no folders 0 to 9 with .bin files", where=root / part, ways_out=hint)
    return framed(part.lower(), [p for p, _ in pairs], [label for _, label in pairs], SENSOR, n_steps, config)
