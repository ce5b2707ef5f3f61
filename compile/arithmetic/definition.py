"""The definition of the chip's arithmetic, in plain numpy int64, one step at a time: slow, short, and always right.

Every fast implementation (``scan.py``, ``synapses.py``, ``events.py``, ``hardware_targets/simulator``) is tested to
give these integers. The integers themselves are those of Lava 0.10.0's fixed-point models, recorded in vectors that
``tests/vectors/lava.py`` replays. ``docs/arithmetic.md`` says where other emulators differ and whom we follow.

Arrays of values are (B, *shape) per step here, (T, B, *shape) per run.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import numpy as np
from numpy.typing import ArrayLike, NDArray

from seamount.compile.program.activity import Activity, Events
from seamount.compile.program.program import (
    Conv,
    Dense,
    Ints,
    Kind,
    Lif,
    OneToOne,
    Population,
    Program,
    Relay,
    Reset,
    Sparse,
    Synapses,
    TernaryLif,
    Wire,
    order,
)
from seamount.errors import ConfigError

from .inputs import check_inputs, default_steps, readout_window

UNITY = 4096
"""A decay rate of 4096/4096 forgets everything in one step."""

STATE_BITS = 24
V_MAX = (1 << (STATE_BITS - 1)) - 1

SIGN_MODES = ("mixed", "excitatory", "inhibitory", "null")


# --------------------------------------------------------------------------------------------------- numbers


def wrap(values: Ints, bits: int) -> Ints:
    """The low ``bits`` bits, read as two's complement."""
    half = 1 << (bits - 1)
    wrapped: Ints = ((values + half) & ((1 << bits) - 1)) - half
    return wrapped


def decay(state: Ints, rate: Ints) -> Ints:
    """What a state keeps of itself in one step: (4096 - rate) / 4096 of it, rounded towards zero."""
    product = state * (UNITY - rate)
    kept: Ints = np.sign(product) * (np.abs(product) >> 12)
    return kept


def shift(values: Ints, exponent: int) -> Ints:
    """values * 2**exponent; a negative exponent rounds down (towards minus infinity)."""
    return values << exponent if exponent >= 0 else values >> -exponent


def weight_grid(weights: ArrayLike, sign_mode: str | None = None, weight_bits: int = 8) -> Ints:
    """What the chip keeps of the weights it is given: of the 8-bit full scale, the top ``weight_bits`` bits.

    Args:
        weights: truncated towards zero first.
        sign_mode: "mixed" (even numbers -256..254 at 8 bits), "excitatory" (0..255), "inhibitory" (-255..0),
            "null" (as excitatory); None: excitatory if no weight is negative, else inhibitory if none is positive,
            else mixed.
        weight_bits: 1..8. Lava 0.10.0 shifts by a negative count for 9 bits of a one-signed matrix, which gives 0
            everywhere; we do what it does.
    """
    whole = np.trunc(np.asarray(weights)).astype(np.int64)
    mode = sign_mode_of(whole) if sign_mode is None else sign_mode.lower()
    if mode not in SIGN_MODES:
        raise ConfigError(f"sign mode {sign_mode!r} does not exist; possible are {', '.join(SIGN_MODES)}")
    magnitude = -whole if mode == "inhibitory" else whole
    clipped = np.clip(magnitude, -256 if mode == "mixed" else 0, 255)
    drop = 8 - weight_bits + (mode == "mixed")
    kept: Ints = (clipped >> drop) << drop if drop >= 0 else np.zeros_like(clipped)
    return -kept if mode == "inhibitory" else kept


def sign_mode_of(weights: Ints) -> str:
    """The sign mode that Lava chooses for a matrix."""
    if weights.size == 0 or weights.min() >= 0:
        return "excitatory"
    return "inhibitory" if weights.max() <= 0 else "mixed"


# --------------------------------------------------------------------------------------------------- neurons


def bias_of(neuron: Lif | TernaryLif) -> Ints:
    """What is added to v at every step. The mantissa is an int16, as in Lava: 40000 means -25536."""
    mantissa, exponent = np.broadcast_arrays(wrap(neuron.bias_mant, 16), neuron.bias_exp)
    up, down = np.maximum(exponent, 0), np.maximum(-exponent, 0)
    bias: Ints = np.where(exponent >= 0, mantissa << up, mantissa >> down)
    return bias


@dataclass(frozen=True)
class State:
    """u and v after a step, and the steps for which a neuron that fired still rests; each (B, *shape)."""

    u: Ints
    v: Ints
    rest: Ints


