"""What norse users write becomes a SpikingNet that answers the same, in norse, and in integers on the simulator."""

import re
from pathlib import Path
from typing import Any

import nir
import norse.torch as norse
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from norse.torch import LIFBoxCell, LIFBoxParameters, LIFCell, LIFParameters, LIParameters
from torch import Tensor, nn
from torch.nn.utils import prune

from seamount.compile.pipeline import compile_graph
from seamount.distill.quantised import QuantisedStudent
from seamount.errors import InputError, Unsupported
from seamount.hardware_targets.simulator import simulate
from seamount.models.export import to_nir
from seamount.models.from_module import from_module
from tests.lively import differing

T = 5

ROUNDED = 0.05
"""Share of a layer's spikes that rounding may move; another decay or weight moves more."""


def lif() -> LIFCell:
    p = LIFParameters(torch.tensor(500.0), torch.tensor(500.0), v_th=torch.tensor(0.3))
    return LIFCell(p)


def box(v_th: float = 0.1) -> LIFBoxCell:
    return LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(v_th)))


def li() -> nn.Module:
    return norse.LICell(LIParameters(torch.tensor(250.0), torch.tensor(500.0)))


class Loop(nn.Module):
    """Over the steps of its input, all of whose outputs it returns."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.lif = nn.Conv2d(1, 4, 3, padding=1, bias=False), lif()
        self.fc, self.li = nn.Linear(16, 3, bias=False), li()

    def forward(self, x: Tensor) -> Tensor:
        a = b = None
        out = []
        for t in range(x.shape[0]):
            z, a = self.lif(self.conv(x[t]), a)
            z = F.avg_pool2d(z, 2)
            v, b = self.li(self.fc(z.view(z.size(0), -1)), b)
            out.append(v)
        return torch.stack(out)


class LastStep(Loop):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x)[-1]


class Listed(Loop):
    def forward(self, x: Tensor) -> Any:
        return list(super().forward(x)), None


class StillImage(nn.Module):
    """The same image at every step; the mean of a linear layer's sums."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.norm, self.lif, self.fc2 = nn.Linear(16, 20), nn.BatchNorm1d(20), box(), nn.Linear(20, 3)
        self.out = box(0.01)

    def forward(self, x: Tensor) -> Tensor:
        state: Any = None
        total: Any = 0
        now = self.norm(self.fc1(torch.flatten(x, 1)))
        for _ in range(T):
            z, state = self.lif(now, state)
            total = total + self.fc2(z)
        return total / T


class SpikeCount(StillImage):
    def forward(self, x: Tensor) -> Tensor:
        first: Any = None
        second: Any = None
        counts = []
        for _ in range(T):
            z, first = self.lif(self.fc1(x.flatten(1)), first)
            z, second = self.out(self.fc2(z), second)
            counts.append(z)
        return sum(counts)  # type: ignore[return-value]


class RecurrentCell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.rec = norse.LIFRecurrentCell(16, 10, lif().p)
        self.fc, self.li = nn.Linear(10, 3, bias=False), li()

    def forward(self, x: Tensor) -> Tensor:
        a: Any = None
        b: Any = None
        for frame in x:
            z, a = self.rec(frame.flatten(1), a)
            v, b = self.li(self.fc(z), b)
        return v


