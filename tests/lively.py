"""Small students of every kind whose layers fire."""

from __future__ import annotations

import torch
from torch import nn

from seamount.models.spiking_net import SpikingNet
from seamount.models.zoo import build_student

NETS = {
    "small": ((1, 8, 8), {}),
    "small li": ((1, 8, 8), {"readout": "li"}),
    "small libox": ((1, 8, 8), {"readout": "libox", "input_bits": 0}),
    "vgg9": ((3, 16, 16), {"width": 0.1}),
    "vgg9 average": ((3, 16, 16), {"width": 0.1, "pooling": "average"}),
    "vgg9 max": ((3, 16, 16), {"width": 0.1, "pooling": "max"}),
    "vgg11": ((3, 16, 16), {"width": 0.1}),
    "vgg11-sastc": ((3, 16, 16), {"width": 0.1}),
    "resnet18": ((3, 16, 16), {"width": 0.1}),
    "resnet19": ((3, 16, 16), {"width": 0.05}),
    "wrn16-2": ((3, 16, 16), {"width": 0.5}),
    "wrn16-2-sastc": ((3, 16, 16), {"width": 0.05}),
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
