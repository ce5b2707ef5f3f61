"""The report's figures, a file a section. They scale and place; every number was there before.

What stands here is what the sections' templates may draw.
"""

from __future__ import annotations

from .accuracy import ladder
from .anytime import anytime_accuracy, anytime_energy
from .conversion import threshold_curves
from .cores import uses
from .energy import boundaries, break_even, energy_bars, sensitivity, terms
from .layers import HEAT_LEVELS, agreement, bar, frame_shares, over_time, rates
from .network import network
from .ranges import bits, state_box, weight_histogram
from .raster import picture, raster_panel
from .sweep import trade_offs

__all__ = [
    "HEAT_LEVELS",
    "agreement",
    "anytime_accuracy",
    "anytime_energy",
    "bar",
    "bits",
    "boundaries",
    "break_even",
    "energy_bars",
    "frame_shares",
    "ladder",
    "network",
    "over_time",
    "picture",
    "raster_panel",
    "rates",
    "sensitivity",
    "state_box",
    "terms",
    "threshold_curves",
    "trade_offs",
    "uses",
    "weight_histogram",
]
