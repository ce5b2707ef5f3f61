"""Networks of ``simulator.py`` and their inputs: the recorded ones of LIF neurons, and two of sigma-delta neurons."""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

LIF = ("dense", "conv")
SIGMA_DELTA = ("pilotnet-sdnn", "audio-sdnn")

PILOTNET = "tests/lava/lib/dl/netx/gts/pilotnet_sdnn"
"""In lava-dl's wheel."""

AUDIO = (257, 512, 512, 257)
"""Sizes as of the baseline of Intel's denoising challenge: a spectrum in, a mask out."""

AUDIO_DELAY = 4
"""Longest delay [steps]."""


@dataclass(frozen=True)
class Net:
    """A network to measure.

    Attributes:
        samples: n inputs in Lava's layout, (n, W, H, C, T) or (n, N, T).
        in_slayer: whether slayer computes the same.
    """

    name: str
    file: Path
    samples: Callable[[int], NDArray[Any]]
    batches: tuple[int, ...]
    in_slayer: bool


def network(name: str, recorded: Path, made: Path) -> Net:
    """The network of a name.

    Args:
        recorded: folder of ``golden/lava_bench``. made: folder for a network that is made here.
    """
    if name in LIF:
        samples = partial(recorded_samples, recorded / f"{name}_x.npz")
        return Net(name, recorded / f"{name}.net", samples, (64, 1), True)
    if name == "audio-sdnn":
        return Net(name, audio(made / "audio.net"), audio_samples, (16, 1), False)
    folder = Path(str(importlib.metadata.distribution("lava-dl").locate_file(PILOTNET)))
    return Net(name, folder / "network.net", partial(frames, folder / "input.npy"), (16, 1), False)


def recorded_samples(file: Path, n: int, n_steps: int = 100) -> NDArray[Any]:
    """The ten samples that there are, again and again."""
    steps = np.unpackbits(np.load(file)["x"], axis=-1)[..., : 10 * n_steps]
    ten = [steps[..., k * n_steps : (k + 1) * n_steps] for k in range(10)]
    return np.stack([ten[k % 10] for k in range(n)])


def frames(file: Path, n: int, n_steps: int = 14) -> NDArray[Any]:
    """The wheel's one frame; in each step a tenth of the pixels moves by -3 to 3."""
    first = np.load(file)[..., 0].astype(np.int64)
    rng = np.random.default_rng(0)
    moved = rng.integers(-3, 4, (n, *first.shape, n_steps)) * (rng.random((n, *first.shape, n_steps)) < 0.1)
    moved[..., 0] = first
    return moved.cumsum(axis=-1)


def audio(path: Path) -> Path:
    """Dense sigma-delta layers with a delay for each neuron that listens, random weights."""
    rng = np.random.default_rng(1)
    with h5py.File(path, "w") as file:
        for k, n in enumerate(AUDIO):
            layer = file.create_group(f"layer/{k}")
            layer["type"] = np.array([b"dense" if k else b"input"], "S10")
            layer["shape"] = np.array([n])
            layer["neuron/type"], layer["neuron/vThMant"] = b"SDNN", 6
            if not k:
                continue
            layer["weight"] = np.round(rng.normal(0, 12, (n, AUDIO[k - 1])) / 2).astype(np.float32) * 2
            layer["delay"] = rng.integers(0, AUDIO_DELAY + 1, AUDIO[k - 1]).astype(np.float32)
    return path


def audio_samples(n: int, n_steps: int = 20) -> NDArray[Any]:
    """Bands whose energy (0 to 255) walks by up to 12 a step."""
    rng = np.random.default_rng(2)
    walk = rng.integers(-12, 13, (n, AUDIO[0], n_steps))
    walk[..., 0] = rng.integers(0, 256, (n, AUDIO[0]))
    return np.abs(walk.cumsum(axis=-1)) % 256
