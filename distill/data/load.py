"""Loads a data set by name, splits off its validation part and checks it."""

from __future__ import annotations

import importlib
from collections.abc import Callable

from seamount.errors import ConfigError, InputError
from seamount.own import is_own

from ..choices import DATA_SETS
from ..config import DataConfig, Encoding
from .samples import Data, Samples, Source, check_labels, first_of_each, split

Loader = Callable[[DataConfig, int], Source]
"""``load`` of a file of this folder: the settings and T -> both parts, not yet split or checked."""


def loader(name: str) -> Loader:
    home = "own" if is_own(name) else DATA_SETS[name]
    load: Loader = importlib.import_module(f".{home}", __package__).load
    return load


def load_data(config: DataConfig, *, n_steps: int) -> Data:
    """The data set of a configuration: training, validation and test part.

    Args:
        n_steps: T, the number of frames that recordings are cut into and of the encoded steps.

    Raises:
        InputError: files are missing (the message says how to get them) or damaged; labels make no sense.
        ConfigError: an encoding that does not fit the data.
    """
    if n_steps < 1:
        raise ConfigError(f"{n_steps}, at least 1 step is needed", where="student.n_steps")
    source = loader(config.name)(config, n_steps)
    encoding = _encoding(config, source)
    if len(source.class_names) < 2:
        found = "all samples are of one class" if len(source.train) else "the training part has no samples"
        raise InputError(found, where=config.name, possible="at least 2 classes are needed")
    for part, samples in (("training", source.train), ("test", source.test)):
        check_labels(config.name, part, samples.labels, source.class_names, every_class=part == "training")
    train, test = _limit(source.train, config.max_train), _limit(source.test, config.max_test)
    kept, held = split(train.labels, config.validation, config.seed)
    if len(held) == 0:
        raise ConfigError(f"nothing is left of {len(train)} training samples to hold out", where="data.validation")
    example = train.read(train.ids[:1], None)[0]
    shape = tuple(example.shape[1:] if source.events else example.shape)
    return Data(
        name=config.name,
        train=train.subset(kept),
        val=train.subset(held),
        test=test,
        class_names=source.class_names,
        input_shape=shape,
        n_steps=n_steps,
        encoding=encoding,
        config=config,
        graded=source.graded,
    )


def _encoding(config: DataConfig, source: Source) -> Encoding:
    encoding: Encoding = config.encoding or ("frames" if source.events else "direct")
    if (encoding == "frames") != source.events:
        kind = "recordings, which become frames" if source.events else "still images"
        possible = '"frames"' if source.events else '"direct", "rate" or "latency"'
        found = f"{encoding!r}, but {config.name} has {kind}"
        raise ConfigError(found, where="data.encoding", ways_out=f"possible: {possible}")
    return encoding


def _limit(samples: Samples, n: int | None) -> Samples:
    if n is None or n >= len(samples):
        return samples
    return samples.subset(first_of_each(samples.labels, n))
