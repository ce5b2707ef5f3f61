"""N-MNIST (Orchard et al., 2015): ROOT/Train/LABEL/*.bin and ROOT/Test/LABEL/*.bin, 34 x 34, two polarities."""

from __future__ import annotations

from pathlib import Path

from ..config import DataConfig
from ..layouts import root_of
from .events import framed
from .files import classes_in_turns, download
from .samples import Samples, Source

SENSOR = (34, 34)
CLASSES = tuple(str(k) for k in range(10))


def load(config: DataConfig, n_steps: int) -> Source:
    download(config, _fetch)
    root = root_of(config)
    return Source(_part(root, "Train", n_steps, config), _part(root, "Test", n_steps, config), CLASSES, True)


def _fetch(root: str) -> None:
    import tonic

    for train in (True, False):
        tonic.datasets.NMNIST(root, train=train)


def _part(root: Path, part: str, n_steps: int, config: DataConfig) -> Samples:
    files = [(path, int(label)) for label in CLASSES for path in sorted((root / part / label).glob("*.bin"))]
    pairs = classes_in_turns(files)
    return framed(part.lower(), [p for p, _ in pairs], [label for _, label in pairs], SENSOR, n_steps, config)
