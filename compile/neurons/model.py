"""What a neuron model says of itself: the contract by which compiler, back ends and program files ask it.

A model is one frozen dataclass in one file, and one name in ``models.py``. Its fields are its parameters; its
``step`` is the definition of its arithmetic, which the simulator runs as it is where there is no faster loop for it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from seamount.errors import Reason, Unsupported

from ..numbers import Ints

State = Mapping[str, Ints]
"""Whole numbers that a population keeps from step to step, by name, each (..., *shape)."""

Doubles = NDArray[np.float64]


@dataclass(frozen=True)
class Message:
    """What may be sent in one step: whole numbers low .. high, low <= 0 <= high, because silence is 0.

    Attributes:
        bits: of the payload; 0: spikes 0 and 1, which need none.
    """

    low: int
    high: int
    bits: int

    @property
    def largest(self) -> int:
        """Largest magnitude."""
        return max(-self.low, self.high)


SPIKES = Message(0, 1, 0)
SIGNED_SPIKES = Message(-1, 1, 2)
PAYLOAD_BITS = 24
"""What a message carries at most."""


@dataclass(frozen=True)
class Step:
    """What one step of a population did; every array is (..., *shape).

    Attributes:
        state: after the step.
        sent: 0 where nothing was sent.
        compared: the parts of the state that decide, as they were before a spike reset them; a neuron in which one
            of them changed was active.
        wraps, saturates: where an exact sum did not fit its state: it wrapped, or was cut.
    """

    state: State
    sent: Ints
    compared: State
    wraps: NDArray[np.bool_]
    saturates: NDArray[np.bool_]


@dataclass(frozen=True)
class Arriving:
    """Worst cases of one drive in one step, in weight units, (*shape).

    Attributes:
        low, high: of all that arrives but ``own``.
        own: what a neuron's inhibition of itself takes away in the step after a spike, 0 or more.
        own_meets_reset: a ``Reset`` may come between the spike and that step, and take what the spike left.
    """

    low: Doubles
    high: Doubles
    own: Doubles
    own_meets_reset: bool = False


@dataclass(frozen=True)
class StateRange:
    """Worst case of one state over all neurons, while no state that it depends on leaves its range.

    ``proven``: it cannot leave its range where that changes anything, and neither can they.
    """

    low: float
    high: float
    proven: bool


@dataclass(frozen=True)
class Sending:
    """Neurons that can never send, and those that must at every step; of the population's shape, or to broadcast."""

    never: NDArray[np.bool_]
    always: NDArray[np.bool_]


UNKNOWN_SENDING = Sending(np.zeros((), np.bool_), np.zeros((), np.bool_))


@dataclass(frozen=True)
class Settings:
    """Parameters as a chip holds them: what costs memory, and makes neurons of a core different from each other."""

    rates: tuple[Ints, ...] = ()
    thresholds: tuple[Ints, ...] = ()
    biases: tuple[Ints, ...] = ()


