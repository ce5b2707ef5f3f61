"""A network from any NIR tool: compile it, see what rounding did, run it, explain one layer.

python examples/compile_your_own_nir.py
"""

import nir
import numpy as np

from seamount.compile.inspect import explain
from seamount.compile.options import compile_options
from seamount.compile.pipeline import compile_graph
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target

DT_S = 1e-3


def some_network(rng: np.random.Generator) -> nir.NIRGraph:
    """20 inputs, 16 CUBA neurons, 4 leaky ones, as a tool would write it: seconds, and no word of the time step."""
    ones = np.ones(16)
    return nir.NIRGraph(
        nodes={
            "input": nir.Input(np.array([20])),
            "fc1": nir.Linear(rng.normal(0.1, 0.5, (16, 20))),
            "hidden": nir.CubaLIF(
                tau_syn=5e-3 * ones, tau_mem=10e-3 * ones, r=ones, v_leak=0 * ones, v_threshold=ones, w_in=5 * ones
            ),
            "fc2": nir.Linear(rng.normal(0.1, 0.8, (4, 16))),
            "out": nir.LIF(tau=np.full(4, 8e-3), r=np.ones(4), v_leak=np.zeros(4), v_threshold=np.full(4, 0.3)),
            "output": nir.Output(np.array([4])),
        },
        edges=[("input", "fc1"), ("fc1", "hidden"), ("hidden", "fc2"), ("fc2", "out"), ("out", "output")],
    )


def main() -> None:
    rng = np.random.default_rng(0)
    options = compile_options(settings=[f"dt={DT_S}", "readout_quantity=count"], n_steps=50)
    compiled = compile_graph(some_network(rng), load_target("loihi1"), options)
    print(compiled.program)
    print(*compiled.rounding.lines(), sep="\n")
    print(*(f"assumed: {text}" for text in compiled.assumptions), sep="\n")

    spikes = (rng.random((50, 8, 20)) < 0.2).astype(np.int64)  # (T, B, N)
    activity = simulate(compiled.program, spikes)
    print("output spikes per sample:", activity.readout.tolist())
    print(explain(compiled, "hidden"))


if __name__ == "__main__":
    main()
