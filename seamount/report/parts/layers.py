"""One entry per population: how far the deployed program is from the float student there, and where its values lie.

Damage is the share of spikes without a partner: of all positions (step, sample, neuron) where either side fires,
those where only one does. It is 0 for equal trains and 100 % for trains that share nothing, however sparse they are.
"""

from __future__ import annotations

import numpy as np

from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.program.program import Population
from seamount.compile.synapses.kinds import Wire

from ..evidence import Array, Evidence, window
from ..schema.quantities import box, known, series, tidy, unknown
from ..schema.values import Item, Missing, Quantity, Series
from .ranges import STATE_LIMIT, StateRange, Weights, _weight_words, _weights


class Layer(Item):
    """One population: what the float student did there and what the deployed program does."""

    name: str
    kind: str
    shape: tuple[int, ...]
    n_neurons: int
    parameters: str
    arrival: int
    scale: Quantity
    weights: tuple[Weights, ...]
    rounding: tuple[str, ...]
    spikes_float: Quantity
    spikes_deployed: Quantity
    change_percent: Quantity
    agreement: Quantity
    first_divergent_step: Quantity
    membrane_rmse: Quantity
    v_saturations: Quantity
    u_wraps: Quantity
    drive_wraps: Quantity
    sops: Quantity
    damage: Quantity
    words: str
    rate_float: Series | Missing
    rate_deployed: Series | Missing
    agreement_per_step: Series | Missing
    rates: Series | Missing
    rate_edges: tuple[float, ...]
    n_dead: Quantity
    n_always: Quantity
    v: StateRange | Missing
    u: StateRange | Missing


RATE_BINS = 12


NO_FLOAT = "the float student's spikes were not recorded"


def layers(evidence: Evidence) -> tuple[Layer, ...] | Missing:
    """Sorted by damage, the largest first; populations that cannot diverge follow in the program's order."""
    if evidence.traced is None and evidence.full_run is None:
        return Missing(missing=evidence.reason("traced", "no run of the program was recorded"))
    made = [_Maker(evidence, p) for p in evidence.program.populations]
    damage = {m.population.name: m.damage().value for m in made}
    entries = [m.layer(_inherited(evidence, m.population, damage)) for m in made]
    return tuple(sorted(entries, key=lambda entry: -(entry.damage.value if entry.damage.value is not None else -1)))


def _inherited(
    evidence: Evidence, population: Population, damage: dict[str, int | float | None]
) -> tuple[str, float] | None:
    """The source whose spikes differ most already, and by how much."""
    sources = [(s.source, damage.get(s.source)) for s in evidence.program.into(population.name)]
    worst = max(((name, value) for name, value in sources if value is not None), key=lambda x: x[1], default=None)
    return None if worst is None else (worst[0], float(worst[1]))


