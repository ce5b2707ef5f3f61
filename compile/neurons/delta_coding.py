"""Sends how far an activation moved since what was sent of it: what ``Delta`` and ``SigmaDelta`` have in common."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from seamount.errors import Reason

from ..numbers import V_MAX, Ints
from .graded import HELD_BITS, HIGHEST, LOWEST, beyond, held, leaves_24_bits, magnitude, signed_message
from .model import Message, NeuronModel, State, StateRange, Step

MOST_EXPONENT = HELD_BITS - 1
"""Of spike_exp and state_exp together. Lava declares 3 bits for each, and takes what its states hold."""


class DeltaCoding(NeuronModel):
    """The activation's change, with what was not sent before, is sent whole where it reaches the threshold."""

    v_th: Ints
    spike_exp: int
    state_exp: int
    cum_error: bool

    def coded(self, state: State, act: Ints, drive: Ints, **sums: Ints) -> Step:
        """The step behind a new activation.

        What ``>> state_exp`` takes from a message is not kept in the residue.

        Args:
            sums: new values of further states.
        """
        delta = held(act - state["act"] + state["residue"])
        error = held(state["error"] + delta) if self.cum_error else state["error"]
        coded = np.where(magnitude(error if self.cum_error else delta) >= self.v_th, delta, 0)
        residue = held(delta - coded)
        # error as it decided, because a neuron whose error grew was active
        compared = {**sums, "act": act, "error": error}
        after = {**sums, "act": act, "residue": residue, "error": np.where(magnitude(coded) > 0, 0, error)}
        never = np.zeros(drive.shape, np.bool_)
        return Step(after, coded >> self.state_exp, compared, leaves_24_bits(*after.values()), never)

    @property
    def most_unsent(self) -> int:
        """The largest \\|residue\\|: below the threshold, or between two errors that are."""
        return (2 if self.cum_error else 1) * max(int(self.v_th.max()) - 1, 0)

    def change(self, act: tuple[float, float]) -> Message:
        """What may be sent of an activation within these bounds."""
        most = int(min(act[1] - act[0] + self.most_unsent, 1 << 31))
        return signed_message(-most >> self.state_exp, most >> self.state_exp)

    def coding_bounds(self, act: StateRange) -> dict[str, StateRange]:
        """Of act, residue and error."""
        unsent, error = float(self.most_unsent), float(max(int(self.v_th.max()) - 1, 0) if self.cum_error else 0)
        return {
            "act": act,
            "residue": StateRange(-unsent, unsent, act.proven and unsent <= V_MAX),
            "error": StateRange(-error, error, act.proven and error <= V_MAX),
        }

    def reasons(self, name: str, shape: tuple[int, ...]) -> Iterator[Reason]:
        yield from super().reasons(name, shape)
        # 0 and less send every change, as 1 does: layers of lava-dl's own PilotNet have 0
        if found := beyond("a threshold", self.v_th, LOWEST, HIGHEST):
            yield Reason(found, name, f"{LOWEST} to {HIGHEST} are possible, in units of the state")
        exponents = self.spike_exp, self.state_exp
        if min(exponents) < 0 or sum(exponents) > MOST_EXPONENT:
            found = f"a spike_exp of {self.spike_exp} and a state_exp of {self.state_exp}"
            yield Reason(found, name, f"0 to {MOST_EXPONENT} together are possible")
