"""The quantised student is the program: zero differing spikes and zero differing v, for every kind of student."""

from dataclasses import dataclass, replace
from pathlib import Path

import nir
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from seamount.compile.fit.chip import Chip
from seamount.compile.fit.place.rules import weight_format
from seamount.compile.fit.verify import require, verify_program
from seamount.compile.pipeline import CompileOptions, compile_graph
from seamount.compile.program.program import Readout
from seamount.distill.evaluate import answers
from seamount.distill.quantised import QuantisedStudent
from seamount.errors import ConfigError, InputError, Unsupported
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.models.cells import lif, lif_box
from seamount.models.spiking_net import Answer, SpikingNet, Sum, Synapse
from seamount.models.zoo import build_student
from tests.lively import NETS, differing, lively

LOIHI1 = load_target("loihi1")


@pytest.mark.parametrize("name", [name for name in NETS if name not in ("vgg11", "wrn16-2-sastc")])
def test_student_and_program_have_the_same_spikes_and_v(name: str, tmp_path: Path) -> None:
    net, x = lively(name)
    q = QuantisedStudent(net).calibrate(x)
    wrong_spikes, wrong_v, n, compiled = differing(q, x, tmp_path / "q.nir")
    assert n > 50
    assert (wrong_spikes, wrong_v) == (0, 0)
    weights = [s.kind.weights for s in compiled.program.synapses if s.source in net.order]
    assert all(s.exponent == 0 for s in compiled.program.synapses)
    assert all(np.abs(w).max() <= 255 for w in weights)


@pytest.mark.parametrize("name", ["small", "small li", "recurrent"])
def test_logits_in_whole_numbers_are_the_readouts_v(name: str) -> None:
    net, x = lively(name)
    q = QuantisedStudent(net).calibrate(x)
    whole = q.whole_logits(q(x).logits.detach())
    assert torch.equal(whole.sum(0) if q.answer == "sum" else whole[-1], q.record(x).readout.double())


@pytest.mark.parametrize("answer", ["max", "sum"])
@pytest.mark.parametrize("name", ["small li", "small libox"])
def test_integrators_answer_by_their_largest_v_or_its_sum_on_the_chip_too(
    name: str, answer: Answer, tmp_path: Path
) -> None:
    net, x = lively(name)
    net.answer = answer
    q = QuantisedStudent(net).calibrate(x)
    wrong_spikes, wrong_v, _, compiled = differing(q, x, tmp_path / "q.nir")  # compares the readouts, too
    assert (wrong_spikes, wrong_v) == (0, 0)
    assert compiled.program.readout == Readout("readout", answer)
    assert f"readout = {answer} of readout (the file)" in compiled.assumptions
    whole = q.whole_logits(q(x).logits.detach())
    told = answers(whole, q)[-1]
    expected = q.record(x).readout.double()
    assert torch.equal(told if answer == "max" else told * q.n_steps, expected)


@pytest.mark.parametrize(
    ("name", "bits"),
    [
        ("small", 6),
        ("small", 4),
        ("small", 2),
        ("vgg9 average", 3),
        ("vgg9 max", 3),
        ("resnet18", 4),
        ("resnet18", 3),
        ("conv1d", 8),
        ("conv1d-recurrent", 8),
        ("recurrent", 4),
        ("recurrent li", 3),
        ("small", {"conv2_in": 4, "readout": 3}),
        ("resnet18", {"default": 6, "layer1_0": 3}),
    ],
)
def test_student_and_program_are_one_at_every_width(name: str, bits: int | dict[str, int], tmp_path: Path) -> None:
    net, x = lively(name)
    q = QuantisedStudent(net, weight_bits=bits).calibrate(x)
    wrong_spikes, wrong_v, n, _ = differing(q, x, tmp_path / "q.nir")
    assert n > 50
    assert (wrong_spikes, wrong_v) == (0, 0)
    again = compile_graph(tmp_path / "q.nir", None, CompileOptions(weight_bits=bits))
    assert not [text for text in again.warnings if "anew" in text]
    for s in again.program.synapses:
        width = weight_format(s.kind.weights, s.exponent, LOIHI1.chip).width
        asked = bits if isinstance(bits, int) else bits.get(s.name, bits.get(s.target, bits.get("default", 8)))
        assert width is not None
        assert width <= asked, s.name


