"""As what a chain of operators is written out; apart from ``write_out``, whose libraries few networks need."""

from __future__ import annotations

LIMIT_BYTES = 4 << 30
"""Of what a chain is written out as, where nothing else is said."""

SPARSE_BELOW = 0.25
"""A matrix with a smaller share of entries that are not 0 is stored as entries."""

FEW_VALUES = 4096
"""A matrix of no more values is one whatever they are."""
