"""What energies are compared with: published break-even bands, and the ANN in the prices most papers use."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, log2
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from seamount.compile.fit.place.load import connections
from seamount.compile.program.messages import messages
from seamount.compile.program.program import Program
from seamount.compile.synapses.kinds import Conv, Dense, Sparse

from .target import Cost, Figure, Record, load_figures

BandQuantity = Literal["spikes_per_synapse", "spike_rate"]


@dataclass(frozen=True)
class BandVerdict:
    """Where a network stands against a published break-even band: below, inside or above it."""

    name: str
    quantity: BandQuantity
    value: float
    low: float
    high: float
    verdict: str
    meaning: str
    source: str
    url: str
    conditions: str


@dataclass(frozen=True)
class Comparison:
    """Arithmetic alone, in the constants most papers use; ordering only: no memory access is in any of them.

    Attributes:
        macs: of the ANN with these connections (borders exact), over all of its passes.
        passes: of that ANN for one sample: one, or one for each frame of a sequence.
        qnn_bits: ceil(log2(T / passes + 1)), the quantised network that a T-step network of spikes must be compared
            with; None where neurons send more than spikes.
        qnn_j: at the 8-bit price, an upper bound for fewer bits; None above 8 bits (nothing published to price it).
    """

    macs: int
    ann_fp32_j: float
    qnn_bits: int | None
    qnn_j: float | None
    snn_ac_fp32_j: float
    snn_ac_int8_j: float
    passes: int = 1


class Operations(Record):
    mac_fp32: Figure[Cost]
    ac_fp32: Figure[Cost]
    mac_int8: Figure[Cost]
    ac_int8: Figure[Cost]


class Band(Record):
    """A published break-even, as an interval."""

    quantity: BandQuantity
    meaning: str
    low: Figure[Cost]
    high: Figure[Cost]


class Literature(Record):
    version: Annotated[int, Field(gt=0)]
    digest: str
    operations: Operations
    bands: dict[str, Band]


def literature() -> Literature:
    return load_figures(Path(__file__).parent / "constants" / "literature.toml", Literature)


def band_verdicts(spikes_per_synapse: float, spike_rate: float) -> tuple[BandVerdict, ...]:
    """Against every published band, always."""
    return tuple(
        _verdict(name, band, spikes_per_synapse if band.quantity == "spikes_per_synapse" else spike_rate)
        for name, band in literature().bands.items()
    )


def _verdict(name: str, band: Band, value: float) -> BandVerdict:
    low, high = band.low.value, band.high.value
    return BandVerdict(
        name,
        band.quantity,
        value,
        low,
        high,
        "below" if value < low else "above" if value > high else "inside",
        band.meaning,
        band.low.source,
        band.low.url,
        f"{band.low.conditions}; {band.high.conditions}" if low != high else band.low.conditions,
    )


def compare(program: Program, n_sops: float, passes: int = 1) -> Comparison:
    """The ANN with the same connections, in fp32 and quantised, beside additions alone."""
    operations = literature().operations
    sent, heard = messages(program), {s.source for s in program.synapses}
    graded = any(sent[p.name].bits > 2 for p in program.populations if p.name in heard and not p.neuron.passes_on)
    macs = passes * sum(
        connections(program, s, zeros=True) for s in program.synapses if isinstance(s.kind, Dense | Sparse | Conv)
    )
    bits = None if graded else ceil(log2((program.n_steps or 1) / passes + 1))
    return Comparison(
        macs=macs,
        ann_fp32_j=macs * operations.mac_fp32.value,
        qnn_bits=bits,
        qnn_j=macs * operations.mac_int8.value if bits is not None and bits <= 8 else None,
        snn_ac_fp32_j=n_sops * operations.ac_fp32.value,
        snn_ac_int8_j=n_sops * operations.ac_int8.value,
        passes=passes,
    )
