"""Students of the zoo, compiled: Lava and the simulator give the same spikes, u and v."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.hardware_targets.agreement import compare_runs
from seamount.hardware_targets.lava import lava_status, run_on_lava
from seamount.hardware_targets.simulator import simulate
from seamount.models.export import to_nir
from seamount.models.zoo import build_student

STATUS = lava_status(try_it=False)
RECORD = ("spikes", "v", "u")


@pytest.mark.lava
@pytest.mark.slow
@pytest.mark.skipif(not STATUS.present, reason=STATUS.message)
@pytest.mark.usefixtures("lava_imported_once")
@pytest.mark.parametrize(
    ("name", "size", "n_steps", "options", "n_populations", "bits"),
    [
        ("resnet18", 16, 3, {"width": 0.0625}, 18, 8),
        ("vgg9", 16, 3, {"width": 0.125}, 9, 8),
        ("vgg9", 16, 3, {"width": 0.125}, 9, 4),
        ("vgg9", 16, 3, {"width": 0.125, "pooling": "max"}, 12, 8),
        ("recurrent", 4, 10, {"hidden": 24}, 2, 8),
        ("recurrent", 4, 10, {"hidden": 24}, 2, 3),
    ],
)
def test_a_compiled_student_is_exact_on_lava(
    name: str, size: int, n_steps: int, options: dict[str, Any], n_populations: int, bits: int
) -> None:
    torch.manual_seed(0)
    shape = (3, size, size)
    student = build_student(name, n_classes=10, input_shape=shape, n_steps=n_steps, **options)
    with torch.no_grad():
        student(torch.rand(8, *shape))  # BatchNorm sees some images
        for module in student.modules():
            if isinstance(module, torch.nn.BatchNorm2d):  # so that deep layers spike
                module.weight.fill_(2.0)
                module.bias.uniform_(0.0, 1.0)
    program = compile_graph(to_nir(student.eval()), None, CompileOptions(weight_bits=bits)).program
    assert len(program.populations) == n_populations
    image = np.random.default_rng(0).integers(0, 256, (2, *shape))
    inputs = np.repeat(image[None], n_steps, axis=0)
    simulated = simulate(program, inputs, record=RECORD)
    on_lava = run_on_lava(program, inputs, record=RECORD, time_limit_s=300)
    agreement = compare_runs(program, ("simulator", simulated), ("Lava", on_lava))
    assert (agreement.n_differing, agreement.first_difference) == (0, None)
    assert all(simulated.spikes[p.name].any() for p in program.populations[:-1])
    assert agreement.n_compared > 1000
