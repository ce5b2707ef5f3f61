"""What holds for every test, and what tests of several folders ask for."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator

import pytest
from hypothesis import settings

# containers often turn it off, and then every worker and every process of a test would compile each module anew
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

# no deadlines, because a machine that others use too misses any of them by chance
settings.register_profile("seamount", deadline=None)
settings.load_profile("seamount")


@pytest.fixture
def no_window() -> Iterator[None]:
    """Matplotlib draws without a screen, and forgets its figures."""
    import matplotlib  # here, because few tests draw
    from matplotlib import pyplot

    before = matplotlib.get_backend()
    matplotlib.use("Agg")
    yield
    pyplot.close("all")
    matplotlib.use(before)
