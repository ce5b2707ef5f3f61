"""Sound in a folder per class: ROOT/train/CLASS/*.wav and ROOT/test/CLASS/*.wav."""

from __future__ import annotations

from pathlib import Path

from seamount.errors import InputError

from ..config import DataConfig
from ..layouts import LAYOUTS, root_of
from .files import classes_in_turns
from .samples import Source
from .sound import source
from .wav import ENDING


def load(config: DataConfig, n_steps: int) -> Source:
    hint = LAYOUTS["audio-folder"].hint
    root = root_of(config)
    parts = {part: _by_class(root / part) for part in ("train", "test")}
    strange = sorted(parts["test"].keys() - parts["train"].keys())
    if strange:
        raise InputError(f"no training recordings of {', '.join(strange[:10])}", where=root / "train", ways_out=hint)
    names = sorted(parts["train"])
    train, test = (
        classes_in_turns([(path, k) for k, name in enumerate(names) for path in found.get(name, ())])
        for found in parts.values()
    )
    return source(train, test, names, config, n_steps)


def _by_class(folder: Path) -> dict[str, list[Path]]:
    found = {at.name: sorted(p for p in at.glob("*") if p.suffix.lower() == ENDING) for at in folder.glob("[!.]*")}
    return {name: paths for name, paths in found.items() if paths}