@dataclass(frozen=True)
class Step:
    """What one step of a population did.

    Attributes:
        spikes: -1, 0, 1.
        v_before_reset: v that was compared with the threshold.
        u_wraps, v_saturates: where the exact sum did not fit.
    """

    state: State
    spikes: Ints
    v_before_reset: Ints
    u_wraps: NDArray[np.bool_]
    v_saturates: NDArray[np.bool_]


def rest_state(neuron: Lif | TernaryLif, shape: tuple[int, ...]) -> State:
    """The state before the first step, (*shape)."""
    u, v = np.broadcast_to(neuron.u_init, shape), np.broadcast_to(neuron.v_init, shape)
    return State(u.copy(), v.copy(), np.zeros(shape, np.int64))


def is_reset(reset: Reset | None, step: int) -> bool:
    """Lava counts steps from 1, and clears the state before it looks at the step's input."""
    return reset is not None and (step + 1) % reset.interval == reset.offset % reset.interval


def integrate(state: State, drive: Ints, neuron: Lif | TernaryLif) -> tuple[Ints, Ints, Ints, Ints]:
    """The new u and v, and the exact sums that they would be without limits.

    u wraps once around 24 bits: the range is (-2**23, 2**23], +2**23 stays and -2**23 becomes +2**23; what lies
    further than one turn away stays outside, held by 32 bits. v saturates.
    """
    u_exact = decay(state.u, neuron.du) + (drive << 6)
    u = wrap(u_exact, 32)
    turn = 1 << STATE_BITS
    u = np.where(u > V_MAX + 1, u - turn, np.where(u <= -(V_MAX + 1), u + turn, u))
    v_exact = decay(state.v, neuron.dv) + u + bias_of(neuron)
    v = np.clip(wrap(v_exact, 32), -V_MAX, V_MAX)
    return u, v, u_exact, v_exact


def neuron_step(state: State, drive: Ints, neuron: Lif | TernaryLif) -> Step:
    """One step of a population: integrate, compare (strictly), reset v to 0 where it fired. u does not notice."""
    u, v, u_exact, v_exact = integrate(state, drive, neuron)
    match neuron:
        case Lif():
            # Hardware's refractory period: v rests at 0 and integrates nothing; u goes on. Lava has none.
            v = np.where(state.rest > 0, 0, v)
            v_exact = np.where(state.rest > 0, 0, v_exact)
            spikes = (v > neuron.v_th_mant << 6) & (state.rest == 0)
            rest = np.where(spikes, neuron.refractory_steps, np.maximum(state.rest - 1, 0))
            spikes = spikes.astype(np.int64)
        case TernaryLif():
            # Lava shifts these two thresholds in 32 bits
            high, low = wrap(neuron.v_th_hi_mant << 6, 32), wrap(neuron.v_th_lo_mant << 6, 32)
            spikes = (v > high).astype(np.int64) - (v < low).astype(np.int64)
            rest = state.rest
        case _:
            assert_never(neuron)
    after = State(u, np.where(spikes != 0, 0, v), rest)
    return Step(after, spikes, v, u != u_exact, v != v_exact)


# -------------------------------------------------------------------------------------------------- synapses


def weighted_sum(kind: Kind, x: Ints, target: tuple[int, ...]) -> Ints:
    """Exact sums of weight times value: (B, *source) -> (B, *target)."""
    batch = x.shape[0]
    match kind:
        case Dense(weights=weights):
            total = x.reshape(batch, -1) @ weights.T
        case Sparse():
            total = np.zeros((kind.n_target, batch), np.int64)
            np.add.at(total, kind.rows, kind.weights[:, None] * x.reshape(batch, -1).T[kind.columns])
            total = total.T
        case Conv():
            total = convolution(kind, x)
        case OneToOne(weights=weights):
            total = weights * x
        case Wire():
            total = x
        case _:
            assert_never(kind)
    return total.reshape(batch, *target)