class RecurrenceByHand(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.i, self.r, self.lif, self.fc = nn.Linear(16, 10), nn.Linear(10, 10, bias=False), box(), nn.Linear(10, 3)

    def forward(self, x: Tensor) -> Tensor:
        state, z = None, torch.zeros(x.shape[1], 10)
        out = []
        for t in range(len(x)):
            z, state = self.lif(self.i(x[t].flatten(1)) + self.r(z), state)
            out += [self.fc(z)]
        return torch.stack(out).mean(0)


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = norse.SequentialState(nn.Conv2d(1, 4, 3, padding=1), box(), nn.MaxPool2d(2))
        self.inner, self.behind, self.head = nn.Conv2d(4, 4, 3, padding=1), box(), nn.Linear(16, 3)

    def forward(self, x: Tensor) -> Tensor:
        a: Any = None
        b: Any = None
        total: Any = 0
        for frame in x:
            z, a = self.net(frame, a)
            z, b = self.behind(self.inner(z) + z, b)
            total += self.head(torch.flatten(z, 1))
        return total


def lifted() -> nn.Module:
    p = lif().p
    return norse.SequentialState(
        norse.Lift(nn.Conv2d(1, 4, 3, bias=False)),
        norse.LIF(p),
        nn.Flatten(2),
        norse.LIFRecurrent(16, 6, p),
        nn.Linear(6, 3, bias=False),
        norse.LI(li().p),
    )


def one_step() -> nn.Module:
    return norse.SequentialState(
        nn.Conv2d(1, 4, 3),
        box(),
        nn.MaxPool2d(2),
        nn.Flatten(),
        nn.Linear(4, 6),
        box(),
        norse.LILinearCell(6, 3, li().p),
    )


def decoder() -> nn.Module:
    return norse.SequentialState(
        nn.Conv2d(1, 3, 3, bias=False),
        box(),
        nn.ConvTranspose2d(3, 2, 3, stride=2, padding=1, bias=False),
        box(),
        nn.Conv2d(2, 3, 2, bias=False),
        box(),
        nn.AdaptiveAvgPool2d((1, 1)),
        nn.Flatten(),
        nn.Linear(3, 4),
        box(),
        nn.Unflatten(1, (1, 2, 2)),
        nn.ConvTranspose2d(1, 2, 2, stride=2, bias=False),
        box(),
        nn.AdaptiveAvgPool2d(3),
        nn.Flatten(),
        nn.Linear(18, 3),
    )


class Watched(Loop):
    """Looks at what it computes, keeps some of it on itself, and pools whole maps."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3, bias=False)
        self.rates: list[Any] = []

    def forward(self, x: Tensor) -> Tensor:
        a = b = None
        for frame in x:
            z, a = self.lif(self.conv(frame), a)
            self.rates = [*self.rates, z.mean(), float(z.sum())]
            v, b = self.li(self.fc(F.adaptive_avg_pool2d(z, 1).squeeze(-1).squeeze(-1)), b)
        return v


class Means(Watched):
    """One step, in whose second output the states go on, detached."""

    def forward(self, x: Tensor, states: Any = None) -> Any:
        states = states or (None, None)
        z, a = self.lif(self.conv(x), states[0])
        v, b = self.li(self.fc(z.mean((-1, -2))), states[1])
        return v, (type(a)(*(part.detach() for part in a)), b)


class Block(nn.Module):
    """Without a state of its own to be handed on, as blocks in a SequentialState are."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Conv2d(1, 4, 3, bias=False), nn.Conv2d(1, 4, 3, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return self.one(x) + self.two(x)


def blocks() -> nn.Module:
    net = norse.SequentialState(Block(), lif(), nn.Flatten(), nn.Linear(16, 3, bias=False), li())
    return nn.DataParallel(net)


def paces() -> nn.Module:
    """Cells with time steps of their own, whose decays are what a step does."""
    return norse.SequentialState(
        nn.Flatten(),
        nn.Linear(16, 12, bias=False),
        LIFCell(LIFParameters(torch.tensor(250.0), torch.tensor(125.0), v_th=torch.tensor(0.1)), dt=0.002),
        nn.Linear(12, 8, bias=False),
        LIFCell(LIFParameters(torch.tensor(62.5), torch.tensor(125.0), v_th=torch.tensor(0.1)), dt=0.004),
        nn.Linear(8, 3, bias=False),
    )


MODULES = {
    "loop": Loop, "last step": LastStep, "list": Listed, "still image": StillImage, "spike count": SpikeCount,
    "recurrent cell": RecurrentCell, "recurrence by hand": RecurrenceByHand, "residual": Residual, "lifted": lifted,
    "one step": one_step, "decoder": decoder, "watched": Watched, "means": Means, "blocks": blocks, "paces": paces,
}  # fmt: skip


@pytest.mark.parametrize("name", MODULES)
def test_student_and_program_are_the_users_module(name: str, tmp_path: Path) -> None:
    torch.manual_seed(1)
    module: nn.Module = MODULES[name]()
    with torch.no_grad():
        for key, parameter in module.named_parameters():
            parameter.mul_(1 if "recurrent" in key or key == "r.weight" else 2)
    net = from_module(module.eval(), input_shape=(1, 4, 4), n_steps=T)
    x = (torch.rand(T, 6, 1, 4, 4) < 0.5).float()
    with torch.no_grad():
        out = net(x, record=True)
    assert all(0 < float(s.mean()) < 1 for s in out.spikes.values()), {n: s.mean() for n, s in out.spikes.items()}
    if name in ("one step", "means", "blocks"):
        state, seen = None, []
        for frame in x:
            v, state = module(frame, state)
            seen.append(v.detach())
        assert torch.allclose(torch.stack(seen), out.logits, atol=1e-5)
    # of the program's first layers the float network's own, but where rounding moves a potential over the threshold
    nir.write(tmp_path / "float.nir", to_nir(net))
    program = compile_graph(tmp_path / "float.nir").program
    spikes = simulate(program, x.numpy().astype(int), record=("spikes",)).spikes
    for key, wanted in out.spikes.items():
        window = slice(program.arrivals()[key], program.arrivals()[key] + T)
        assert np.mean(spikes[key][window].reshape(wanted.shape) != wanted.numpy()) < ROUNDED
    wrong_spikes, wrong_v, n, _ = differing(QuantisedStudent(net).calibrate(x), x, tmp_path / "net.nir")
    assert n > 10
    assert (wrong_spikes, wrong_v) == (0, 0)


def refusal(module: nn.Module, shape: tuple[int, ...] = (1, 4, 4)) -> str:
    with pytest.raises(Unsupported) as caught:
        from_module(module, input_shape=shape, n_steps=T)
    return str(caught.value).removeprefix("net cannot become a spiking program:\n  ")


class Stateless(Loop):
    def forward(self, x: Tensor) -> Tensor:
        for frame in x:
            z, _ = self.lif(self.conv(frame))
            v, _ = self.li(self.fc(F.avg_pool2d(z, 2).flatten(1)))
        return v  # type: ignore[no-any-return]


class MaxOverTime(Loop):
    def forward(self, x: Tensor) -> Tensor:
        return torch.max(super().forward(x), 0)[0]


class SumOfMembranes(Loop):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x).sum(0)


