"""Small students of every kind whose layers fire, and what differs between a student in integers and its program."""

from __future__ import annotations

from pathlib import Path

import nir
import numpy as np
import torch
from torch import nn

from seamount.compile.pipeline import Compiled, compile_graph
from seamount.distill.quantised import QuantisedStudent
from seamount.hardware_targets.simulator import simulate
from seamount.models.spiking_net import SpikingNet
from seamount.models.zoo import build_student

NETS = {
    "small": ((1, 8, 8), {}),
    "small li": ((1, 8, 8), {"readout": "li"}),
    "small libox": ((1, 8, 8), {"readout": "libox", "input_bits": 0}),
    "vgg8": ((3, 16, 16), {"width": 0.125}),
    "vgg9": ((3, 16, 16), {"width": 0.1}),
    "vgg9 average": ((3, 16, 16), {"width": 0.1, "pooling": "average"}),
    "vgg9 max": ((3, 16, 16), {"width": 0.1, "pooling": "max"}),
    "vgg11": ((3, 16, 16), {"width": 0.1}),
    "vgg11-sastc": ((3, 16, 16), {"width": 0.1}),
    "resnet18": ((3, 16, 16), {"width": 0.1}),
    "resnet19": ((3, 16, 16), {"width": 0.05}),
    "wrn16-2": ((3, 16, 16), {"width": 0.5}),
    "wrn16-2-sastc": ((3, 16, 16), {"width": 0.05}),
    "conv1d": ((2, 1, 13), {"hidden": 12}),
    "conv1d-recurrent": ((1, 1, 16), {"hidden": 12}),
    "recurrent": ((12,), {"input_bits": 0}),
    "recurrent li": ((2, 4, 4), {"input_bits": 0, "readout": "li"}),
}


def lively(name: str, n_steps: int = 4) -> tuple[SpikingNet, torch.Tensor]:
    """A student whose layers fire, and samples for it."""
    torch.manual_seed(0)
    shape, options = NETS[name]
    net = build_student(name.split()[0], n_classes=5, input_shape=shape, n_steps=n_steps, **options)
    still = options.get("input_bits") != 0
    x = torch.randint(0, 256, (4, *shape)) / 255 if still else (torch.rand(n_steps, 4, *shape) < 0.4).float()
    with torch.no_grad():
        for module in net.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.momentum = None
                module.bias += 0.3 * torch.rand_like(module.bias)
            elif isinstance(module, nn.Linear):
                module.weight *= 3
        net.train()(x)
    return net.eval(), x


def differing(q: QuantisedStudent, x: torch.Tensor, path: Path) -> tuple[int, int, int, Compiled]:
    """(differing spikes, differing v, spikes) of record and simulator in the valid windows."""
    nir.write(path, q.to_nir())
    compiled = compile_graph(path)
    frames = q.to_input(x).numpy().astype(np.int64)
    if x.dim() == len(q.input_shape) + 1:
        frames = np.repeat(frames[None], q.n_steps, axis=0)
    run = simulate(compiled.program, frames, record=("spikes", "v"))
    recorded, arrivals = q.record(x), compiled.program.arrivals()
    wrong_spikes = wrong_v = n = 0
    for name, spikes in recorded.spikes.items():
        window = slice(arrivals[name], arrivals[name] + q.n_steps)
        wrong_spikes += int(np.count_nonzero(run.spikes[name][window] != spikes.numpy()))
        wrong_v += int(np.count_nonzero(run.v[name][window] != recorded.v[name].numpy()))
        n += int(spikes.sum())
    assert run.readout is not None
    assert np.array_equal(run.readout, recorded.readout.numpy())
    return wrong_spikes, wrong_v, n, compiled
