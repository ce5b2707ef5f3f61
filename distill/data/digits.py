"""scikit-learn's 1,797 handwritten digits, 8x8, which come with the package: real data that needs no download."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from ..config import DataConfig
from .samples import Source, in_memory, split

TEST_SHARE = 0.2
TEST_SEED = 0
"""The test set is the same for everybody: a fixed fifth of every class."""


def load(config: DataConfig, n_steps: int) -> Source:
    package = find_spec("sklearn")
    assert package is not None, "one of our dependencies"
    assert package.origin is not None, "a package in a folder"
    # read past scikit-learn's own loader, which takes a second to import: rows of 64 pixels and the label
    rows = np.loadtxt(Path(package.origin).parent / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    images, labels = rows[:, :-1], rows[:, -1].astype(np.int64)
    values = np.rint(images.reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)  # 0..16 to 8 bits
    every = in_memory(values, labels)
    train, test = split(every.labels, TEST_SHARE, TEST_SEED)
    return Source(every.subset(train), every.subset(test), tuple(str(k) for k in range(10)))