class Centred(Loop):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x - 0.5)


class LastSums(StillImage):
    def forward(self, x: Tensor) -> Tensor:
        state: Any = None
        for _ in range(T):
            z, state = self.lif(self.fc1(x.flatten(1)), state)
        return self.fc2(z)  # type: ignore[no-any-return]


class Fewer(StillImage):
    def forward(self, x: Tensor) -> Tensor:
        state: Any = None
        total: Any = 0
        for _ in range(3):
            z, state = self.lif(self.fc1(x.flatten(1)), state)
            total = total + self.fc2(z)
        return total  # type: ignore[no-any-return]


class BatchFirst(Loop):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.transpose(0, 1))


class Broken(Loop):
    def forward(self, x: Tensor) -> Tensor:
        raise KeyError("w")


class Hidden(Loop):
    """Something that no layer says and no function shows: numbers that leave torch."""

    def forward(self, x: Tensor) -> Tensor:
        out = super().forward(x)
        out.data.mul_(3)
        return out


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (Stateless, "lif: is called again without the state that it left a step before; write "
         "z, state = cell(x, state)\n  li: is called again without the state that it left a step before; "
         "write z, state = cell(x, state)"),
        (MaxOverTime, "max (FILE, line N) is not what a chip shows; return the last step, all steps, or their sum"),
        (SumOfMembranes, "returns membranes added up over time; return the last step's, which the chip shows"),
        (Centred, "a subtraction (FILE, line N) is no sum of layers; take a constant into the first layer's bias"),
        (LastSums, "returns the sums of the last step alone; return their sum or mean over all steps"),
        (Fewer, "lif: is called 3 times; a cell takes each of the 5 steps once"),
        (BatchFirst, "transpose (FILE, line N) is an exchange of axes; x comes with time first, (T, B, *shape), and "
         "the weights behind it are of its order"),
        (Broken, "Broken: its forward pass raises KeyError: 'w' (FILE, line N), for x (2, 1, 4, 4); let it take "
         "(B, *input_shape), or (T, B, *input_shape) with all steps"),
        (Hidden, "net: answers otherwise than the layers and cells that its forward pass calls; write one step of "
         "it, or build a SpikingNet"),
    ],
)  # fmt: skip
def test_what_a_chip_cannot_do_is_named(module: type[nn.Module], text: str) -> None:
    found = re.sub(r"\(test_\w+.py, line \d+\)", "(FILE, line N)", refusal(module()))
    assert found.splitlines()[: text.count("\n") + 1] == text.splitlines()


