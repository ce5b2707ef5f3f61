"""The proof of a run: what was compared value by value, and whether anything differed."""

from __future__ import annotations

from seamount.hardware_targets.agreement import Agreement

from ..evidence import Evidence
from ..schema.values import Item, Missing


class Proof(Item):
    """``lava_not_run``: why Lava took no part; None where it did."""

    bit_exact: bool
    comparisons: tuple[Agreement, ...]
    words: str
    lava_not_run: str | None = None

    @property
    def on_lava(self) -> bool:
        """Lava itself was compared with."""
        return any(c.b.startswith("Lava") for c in self.comparisons)

    def compared(self) -> str:
        """Every pair with its number of samples."""
        pairs = [f"{c.a} {'=' if c.equal else '≠'} {c.b} (n = {c.n_samples:,})" for c in self.comparisons]
        return ", ".join(
            [*pairs, *([f"simulator = Lava: not run ({self.lava_not_run})"] if self.lava_not_run else [])]
        )


def proof(evidence: Evidence) -> Proof | Missing:
    found = evidence.proof
    if not found:
        return Missing(missing=evidence.reason("proof", "no two runs were compared"))
    wrong = next((c for c in found if not c.equal), None)
    return Proof(
        # because two silent recordings would be equal too, and prove nothing
        bit_exact=wrong is None and any(c.spikes_compared for c in found),
        comparisons=tuple(found),
        words=_nothing_differs(evidence) if wrong is None else _differs(wrong),
        lava_not_run=evidence.reason("oracle", "nobody asked for it") if evidence.oracle is None else None,
    )


def _nothing_differs(evidence: Evidence) -> str:
    spikes = sum(c.spikes_compared for c in evidence.proof)
    membranes = sum(c.membrane_compared for c in evidence.proof)
    return f"0 of {spikes:,} spikes and 0 of {membranes:,} membrane values differ."


def _differs(c: Agreement) -> str:
    return (
        f"{c.a} and {c.b} differ in {c.spikes_differing:,} of {c.spikes_compared:,} spikes and "
        f"{c.membrane_differing:,} of {c.membrane_compared:,} membrane values"
        f"{'' if c.first_difference is None else '; first: ' + c.first_difference}."
    )
