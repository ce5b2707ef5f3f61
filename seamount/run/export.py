"""A student as a NIR file, proven before it is written: the graph is executed and compared with the module."""

from __future__ import annotations

import copy
import io
from pathlib import Path
from typing import Any

import nir
import torch
from torch import nn

from seamount.compile.network.interpret import run_network
from seamount.compile.nir.read import read_nir
from seamount.errors import CheckFailed
from seamount.files import write_atomically
from seamount.hardware_targets.agreement import Agreement, compare_traces
from seamount.models.export import to_nir
from seamount.models.spiking_net import SpikingNet

PROOF_SAMPLES = 8


def export_student(student: SpikingNet, path: Path, *, seed: int = 0) -> Agreement:
    """Write a float student as NIR.

    The graph is executed by the float64 reference interpreter and compared with the student, in float64, spike for
    spike on random input; nothing is written unless they agree everywhere.

    Raises:
        Unsupported: a part of the student that NIR or a chip cannot hold.
        CheckFailed: the graph does not compute what the student computes; names the first difference.
    """
    graph = to_nir(student)
    agreement = prove(student, graph, seed)
    if not agreement.exact:
        raise CheckFailed(
            f"not written, the graph differs from the student: {agreement.first_difference}", where=path
        )
    write_graph(graph, path)
    return agreement


def prove(student: SpikingNet, graph: Any, seed: int) -> Agreement:
    """Execute the graph beside the student on random 8-bit images (or spikes) and compare the spikes."""
    generator = torch.Generator().manual_seed(seed)
    shape = (PROOF_SAMPLES, *student.input_shape)
    if student.input_bits:
        x = torch.randint(0, 1 << student.input_bits, shape, generator=generator).double() / student.input_scale
        frames = x.expand(student.n_steps, *x.shape)
    else:
        frames = (torch.rand((student.n_steps, *shape), generator=generator) < 0.2).double()
        x = frames
    double = _in_double(student)
    with torch.inference_mode():
        spikes = {name: s.numpy() for name, s in double(x, record=True).spikes.items()}
    traces = run_network(read_nir(graph), frames.numpy())
    found = {name: trace.spikes for name, trace in traces.items() if name in spikes}
    return compare_traces(("student", spikes, {}), ("NIR graph", found, {}), list(spikes))


def _in_double(student: SpikingNet) -> nn.Module:
    return copy.deepcopy(student).double().eval()


def write_graph(graph: Any, path: Path) -> None:
    """Write a ``nir.NIRGraph``; the whole file or nothing."""
    buffer = io.BytesIO()  # because nir.write puts what it has into the file before it refuses a node
    nir.write(buffer, graph)
    write_atomically(path, buffer.getvalue())