@dataclass(frozen=True)
class Held:
    """A target of other formats than Loihi's."""

    chip: Chip


@pytest.mark.parametrize("name", ["small", "resnet18"])
def test_a_chip_without_negative_exponents_leaves_weights_at_the_top_of_the_scale(name: str, tmp_path: Path) -> None:
    target = Held(replace(LOIHI1.chip, formats=replace(LOIHI1.chip.formats, weight_exponent=(0, 7))))
    net, x = lively(name)
    q = QuantisedStudent(net, formats=target.chip.formats, weight_bits=4).calibrate(x)
    wrong_spikes, wrong_v, _, _ = differing(q, x, tmp_path / "q.nir")
    assert (wrong_spikes, wrong_v) == (0, 0)
    made = compile_graph(tmp_path / "q.nir", target, CompileOptions(weight_bits=4))
    assert not [text for text in made.warnings if "anew" in text]
    require(verify_program(made.program, target))


def test_what_is_written_out_stays_sparse_in_training_and_the_program(tmp_path: Path) -> None:
    torch.manual_seed(0)
    chains = {
        "up": ("input", "a", nn.ConvTranspose2d(2, 3, 2, stride=2, bias=False)),
        "skip": ("input", "b", nn.ConvTranspose2d(2, 3, 2, stride=2, bias=False)),
        "conv": ("a", "b", nn.Conv2d(3, 3, 3, padding=1)),
        "head": ("b", "readout", nn.Sequential(nn.AdaptiveAvgPool2d(5), nn.Flatten(), nn.Linear(75, 4))),
    }
    net = SpikingNet(
        "decoder", input_shape=(2, 4, 4), n_steps=4, input_bits=0,
        populations={"a": lif_box(), "b": lif_box(), "readout": Sum()},
        synapses=[Synapse(name, *rest) for name, rest in chains.items()],
    )  # fmt: skip
    assert net.shapes["a"] == net.shapes["b"] == (192,)
    x = (torch.rand(4, 4, 2, 4, 4) < 0.6).float()
    with torch.no_grad():
        for name in ("up", "skip", "conv"):
            next(net.synapses[name].parameters()).mul_(4)
    q = QuantisedStudent(net.eval()).calibrate(x)
    optimizer = torch.optim.Adam([p for p in q.parameters() if p.requires_grad], lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        F.cross_entropy(q(x).logits.mean(0), torch.tensor([0, 1, 2, 3])).backward()
        optimizer.step()
    wrong_spikes, wrong_v, n, compiled = differing(q, x, tmp_path / "q.nir")
    assert n > 50
    assert (wrong_spikes, wrong_v) == (0, 0)
    kinds = {s.name: type(s.kind).__name__ for s in compiled.program.synapses}
    assert [kinds[name] for name in ("up", "skip", "conv")] == ["Sparse"] * 3


def test_it_stays_the_program_after_training_in_four_bits(tmp_path: Path) -> None:
    net, x = lively("small")
    q = QuantisedStudent(net, weight_bits=4).calibrate(x)
    optimizer = torch.optim.Adam([p for p in q.parameters() if p.requires_grad], lr=3e-3)
    for _ in range(6):
        loss = F.cross_entropy(q(x).logits.mean(0), torch.tensor([0, 1, 2, 3]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert differing(q, x, tmp_path / "q.nir")[:2] == (0, 0)
    other = QuantisedStudent(net, weight_bits=4)
    other.load_state_dict(q.freeze().state_dict())
    assert torch.equal(other(x).logits, q(x).logits)
    assert differing(other, x, tmp_path / "q.nir")[:2] == (0, 0)


def test_weights_that_need_more_bits_than_asked_for_are_rounded_anew(tmp_path: Path) -> None:
    net, x = lively("small")
    nir.write(tmp_path / "q.nir", QuantisedStudent(net).calibrate(x).to_nir())
    made = compile_graph(tmp_path / "q.nir", None, CompileOptions(weight_bits=4))
    anew = [text for text in made.warnings if "anew" in text]
    assert anew[1] == (
        "conv2: the file's weights of conv2_in use more than 4 bits; its scale is chosen and its weights are rounded "
        "anew"
    )
    assert all(weight_format(s.kind.weights, s.exponent, LOIHI1.chip).width <= 4 for s in made.program.synapses)


def test_bits_that_a_student_cannot_have_are_refused() -> None:
    net, _ = lively("small")
    with pytest.raises(ConfigError) as caught:
        QuantisedStudent(net, weight_bits={"default": 8, "conv9": 4})
    assert str(caught.value) == (
        "quant.weight_bits: no layer is called conv9, possible are conv1_in, conv2_in, conv3_in, classifier, conv1, "
        "conv2, conv3, readout"
    )
    with pytest.raises(ConfigError, match=r"quant\.weight_bits: 7 bits, the target's weights can have 2, 3, 4"):
        QuantisedStudent(net, weight_bits=7)


@pytest.mark.parametrize("name", ["small", "vgg9 max", "resnet18", "recurrent li"])
def test_forward_computes_what_record_records(name: str) -> None:
    net, x = lively(name)
    q = QuantisedStudent(net).calibrate(x)
    out, recorded = q(x, record=True), q.record(x)
    for population, spikes in out.spikes.items():
        assert torch.equal(spikes.to(torch.uint8), recorded.spikes[population])
    s = q.scales()["readout"]
    v = recorded.v["readout"].double() / (64 * s)
    found = out.logits.double().cumsum(0) if isinstance(net.readout, Sum) else out.logits.double()
    assert torch.allclose(found, v, atol=1e-4)


@pytest.mark.parametrize(("name", "n_updates"), [("small", 12), ("resnet18", 3), ("recurrent", 3)])
def test_it_stays_the_program_after_training_and_learns(name: str, n_updates: int, tmp_path: Path) -> None:
    net, x = lively(name)
    q = QuantisedStudent(net).calibrate(x)
    optimizer = torch.optim.Adam([p for p in q.parameters() if p.requires_grad], lr=3e-3)
    losses = []
    for _ in range(n_updates):
        loss = F.cross_entropy(q(x).logits.mean(0), torch.tensor([0, 1, 2, 3]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    if name == "small":
        assert losses[-1] < 0.1 * losses[0]
    assert all(p.grad is not None for p in q.parameters() if p.requires_grad)
    assert differing(q, x, tmp_path / "q.nir")[:2] == (0, 0)


def test_frozen_integers_survive_a_state_dict_and_no_longer_follow_the_parameters(tmp_path: Path) -> None:
    net, x = lively("small")
    q = QuantisedStudent(net).calibrate(x).freeze()
    other = QuantisedStudent(net)
    other.load_state_dict(q.state_dict())
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.mul_(1.5)
    assert torch.equal(other(x).logits, q(x).logits)
    assert differing(other, x, tmp_path / "q.nir")[:2] == (0, 0)


def test_a_scale_that_training_drove_out_of_all_numbers_is_named() -> None:
    integers = QuantisedStudent(build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=2))
    with torch.no_grad():
        integers.log_scales["conv2"].fill_(900.0)  # e^900 is none of float64
    with pytest.raises(ConfigError) as error:
        integers(torch.rand(1, 1, 8, 8))
    told = "conv2: the scale that is learned is not finite; lower quant.lr (or what the optimiser is given), "
    assert str(error.value) == f"{told}or set train.clip_norm"


def test_gradients_follow_the_float_student() -> None:
    net, x = lively("small")
    q = QuantisedStudent(net).calibrate(x)
    for module in (net, q):
        module.zero_grad()
        module(x).logits[..., 0].sum().backward()
    wanted = net.synapses["conv2_in"][0].weight.grad
    norm = net.synapses["conv2_in"][1]
    gain = (norm.weight / torch.sqrt(norm.running_var + norm.eps)).detach()
    found = q.weights["conv2_in"].grad * gain[:, None, None, None]
    cosine = F.cosine_similarity(found.flatten(), wanted.flatten(), dim=0)
    assert cosine > 0.7  # not 1: the quantised spikes are others
    assert 0.5 < float(found.norm() / wanted.norm()) < 2


def test_overflow_is_the_chips(tmp_path: Path) -> None:
    # a scale that was never calibrated: drives wrap, v saturates; the program does the same
    net, x = lively("small")
    q = QuantisedStudent(net)
    with torch.no_grad():
        for scale in q.log_scales.values():
            scale.add_(4.0)
    wrong_spikes, wrong_v, _, compiled = differing(q, x, tmp_path / "q.nir")
    assert (wrong_spikes, wrong_v) == (0, 0)
    frames = np.repeat(q.to_input(x).numpy().astype(np.int64)[None], q.n_steps, axis=0)
    events = simulate(compiled.program, frames).events.values()
    assert sum(e.n_u_wraps + e.n_v_saturations for e in events) > 0


def test_a_plain_skip_weighs_exactly_one(tmp_path: Path) -> None:
    net, x = lively("resnet18")
    q = QuantisedStudent(net).calibrate(x)
    nir.write(tmp_path / "q.nir", q.to_nir())
    program = compile_graph(tmp_path / "q.nir").program
    for name, _, target in net.edges:
        if isinstance(net.synapses[name], nn.Identity):
            skip = next(s for s in program.into(target) if s.kind.weights.size == 1)
            assert int(skip.kind.weights.item()) == round(q.scales()[target] * 0.5) <= 255


def two_layers(neurons: nn.Module, *, bias: bool = False) -> SpikingNet:
    return SpikingNet(
        "net",
        input_shape=(3,),
        n_steps=2,
        populations={"a": neurons, "readout": Sum()},
        synapses=[
            Synapse("w", "input", "a", nn.Linear(3, 2, bias=bias)),
            Synapse("r", "a", "readout", nn.Linear(2, 2)),
        ],
    )


def test_what_the_chip_cannot_hold_is_refused() -> None:
    with pytest.raises(Unsupported, match=r"a: v_leak 0, v_reset -0\.5; both must be 0"):
        QuantisedStudent(two_layers(lif_box(v_reset=-0.5)))
    with pytest.raises(Unsupported, match=r"w: a bias into the current of a \(LIFCell\) leaves a transient"):
        QuantisedStudent(two_layers(lif(), bias=True))
    coarse = lif_box()
    coarse.cell.p = coarse.cell.p._replace(tau_mem_inv=torch.tensor(100.3))
    with pytest.raises(Unsupported, match=r"a: decay 0\.1003 of the membrane is no k/4096"):
        QuantisedStudent(two_layers(coarse))


def test_inputs_beyond_the_bits_are_refused() -> None:
    net, x = lively("small")
    q = QuantisedStudent(net).calibrate(x)
    with pytest.raises(InputError, match="input from 0 to 510 in units of the chip, possible are 0 to 255"):
        q(torch.tensor([0.0, 2.0]).view(1, 1, 1, 2).expand(1, 1, 8, 2).repeat(1, 1, 1, 4))
    assert torch.equal(q((x * 255).round().to(torch.int64)).logits, q(x).logits)


def test_autocast_changes_no_integer_and_gradients_little() -> None:
    net, x = lively("resnet18")
    q = QuantisedStudent(net).calibrate(x)
    found = []
    for enabled in (False, True):
        q.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled=enabled):
            logits = q(x).logits
        logits.square().mean().backward()
        found.append((logits.detach(), torch.cat([w.grad.flatten() for w in q.weights.values()])))
    assert torch.equal(found[0][0], found[1][0])
    assert F.cosine_similarity(found[0][1], found[1][1], dim=0) > 0.98