class _Maker:
    """Looks at one population; everything is read from the traces once, here."""

    def __init__(self, evidence: Evidence, population: Population) -> None:
        self.evidence = evidence
        self.program = evidence.program
        self.population = population
        self.traced = evidence.traced
        self.run = evidence.counted
        name = population.name
        self.deployed: Array | None = None
        self.float: Array | None = None
        if self.traced is not None and name in self.traced.deployed.spikes:
            self.deployed = window(self.program, self.traced.deployed, name, self.traced.deployed.spikes[name])
        if self.traced is not None and self.traced.float_spikes and name in self.traced.float_spikes:
            self.float = np.asarray(self.traced.float_spikes[name])
        if self.deployed is not None and self.float is not None and self.float.size == self.deployed.size:
            self.float = self.float.reshape(self.deployed.shape)
        self.fires = self._can_fire()
        self.comparable = (
            self.fires
            and self.deployed is not None
            and self.float is not None
            and self.float.shape == self.deployed.shape
        )

    def _can_fire(self) -> bool:
        neuron = self.population.neuron
        return not (isinstance(neuron, Lif) and bool(np.all(neuron.v_th_mant >= NEVER_FIRES)))

    def why_not(self) -> str:
        """Why this population has no counterpart to compare with."""
        if not self.fires:
            return "integrates only and sends no spikes"
        if self.deployed is None:
            return "its spikes were not recorded"
        if self.traced is None or self.traced.float_spikes is None:
            return self.evidence.reason("float_spikes", NO_FLOAT)
        if self.float is None:
            return "has no counterpart in the float student"
        return f"the float student's trace has shape {self.float.shape}, the program's {self.deployed.shape}"

    # ---------------------------------------------------------------------------------- divergence

    def differing(self) -> Array:
        assert self.deployed is not None
        assert self.float is not None
        different: Array = np.asarray(self.deployed) != np.asarray(self.float)
        return different

    def damage(self) -> Quantity:
        if not self.comparable or self.deployed is None or self.float is None:
            return unknown("%", self.why_not())
        either = int(np.count_nonzero((self.deployed != 0) | (self.float != 0)))
        n_different = int(np.count_nonzero(self.differing()))
        return known(100 * n_different / either if either else 0.0, "%", "measured", self.n_traced)

    @property
    def n_traced(self) -> int:
        return self.traced.deployed.n_samples if self.traced is not None else 0

    def agreement(self) -> Quantity:
        if not self.comparable:
            return unknown("%", self.why_not())
        return known(100 * (1 - float(np.mean(self.differing()))), "%", "measured", self.n_traced)

    def first_step(self) -> Quantity:
        if not self.comparable:
            return unknown("step", self.why_not())
        steps = np.flatnonzero(self.differing().reshape(len(self.differing()), -1).any(axis=1))
        if steps.size == 0:
            return unknown("step", "no step differs")
        return known(int(steps[0]) + 1, "step", "measured", self.n_traced)

    def membrane_rmse(self) -> Quantity:
        unit = "thresholds"
        scale = self.program.scales.get(self.population.name)
        if self.traced is None or not self.traced.float_v or self.population.name not in self.traced.float_v:
            return unknown(unit, "the float student's v was not recorded")
        if self.population.name not in self.traced.deployed.v or scale is None:
            return unknown(unit, "the program's v or its scale is not known")
        neuron = self.population.neuron
        if not isinstance(neuron, Lif) or not self.fires:
            return unknown(unit, "has no threshold")
        v = window(
            self.program, self.traced.deployed, self.population.name, self.traced.deployed.v[self.population.name]
        )
        float_v = np.asarray(self.traced.float_v[self.population.name], dtype=np.float64)
        if float_v.size != v.size:
            return unknown(unit, f"the float student's v has shape {float_v.shape}, the program's {v.shape}")
        threshold = np.broadcast_to(neuron.v_th_mant * 64.0, v.shape[2:])
        error = (v - 64 * scale * float_v.reshape(v.shape)) / threshold
        return known(float(np.sqrt(np.mean(error**2))), unit, "measured", self.n_traced)

    # -------------------------------------------------------------------------------------- counts

    def spikes(self, trace: Array | None, reason: str) -> Quantity:
        if not self.fires:
            return unknown("spikes/sample", "integrates only and sends no spikes")
        if trace is None:
            return unknown("spikes/sample", reason)
        return known(np.count_nonzero(trace) / max(self.n_traced, 1), "spikes/sample", "counted", self.n_traced)

    def change(self) -> Quantity:
        if not self.comparable or self.deployed is None or self.float is None:
            return unknown("%", self.why_not())
        n_float, n_deployed = np.count_nonzero(self.float), np.count_nonzero(self.deployed)
        if n_float == 0:
            return unknown("%", "the float student never fires here")
        return known(100 * (n_deployed - n_float) / n_float, "%", "measured", self.n_traced)

    def event(self, name: str, unit: str) -> Quantity:
        events = self.run.events.get(self.population.name) if self.run is not None else None
        if events is None or self.run is None:
            return unknown(unit, "the run counted no events of this population")
        return known(int(getattr(events, name)), unit, "counted", self.run.n_samples)

    def sops(self) -> Quantity:
        events = self.run.events.get(self.population.name) if self.run is not None else None
        if events is None or self.run is None:
            return unknown("SOP/sample", "the run counted no events of this population")
        return known(float(np.sum(events.sops)) / self.run.n_samples, "SOP/sample", "counted", self.run.n_samples)

    # ------------------------------------------------------------------------------- rates, ranges

    def per_step(self, trace: Array | None, reason: str) -> Series | Missing:
        if trace is None or not self.fires:
            return Missing(missing=reason if self.fires else "integrates only and sends no spikes")
        flat = np.asarray(trace).reshape(len(trace), -1)
        return series(
            np.count_nonzero(flat, axis=1) / max(self.n_traced, 1), "spikes/sample", "counted", self.n_traced
        )

    def agreement_per_step(self) -> Series | Missing:
        if not self.comparable:
            return Missing(missing=self.why_not())
        different = self.differing()
        share = 100 * (1 - different.reshape(len(different), -1).mean(axis=1))
        return series(share, "%", "measured", self.n_traced)

    def neuron_rates(self) -> Array | None:
        """Spikes per step of each neuron, in the traced samples, (N,)."""
        if self.deployed is None or not self.fires:
            return None
        rates: Array = (self.deployed.reshape(*self.deployed.shape[:2], -1) != 0).mean(axis=(0, 1))
        return rates

    def state(self, which: str) -> StateRange | Missing:
        traces = getattr(self.traced.deployed, which) if self.traced is not None else {}
        if self.population.name not in traces:
            return Missing(missing=f"{which} was not recorded")
        assert self.traced is not None
        trace = window(self.program, self.traced.deployed, self.population.name, traces[self.population.name])
        used = int(np.abs(trace.astype(np.int64)).max(initial=0))
        threshold = None
        neuron = self.population.neuron
        if which == "v" and isinstance(neuron, Lif) and self.fires:
            threshold = known(int(np.median(neuron.v_th_mant)) << 6, "chip units", "derived")
        return StateRange(
            box=box(trace, "chip units", "measured"),
            threshold=threshold,
            limit=STATE_LIMIT,
            bits_used=used.bit_length() + 1,
            bits_held=24,
        )

    def layer(self, inherited: tuple[str, float] | None) -> Layer:
        name = self.population.name
        rates = self.neuron_rates()
        edges = np.linspace(0, 1, RATE_BINS + 1)
        damage = self.damage()
        parts = {
            "spikes_float": self.spikes(self.float, self.why_not()),
            "spikes_deployed": self.spikes(self.deployed, "its spikes were not recorded"),
            "change_percent": self.change(),
            "agreement": self.agreement(),
            "first_divergent_step": self.first_step(),
            "membrane_rmse": self.membrane_rmse(),
            "v_saturations": self.event("n_v_saturations", "events"),
            "u_wraps": self.event("n_u_wraps", "events"),
            "drive_wraps": self.event("n_drive_wraps", "events"),
        }
        weights = tuple(_weights(s) for s in self.program.into(name) if not isinstance(s.kind, Wire))
        scale = self.program.scales.get(name)
        return Layer(
            name=name,
            kind=type(self.population.neuron).__name__,
            shape=self.population.shape,
            n_neurons=self.population.n_neurons,
            parameters=parameters(self.population),
            arrival=self.program.arrivals()[name],
            scale=unknown("chip units per real unit", "the program names no scale here")
            if scale is None
            else known(scale, "chip units per real unit", "derived"),
            weights=weights,
            rounding=tuple(self.evidence.rounding.get(name, ())),
            sops=self.sops(),
            damage=damage,
            words=_words(self.fires, parts, damage, inherited, weights, self.why_not()),
            rate_float=self.per_step(self.float if self.comparable else None, self.why_not()),
            rate_deployed=self.per_step(self.deployed, "its spikes were not recorded"),
            agreement_per_step=self.agreement_per_step(),
            rates=Missing(missing=self.why_not() if not self.fires else "its spikes were not recorded")
            if rates is None
            else series(np.histogram(rates, edges)[0], "neurons", "counted", self.n_traced),
            rate_edges=tuple(float(tidy(e)) for e in edges),
            n_dead=self._neurons(rates, 0.0),
            n_always=self._neurons(rates, 1.0),
            v=self.state("v"),
            u=self.state("u"),
            **parts,
        )

    def _neurons(self, rates: Array | None, rate: float) -> Quantity:
        if rates is None:
            return unknown("neurons", "integrates only and sends no spikes" if not self.fires else "not recorded")
        return known(int(np.sum(rates == rate)), "neurons", "counted", self.n_traced)


