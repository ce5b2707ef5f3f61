"""A program written by hand, on the simulator and on Lava: every spike and membrane value compared.

python examples/run_on_lava.py
"""

import numpy as np

from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Dense, OneToOne, Synapses
from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.lava import run_on_lava
from seamount.hardware_targets.simulator import simulate

T = 12


def residual_program(rng: np.random.Generator) -> Program:
    """in -> a -> b, and a skip from a to c beside b -> c; the skip waits one step so that both meet."""
    even = lambda *shape: ints(2 * rng.integers(-60, 60, shape))  # noqa: E731  (mixed-sign weights are even)
    neuron = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(90))
    names = ("a", "b", "c")
    return Program(
        "residual",
        inputs=(Input("in", (10,)),),
        populations=tuple(Population(n, (6,), neuron, Reset(T, i + 2)) for i, n in enumerate(names)),
        synapses=(
            Synapses("in-a", "in", "a", Dense(even(6, 10))),
            Synapses("a-b", "a", "b", Dense(even(6, 6))),
            Synapses("b-c", "b", "c", Dense(even(6, 6))),
            Synapses("a-c", "a", "c", OneToOne(ints(100)), delay=ints(1)),
        ),
        readout=Readout("c", "count"),
        n_steps=T,
    )


def main() -> None:
    rng = np.random.default_rng(1)
    program = residual_program(rng)
    print(program)
    spikes = (rng.random((T, 5, 10)) < 0.4).astype(np.int64)  # (T, B, N)
    simulated = simulate(program, spikes, record=("spikes", "v"))
    on_lava = run_on_lava(program, spikes, record=("spikes", "v"))
    print(compare_runs(program, ("simulator", simulated), ("Lava", on_lava)))


if __name__ == "__main__":
    main()