class Step(nn.Module):
    """One step, between whose layers something happens that no layer does."""

    def __init__(self) -> None:
        super().__init__()
        self.fc1, self.lif, self.fc2, self.li = nn.Linear(8, 6, bias=False), box(), nn.Linear(6, 3, bias=False), li()
        self.shift = nn.Parameter(torch.zeros(6))

    def before(self, x: Tensor) -> Tensor:
        return x

    def drive(self, x: Tensor) -> Tensor:
        return self.fc1(x)  # type: ignore[no-any-return]

    def between(self, z: Tensor, state: Any) -> Tensor:
        return z

    def forward(self, x: Tensor, states: Any = (None, None)) -> Any:
        z, a = self.lif(self.drive(self.before(x)), states[0])
        v, b = self.li(self.fc2(self.between(z, a)), states[1])
        return self.answer(z, v, a), (a, b)

    def answer(self, z: Tensor, v: Tensor, state: Any) -> Any:
        return v


class Silenced(Step):
    def between(self, z: Tensor, state: Any) -> Tensor:
        z[:, 0] = 0
        return z


class WithMembrane(Step):
    def between(self, z: Tensor, state: Any) -> Tensor:
        return z + state.v


class OfMembrane(Step):
    def answer(self, z: Tensor, v: Tensor, state: Any) -> Any:
        return state.v


class Shifted(Step):
    def drive(self, x: Tensor) -> Tensor:
        return self.fc1(x) + self.shift  # type: ignore[no-any-return]


class Queried(Step):
    def drive(self, x: Tensor) -> Tensor:
        return self.fc2.weight.new_zeros(6) + self.fc1(x) + self.fc1(F.pad(self.shift, (0, 2)))


class Whole(Step):
    def before(self, x: Tensor) -> Tensor:
        return x.int().float()


class Dropped(Step):
    def between(self, z: Tensor, state: Any) -> Tensor:
        return F.dropout(z, 0.5)


class Decides(Step):
    def drive(self, x: Tensor) -> Tensor:
        drive = self.fc1(x)
        return drive * 2 if x.any() else drive  # type: ignore[no-any-return]


class ThroughNumpy(Step):
    def drive(self, x: Tensor) -> Tensor:
        return self.fc1(x) + self.fc1(torch.from_numpy(x.numpy()[:, ::-1].copy()))  # type: ignore[no-any-return]


class TwoAnswers(Step):
    def answer(self, z: Tensor, v: Tensor, state: Any) -> Any:
        return z, v


class OneCellTwice(Step):
    def between(self, z: Tensor, state: Any) -> Tensor:
        return self.lif(z, state)[0]  # type: ignore[no-any-return]


