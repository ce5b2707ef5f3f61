"""What connects two populations: the closed set of kinds."""

from __future__ import annotations

from dataclasses import dataclass, field

from seamount.windows import Window

from ..numbers import Ints, ints


@dataclass(frozen=True)
class Dense:
    """weights (n_target, n_source) over the flattened (C order) source and target."""

    weights: Ints


@dataclass(frozen=True)
class Sparse:
    """The entries (row = target, column = source) of a dense matrix that exist; sorted by row, then column."""

    weights: Ints
    rows: Ints
    columns: Ints
    n_target: int
    n_source: int


@dataclass(frozen=True)
class Conv:
    """Torch's cross-correlation: weights (C_out, C_in / groups, K_h, K_w), zero padding."""

    weights: Ints
    window: Window = field(default_factory=Window)


@dataclass(frozen=True)
class OneToOne:
    """Neuron i to neuron i: one weight for all, or an array that broadcasts to the shape."""

    weights: Ints


@dataclass(frozen=True)
class Wire:
    """No synapse: the source's value reaches the target in the same step, as drive (so << 6 into u)."""


Kind = Dense | Sparse | Conv | OneToOne | Wire


@dataclass(frozen=True)
class Synapses:
    """What connects two populations.

    Weights are *effective*: on the grid already (``arithmetic.weight_grid``), before the exponent.

    Attributes:
        exponent: the sum is shifted left by it, or, where negative, floored right; a sum per delay value.
        graded: multiply by the payload; else any value other than 0 counts as one spike.
        delay: extra steps, 0..63 (chips hold 62): one for all, or an array of the weights' shape (Dense, Sparse).
        wrap_bits: the drive wraps to so many bits (Lava: 32 for matrices, 24 for convolutions).
        drive: which of the target's drives it adds to, where its neuron model has several.
    """

    name: str
    source: str
    target: str
    kind: Kind
    exponent: int = 0
    graded: bool = False
    delay: Ints = field(default_factory=lambda: ints(0))
    wrap_bits: int = 32
    drive: str = "drive"

    @property
    def wide(self) -> bool:
        """Whether 32 bits hold each product, and not their sum: a delayed matrix, which Lava sums in 64 bits."""
        return isinstance(self.kind, Dense) and bool(self.delay.any())

    @property
    def latency(self) -> int:
        """Steps from a spike to its first effect."""
        if isinstance(self.kind, Wire):
            return 0
        return 1 + (int(self.delay.min()) if self.delay.size else 0)
