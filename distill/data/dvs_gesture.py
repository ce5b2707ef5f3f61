"""DVS-Gesture (Amir et al., CVPR 2017) as tonic lays it out: ROOT/ibmGestureTrain/USER/LABEL.npy, 128 x 128."""

from __future__ import annotations

from pathlib import Path

from seamount.errors import InputError

from ..config import DataConfig
from .events import framed
from .files import root_of
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
    hint = "unpack ibmGestureTrain.tar.gz and ibmGestureTest.tar.gz into ROOT, or set data.download = true"
    if config.download and config.root is not None:
        import tonic

        for train in (True, False):
            tonic.datasets.DVSGesture(config.root, train=train)
    root = root_of(config, hint)
    root = root / "DVSGesture" if (root / "DVSGesture").is_dir() else root
    return Source(
        _part(root, "Train", n_steps, config, hint), _part(root, "Test", n_steps, config, hint), CLASSES, True
    )


def _part(root: Path, part: str, n_steps: int, config: DataConfig, hint: str) -> Samples:
    paths = sorted(p for p in (root / f"ibmGesture{part}").glob("*/*.npy") if p.stem.isdigit())
    if not paths:
        raise InputError(f"{root}/ibmGesture{part}: no USER/LABEL.npy files; {hint}")
    return framed(part.lower(), paths, [int(p.stem) for p in paths], SENSOR, n_steps, config)
