"""Sound as a chip's host hands it over: energies of bands in 8 bits, or spikes where they change; integers alone.

Each step takes a window of samples, the smallest power of two N that covers a step:

    re_k, im_k = sum_n x_n round(2047 hann_n cos(2 pi k n / N)), likewise sin,   >> 12,   k = 0 .. N / 2
    e_b        = sum_k w_bk (re_k^2 + im_k^2) >> 4        triangles w of 0 to 16 on the mel scale
    l_b        = 16 log2 e_b, straight between powers of two: where the highest bit stands, and the 4 bits below it
    v_b        = l_b - loudest + 255, held to 0 .. 255    loudest: the largest l so far in the recording

So a v of 255 is the loudest so far, and 16 less is half of its energy (3 dB); 0 is 48 dB below it, or silence. With
N <= 2048 all sums stay below 2^63: the sum of all squares is N times that of the windowed samples (Parseval), at most
2^(11 + 11 + 2 (15 + 11)) >> 24, times weights of 2^4.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from seamount.errors import ConfigError

Integers = NDArray[np.int64]
Bytes = NDArray[np.uint8]

LOWEST_HZ = 100
WINDOW_TOP, WEIGHT_BITS, SHIFT, LOG_BITS = 2047, 4, 12, 4
LONGEST_WINDOW = 2048


@dataclass(frozen=True)
class Bands:
    """
    Attributes:
        rate: samples a second.
        hop: samples a step.
        n: bands, from 100 Hz to half of the rate.
    """

    rate: int
    hop: int
    n: int

    @property
    def window(self) -> int:
        return 1 << (self.hop - 1).bit_length()

    def __post_init__(self) -> None:
        if not self.hop > 1 or self.window > LONGEST_WINDOW:
            raise ConfigError(
                f"a step of {self.hop} samples",
                where="data.step_s",
                possible=f"2 to {LONGEST_WINDOW} samples are possible",
            )
        if self.rate // 2 <= LOWEST_HZ or not (self.tables()[2] > 0).any(0).all():
            raise ConfigError(
                f"{self.n} bands of {LOWEST_HZ} to {self.rate // 2} Hz: windows of {self.window} samples do not tell "
                "them apart",
                where="data.bands",
                ways_out=("set fewer data.bands", "longer steps, data.step_s"),
            )

    def tables(self) -> tuple[Integers, Integers, Integers]:
        return _tables(self.rate, self.window, self.n)


@lru_cache(maxsize=4)
def _tables(rate: int, window: int, n: int) -> tuple[Integers, Integers, Integers]:
    """Windowed cosines and sines (window, window / 2 + 1), and the bands' weights (window / 2 + 1, n)."""
    at, k = np.arange(window), np.arange(window // 2 + 1)
    hann = WINDOW_TOP * (0.5 - 0.5 * np.cos(2 * np.pi * at / window))
    turn = 2 * np.pi * np.outer(at, k) / window
    edges = np.linspace(_mel(LOWEST_HZ), _mel(rate / 2), n + 2)
    low, middle, high = edges[:-2], edges[1:-1], edges[2:]
    mel = _mel(k * rate / window)[:, None]
    sides = np.minimum((mel - low) / (middle - low), (high - mel) / (high - middle))
    weights = np.rint((1 << WEIGHT_BITS) * sides.clip(0))
    cos, sin = (np.rint(hann[:, None] * wave(turn)) for wave in (np.cos, np.sin))
    return cos.astype(np.int64), sin.astype(np.int64), weights.astype(np.int64)


def _mel(hz: NDArray[np.float64] | float) -> NDArray[np.float64]:
    mel: NDArray[np.float64] = 2595 * np.log10(1 + np.asarray(hz) / 700)
    return mel


def log2(e: Integers) -> Integers:
    """16 log2 of whole numbers, straight between powers of two; 0 for 0 and 1."""
    e = np.maximum(e, 1)
    bit = np.zeros_like(e)
    rest = e.copy()
    for step in (32, 16, 8, 4, 2, 1):
        far = rest >> step > 0
        bit += step * far
        rest = np.where(far, rest >> step, rest)
    below = np.where(bit >= LOG_BITS, e >> (bit - LOG_BITS).clip(0), e << (LOG_BITS - bit).clip(0))
    found: Integers = (bit << LOG_BITS) + below - (1 << LOG_BITS)
    return found


def energies(x: Integers, bands: Bands, n_steps: int) -> Bytes:
    """A recording (n,) of 16 bits as (T, bands); what stands behind its end is silence, behind the last step cut."""
    cos, sin, weights = bands.tables()
    needed = (n_steps - 1) * bands.hop + bands.window
    x = np.concatenate([x[:needed], np.zeros(max(0, needed - len(x)), np.int64)])
    windows = np.lib.stride_tricks.sliding_window_view(x, bands.window)[:: bands.hop]
    # floats, because they multiply matrices fast; exact, because no sum leaves 53 bits
    re, im = ((windows.astype(np.float64) @ wave).astype(np.int64) >> SHIFT for wave in (cos, sin))
    level = log2((re * re + im * im) @ weights >> WEIGHT_BITS)
    loudest = np.maximum.accumulate(level.max(1, keepdims=True))
    return np.where(level > 0, level - loudest + 255, 0).clip(0, 255).astype(np.uint8)


def crossings(values: Bytes, threshold: int) -> Bytes:
    """Spikes where a band's energy has risen or fallen by a threshold: (T, bands) -> (T, 2, bands), rises first.

    What it is compared with starts at 0 and follows in whole thresholds.
    """
    at = np.zeros(values.shape[1], np.int64)
    spikes = np.zeros((len(values), 2, values.shape[1]), np.uint8)
    for step, value in zip(spikes, values.astype(np.int64), strict=True):
        moved = np.sign(value - at) * (np.abs(value - at) // threshold)
        step[0], step[1] = moved > 0, moved < 0
        at += moved * threshold
    return spikes
