"""Recordings of sound and their frames: T steps of energies of bands, or of spikes where these change."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import assert_never

from ..config import DataConfig
from .bands import Bands, crossings, energies
from .files import Labelled
from .recordings import recordings
from .samples import Bytes, Samples, Source
from .wav import read_wav


def source(train: Labelled, test: Labelled, names: Sequence[str], config: DataConfig, n_steps: int) -> Source:
    parts = [heard(part, files, config, n_steps) for part, files in (("train", train), ("test", test))]
    return Source(parts[0], parts[1], tuple(names), events=True, graded=config.sound_values == "energies")


def heard(part: str, files: Labelled, config: DataConfig, n_steps: int) -> Samples:
    """Frames (N, T, 1, 1, bands) of energies, or (N, T, 2, 1, bands) of spikes."""
    bands = Bands(config.sample_rate, round(config.sample_rate * config.step_s), config.bands)
    longest = n_steps * bands.hop
    n_channels = 1 if config.sound_values == "energies" else 2

    def frames(path: Path) -> Bytes:
        found = energies(read_wav(path, config.sample_rate, longest, cut=config.cut_longer), bands, n_steps)
        match config.sound_values:
            case "energies":
                pass
            case "crossings":
                found = crossings(found, config.crossing)
            case _:
                assert_never(config.sound_values)
        return found.reshape(n_steps, n_channels, 1, config.bands)

    facts = [str(bands), config.sound_values, config.crossing, config.cut_longer, config.skip_corrupt]
    paths, labels = [path for path, _ in files], [label for _, label in files]
    return recordings(part, paths, labels, frames, (n_steps, n_channels, 1, config.bands), facts, config)
