"""Where every neuron sits, what that costs each core, and which limit binds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from seamount.compile.fit.chip import Chip
from seamount.compile.fit.finding import Finding
from seamount.compile.numbers import Ints
from seamount.errors import plural

from .rules import AxonKind, Box, n_neurons

if TYPE_CHECKING:
    from pandas import DataFrame


@dataclass(frozen=True)
class Tile:
    """A box of one population's neurons."""

    population: str
    box: Box

    @property
    def n_neurons(self) -> int:
        return n_neurons(self.box)


@dataclass(frozen=True)
class Assignment:
    """What a search proposes for one core; the validator says what it costs."""

    chip: int
    core: int
    tiles: tuple[Tile, ...]


@dataclass(frozen=True)
class Use:
    """Resources of a core in use, or of one tile's share of it."""

    compartments: int = 0
    input_axons: int = 0
    output_axons: int = 0
    synapse_words: int = 0
    synapse_formats: int = 0
    compartment_configs: int = 0
    threshold_configs: int = 0
    longest_list: int = 0

    def __add__(self, other: Use) -> Use:
        longest = max(self.longest_list, other.longest_list)
        sums = {f.name: getattr(self, f.name) + getattr(other, f.name) for f in fields(self)}
        return Use(**sums | {"longest_list": longest})

    def shares(self, chip: Chip) -> dict[str, float]:
        """Use of each limit, 1.0 = all of it."""
        return {name: getattr(self, name) / limit for name, limit in limits(chip).items()}

    def binding(self, chip: Chip) -> tuple[str, float]:
        """The limit that is nearest, and its share. One format or configuration is no limit: every tile has it."""
        shares = {
            name: share
            for name, share in self.shares(chip).items()
            if not (name.endswith(("_formats", "_configs")) and getattr(self, name) <= 1)
        }
        name = max(shares, key=lambda n: shares[n])
        return name, shares[name]


def limits(chip: Chip) -> dict[str, int]:
    return {
        "compartments": chip.compartments,
        "input_axons": chip.input_axons,
        "output_axons": chip.output_axons,
        "synapse_words": chip.synapse_words,
        "synapse_formats": chip.synapse_formats,
        "compartment_configs": chip.compartment_configs,
        "threshold_configs": chip.threshold_configs,
        "longest_list": chip.words_per_list,
    }


@dataclass(frozen=True)
class Load:
    """Work of a core, mean over the samples of a run; ``peak_sops`` with each population at its busiest step."""

    sops: float
    peak_sops: float
    updates_per_step: int
    spikes: float
    messages_in: float
    messages_out: float


@dataclass(frozen=True)
class Core:
    chip: int
    core: int
    tiles: tuple[Tile, ...]
    use: Use
    load: Load | None = None


@dataclass(frozen=True)
class LayerUse:
    """One population's share: its worst tile in every limit.

    Attributes:
        n_tiles, tile: into how many tiles it is cut, and the shape of the largest.
        axons: kind of input axon per synapse group into it.
        share: of each limit, by the worst tile; 1.0 = all of it.
        binding: the limit that it comes nearest to, ``binding_share`` of it in use; it decides how many cores the
            population takes, where it takes several and they are not placed by load.
        relief: what would lower it.
    """

    population: str
    n_neurons: int
    n_tiles: int
    tile: tuple[int, ...]
    axons: Mapping[str, AxonKind]
    use: Use
    share: Mapping[str, float]
    binding: str
    binding_share: float
    relief: str

    def __str__(self) -> str:
        used = f"{self.population}: {self.binding.replace('_', ' ')} {self.binding_share:.0%}"
        return f"{used}, binding; {self.relief}" if self.n_tiles > 1 else f"{used}; {self.relief}"


@dataclass(frozen=True)
class Routes:
    """Core-to-core traffic, one entry for each pair of cores: axons, and messages per sample if a run was given."""

    sources: Ints
    targets: Ints
    axons: Ints
    messages: NDArray[np.float64] | None


@dataclass(frozen=True)
class Placement:
    """Every neuron on a core, judged.

    Attributes:
        violations: what exceeds a limit; empty if everything fits.
        chip_crossings: axons whose two ends are on different chips; ``message_crossings`` per sample, with a run.
        imbalance: largest core's work over the mean (synaptic operations with a run, else stored synapse words).
        layer_messages: core-to-core messages that each population sends in a sample; None without a run.
        hops_ew, hops_ns: router-to-router steps of a sample's messages within chips (X then Y); None without a run.
        assumptions: what the verdict rests on.
    """

    program: str
    target: str
    assumed_layout: str
    objective: str
    cores: tuple[Core, ...]
    layers: tuple[LayerUse, ...]
    violations: tuple[Finding, ...]
    routes: Routes
    chip_crossings: int
    imbalance: float
    cores_per_chip: int
    layer_messages: Mapping[str, float] | None = None
    message_crossings: float | None = None
    hops_ew: float | None = None
    hops_ns: float | None = None
    busiest_link: float | None = None
    assumptions: tuple[str, ...] = field(default=())

    def __repr__(self) -> str:
        return f"<Placement {self}>"

    def __str__(self) -> str:
        size = f"{self.n_cores} {plural(self.n_cores, 'core')} on {self.n_chips} {plural(self.n_chips, 'chip')}"
        verdict = "" if self.fits else f", exceeds {len(self.violations)} {plural(len(self.violations), 'limit')}"
        return f"{self.program} on {self.target}: {size}{verdict}"

    def _repr_html_(self) -> str:
        from seamount.notebook import card, headed

        return card(str(self), self.assumed_layout, headed(self._rows()))

    def table(self) -> DataFrame:
        """A row a population: its neurons and tiles, and the limit that binds, 1.0 = all of it."""
        from seamount.notebook import frame

        return frame(self._rows())

    def _rows(self) -> list[dict[str, Any]]:
        return [
            {
                "population": layer.population,
                "n_neurons": layer.n_neurons,
                "n_tiles": layer.n_tiles,
                "tile": layer.tile,
                "binding": layer.binding,
                "binding_share": layer.binding_share,
            }
            for layer in self.layers
        ]

    @property
    def fits(self) -> bool:
        return not self.violations

    @property
    def n_cores(self) -> int:
        return len(self.cores)

    @property
    def n_chips(self) -> int:
        return len({core.chip for core in self.cores})

    @property
    def messages(self) -> float | None:
        """Core-to-core messages of a sample."""
        return None if self.routes.messages is None else float(self.routes.messages.sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain data for a report; routes as totals only."""
        plain = asdict(self)
        del plain["routes"]
        return plain | {
            "n_cores": self.n_cores,
            "n_chips": self.n_chips,
            "fits": self.fits,
            "messages": self.messages,
            "axons": int(self.routes.axons.sum()),
        }
