"""Images and event recordings as uint8 tensors, and how they become spikes; ``choices.py`` lists all sources."""

from .load import load_data
from .samples import Batch, Data, Pass, Samples

__all__ = ["Batch", "Data", "Pass", "Samples", "load_data"]