class Part(Step):
    def before(self, x: Tensor) -> Tensor:
        return torch.cat([x[:, 4:], x[:, :4]], 1)


class FoldedTime(Loop):
    def forward(self, x: Tensor) -> Tensor:
        return super().forward(x.flatten(0, 1).unflatten(0, (T, -1)))


class Leaky(StillImage):
    """A sum over time that forgets."""

    def forward(self, x: Tensor) -> Tensor:
        state: Any = None
        total: Any = 0
        for t in range(T):
            z, state = self.lif(self.fc1(x.flatten(1)), state)
            total = (total * 0.5 if t > 2 else total) + self.fc2(z)
        return total  # type: ignore[no-any-return]


class Masked(nn.Linear):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight * (self.weight > 0))


class Fading(LIFBoxCell):
    def forward(self, input_tensor: Tensor, state: Any = None) -> Any:
        z, state = super().forward(input_tensor, state)
        return z, state._replace(v=state.v / 2)


class Tripled(norse.SequentialState):
    def forward(self, input_tensor: Tensor, state: Any = None) -> Any:
        return super().forward(input_tensor * 3, state)


def chain(first: nn.Module, cell: nn.Module | None = None, kind: type = norse.SequentialState) -> nn.Module:
    made: nn.Module = kind(first, cell or box(), nn.Linear(6, 3, bias=False), li())
    return made


def hooked() -> nn.Module:
    layer = nn.Linear(8, 6, bias=False)
    prune.random_unstructured(layer, "weight", 0.5)  # type: ignore[no-untyped-call]
    return chain(layer)


OTHERWISE = "net: answers otherwise than the layers and cells that its forward pass calls"

STATE = (
    "lif: its state is used elsewhere than in its next call; a chip sends spikes, and shows the membranes of a last "
    "LIBoxCell or LICell"
)

CONSTANT = "an addition of something that is no layer's output; a constant belongs into a layer's bias"


@pytest.mark.parametrize(
    ("make", "text"),
    [
        (Silenced, "an index (FILE, line N) is a write into a part of a tensor; collect the steps in a list, and "
         "return torch.stack(list)"),
        (WithMembrane, STATE),
        (OfMembrane, STATE),
        (Shifted, f"add (FILE, line N) is {CONSTANT}"),
        (Queried, "shift: is used outside of a layer; put it into one's weight or bias"),
        (Whole, "int (FILE, line N) is neither a layer nor an addition; use torch modules"),
        (Dropped, "dropout (FILE, line N) is a dropout outside of training, too; give it training=self.training"),
        (Decides, f"{OTHERWISE} (it reads values: __bool__ (FILE, line N)); write one step of it, or build a "
         "SpikingNet"),
        (ThroughNumpy, f"{OTHERWISE} (it reads values: numpy (FILE, line N)); write one step of it, or build a "
         "SpikingNet"),
        (TwoAnswers, "returns several outputs, and the first is not the last; return the answer first"),
        (OneCellTwice, "lif: is called 2 times, others 1; each place in the network needs a cell of its own"),
        (Part, "an index (FILE, line N) is a part of a tensor; steps are taken as x[t], with time first, and layers "
         "take the rest whole"),
        (lambda: chain(Masked(8, 6)), "linear (FILE, line N) is a layer without a name; use nn.Linear"),
        (lambda: chain(nn.Linear(8, 6), Fading()), "layer1: Fading has a forward pass of its own; possible are "
         "LIFBoxCell, LIFCell, LIFRecurrentCell, LIBoxCell, LICell, LILinearCell, LIF, LIFRecurrent, LI"),
        (lambda: chain(nn.Linear(8, 6), kind=Tripled), "a product (FILE, line N) is no sum of layers; take a factor "
         "into the layer's weights"),
        (lambda: chain(Masked(8, 6), kind=nn.Sequential), "layer0: Masked has a forward pass of its "
         "own; possible are Conv2d, Linear, BatchNorm, average pooling"),
        (hooked, 'net: layer0: has hooks, which no chip runs; take them away first (handle.remove(); of pruned '
         'weights torch.nn.utils.prune.remove(layer, "weight"), of weight_norm and spectral_norm those of '
         "torch.nn.utils.parametrizations instead)"),
    ],
)  # fmt: skip
def test_what_happens_between_layers_is_seen(make: Any, text: str) -> None:
    assert re.sub(r"\(test_\w+.py, line \d+\)", "(FILE, line N)", refusal(make(), (8,))).splitlines()[0] == text


