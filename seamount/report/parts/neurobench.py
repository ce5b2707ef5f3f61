"""NeuroBench's metrics under their own names."""

from __future__ import annotations

from seamount.hardware_targets.neurobench import VERSION

from ..evidence import Evidence
from ..schema.quantities import known, unknown
from ..schema.values import Item, Missing, Quantity


class Metric(Item):
    name: str
    value: Quantity
    note: str


class Neurobench(Item):
    version: str
    metrics: tuple[Metric, ...]


def neurobench(evidence: Evidence) -> Neurobench | Missing:
    found = evidence.neurobench
    if found is None:
        return Missing(missing=evidence.reason("neurobench", "the metrics were not asked for"))
    run = evidence.traced.deployed if evidence.traced is not None else evidence.full_run
    n = run.n_samples if run is not None else None

    # per sample, as NeuroBench averages them over a batch; what does not depend on the samples has no n
    def counted(value: float, unit: str) -> Quantity:
        return known(value, unit, "counted", n)

    updates = found.membrane_updates
    rows = (
        ("Footprint", known(found.footprint_bytes, "B", "derived"), "parameters at the bytes the chip needs"),
        ("Footprint, fp32", known(found.footprint_fp32_bytes, "B", "derived"), "the same parameters at 4 bytes"),
        ("Connection sparsity", known(found.connection_sparsity, "1", "counted"), "zero weights over all weights"),
        ("Activation sparsity", counted(found.activation_sparsity, "1"), "1 - spikes / (neurons × steps)"),
        ("Dense", known(found.dense, "operations/sample", "counted"), "were every input and weight non-zero"),
        ("Effective MACs", counted(found.effective_macs, "operations/sample"), "graded inputs"),
        ("Effective ACs", counted(found.effective_acs, "operations/sample"), "spikes"),
        (
            "Membrane updates",
            unknown("updates/sample", "v was not recorded")
            if updates is None
            else counted(updates, "updates/sample"),
            "all neurons at the first step, later those whose potential changed",
        ),
    )
    return Neurobench(
        version=f"NeuroBench {VERSION}", metrics=tuple(Metric(name=a, value=b, note=c) for a, b, c in rows)
    )
