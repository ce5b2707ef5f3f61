"""A quantised student as NIR: real numbers from which the compiler recovers the same integers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nir
import numpy as np
from numpy.typing import NDArray

from seamount.compile.numbers import DRIVE_SHIFT
from seamount.models import fold
from seamount.models.export import Quantised, to_nir
from seamount.models.spiking_net import INPUT

from .grid import Integers

if TYPE_CHECKING:
    from .quantised import QuantisedStudent

Real = NDArray[np.float64]


def student_to_nir(student: QuantisedStudent, integers: Integers) -> nir.NIRGraph:
    """Real numbers that lie exactly on the grid, with the scales as metadata."""
    synapses: dict[str, fold.FoldedConv | fold.Linear | None] = {}
    told: set[str] = set()
    for name, source, target in student.net.edges:
        op = student.ops[name]
        if op is None:
            synapses[name] = None
            continue
        s, a = integers.scale[target], student.plans[target].a_mem
        unit = (student.input_scale if source == INPUT else 1.0) / (s * a)
        weight = integers.weights[name].detach().cpu().double().numpy() * unit
        bias = None
        if target in integers.bias and target not in told:  # a population's bias goes with one of its synapses
            whole = integers.bias_mant[target] << integers.bias_exp[target]
            bias = np.asarray(whole.reshape(-1) / ((1 << DRIVE_SHIFT) * s * a), dtype=np.float64)
            told.add(target)
        synapses[name] = _with_weights(op, weight, bias)
    v_th = {n: integers.v_th_mant[n] / integers.scale[n] for n, plan in student.plans.items() if plan.v_th}
    return to_nir(student.net, quantised=Quantised(integers.scale, synapses, v_th, student.bits))


def _with_weights(
    op: fold.FoldedConv | fold.Linear, weight: Real, bias: Real | None
) -> fold.FoldedConv | fold.Linear:
    if isinstance(op, fold.Linear):
        return fold.Linear(weight, bias)
    return fold.FoldedConv(weight, bias, op.window)