class NeuronModel(ABC):
    """A neuron model; fields are whole numbers, or arrays that broadcast to the population's shape.

    Attributes:
        states: names of what it keeps from step to step.
        hidden: those of them that activities leave out, because no other emulator shows them.
        drives: names of its inputs; synapses add up to one of them.
        message: what it sends whatever arrives; None: that depends on what arrives (``sends``).
        sends_always: it sends its state at every step, whatever arrives.
        passes_on: it has no state and sends what arrives, so that a back end may leave it out.
        always_told: parameters that a listing shows even where they are 0.
    """

    states: ClassVar[tuple[str, ...]] = ()
    hidden: ClassVar[tuple[str, ...]] = ()
    drives: ClassVar[tuple[str, ...]] = ("drive",)
    message: ClassVar[Message | None] = None
    sends_always: ClassVar[bool] = False
    passes_on: ClassVar[bool] = False
    always_told: ClassVar[tuple[str, ...]] = ()

    # ------------------------------------------------------------------------------------------ arithmetic

    @abstractmethod
    def step(self, state: State, drives: Sequence[Ints]) -> Step:
        """One step, the definition. ``drives`` in the order of ``self.drives``, int32 values as int64."""

    def rest_state(self, shape: tuple[int, ...]) -> State:
        """The state before the first step, (*shape)."""
        return {name: np.zeros(shape, np.int64) for name in self.states}

    @property
    def shown(self) -> tuple[str, ...]:
        """Names of the states that activities record."""
        return tuple(name for name in self.states if name not in self.hidden)

    def cleared(self, state: State) -> State:
        """What a ``Reset`` leaves of a state."""
        return {name: np.zeros_like(values) for name, values in state.items()}

    # -------------------------------------------------------------------------------------- what is proved

    @property
    def never_sends(self) -> bool:
        """Whether it only integrates, to be read."""
        return False

    @property
    def inhibition_follows_spikes(self) -> bool:
        """Whether ``bounds`` makes use of ``Arriving.own``."""
        return False

    @abstractmethod
    def sends(self, arriving: Sequence[Message]) -> Message:
        """What it may send, given what may arrive at each drive."""

    @abstractmethod
    def bounds(self, arriving: Sequence[Arriving], n_steps: int | None) -> Mapping[str, StateRange]:
        """Worst case of every state over ``n_steps`` steps, or for ever, in units of the state."""

    def sending(self, arriving: Sequence[Arriving], n_steps: int | None) -> Sending:
        """What its bounds say of its messages, as long as nothing wraps."""
        return UNKNOWN_SENDING

    def nearest_to_sending(self, states: State) -> float | None:
        """How much of its threshold a population that sent nothing reached, in its recorded states (T, B, *shape).

        None: it has no threshold, or that of some neuron is no distance above rest.
        """
        return None

    # -------------------------------------------------------------------------------------------- start-up

    @property
    def at_rest(self) -> bool:
        """Whether it starts where a reset leaves it."""
        start = self.rest_state(self._shape())
        return all(np.array_equal(start[name], values) for name, values in self.cleared(start).items())

    def stays_silent(self, n_steps: int) -> bool:
        """Whether it sends nothing in so many steps after a reset into which nothing arrives."""
        shape = self._shape()
        state, silence = self.cleared(self.rest_state(shape)), [np.zeros(shape, np.int64)] * len(self.drives)
        for _ in range(n_steps):
            done = self.step(state, silence)
            if np.any(done.sent):
                return False
            state = done.state
        return True

    @property
    def stands_still(self) -> bool:
        """Whether its first state stays as it is while nothing arrives."""
        shape = self._shape()
        start = self.rest_state(shape)
        after = self.step(start, [np.zeros(shape, np.int64)] * len(self.drives)).state
        return all(np.array_equal(start[name], after[name]) for name in self.states)

    def solved_back(self, name: str, n_steps: int) -> Self:
        """The neuron whose first state becomes this one's in ``n_steps`` steps into which nothing arrives.

        Raises:
            Unsupported: there is none, or none is known.
        """
        raise Unsupported(
            f"the initial state of a {type(self).__name__} cannot be solved backwards over {n_steps} steps of "
            "pipeline fill",
            where=name,
            ways_out="start it at rest and give the number of steps of a sample, so that it is reset when it arrives",
        )

    # -------------------------------------------------------------------------------- chips, files, listings

    @abstractmethod
    def settings(self) -> Settings:
        """What a chip has to hold."""

    def parameters(self) -> dict[str, Any]:
        """Parameters by name, those that are None left out: what a program file stores."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}  # type: ignore[arg-type]
        return {name: value for name, value in found.items() if value is not None}

    def told(self) -> dict[str, Any]:
        """The parameters that a listing shows: not 0, or given although they need not be, or ``always_told``."""
        values = self.parameters()
        told = {field.name for field in fields(self) if field.default is None}  # type: ignore[arg-type]
        told.update(self.always_told)
        return {name: x for name, x in values.items() if name in told or np.any(np.asarray(x) != 0)}

    def reasons(self, name: str, shape: tuple[int, ...]) -> Iterator[Reason]:
        """Why a population of this name and shape cannot have these parameters."""
        for parameter, value in self.parameters().items():
            if isinstance(value, np.ndarray) and not broadcasts(value.shape, shape):
                yield Reason(f"{parameter} {value.shape} does not broadcast to {shape}", name)

    def _shape(self) -> tuple[int, ...]:
        """The smallest population that shows all of its parameters."""
        arrays = [value for value in self.parameters().values() if isinstance(value, np.ndarray)]
        return np.broadcast_shapes(*(array.shape for array in arrays))


def broadcasts(found: tuple[int, ...], shape: tuple[int, ...]) -> bool:
    """Whether values of the first shape can be those of a population of the second."""
    try:
        return np.broadcast_shapes(found, shape) == shape
    except ValueError:
        return False
