"""The proof of a run: what was compared value by value, and whether anything differed."""

from __future__ import annotations

from seamount.hardware_targets.agreement import Agreement

from ..evidence import Evidence
from ..schema.values import Item, Missing


class Proof(Item):
    bit_exact: bool
    comparisons: tuple[Agreement, ...]
    words: str


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
    )


def _nothing_differs(evidence: Evidence) -> str:
    spikes = sum(c.spikes_compared for c in evidence.proof)
    membranes = sum(c.membrane_compared for c in evidence.proof)
    words = f"0 of {spikes:,} spikes and 0 of {membranes:,} membrane values differ."
    if evidence.oracle is None:
        words += f" Lava itself was not run: {evidence.reason('oracle', 'nobody asked for it')}."
    return words


def _differs(c: Agreement) -> str:
    return (
        f"{c.a} and {c.b} differ in {c.spikes_differing:,} of {c.spikes_compared:,} spikes and "
        f"{c.membrane_differing:,} of {c.membrane_compared:,} membrane values"
        f"{'' if c.first_difference is None else '; first: ' + c.first_difference}."
    )
