"""The node types of NIR 1.0.8: which keys each has, and where each can go. docs/nir_support.md is made from here."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class NodeType:
    """One row of the table.

    Attributes:
        required, optional: keys in the file.
        becomes: what it is in a Network.
        role: "port", "operator" or "population".
        exported: whether our own exporter writes it.
        chip: how the fixed-point program holds it, "" where it cannot.
        note: what to know.
    """

    name: str
    required: tuple[str, ...]
    optional: tuple[str, ...]
    role: str
    becomes: str
    exported: bool
    chip: str
    note: str = ""


_CONV = ("weight", "stride", "padding", "dilation", "groups")

NODE_TYPES: dict[str, NodeType] = {
    node.name: node
    for node in (
        NodeType("Input", (), ("shape",), "port", "input", True, "input, spikes or 1 to 16 bits"),
        NodeType("Output", (), ("shape",), "port", "output", True, "readout: counts or v, see below"),
        NodeType("Affine", ("weight",), ("bias",), "operator", "linear", True, "dense; bias in the population"),
        NodeType("Linear", ("weight",), (), "operator", "linear", True, "dense"),
        NodeType("Scale", ("scale",), (), "operator", "scale", False, "folded into weights"),
        NodeType("Conv1d", _CONV, ("bias", "input_shape"), "operator", "conv", False, "conv of height 1"),
        NodeType("Conv2d", _CONV, ("bias", "input_shape"), "operator", "conv", True, "conv"),
        NodeType("SumPool2d", ("kernel_size", "stride", "padding"), (), "operator", "sum pool", True, "folded"),
        NodeType(
            "AvgPool2d",
            ("kernel_size", "stride", "padding"),
            (),
            "operator",
            "sum pool, scale",
            True,
            "folded into weights",
            "zeros of the padding count in the mean, as in torch",
        ),
        NodeType("Flatten", (), ("input_type", "start_dim", "end_dim"), "operator", "reshape", True, "nothing to do"),
        NodeType("Delay", ("delay",), (), "operator", "delay", False, "synaptic delay", "whole steps only"),
        NodeType("Threshold", ("threshold",), (), "population", "population", False, "lif", "z = (x > threshold)"),
        NodeType("I", ("r",), (), "population", "population", True, "lif that never fires", "readout only"),
        NodeType("IF", ("r", "v_threshold"), ("v_reset",), "population", "population", True, "lif"),
        NodeType(
            "LI", ("tau", "r", "v_leak"), (), "population", "population", True, "lif that never fires", "readout only"
        ),
        NodeType("LIF", ("tau", "r", "v_leak", "v_threshold"), ("v_reset",), "population", "population", True, "lif"),
        NodeType(
            "CubaLI",
            ("tau_syn", "tau_mem", "r", "v_leak"),
            ("w_in",),
            "population",
            "population",
            True,
            "lif that never fires",
            "readout only",
        ),
        NodeType(
            "CubaLIF",
            ("tau_syn", "tau_mem", "r", "v_leak", "v_threshold"),
            ("v_reset", "w_in"),
            "population",
            "population",
            True,
            "lif",
        ),
        NodeType("NIRGraph", ("nodes", "edges"), ("metadata",), "port", "flattened", False, "flattened", "name.node"),
        NodeType(
            "Identity", (), ("input_type",), "operator", "nothing", False, "nothing to do", "nir.read refuses it"
        ),
    )
}


def support_table() -> Iterator[str]:
    """Markdown: node x (import, export, loihi1, loihi2, lava, simulator)."""
    yield "| node | import | export | loihi1 | loihi2 | lava | simulator | note |"
    yield "|---|---|---|---|---|---|---|---|"
    for node in NODE_TYPES.values():
        exported = "yes" if node.exported else "-"
        chip = node.chip or "refused"
        yield f"| {node.name} | {node.becomes} | {exported} | {chip} | {chip} | {chip} | {chip} | {node.note} |"
