"""What a float student becomes: what its integers are made from, and what the chip cannot hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from seamount.compile.formats import BitsSetting, NumberFormats, check_names, weight_bits
from seamount.errors import Unsupported
from seamount.models import fold
from seamount.models.cells import DECAY_GRID, Neurons
from seamount.models.export import exact_decay, unsupported
from seamount.models.lif.constants import LifConstants
from seamount.models.spiking_net import AnySpike, SpikingNet, Sum

SETTING = "quant.weight_bits"


@dataclass(frozen=True)
class StudentPlan:
    """What a population's integers are made from.

    Attributes:
        a_mem, a_syn: decays on the grid; a_syn 1 without a current.
        v_th: in the units of the NIR file; None for the readout.
        constants: of norse's cell, None for the readout and max-pooling.
    """

    a_mem: float
    a_syn: float
    v_th: float | None
    constants: LifConstants | None


def plan_of(net: SpikingNet, name: str) -> StudentPlan:
    """Of one population."""
    population = net.populations[name]
    if isinstance(population, Sum):
        return StudentPlan(1.0, 1.0, None, None)
    if isinstance(population, AnySpike):
        return StudentPlan(1.0, 1.0, population.v_th, None)
    assert isinstance(population, Neurons), "unsupported() names streams"
    a_syn = 1.0 if population.decay_syn is None else exact_decay(population.decay_syn)
    a_mem = exact_decay(population.decay_mem)
    if not population.spiking:
        return StudentPlan(a_mem, a_syn, None, None)
    return StudentPlan(a_mem, a_syn, population.v_th / population.gain, population.constants())


def folded(net: SpikingNet, synapse: str, source: str) -> fold.FoldedConv | fold.Linear | None:
    """A synapse's layers as one, batch norm folded in as it is now; None for a plain skip."""
    module, shape = net.synapses[synapse], net.shapes[source]
    if isinstance(module, nn.Identity):
        return None
    if isinstance(module, nn.MaxPool2d):
        return fold.windows(module, shape[0])
    return fold.merge(fold.fold(module, shape, synapse), shape, synapse)


def entries_of(net: SpikingNet, synapse: str, source: str, op: fold.FoldedConv | fold.Linear) -> Tensor | None:
    """Where a matrix that convolutions were written out to has weights: learning puts none between them.

    None of any other operator, all of whose weights are learned.
    """
    module = net.synapses[synapse]
    written = fold.has_no_node(module, net.shapes[source], synapse)
    written |= any(isinstance(layer, nn.Conv2d) for _, layer in fold.layers(module))
    return torch.from_numpy(op.weight != 0) if written and isinstance(op, fold.Linear) else None


def biases_of(
    net: SpikingNet, ops: Mapping[str, fold.FoldedConv | fold.Linear | None], plans: Mapping[str, StudentPlan]
) -> dict[str, Tensor]:
    """Population -> the sum of the biases of its synapses, float32, broadcasts to its shape.

    Raises:
        Unsupported: a bias that arrives through a current.
    """
    found: dict[str, Tensor] = {}
    for synapse, _, target in net.edges:
        op = ops[synapse]
        if op is None or op.bias is None:
            continue
        if plans[target].a_syn != 1:
            neurons = net.populations[target]
            assert isinstance(neurons, Neurons), "others have no current"
            cell = type(neurons.cell).__name__
            raise Unsupported(
                f"a bias into the current of {target} ({cell}) leaves a transient that the chip does not have",
                where=synapse,
                ways_out=(f"bias=False in {synapse}", f"{cell.replace('Cell', 'BoxCell')}, which has no current"),
            )
        bias = torch.tensor(op.bias, dtype=torch.float32).view(-1, *[1] * (len(net.shapes[target]) - 1))
        found[target] = found[target] + bias if target in found else bias
    return found


def bits_of(net: SpikingNet, formats: NumberFormats, setting: BitsSetting) -> dict[str, int]:
    """Synapse -> bits of its weights, but for max-pooling; a plain skip, which no name says, has its population's.

    Args:
        setting: of all weights, or by synapse or population, "default" for the rest; None: the target's widest.

    Raises:
        ConfigError: bits that the target has not, or a layer that the student has not.
    """
    bits = weight_bits(setting, formats, SETTING)
    learned = {name: target for name, _, target in net.edges if not isinstance(net.populations[target], AnySpike)}
    named = [name for name in learned if not isinstance(net.synapses[name], nn.Identity)]
    check_names(bits, named, net.order, SETTING)
    return {name: bits.of(name if name in named else "", target) for name, target in learned.items()}


def check_quantisable(net: SpikingNet, formats: NumberFormats, setting: BitsSetting) -> None:
    """Refuses a student that could not be computed in integers, or not with these bits.

    Raises:
        Unsupported: names everything in it. ConfigError: see ``bits_of``.
    """
    refuse(net)
    bits_of(net, formats, setting)
    ops = {name: folded(net, name, source) for name, source, _ in net.edges}
    for name, _, target in net.edges:
        if isinstance(op := ops[name], fold.FoldedConv) and not isinstance(net.populations[target], AnySpike):
            fold.check_square(op, name)
    biases_of(net, ops, {name: plan_of(net, name) for name in net.order})


def refuse(net: SpikingNet) -> None:
    """Raises what the chip's integers cannot hold, all of it.

    Raises:
        Unsupported: names every population and synapse.
    """
    found = unsupported(net)
    for name, neurons in net.neurons().items():
        if neurons.v_leak != 0 or (neurons.spiking and neurons.v_reset != 0):
            found.append(f"{name}: v_leak {neurons.v_leak:g}, v_reset {neurons.v_reset:g}; both must be 0")
        for what, decay in (("membrane", neurons.decay_mem), ("current", neurons.decay_syn or 1.0)):
            if abs(exact_decay(decay) * DECAY_GRID - round(decay * DECAY_GRID)) > 1e-9:
                found.append(f"{name}: decay {decay:g} of the {what} is no k/4096; build it with cells.snap")
    if found:
        raise Unsupported(f"{net.name} cannot be quantised:\n  " + "\n  ".join(found))
