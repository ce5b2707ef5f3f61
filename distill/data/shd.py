"""Spiking Heidelberg Digits (Cramer et al., 2020): ROOT/shd_train.h5 and shd_test.h5, 700 cochlea channels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from seamount.errors import InputError
from seamount.foreign.hdf5 import opened_data
from seamount.foreign.labels import class_labels

from ..config import DataConfig
from ..layouts import root_of
from .files import download
from .samples import Samples, Source, in_memory

CHANNELS = 700
DIGITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
GERMAN = ("null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun")


def load(config: DataConfig, n_steps: int) -> Source:
    download(config, _fetch)
    root = root_of(config)
    parts = [read_shd(root / f"shd_{part}.h5", n_steps, config) for part in ("train", "test")]
    return Source(parts[0], parts[1], DIGITS + GERMAN, events=True)


def _fetch(root: str) -> None:
    import tonic

    for train in (True, False):
        tonic.datasets.SHD(root, train=train)


def read_shd(path: Path, n_steps: int, config: DataConfig) -> Samples:
    """Spike trains counted into frames (N, T, channels); ``size`` merges neighbouring channels."""
    channels = config.size or CHANNELS
    with opened_data(path) as file:
        labels = class_labels(file["labels"][()], path, "labels", len(DIGITS + GERMAN))
        times, units = file["spikes/times"][()], file["spikes/units"][()]
    if not len(labels) == len(times) == len(units):
        raise InputError(
            f"{len(labels)} labels, {len(times)} rows of times, {len(units)} of units",
            where=path,
            ways_out="fetch it again",
        )
    frames = np.zeros((len(labels), n_steps, channels), dtype=np.uint8)
    for k, (at, unit) in enumerate(zip(times, units, strict=True)):
        order = np.argsort(at, kind="stable")
        at, unit = at[order].astype(np.float64), unit[order].astype(np.int64)
        if len(at) == 0 or unit.min() < 0 or unit.max() >= CHANNELS:
            found = f"sample {k} has no spikes, or units outside 0 to {CHANNELS - 1}"
            raise InputError(found, where=path, ways_out="fetch it again")
        step = _steps(at, n_steps, by_time=config.frames_by == "time")
        counts = np.bincount(step * channels + unit * channels // CHANNELS, minlength=n_steps * channels)
        frames[k] = np.minimum(counts, 255).reshape(n_steps, channels)
    return in_memory(frames, labels)


def _steps(at: NDArray[np.float64], n_steps: int, *, by_time: bool) -> NDArray[np.int64]:
    """The frame of each spike, given their rising times: of equal times, or of equal numbers of spikes."""
    if not by_time:
        return np.arange(len(at)) * n_steps // len(at)
    # a recording of one instant has no length to be divided by
    steps: NDArray[np.int64] = np.minimum((at / max(at[-1], 1e-9) * n_steps).astype(np.int64), n_steps - 1)
    return steps
