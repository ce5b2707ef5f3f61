"""A student as a NIR graph: our own nodes, shapes complete, batch norm folded, the facts NIR cannot hold as metadata.

norse's own exporter is not used: it writes time constants a thousand times too small, drops skip connections and
current synapses' weights, and gives files that cannot be read (docs/students.md).

Membranes of populations whose gain is not 1 are written divided by the gain, so that r stays 1: the same spikes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, assert_never

import nir
import numpy as np
from norse.torch import LICell, LIFCell
from torch import nn

from seamount.errors import Unsupported

from . import fold
from .cells import DECAY_GRID, DT_S, Neurons
from .fold import Reals, Shape
from .spiking_net import INPUT, READOUT, AnySpike, Population, SpikingNet, Stream, Sum

EXPORTER = "seamount 0.1.0"


@dataclass(frozen=True)
class Quantised:
    """What a quantised student puts in the place of real numbers: values that lie exactly on the chip's grid.

    Attributes:
        scale: population -> units of v_th_mant per real unit of the membrane.
        synapses: synapse -> its one operator, in the units of the file.
        v_th: spiking population -> threshold, in the units of the file.
        weight_bits: synapse -> bits that its weights may use.
    """

    scale: Mapping[str, float]
    synapses: Mapping[str, fold.FoldedConv | fold.Linear | None]
    v_th: Mapping[str, float]
    weight_bits: Mapping[str, int]


def to_nir(net: SpikingNet, *, quantised: Quantised | None = None) -> nir.NIRGraph:
    """The NIR graph of a student.

    Raises:
        Unsupported: layers that are no weighted sums, real-valued streams: all of them, by name.
    """
    found = unsupported(net)
    if found:
        raise Unsupported(f"{net.name} cannot become a spiking program:\n  " + "\n  ".join(found))
    nodes: dict[str, Any] = {INPUT: nir.Input({"input": np.array(net.input_shape)})}
    edges: list[tuple[str, str]] = []
    for name, source, target in net.edges:
        shape = net.shapes[source]
        if isinstance(net.populations[target], AnySpike):
            nodes[name] = _sum_pool(fold.windows(net.synapses[name], shape[0]))
            edges += [(source, name), (name, target)]
            continue
        if quantised is not None:
            op = quantised.synapses[name]
            ops: list[fold.Op] = [] if op is None else [op]
            if isinstance(op, fold.Linear) and len(shape) > 1:
                ops.insert(0, fold.Flatten())
        else:
            ops = fold.fold(net.synapses[name], shape, name)
        at = source
        for i, one in enumerate(ops):
            node = name if i == len(ops) - 1 else f"{name}_{type(one).__name__.lower()}{i}"
            nodes[node] = operator_node(one, shape, name)
            edges.append((at, node))
            at, shape = node, fold.op_shape(one, shape)
        edges.append((at, target))
    for name in net.order:
        v_th = None if quantised is None else quantised.v_th.get(name)
        nodes[name] = _population(net.populations[name], net.shapes[name], v_th, _timestep_s(net))  # type: ignore[arg-type]
    nodes["output"] = nir.Output({"output": np.array(net.shapes[READOUT])})
    edges.append((READOUT, "output"))
    return nir.NIRGraph(nodes, edges, metadata=_metadata(net, quantised))


def unsupported(net: SpikingNet) -> list[str]:
    """Everything in a student that no chip of spikes can hold, by name; empty if all of it can be exported."""
    found = []
    for name, population in net.populations.items():
        if isinstance(population, Stream):
            found.append(f"{name}: a real-valued stream; put neurons behind the addition (post-activation blocks)")
    for name, source, target in net.edges:
        if isinstance(net.populations[target], AnySpike):
            found += fold.max_pool_problems(net.synapses[name], name)
            if len(net.into(target)) > 1:
                found.append(f"{name}: one of several synapses into max-pooling neurons {target}; one is possible")
            if source == INPUT and net.input_bits:
                found.append(f"{name}: max-pooling of {net.input_bits}-bit values; only that of spikes is possible")
            continue
        found += fold.problems_of(net.synapses[name], net.shapes[source], name)
        if isinstance(net.synapses[name], nn.Identity) and source == INPUT:
            found.append(f"{name}: the input drives a population without weights; put a layer between them")
    return found


def operator_node(op: fold.Op, shape: Shape, name: str) -> Any:
    """NIR's node of an operator on values of this shape.

    Raises:
        Unsupported: a kernel that nir 1.0.8's type check refuses.
    """
    match op:
        case fold.FoldedConv():
            op = fold.square(op, name)
            bias = np.zeros(len(op.weight)) if op.bias is None else op.bias
            return nir.Conv2d(
                input_shape=(shape[1], shape[2]),
                weight=op.weight,
                **op.window._asdict(),
                bias=bias,
            )
        case fold.Linear():
            return nir.Linear(op.weight) if op.bias is None else nir.Affine(op.weight, op.bias)
        case fold.Pool():
            return nir.AvgPool2d(np.array(op.kernel), np.array(op.stride), np.array(op.padding))
        case fold.Flatten():
            return nir.Flatten({"input": np.array(shape)}, start_dim=0, end_dim=-1)
        case _:
            assert_never(op)


def _sum_pool(windows: fold.FoldedConv) -> nir.SumPool2d:
    return nir.SumPool2d(
        np.array(windows.weight.shape[2:]), np.array(windows.window.stride), np.array(windows.window.padding)
    )


def _timestep_s(net: SpikingNet) -> float:
    """The one of the file. Cells with another one keep their decays, which are what a step does."""
    return next((float(n.cell.dt) for n in net.neurons().values()), DT_S)


def _population(population: Population, shape: Shape, v_th: float | None, dt_s: float) -> Any:
    if isinstance(population, Sum):  # v' = r x, so that a step of dt adds x
        return nir.I(r=np.full(shape, 1 / dt_s))
    if isinstance(population, AnySpike):
        return nir.Threshold(np.full(shape, population.v_th))
    assert isinstance(population, Neurons), "unsupported() names streams"

    def everywhere(value: float) -> Reals:
        return np.full(shape, value)

    unit = 1 / population.gain
    membrane = {
        "r": everywhere(1.0),
        "v_leak": everywhere(unit * population.v_leak),
    }
    if population.spiking:
        membrane["v_threshold"] = everywhere(unit * population.v_th if v_th is None else v_th)
        membrane["v_reset"] = everywhere(unit * population.v_reset)
    tau_mem_s = everywhere(dt_s / exact_decay(population.decay_mem))
    if isinstance(population.cell, LIFCell | LICell):
        assert population.decay_syn is not None
        tau_syn_s = everywhere(dt_s / exact_decay(population.decay_syn))
        kind = nir.CubaLIF if population.spiking else nir.CubaLI
        # NIR's spike adds w_in dt / tau_syn to the current, which must be norse's 1
        return kind(tau_syn=tau_syn_s, tau_mem=tau_mem_s, w_in=tau_syn_s / dt_s, **membrane)
    return (nir.LIF if population.spiking else nir.LI)(tau=tau_mem_s, **membrane)


def exact_decay(decay: float) -> float:
    """norse holds rates in float32: the k / 4096 that was meant, where one was."""
    on_grid = round(decay * DECAY_GRID) / DECAY_GRID
    return on_grid if abs(on_grid - decay) < 1e-6 * on_grid else decay


def _metadata(net: SpikingNet, quantised: Quantised | None) -> dict[str, Any]:
    metadata: dict[str, Any] = {
        "discretization": {
            "dt": _timestep_s(net),
            "time_unit": "s",
            "decay": "euler",
            "spike": "bin",
            "reset": "value",
            "threshold": ">",
            "init": "leak",
            "exporter": EXPORTER,
        },
        "seamount": {
            "n_steps": net.n_steps,
            "input_bits": net.input_bits,
            "input_scale": net.input_scale,
            "readout": READOUT,
            # a Sum is an integrator, whose last v is the sum
            "readout_quantity": "v" if isinstance(net.readout, Sum) else net.answer,
        },
    }
    if quantised is not None:
        metadata["quantised"] = {"scale": dict(quantised.scale), "weight_bits": dict(quantised.weight_bits)}
    return metadata
