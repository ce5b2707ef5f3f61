"""scikit-learn's 1,797 handwritten digits, 8x8, which come with the package: real data that needs no download."""

from __future__ import annotations

import numpy as np

from ..config import DataConfig
from .samples import Source, in_memory, split

TEST_SHARE = 0.2
TEST_SEED = 0
"""The test set is the same for everybody: a fixed fifth of every class."""


def load(config: DataConfig, n_steps: int) -> Source:
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    values = np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)  # 0..16 to 8 bits
    every = in_memory(values, labels)
    train, test = split(every.labels, TEST_SHARE, TEST_SEED)
    return Source(every.subset(train), every.subset(test), tuple(str(k) for k in range(10)))