def convolution(kind: Conv, x: Ints) -> Ints:
    """Cross-correlation as torch defines it: (B, C, H, W) -> (B, C_out, H_out, W_out)."""
    c_out, c_in, k_h, k_w = kind.weights.shape
    (s_h, s_w), (p_h, p_w), (d_h, d_w) = kind.stride, kind.padding, kind.dilation
    padded = np.pad(x, ((0, 0), (0, 0), (p_h, p_h), (p_w, p_w)))
    height = (padded.shape[2] - d_h * (k_h - 1) - 1) // s_h + 1
    width = (padded.shape[3] - d_w * (k_w - 1) - 1) // s_w + 1
    weights = kind.weights.reshape(kind.groups, c_out // kind.groups, c_in, k_h, k_w)
    total = np.zeros((x.shape[0], kind.groups, c_out // kind.groups, height, width), np.int64)
    for i in range(k_h):
        for j in range(k_w):
            seen = padded[
                :,
                :,
                i * d_h : i * d_h + s_h * (height - 1) + 1 : s_h,
                j * d_w : j * d_w + s_w * (width - 1) + 1 : s_w,
            ]
            seen = seen.reshape(x.shape[0], kind.groups, c_in, height, width)
            total += np.einsum("goc,bgchw->bgohw", weights[..., i, j], seen)
    return total.reshape(x.shape[0], c_out, height, width)


def with_weights(kind: Kind, weights: Ints) -> Kind:
    """The same connections with other weights."""
    match kind:
        case Dense():
            return Dense(weights)
        case Sparse():
            return Sparse(weights, kind.rows, kind.columns, kind.n_target, kind.n_source)
        case Conv():
            return Conv(weights, kind.stride, kind.padding, kind.dilation, kind.groups)
        case OneToOne():
            return OneToOne(weights)
        case Wire():
            return kind
        case _:
            assert_never(kind)


def by_delay(synapses: Synapses) -> list[tuple[int, Kind]]:
    """(delay, the synapses that have it): each delay value has its own sum, and its own rounding."""
    if synapses.delay.ndim == 0:
        return [(int(synapses.delay), synapses.kind)]
    assert isinstance(synapses.kind, Dense | Sparse), "Program.check admits delays per synapse for these alone"
    weights = synapses.kind.weights
    return [
        (int(d), with_weights(synapses.kind, np.where(synapses.delay == d, weights, 0)))
        for d in np.unique(synapses.delay)
    ]


def payload(x: Ints, synapses: Synapses) -> Ints:
    """What a message counts: its value in graded synapses, else 1 for every value other than 0."""
    if synapses.graded or isinstance(synapses.kind, Wire):
        return x
    spikes: Ints = (x != 0).astype(np.int64)
    return spikes


def synapse_drive(synapses: Synapses, kind: Kind, x: Ints, target: tuple[int, ...]) -> tuple[Ints, int]:
    """Drive of the synapses of one delay value, and how many of its values wrapped.

    The sum is held in 32 bits, shifted by the exponent, and wraps to ``wrap_bits``.
    """
    exact = weighted_sum(kind, payload(x, synapses), target)
    if isinstance(kind, Wire):
        return exact, 0
    shifted = shift(wrap(exact, 32), synapses.exponent)
    drive = wrap(shifted, synapses.wrap_bits)
    return drive, int(np.count_nonzero((drive != shifted) | (wrap(exact, 32) != exact)))


def operations(kind: Kind, x: Ints, target: tuple[int, ...]) -> tuple[int, int]:
    """Synaptic operations that these messages cause, without and with stored zero weights: counted one by one."""
    if isinstance(kind, Wire):
        return 0, 0
    sent = (x != 0).astype(np.int64)
    non_zero = with_weights(kind, (kind.weights != 0).astype(np.int64))
    stored = with_weights(kind, np.ones_like(kind.weights))
    return int(weighted_sum(non_zero, sent, target).sum()), int(weighted_sum(stored, sent, target).sum())


# ------------------------------------------------------------------------------------------------- a whole run


def run_definition(
    program: Program,
    inputs: Any,
    n_steps: int | None = None,
    record: Collection[str] = ("spikes", "v", "u"),
) -> Activity:
    """Run a program step by step; everything of every population can be recorded.

    Args:
        inputs: (T, B, *shape) of the only input, or a mapping from input name to that. Silent after their T.
        n_steps: default: until the readout has seen a whole sample.
        record: of "spikes", "v", "u", "drive".
    """
    n_steps = default_steps(program, inputs) if n_steps is None else n_steps
    given = {name: x.astype(np.int64) for name, x in check_inputs(program, inputs, n_steps).items()}
    batch = next(iter(given.values())).shape[1]
    runs = {p.name: _Run(p, program, batch, n_steps, record) for p in program.populations}
    past: list[dict[str, Ints]] = []  # values of step k at past[k]
    for k in range(n_steps):
        now = {name: x[k] if k < len(x) else np.zeros_like(x[0]) for name, x in given.items()}
        past.append(now)
        for name in order(program):
            now[name] = runs[name].step(k, past)
        for run in runs.values():
            run.count_operations(k, now)
    return _activity(program, runs, batch, n_steps)


class _Run:
    """One population during a run: its state, its records and its counts."""

    def __init__(self, population: Population, program: Program, batch: int, n_steps: int, record: Collection[str]):
        self.population = population
        self.shape = population.shape
        self.synapses = program.into(population.name)
        self.parts = [(s, delay, kind) for s in self.synapses for delay, kind in by_delay(s)]
        if not isinstance(population.neuron, Relay):
            one = rest_state(population.neuron, population.shape)
            u, v, rest = (np.repeat(x[None], batch, axis=0) for x in (one.u, one.v, one.rest))
            self.state = State(u, v, rest)
        self.batch = batch
        self.records: dict[str, list[Ints]] = {name: [] for name in record}
        self.spike_counts = np.zeros((batch, *population.shape), np.int64)
        self.window = readout_window(program, n_steps)
        self.window_counts = np.zeros_like(self.spike_counts)
        self.window_v = np.zeros_like(self.spike_counts)
        self.n_spikes, self.sops, self.sops_with_zeros = (np.zeros(n_steps, np.int64) for _ in range(3))
        self.n_active = self.n_u_wraps = self.n_v_saturations = self.n_drive_wraps = 0

    def step(self, k: int, past: list[dict[str, Ints]]) -> Ints:
        total = np.zeros((self.batch, *self.shape), np.int64)
        for synapses, delay, kind in self.parts:
            sent = k if isinstance(kind, Wire) else k - 1 - delay
            if sent >= 0:
                part, n_wraps = synapse_drive(synapses, kind, past[sent][synapses.source], self.shape)
                total += part
                self.n_drive_wraps += n_wraps
        drive = wrap(total, 32)
        self.n_drive_wraps += int(np.count_nonzero(drive != total))
        neuron = self.population.neuron
        if isinstance(neuron, Relay):
            spikes = drive
            self.n_active += int(np.count_nonzero(drive))
        else:
            before = self.state
            cleared = State(*(np.zeros_like(x) for x in (before.u, before.v, before.rest)))
            start = cleared if is_reset(self.population.reset, k) else before
            done = neuron_step(start, drive, neuron)
            self.state, spikes = done.state, done.spikes
            changed = (drive != 0) | (done.state.u != before.u) | (done.v_before_reset != before.v)
            self.n_active += int(np.count_nonzero(changed))
            self.n_u_wraps += int(np.count_nonzero(done.u_wraps))
            self.n_v_saturations += int(np.count_nonzero(done.v_saturates))
        self.spike_counts += spikes != 0
        if self.window[0] <= k < self.window[1]:
            self.window_counts += spikes != 0
            self.window_v = spikes if isinstance(neuron, Relay) else self.state.v
        self.n_spikes[k] = np.count_nonzero(spikes)
        self._record(spikes, drive)
        return spikes

    def _record(self, spikes: Ints, drive: Ints) -> None:
        state = None if isinstance(self.population.neuron, Relay) else self.state
        for name, kept in self.records.items():
            if name == "spikes":
                kept.append(spikes)
            elif name == "drive":
                kept.append(drive)
            elif state is not None:
                kept.append(state.u if name == "u" else state.v)

    def count_operations(self, k: int, now: Mapping[str, Ints]) -> None:
        for synapses in self.synapses:
            non_zero, stored = operations(synapses.kind, now[synapses.source], self.shape)
            self.sops[k] += non_zero
            self.sops_with_zeros[k] += stored

    def events(self) -> Events:
        return Events(
            n_spikes=self.n_spikes,
            n_updates=len(self.n_spikes) * self.batch * self.population.n_neurons,
            n_active_updates=self.n_active,
            sops=self.sops,
            sops_with_zeros=self.sops_with_zeros,
            n_u_wraps=self.n_u_wraps,
            n_v_saturations=self.n_v_saturations,
            n_drive_wraps=self.n_drive_wraps,
        )


def _activity(program: Program, runs: Mapping[str, _Run], batch: int, n_steps: int) -> Activity:
    def recorded(what: str) -> dict[str, NDArray[Any]]:
        found = {}
        for name, run in runs.items():
            if run.records.get(what):
                binary = what == "spikes" and isinstance(run.population.neuron, Lif)
                found[name] = np.stack(run.records[what]).astype(np.uint8 if binary else np.int32)
        return found

    readout = None
    if program.readout is not None:
        run = runs[program.readout.population]
        readout = run.window_counts if program.readout.quantity == "count" else run.window_v
    with_state = {name: run for name, run in runs.items() if not isinstance(run.population.neuron, Relay)}
    return Activity(
        n_steps=n_steps,
        n_samples=batch,
        spikes=recorded("spikes"),
        v=recorded("v"),
        u=recorded("u"),
        drive=recorded("drive"),
        readout=readout,
        spike_counts={name: run.spike_counts for name, run in runs.items()},
        events={name: run.events() for name, run in runs.items()},
        final_u={name: run.state.u.astype(np.int32) for name, run in with_state.items()},
        final_v={name: run.state.v.astype(np.int32) for name, run in with_state.items()},
    )
