"""The functions of torch that a forward pass may call between its layers, and what is said of the others."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import nn


def name_of(func: Any) -> str:
    """Of a function of torch; of an attribute, such as ``x.T``, the attribute's."""
    name = getattr(func, "__name__", str(func))
    return str(getattr(getattr(func, "__self__", None), "__name__", name)) if name == "__get__" else name


CONSTANTS = (
    "zeros_like",
    "ones_like",
    "empty_like",
    "new_zeros",
    "new_ones",
    "new_empty",
    "new_full",
)
"""Give something that depends on a tensor's shape alone."""

SAME = (
    *("contiguous", "clone", "float", "to", "dropout", "detach", "data", "requires_grad_", "type", "cuda", "cpu"),
    "view_as",
)

LOOKS = ("item", "tolist", "numpy", "__array__", "__bool__", "__float__", "__int__", "__index__")
"""Bring values out of torch."""

POOLS: dict[str, Callable[..., nn.Module]] = {
    "avg_pool2d": nn.AvgPool2d,
    "max_pool2d": nn.MaxPool2d,
    "adaptive_avg_pool2d": nn.AdaptiveAvgPool2d,
}

NEITHER = "neither a layer nor an addition; use torch modules"

AXES = "an exchange of axes; x comes with time first, (T, B, *shape), and the weights behind it are of its order"

ACTIVATION = "an activation; the cells are those of a spiking network"

MEANING = {
    "__getitem__": "a part of a tensor; steps are taken as x[t], with time first, and layers take the rest whole",
    "__setitem__": "a write into a part of a tensor; collect the steps in a list, and return torch.stack(list)",
    "sub": "no sum of layers; take a constant into the first layer's bias",
    "mul": "no sum of layers; take a factor into the layer's weights",
    "div": "no sum of layers; take a factor into the layer's weights",
    "add": "an addition of something that is no layer's output; a constant belongs into a layer's bias",
    "max": "not what a chip shows; return the last step, all steps, or their sum",
    "mean": "a mean that is neither over time nor over whole maps, x.mean((2, 3)); use a layer",
    "softmax": "the loss's part; return the logits",
    "log_softmax": "the loss's part; return the logits",
    "linear": "a layer without a name; use nn.Linear",
    "conv2d": "a layer without a name; use nn.Conv2d",
    "cat": "a concatenation, which has no synapses; add branches, or put neurons behind each",
    "permute": AXES,
    "transpose": AXES,
    "flatten": "no flattening of a sample alone; time and batch stay apart, in norse's Lift or a loop over time",
    "dropout": "a dropout outside of training, too; give it training=self.training",
    **dict.fromkeys(("relu", "gelu", "silu", "sigmoid", "tanh", "leaky_relu"), ACTIVATION),
}
MEANING |= {
    "amax": MEANING["max"],
    "__add__": MEANING["add"],
    "__radd__": MEANING["add"],
    "__truediv__": MEANING["div"],
    "swapaxes": AXES,
    "movedim": AXES,
    "T": AXES,
    "mT": AXES,
    "view": MEANING["flatten"],
    "reshape": MEANING["flatten"],
}

SHOWN = {"__getitem__": "an index", "__setitem__": "an index", "sub": "a subtraction", "mul": "a product"}
"""What is said in place of a name."""
