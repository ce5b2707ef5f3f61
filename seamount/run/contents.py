"""What stands in the files that settings name: a stage depends on their contents, not on their names.

A data set that is public is fixed by its name. One's own is hashed, see ``WHOLE_BYTES``.
"""

from __future__ import annotations

import hashlib
import inspect
import itertools
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import nn

from seamount import own
from seamount.distill.choices import STILL_IMAGES
from seamount.distill.config import DataConfig, Section, StudentConfig, TeacherConfig
from seamount.distill.data.events import ENDINGS
from seamount.distill.data.own import fingerprint
from seamount.distill.data.wav import ENDING as WAV
from seamount.distill.methods import needs_teacher, weights_of
from seamount.files import file_hash, named_path, text_hash
from seamount.hardware_targets.target import load_target
from seamount.own import is_own

from .settings import ChipFormats, ChipName, Frames, LavaSamples, Method, own_code

WHOLE_BYTES = 1 << 30
"""So much of one's own data is hashed whole, in about a second; of more only names, sizes and times of change are."""

NOT_OF_STUDENTS = frozenset(
    {
        "drive_bits",
        "payload_bits",
        "ternary_spikes",
        "refractory_max",
        "soft_reset",
        "reset_interval_power_of_two",
        "delay_max",
    }
)
"""Number formats that a student in integers never asks for: chips that differ in these alone share its training."""

Hash = Callable[[Path], str]


def contents(settings: Section, hash_of: Hash) -> dict[str, str]:
    """A digest of each content that the settings of a stage name, by the setting.

    Args:
        hash_of: the hash of a file; it is asked for the same one by several stages.
    """
    found = {setting: own.digest(reference, setting) for setting, reference in own_code(settings)}
    for _, section in settings:
        match section:
            case DataConfig(name=name, root=str(root)) if is_own(name):
                found["data.root"] = _own_data(named_path(root, "data.root"), hash_of)
            case DataConfig(name="file" | "event-folder" | "audio-folder", root=str(root), cache=cache):
                found["data.root"] = _data(named_path(root, "data.root"), cache, hash_of)
            case TeacherConfig(checkpoint=str(path)):
                found["teacher.checkpoint"] = _file(Path(path), hash_of)
            case StudentConfig(checkpoint=str(path)):
                found["student.checkpoint"] = _file(Path(path), hash_of)
            case ChipName(name=name):
                # the numbers that reach the compiler, so that a comment in the file changes nothing
                found["target.name"] = text_hash(json.dumps(asdict(load_target(name).chip), sort_keys=True))
            case ChipFormats(name=name):
                formats = asdict(load_target(name).chip.formats)
                seen = {key: value for key, value in formats.items() if key not in NOT_OF_STUDENTS}
                found["target.name"] = text_hash(json.dumps(seen, sort_keys=True))
            case Method(method=method, options=options):
                found["distill.method"] = str(needs_teacher(weights_of(method), options))
            case Frames(n_steps=n_steps):
                found["student.n_steps"] = "of any number" if _still(settings) else str(n_steps)
            case LavaSamples():
                from seamount.hardware_targets.lava import lava_status

                # a run of before Lava was installed proves itself when it is resumed
                found["lava-nc"] = text_hash(json.dumps(dict(lava_status(try_it=False).versions), sort_keys=True))
            case _:
                pass
    return found


def _still(settings: Section) -> bool:
    """Whether what a teacher sees does not depend on the number of steps; one's own code is handed it, too."""
    data = getattr(settings, "data", None)
    if not isinstance(data, DataConfig) or data.encoding == "frames":
        return False
    return data.name in STILL_IMAGES or data.name == "file"


def digest_of(thing: Any) -> str:
    """Of what was handed over in Python: weights and structure of a module, samples, and the code of its class."""
    if isinstance(thing, nn.Module):
        weights = [(name, value.detach().cpu().contiguous()) for name, value in thing.state_dict().items()]
        raw = (hashlib.sha256(v.view(-1).view(torch.uint8).numpy().tobytes()).hexdigest() for _, v in weights)
        return text_hash(repr(thing), *(name for name, _ in weights), *raw, _source(type(thing)))
    if own.is_maker(thing) or callable(thing):
        return text_hash(_source(thing if own.is_maker(thing) else type(thing)))
    return fingerprint(thing)


def _source(thing: Any) -> str:
    """The file that it is written in and what that imports from its folder; its own text, or its name, elsewhere."""
    try:
        path = Path(inspect.getsourcefile(thing) or "")
        if path.is_file() and "site-packages" not in path.parts:
            return text_hash(*(f"{name} {file_hash(at)}" for name, at in own.files_of(path).items()))
        return inspect.getsource(thing)
    except (TypeError, OSError):  # of C, or typed into a console
        return repr(thing) if isinstance(thing, type) else getattr(thing, "__qualname__", type(thing).__name__)


def _own_data(root: Path, hash_of: Hash) -> str:
    """What one's own code may read of the folder or file that it is given: all of it."""
    files = [root] if root.is_file() else sorted(path for path in root.rglob("*") if path.is_file())
    return _digest(root, files, hash_of)


def _file(path: Path, hash_of: Hash) -> str:
    # absent: the stage itself says so, with what to do
    return hash_of(path) if path.is_file() else "absent"


def _data(root: Path, cache: str | None, hash_of: Hash) -> str:
    return _digest(root, [root] if root.is_file() else _recordings(root, cache), hash_of)


def _digest(root: Path, files: Sequence[Path], hash_of: Hash) -> str:
    whole = sum(path.stat().st_size for path in files) <= WHOLE_BYTES
    facts = [(str(path.relative_to(root)), hash_of(path) if whole else _changed(path)) for path in files]
    return text_hash(*itertools.chain(*facts))


def _recordings(root: Path, cache: str | None) -> list[Path]:
    """Without the frames that were made of them: those lie in a hidden folder beside them, or in ``cache``."""
    made = None if cache is None else Path(os.path.realpath(cache))

    def recorded(path: Path) -> bool:
        hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
        return not hidden and path.is_file() and (made is None or not path.resolve().is_relative_to(made))

    endings = (*ENDINGS, WAV)
    return sorted(path for path in root.rglob("*") if path.suffix.lower() in endings and recorded(path))


def _changed(path: Path) -> str:
    found = path.stat()
    return f"{found.st_size} {found.st_mtime_ns}"
