"""Random programs of every kind of neuron on Lava's own fixed-point models: ``python -m tests.fuzz.on_lava N``.

What Lava has no process for is not drawn. What it records of each population at every step is what the simulator
computes, or the program is refused with a reason.
"""

from __future__ import annotations

import argparse
import collections
import dataclasses
import sys

from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.models import Neuron
from seamount.compile.numbers import Ints, ints
from seamount.compile.program.program import Reset
from seamount.errors import InputError, Unsupported
from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.lava import run_on_lava
from seamount.hardware_targets.simulator import simulate
from tests.simulator.random_programs import GradedPrograms, case_of

RECORD = ("spikes", "states")


class LavaPrograms(GradedPrograms):
    """Weights on the 8-bit grid, and one number for all neurons of a population."""

    longest_delay = 62

    def one_or_each(self, low: int, high: int, shape: tuple[int, ...]) -> Ints:
        return ints(self.random.integers(low, high))

    def weights(self, shape: tuple[int, ...]) -> Ints:
        largest = int(self.random.choice([2, 40, 127]))
        return ints(2 * self.random.integers(-largest, largest + 1, shape))

    def reset(self) -> Reset | None:
        return None

    def neuron(self, shape: tuple[int, ...]) -> Neuron:
        drawn = super().neuron(shape)
        return dataclasses.replace(drawn, refractory_steps=0, v_floor=None) if isinstance(drawn, Lif) else drawn


def tried(seed: int) -> str:
    """ "equal" or "refused"; raises AssertionError with what differs."""
    try:
        program, inputs, n_steps = case_of(LavaPrograms, seed)
        ours = simulate(program, inputs, n_steps=n_steps, record=RECORD)
        theirs = run_on_lava(program, inputs, n_steps=n_steps, record=RECORD)
    except (InputError, Unsupported) as error:
        return "refused" if str(error) else "refused without a reason"
    found = compare_runs(program, ("simulator", ours), ("Lava", theirs), whole=True)
    assert found.equal, f"seed {seed}: {found.first_difference}"
    return "equal"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("n", type=int, help="programs")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    asked = parser.parse_args()
    outcomes: collections.Counter[str] = collections.Counter()
    for seed in range(asked.seed, asked.seed + asked.n):
        try:
            outcomes[tried(seed)] += 1
        except AssertionError as error:
            outcomes["differs"] += 1
            print(error, flush=True)
    print(", ".join(f"{count} {outcome}" for outcome, count in sorted(outcomes.items())))
    sys.exit(bool(set(outcomes) - {"equal", "refused"}))


if __name__ == "__main__":
    main()
