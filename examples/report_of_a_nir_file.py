"""From a NIR file, of whatever tool, and some samples to the whole report.

python examples/report_of_a_nir_file.py [FOLDER]
"""

import sys
from pathlib import Path

import nir
import numpy as np

from seamount import api

folder = Path(sys.argv[1] if len(sys.argv) > 1 else "runs")
folder.mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(0)
tau, one = np.full(20, 5e-3), np.ones(20)
nodes = {
    "input": nir.Input({"input": np.array([12])}),
    "fc": nir.Linear(rng.normal(size=(20, 12))),
    "lif": nir.LIF(tau=tau, r=one, v_leak=0 * one, v_threshold=0.3 * one, v_reset=0 * one),
    "head": nir.Linear(rng.normal(size=(4, 20))),
    "li": nir.LI(tau=tau[:4], r=one[:4], v_leak=0 * one[:4]),
    "output": nir.Output({"output": np.array([4])}),
}
nir.write(folder / "mine.nir", nir.NIRGraph(nodes, list(zip(list(nodes)[:-1], list(nodes)[1:], strict=True))))
np.savez(folder / "mine.npz", x=rng.integers(0, 2, (16, 8, 12)), y=rng.integers(0, 4, 8))  # x: (T, B, N)
reading = api.Reading(settings=("dt=1e-3",), n_steps=16)  # NIR names no time step; of a tool: written_by="norse"
report = api.deploy(folder / "mine.nir", folder / "mine.npz", folder=folder / "report", reading=reading, n_lava=2)
print(f"report: {folder / 'report' / 'report.html'}, {len(report.layers)} layers compared")
