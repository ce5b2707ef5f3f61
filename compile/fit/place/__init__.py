"""Places a program's neurons on cores: the rules, a validator that applies them, and a search that it judges."""

from .placement import Assignment, Core, LayerUse, Placement, Tile, Use
from .search import OBJECTIVES, Objective, place
from .validate import validate_placement

__all__ = [
    "OBJECTIVES",
    "Assignment",
    "Core",
    "LayerUse",
    "Objective",
    "Placement",
    "Tile",
    "Use",
    "place",
    "validate_placement",
]
