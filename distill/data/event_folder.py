"""Any recordings in a folder per class: ROOT/train/CLASS/* and ROOT/test/CLASS/*, or ROOT/CLASS/* with a fixed split.

CIFAR10-DVS is such a folder, without a split of its own.
"""

from __future__ import annotations

from pathlib import Path

from seamount.errors import ConfigError, InputError

from ..config import DataConfig
from ..layouts import LAYOUTS, root_of
from .events import ENDINGS, framed, read_events
from .files import Labelled, classes_in_turns, download
from .samples import Source, split

TEST_SHARE, TEST_SEED = 0.1, 0
"""CIFAR10-DVS has no test set; as usual a tenth is taken, here of every class."""


def load(config: DataConfig, n_steps: int) -> Source:
    ours = config.name == "cifar10-dvs"
    if ours:
        download(config, _fetch)
    root = root_of(config)
    parted = (root / "train").is_dir()
    names = _classes(root / "train" if parted else root)
    if not names:
        raise InputError(
            f"no folders of recordings ({', '.join(ENDINGS)})", where=root, ways_out=LAYOUTS[config.name].hint
        )
    folders = {"train": root / "train", "test": root / "test"} if parted else {"all": root}
    files = {part: _labelled(folder, names) for part, folder in folders.items()}
    sensor = (128, 128) if ours else _sensor(next((path for f in files.values() for path, _ in f), None), config)
    parts = [
        framed(part, [path for path, _ in f], [k for _, k in f], sensor, n_steps, config) for part, f in files.items()
    ]
    if parted:
        return Source(parts[0], parts[1], names, events=True)
    train, test = split(parts[0].labels, TEST_SHARE, TEST_SEED)
    return Source(parts[0].subset(train), parts[0].subset(test), names, events=True)


def _fetch(root: str) -> None:
    import tonic

    tonic.datasets.CIFAR10DVS(root)


def _labelled(folder: Path, names: tuple[str, ...]) -> Labelled:
    return classes_in_turns([(path, k) for k, name in enumerate(names) for path in _recordings(folder / name)])


def _classes(root: Path) -> tuple[str, ...]:
    return tuple(sorted(folder.name for folder in root.glob("[!.]*") if folder.is_dir() and _recordings(folder)))


def _recordings(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in ENDINGS)


def _sensor(example: Path | None, config: DataConfig) -> tuple[int, int]:
    """Files do not say how large the sensor was: the configuration does."""
    if config.sensor is not None:
        return config.sensor
    seen = ""
    if example is not None:
        events = read_events(example)
        seen = f"; {example.name} reaches x {int(events.x.max())}, y {int(events.y.max())}"
    raise ConfigError(f"[height, width] of the recordings' sensor is needed{seen}", where="data.sensor")
