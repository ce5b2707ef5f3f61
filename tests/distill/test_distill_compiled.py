"""Students and teachers through torch.compile: the same numbers, whole graphs, and what is missing is said."""

from __future__ import annotations

import copy
import shutil
from functools import partial
from pathlib import Path

import pytest
import torch
from distill_worker import N_STEPS, digits, student, teacher
from torch import Tensor, nn

from seamount.compile.arithmetic.definition import run_definition
from seamount.distill import checkpoint
from seamount.distill import compiled as compiling
from seamount.distill.compiled import check_compiler
from seamount.distill.config import DistillConfig, TeacherConfig, TrainConfig
from seamount.distill.data import Data
from seamount.distill.parallel import World
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import distill, train_teacher
from seamount.errors import BackendMissing, ConfigError
from seamount.hardware_targets.simulator import simulate
from seamount.models import spiking_net
from seamount.models.cells import SASTC, lif, lif_box
from seamount.models.choices import StudentOptions
from seamount.models.lif import normed
from seamount.models.spiking_net import SpikingNet
from seamount.models.students import vgg
from seamount.models.zoo import build_student
from tests.simulator.random_programs import random_case

# the compiler and opcheck look at every tensor's gradient
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf:UserWarning")

NO_COMPILER = "torch.compile needs a C++ compiler, g++"


def gradients(run: object, net: nn.Module, x: Tensor, *, bf16: bool = False) -> list[Tensor]:
    assert callable(run)
    with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
        logits = run(x).logits
    net.zero_grad()
    logits.float().square().mean().backward()
    return [logits.detach(), *(p.grad for p in net.parameters() if p.grad is not None)]


def test_integers_within_compiled_code_are_left_as_they_are() -> None:
    program, inputs, n_steps = random_case(1)
    expected = torch.as_tensor(run_definition(program, inputs, n_steps=n_steps).readout)
    graphs: list[str] = []

    def note(graph: torch.fx.GraphModule, _: list[Tensor]) -> object:
        graphs.append(graph.code)
        return graph.forward

    def twice_its_answer(two: Tensor) -> Tensor:
        answer = simulate(program, inputs, n_steps=n_steps).readout
        return two * torch.as_tensor(answer)

    found = torch.compile(twice_its_answer, backend=note)(torch.tensor(2))
    assert torch.equal(found, 2 * expected)
    assert sum(code.count(" = ") for code in graphs) < 10  # what is around it alone

    graphs.clear()
    x = torch.rand(2, 1, 8, 8)
    integers = QuantisedStudent(build_student("small", n_classes=3, input_shape=(1, 8, 8), n_steps=2)).calibrate(x)
    assert torch.equal(torch.compile(integers, backend=note)(x).logits, integers(x).logits)
    assert graphs == []


