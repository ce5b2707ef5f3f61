"""The proof of a run: what was compared value by value, and whether anything differed."""

from __future__ import annotations

from ..evidence import Evidence
from ..schema.values import Item, Missing


class Comparison(Item):
    """Two runs of the same samples, value by value."""

    a: str
    b: str
    n_samples: int
    spikes_compared: int
    spikes_differing: int
    membrane_compared: int
    membrane_differing: int
    first_difference: str | None

    @property
    def equal(self) -> bool:
        return self.spikes_differing == 0 and self.membrane_differing == 0 and self.first_difference is None


class Proof(Item):
    bit_exact: bool
    comparisons: tuple[Comparison, ...]
    words: str


def proof(evidence: Evidence) -> Proof | Missing:
    if not evidence.proof:
        return Missing(missing=evidence.reason("proof", "no two runs were compared"))
    comparisons = tuple(
        Comparison(
            a=c.a,
            b=c.b,
            n_samples=c.n_samples,
            spikes_compared=c.spikes_compared,
            spikes_differing=c.spikes_differing,
            membrane_compared=c.membrane_compared,
            membrane_differing=c.membrane_differing,
            first_difference=c.first_difference,
        )
        for c in evidence.proof
    )
    exact = all(c.equal for c in comparisons)
    with_lava = any("lava" in f"{c.a} {c.b}".lower() for c in comparisons)
    spikes = sum(c.spikes_compared for c in comparisons)
    membranes = sum(c.membrane_compared for c in comparisons)
    if exact:
        words = f"0 of {spikes:,} spikes and 0 of {membranes:,} membrane values differ."
        if not with_lava:
            words += f" Lava itself was not run: {evidence.reason('oracle', 'nobody asked for it')}."
    else:
        wrong = next(c for c in comparisons if not c.equal)
        words = (
            f"{wrong.a} and {wrong.b} differ in {wrong.spikes_differing:,} of {wrong.spikes_compared:,} spikes and "
            f"{wrong.membrane_differing:,} of {wrong.membrane_compared:,} membrane values"
            f"{'' if wrong.first_difference is None else '; first: ' + wrong.first_difference}."
        )
    return Proof(bit_exact=exact and spikes > 0, comparisons=comparisons, words=words)