@pytest.mark.parametrize(
    ("module", "text"),
    [
        (FoldedTime, "flatten (FILE, line N) is no flattening of a sample alone; time and batch stay apart, in "
         "norse's Lift or a loop over time"),
        (Leaky, "a product (FILE, line N) is no sum of layers; take a factor into the layer's weights"),
    ],
)  # fmt: skip
def test_what_happens_between_steps_is_seen(module: type[nn.Module], text: str) -> None:
    assert re.sub(r"\(test_\w+.py, line \d+\)", "(FILE, line N)", refusal(module())).splitlines()[0] == text


def test_what_a_forward_pass_leaves_behind_is_no_part_of_the_student() -> None:
    """As of states of two samples, which the user's own batches would not fit."""
    module = Watched()
    module.rates = [module.fc.weight * 2]  # of a pass with gradients, which torch does not copy
    from_module(module, input_shape=(1, 4, 4), n_steps=T)
    assert len(module.rates) == 1


@pytest.mark.parametrize("value", [float("nan"), float("-inf")])
def test_weights_that_are_no_numbers_are_named(value: float) -> None:
    module = Loop()
    with torch.no_grad():
        module.fc.weight[1, 2] = value
    with pytest.raises(InputError) as error:
        from_module(module, input_shape=(1, 4, 4), n_steps=T)
    assert str(error.value) == "net: fc.weight holds NaN or infinity; train it again, or take an earlier checkpoint"


def test_cells_that_no_chip_of_ours_has_are_named() -> None:
    chain = norse.SequentialState(nn.Linear(4, 3), norse.LSNNCell(), nn.Linear(3, 2))
    assert refusal(chain, (4,)) == (
        "1: LSNNCell is no cell that the chip has; possible are LIFBoxCell, LIFCell, LIFRecurrentCell, LIBoxCell, "
        "LICell, LILinearCell, LIF, LIFRecurrent, LI"
    )
    each = LIFBoxCell(LIFBoxParameters(tau_mem_inv=torch.tensor([100.0, 200.0])))
    assert refusal(norse.SequentialState(nn.Linear(4, 2), each, nn.Linear(2, 2)), (4,)) == (
        "layer1: tau_mem_inv of each neuron; one for all of a population is possible"
    )


def test_decays_can_be_brought_to_the_grid() -> None:
    module = norse.SequentialState(nn.Linear(4, 3, bias=False), LIFCell(), nn.Linear(3, 2))
    net = from_module(module, input_shape=(4,), n_steps=3, snap_decays=True)
    cell = net.neurons()["layer1"]
    assert (cell.decay_mem * 4096, (cell.decay_syn or 0) * 4096) == pytest.approx((410, 819), abs=1e-3)
    assert isinstance(module[1], LIFCell)
    assert float(module[1].p.tau_mem_inv) == 100.0


def test_a_module_is_compared_before_its_decays_are_changed() -> None:
    with pytest.raises(Unsupported, match="answers otherwise than the layers and cells"):
        from_module(Hidden(), input_shape=(1, 4, 4), n_steps=T, snap_decays=True)
    from_module(Loop(), input_shape=(1, 4, 4), n_steps=T, snap_decays=True)


def test_both_hold_the_same_weights() -> None:
    module = RecurrentCell()
    net = from_module(module, input_shape=(1, 4, 4), n_steps=T)
    assert {id(p) for p in net.parameters()} == {id(p) for p in module.parameters()}
