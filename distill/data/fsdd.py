"""Free Spoken Digit Dataset (Jackson et al.): ROOT/recordings/DIGIT_SPEAKER_TAKE.wav, 50 takes of each by six people.

Takes 0 to 4 are its test part, spoken by the same people; ``data.test_speaker`` holds one of them out instead.
"""

from __future__ import annotations

import re

from seamount.errors import ConfigError, InputError, none_of

from ..config import DataConfig
from ..layouts import LAYOUTS, root_of
from .files import Labelled, classes_in_turns
from .samples import Source
from .sound import source

NAME = re.compile(r"([0-9])_([^_]+)_([0-9]+)\.wav")
TEST_TAKES = 5
DIGITS = tuple(str(k) for k in range(10))


def load(config: DataConfig, n_steps: int) -> Source:
    root = root_of(config)
    named = [(path, NAME.fullmatch(path.name)) for path in sorted(root.glob("*.wav"))]
    files = [(path, int(name[1]), name[2], int(name[3])) for path, name in named if name is not None]
    if not files:
        raise InputError("no recordings DIGIT_SPEAKER_TAKE.wav", where=root, ways_out=LAYOUTS["fsdd"].hint)
    speakers = sorted({speaker for _, _, speaker, _ in files})
    held = config.test_speaker
    if held is not None and held not in speakers:
        raise ConfigError(none_of(held, speakers), where="data.test_speaker")
    train: Labelled = []
    test: Labelled = []
    for path, digit, speaker, take in files:
        tested = take < TEST_TAKES if held is None else speaker == held
        (test if tested else train).append((path, digit))
    return source(classes_in_turns(train), classes_in_turns(test), DIGITS, config, n_steps)