@pytest.mark.parametrize("case", ["image", "bf16", "frames", "recurrent"])
def test_a_traced_student_is_the_student(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    # a graph has batch norm and LIF apart, with numbers of bf16 between them, and products for gradients of weights
    monkeypatch.setattr(normed, "fits", lambda *_: False)
    monkeypatch.setattr(spiking_net, "fits", lambda *_: False)
    shape, frames = {"recurrent": ((9,), True), "frames": ((1, 8, 8), True)}.get(case, ((1, 8, 8), False))
    name = "recurrent" if case == "recurrent" else "small"
    torch.manual_seed(0)
    net = build_student(name, n_classes=10, input_shape=shape, n_steps=N_STEPS, width=0.5).train()
    bf16 = case == "bf16"
    if bf16:
        net.to(memory_format=torch.channels_last)
    twin = copy.deepcopy(net)
    # without code generation; only the recurrence stays outside of the graph
    traced = torch.compile(net, backend="aot_eager", fullgraph=case != "recurrent", dynamic=False)
    x = torch.rand(*([N_STEPS] if frames else []), 6, *shape)
    found, wanted = gradients(traced, net, x, bf16=bf16), gradients(twin, twin, x, bf16=bf16)
    assert len(found) == len(wanted) > 3
    for one, other in zip(found, wanted, strict=True):
        assert torch.allclose(one, other, atol=1e-6)


@pytest.mark.parametrize("channels_last", [False, True])
@pytest.mark.parametrize("make", [lif_box, lif])
def test_the_operator_keeps_what_torch_asks_of_one(make: type, channels_last: bool) -> None:
    from seamount.models.lif import operators

    c = make(surrogate=SASTC).constants()
    drive = torch.randn(1, 4, 3, 2, 2)
    if channels_last:
        drive = drive.flatten(0, 1).contiguous(memory_format=torch.channels_last).view(drive.shape)
    numbers = (c.a_mem, c.a_syn, c.v_leak, c.v_th, c.v_reset, c.gain, c.method, c.alpha, c.detach_reset)
    found = torch.library.opcheck(operators.lif, (drive.requires_grad_(), 3, *numbers))
    assert set(found.values()) == {"SUCCESS"}


def assert_equal_runs(folder: Path) -> None:
    wanted, _ = checkpoint.load(folder / "False" / "last.safetensors")
    found, _ = checkpoint.load(folder / "True" / "last.safetensors")
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.allclose(found[name].double(), value.double(), atol=1e-5), name


def two_steps(data: Data, *, compiled: bool) -> TrainConfig:
    return TrainConfig(epochs=1, batch_size=len(data.train) // 2, lr=0.05, optimizer="sgd", compile=compiled)


def two_layers() -> SpikingNet:
    """A convolution of the image and one of spikes: the compiler takes seconds for each."""
    torch.manual_seed(0)
    return vgg("two layers", 10, (1, 8, 8), N_STEPS, StudentOptions(width=0.5), plan=(16, "pool", 32), hidden=())


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("g++") is None, reason=NO_COMPILER)
def test_two_compiled_steps_end_with_the_weights_of_two_others(tmp_path: Path) -> None:
    data = digits(max_train=40)
    for compiled in (False, True):
        net, settings = two_layers(), two_steps(data, compiled=compiled)
        distill(data, None, net, DistillConfig(method="hard"), settings, tmp_path / str(compiled))
        assert list(net.state_dict()) == list(two_layers().state_dict())
    assert_equal_runs(tmp_path)


def test_teacher_and_student_are_trained_alike_when_traced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # without code generation, which takes a minute
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    data = digits(max_train=40)
    for compiled in (False, True):
        settings = two_steps(data, compiled=compiled)
        train_teacher(
            data, TeacherConfig(epochs=1), settings, tmp_path / "teacher" / str(compiled), network=teacher()
        )
        folder = tmp_path / "student" / str(compiled)
        distill(data, teacher(), student(), DistillConfig(method="seal-kd+sastc"), settings, folder)
        distill(data, teacher(), student(), DistillConfig(), settings, tmp_path / "kd" / str(compiled))
    for who in ("teacher", "student", "kd"):
        assert_equal_runs(tmp_path / who)


@pytest.mark.skipif(
    shutil.which("g++") is None or torch.backends.cpu.get_cpu_capability() not in ("AVX2", "AVX512"),
    reason="g++ and AVX2 are needed",
)
def test_what_is_kept_on_disk_is_of_one_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """torch's key lacks the instructions, but holds the options."""
    asked: list[dict[str, int]] = []
    monkeypatch.setattr(torch, "compile", lambda run, *, dynamic, options: asked.append(options))
    for capability in ("default", "avx2"):
        monkeypatch.setenv("ATEN_CPU_CAPABILITY", capability)
        compiling.compiled(nn.Identity())
    assert asked == [{"cpp.simdlen": 0}, {"cpp.simdlen": 256}]


def test_without_a_compiler_nothing_is_begun(tmp_path: Path) -> None:
    import torch._inductor.config as inductor

    torch._dynamo.reset()
    settings = TrainConfig(compile=True)
    with inductor.patch({"cpp.cxx": (None, "no-such-compiler")}), pytest.raises(BackendMissing) as error:
        distill(digits(), teacher(), student(), DistillConfig(), settings, tmp_path / "run")
    assert str(error.value).startswith("train.compile: torch.compile does not work here (")
    assert str(error.value).endswith(
        "); it needs a torch newer than 2.4, a C++ compiler and Python's headers (Debian: apt install g++ "
        "python3-dev), or set train.compile = false"
    )
    assert "\n" not in str(error.value)
    assert not (tmp_path / "run").exists()


def test_several_processes_do_not_compile() -> None:
    with pytest.raises(ConfigError) as error:
        check_compiler(World(0, 2, torch.device("cpu")))
    assert str(error.value) == (
        "train.compile: 2 processes, but what they compute together (batch norm) cannot be compiled; "
        "set train.compile = false"
    )
