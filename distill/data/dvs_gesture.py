"""DVS-Gesture (Amir et al., CVPR 2017) as tonic lays it out: ROOT/ibmGestureTrain/USER/LABEL.npy, 128 x 128."""

from __future__ import annotations

from pathlib import Path

from ..config import DataConfig
from ..layouts import root_of
from .events import framed
from .files import download
from .samples import Samples, Source

SENSOR = (128, 128)
CLASSES = (
    "hand clapping",
    "right hand wave",
    "left hand wave",
    "right arm clockwise",
    "right arm counter-clockwise",
    "left arm clockwise",
    "left arm counter-clockwise",
    "arm roll",
    "air drums",
    "air guitar",
    "other gestures",
)


def load(config: DataConfig, n_steps: int) -> Source:
    download(config, _fetch)
    root = root_of(config)
    return Source(_part(root, "Train", n_steps, config), _part(root, "Test", n_steps, config), CLASSES, True)


def _fetch(root: str) -> None:
    import tonic

    for train in (True, False):
        tonic.datasets.DVSGesture(root, train=train)


def _part(root: Path, part: str, n_steps: int, config: DataConfig) -> Samples:
    paths = sorted(p for p in (root / f"ibmGesture{part}").glob("*/*.npy") if p.stem.isdigit())
    return framed(part.lower(), paths, [int(p.stem) for p in paths], SENSOR, n_steps, config)