def parameters(population: Population) -> str:
    """The integers of the neuron in a line."""
    if isinstance(population.neuron, Relay):
        return "relay, no state"
    facts = []
    for name, value in vars(population.neuron).items():
        low, high = int(np.min(value)), int(np.max(value))
        if name not in ("du", "dv") and not name.startswith("v_th") and low == high == 0:
            continue
        if name == "v_th_mant" and low >= NEVER_FIRES:
            facts.append("never fires")
        else:
            facts.append(f"{name} {low}" if low == high else f"{name} {low}..{high}")
    return ", ".join(facts)


def _words(
    fires: bool,
    parts: dict[str, Quantity],
    damage: Quantity,
    inherited: tuple[str, float] | None,
    weights: tuple[Weights, ...],
    why_not: str,
) -> str:
    """What a reader should know about this population, the gravest first."""
    sentences = []
    if damage.value is None:
        sentences.append(f"Not compared: {why_not}." if fires else "Integrates its input; the answer is read from v.")
    elif damage.value == 0:
        sentences.append("Every spike equals the float student's.")
    else:
        step, change = parts["first_divergent_step"], parts["change_percent"]
        drift = ""
        if change.value is not None and abs(change.value) >= 0.05:
            drift = f"; it fires {abs(change.value):.1f} % {'more' if change.value > 0 else 'less'}"
        sentences.append(
            f"{damage.value:.1f} % of the spikes have no partner in the float student, "
            f"the first at step {step.value}{drift}."
        )
        if inherited is not None and inherited[1] > 0:
            added = "; this layer adds nothing" if inherited[1] >= float(damage.value) else ""
            sentences.append(f"Its input {inherited[0]} already differs by {inherited[1]:.1f} %{added}.")
    sentences += _overflow_words(parts)
    sentences += list(_weight_words(weights))
    return " ".join(sentences)


def _overflow_words(parts: dict[str, Quantity]) -> list[str]:
    told = (
        ("v_saturations", "v saturated"),
        ("u_wraps", "u wrapped around"),
        ("drive_wraps", "the drive wrapped around"),
    )
    return [
        f"{words.capitalize() if words[0] != 'v' and words[0] != 'u' else words} {parts[key].value} times: "
        "lower the scale of this layer."
        for key, words in told
        if parts[key].value
    ]
