"""A budget for spikes: a loss that grows where a student spends more synaptic operations than it may.

Operations are those that the energy model counts: every spike times the synapses that it goes through, fewer at the
borders of a map. Sources: SynOp losses of public SNN code (sum of relu(S_l / B_l - 1)), fan-out weights as in
arXiv 2302.01500; one bound for all populations together, the square and the floor are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn.grad import conv2d_input

from seamount.errors import ConfigError
from seamount.models.fold import FoldedConv, Linear
from seamount.models.spiking_net import INPUT, SpikingNet, Stream

from .config import DistillConfig
from .parallel import whole_batch
from .plan import folded
from .quantised import QuantisedStudent

SETTING = "distill.spike_budget"

AIM = 0.85
"""Share of what is left beside the input at which the loss begins: the answers pull too, a student settles above."""


@dataclass(frozen=True)
class FanOut:
    """Synapses of a student, counted from their sources.

    Attributes:
        of: population (or "input") -> operations that one spike of each neuron causes, (*shape).
    """

    of: Mapping[str, Tensor]

    @property
    def n_synapses(self) -> int:
        return round(sum(float(fan.sum(dtype=torch.float64)) for fan in self.of.values()))


def fan_out(student: nn.Module) -> FanOut:
    """As stored on the chip: weights that are integers and 0 are not counted.

    Args:
        student: a ``SpikingNet`` or a ``QuantisedStudent``, whose weights are taken as they are now.

    Raises:
        ConfigError: another module, whose synapses nobody knows.
    """
    found: dict[str, Tensor] = {}
    if isinstance(student, QuantisedStudent):
        net, ops = student.net, dict(student.ops)
        with torch.no_grad():
            stored = {name: weights != 0 for name, weights in student.integers().weights.items()}
    elif isinstance(student, SpikingNet):
        net, stored = student, {}
        ops = {name: folded(student, name, source) for name, source, _ in student.edges}
    else:
        raise ConfigError(
            f"{type(student).__name__} is no student whose synapses can be counted",
            where=SETTING,
            ways_out="leave it out",
        )
    streams = [name for name in net.order if isinstance(net.populations[name], Stream)]
    if streams:
        raise ConfigError(
            f"{', '.join(streams)}: real values, no spikes to count", where=SETTING, ways_out="leave it out"
        )
    for name, source, target in net.edges:
        fan = _fan(ops[name], stored.get(name), net.shapes[source], net.shapes[target])
        found[source] = found[source] + fan if source in found else fan
    return FanOut(found)


def _fan(
    op: FoldedConv | Linear | None, stored: Tensor | None, source: tuple[int, ...], target: tuple[int, ...]
) -> Tensor:
    """Synapses of each source neuron, (*source)."""
    match op:
        case None:
            return torch.ones(source)
        case Linear():
            kept = torch.from_numpy(op.weight != 0) if stored is None else stored
            return kept.cpu().float().sum(0).view(source)
        case FoldedConv():
            kept = torch.ones(op.weight.shape) if stored is None else stored.cpu().float()
            window, ones = op.window, torch.ones(1, *target)
            back: Tensor = conv2d_input(  # type: ignore[no-untyped-call]
                (1, *source), kept, ones, window.stride, window.padding, window.dilation, window.groups
            )
            return back[0]


class SpikeBudget(nn.Module):
    """
    Args:
        fan: of the student.
        limit: operations of one inference, the input's included.
        input_operations: what the input causes, whatever the student does.
        floor: of what a population would spend if all spent alike, below which it is pushed up again, so that none
            falls silent.

    Raises:
        ConfigError: nothing, or less than a spike of each population, is left beside the input.
    """

    def __init__(self, fan: FanOut, limit: float, input_operations: float, *, floor: float) -> None:
        super().__init__()
        self.limit, self.input_operations, self.floor = limit, input_operations, floor
        left = limit - input_operations
        if left <= 0:
            raise ConfigError(
                f"{limit:,.0f} operations an inference, but the input alone causes {input_operations:,.0f}: "
                "even a student that never spikes spends more",
                where=SETTING,
                ways_out="raise it, lower student.n_steps, or use a smaller first layer",
            )
        inner = {name: each for name, each in fan.of.items() if name != INPUT}
        n_synapses = sum(float(each.sum()) for each in inner.values())
        self.aim = AIM * left
        # bounds of their own would leave unspent what a population that needs less than its share has left over
        self.shares = {name: self.aim * float(each.sum()) / n_synapses for name, each in inner.items()}
        poor = [name for name, each in inner.items() if self.shares[name] < AIM * float(each.mean())]
        if poor:
            raise ConfigError(
                f"of {limit:,.0f} operations an inference {left:,.0f} are left beside the input, less than one spike "
                f"of {', '.join(poor)}: no student can meet it",
                where=SETTING,
                ways_out="raise it",
            )
        self._names = list(inner)
        for name, each in inner.items():
            self.register_buffer(f"fan_of_{name}", each.flatten(), persistent=False)

    def forward(self, spikes: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """
        Args:
            spikes: every population that has synapses onto others -> (T, B, *shape).

        Returns:
            n relu(S / B - 1)^2 with S of all n populations together, and the sum over them of
            relu(1 - S_l / (floor B_l))^2; the operations of an inference, the input's included, without gradient.
        """
        spent = {name: self.spent(name, spikes[name]) for name in self._names}
        total = torch.stack(list(spent.values())).sum()
        loss = len(spent) * (total / self.aim - 1).relu().square()
        if self.floor:
            for name, each in spent.items():
                loss = loss + (1 - each / (self.floor * self.shares[name])).relu().square()
        return loss, total.detach() + self.input_operations

    def spent(self, name: str, spikes: Tensor) -> Tensor:
        """Operations that a population causes in one inference, mean over the whole batch."""
        with torch.autocast(spikes.device.type, enabled=False):
            per_neuron = spikes.sum(0, dtype=torch.float32).flatten(1)
            return whole_batch((per_neuron @ self.get_buffer(f"fan_of_{name}")).view(1, -1)).mean()


def spike_budget(student: nn.Module, config: DistillConfig, sent: Tensor) -> SpikeBudget | None:
    """The budget that a configuration sets; None without one.

    Args:
        sent: how often each input is not 0 in one inference, mean over samples, (*input_shape).
    """
    if config.spike_budget is None:
        return None
    fan = fan_out(student)
    ((unit, amount),) = config.spike_budget.items()
    match unit:
        case "operations":
            limit = amount
        case "per_synapse":
            limit = amount * fan.n_synapses
        case "microjoules":  # which a run has turned into operations, because it knows the target
            raise ConfigError(f"{unit} need a target", where=SETTING, ways_out="give operations or per_synapse")
        case _:
            assert_never(unit)
    return SpikeBudget(fan, limit, float((sent.cpu() * fan.of[INPUT]).sum()), floor=config.budget_floor)


def check_silent(rates: Mapping[str, float], config: DistillConfig, folder: object) -> None:
    """Refuses a student of which a budget has left nothing.

    Args:
        rates: population -> mean spikes per neuron and step.
    """
    silent = [name for name, rate in rates.items() if rate == 0]
    if config.spike_budget is not None and silent:
        told = ", ".join(f"{unit} = {amount:g}" for unit, amount in config.spike_budget.items())
        raise ConfigError(
            f"{', '.join(silent)} never {'spikes' if len(silent) == 1 else 'spike'} under {told}: no answer comes "
            "through",
            where=SETTING,
            ways_out="raise it or distill.budget_floor, lower distill.budget_weight, or train longer; "
            f"{folder} is kept",
        )
