"""A chip as the compiler sees it: numbers only. Where each comes from stands in the target's file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

from ..formats import NumberFormats

ConvStorage = Literal["position_classes", "kernel_once"]


@dataclass(frozen=True)
class Chip:
    """The formats and limits that decide whether a program can be held, and how it is cut.

    Attributes:
        name: of the target.
        assumed_layout: what the limits per core assume where the vendor publishes none; empty if nothing is assumed.
        compartments .. threshold_configs: per core; a neuron takes one compartment.
        words_per_list: longest synapse list of one input axon.
        entry_synapses, entry_header_bits, word_bits: a list is stored as entries of so many synapses at most, each
            with a header, each rounded up to whole words.
        index_widths: bits of a synapse's target index, for lists with gaps; lists without gaps need none.
        population_atoms: source neurons (channels of one pixel) that can share an input axon; 0: never.
        population_slots: output axons that one population axon takes.
        conv_storage: "position_classes": one list for each input channel and each way a kernel can overlap the tile;
            "kernel_once": the kernel is stored once a core, whatever the tile.
        cores_per_tile, mesh: cores that share a router; columns and rows of routers on a chip.
        max_chips: of the largest system.
    """

    name: str
    assumed_layout: str
    formats: NumberFormats
    compartments: int
    input_axons: int
    output_axons: int
    synapse_words: int
    synapse_formats: int
    compartment_configs: int
    threshold_configs: int
    words_per_list: int
    entry_synapses: int
    entry_header_bits: int
    word_bits: int
    index_widths: tuple[int, ...]
    population_atoms: int
    population_slots: int
    conv_storage: ConvStorage
    cores_per_chip: int
    cores_per_tile: int
    mesh: tuple[int, int]
    max_chips: int


class HasChip(Protocol):
    """Anything that can say what it holds: a loaded target."""

    @property
    def chip(self) -> Chip: ...
