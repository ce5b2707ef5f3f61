"""What a program around Seamount has set for its own work changes nothing of a run, and is as it was afterwards."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.autograd import forward_ad
from torch.fx.experimental.proxy_tensor import make_fx

from seamount import api
from seamount.cli.root import COMMANDS, load_command
from seamount.config import Config, to_toml
from seamount.errors import Unsupported
from seamount.hardware_targets.simulator import simulate
from seamount.models.zoo import build_student
from seamount.surroundings import usual_settings
from tests.simulator.random_programs import random_case

SETTINGS = (
    "data.max_train=40",
    "data.max_test=10",
    "teacher.epochs=1",
    'student.arch="small"',
    "student.n_steps=2",
    "train.epochs=1",
    "train.n_workers=0",
    "quant.epochs=1",
)


@contextmanager
def odd() -> Iterator[None]:
    with ExitStack() as stack:
        stack.callback(torch.set_default_dtype, torch.get_default_dtype())
        torch.set_default_dtype(torch.float64)
        stack.enter_context(torch.device("meta"))
        stack.enter_context(torch.autocast("cpu", torch.bfloat16))
        stack.enter_context(torch.inference_mode())
        stack.enter_context(np.errstate(all="raise"))
        yield


def chosen() -> tuple[object, ...]:
    torch_has = torch.get_default_dtype(), torch.empty(0).device.type, torch.is_autocast_enabled("cpu")
    return *torch_has, torch.is_inference_mode_enabled(), torch.is_grad_enabled(), np.geterr()["under"]


def test_within_them_all_is_as_in_a_new_process_and_outside_as_before() -> None:
    usual = chosen()
    with odd():
        before = chosen()
        assert all(a != b for a, b in zip(before, usual, strict=True))
        with usual_settings():
            assert chosen() == usual
        assert chosen() == before
        with pytest.raises(ZeroDivisionError), usual_settings():
            raise ZeroDivisionError
        assert chosen() == before


def test_training_and_compiling_in_odd_surroundings_give_the_same_program(tmp_path: Path) -> None:
    programs = []
    for name in ("usual", "odd"):
        with odd() if name == "odd" else ExitStack():
            api.distill(None, SETTINGS, folder=tmp_path / name, until="export", told=api.Told())
            programs.append(
                api.compile_source(tmp_path / name, out=tmp_path / f"{name}.program.h5").path.read_bytes()
            )
    assert programs[0] == programs[1]


# ------------------------------------------------------------------------------------- what follows torch's calls


def under_grad(f: Callable[[Tensor], Tensor], x: Tensor) -> None:
    torch.func.grad(lambda x: f(x).sum())(x)


def under_vmap(f: Callable[[Tensor], Tensor], x: Tensor) -> None:
    torch.func.vmap(f)(x[None])


def under_jvp(f: Callable[[Tensor], Tensor], x: Tensor) -> None:
    torch.func.jvp(f, (x,), (x,))


def under_trace(f: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        torch.jit.trace(f, (x,), check_trace=False)


def under_fake_tensors(f: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with FakeTensorMode(allow_non_fake_inputs=True) as mode:
        f(mode.from_tensor(x))


def under_dual_level(f: Callable[[Tensor], Tensor], x: Tensor) -> None:
    with forward_ad.dual_level():
        f(forward_ad.make_dual(x, x))


def under_make_fx(f: Callable[[Tensor], Tensor], x: Tensor) -> None:
    make_fx(f)(x)


FOLLOWERS = {
    under_grad: "a transform of torch.func",
    under_vmap: "a transform of torch.func",
    under_jvp: "a transform of torch.func",
    under_dual_level: "torch.autograd.forward_ad",
    under_trace: "torch.jit.trace",
    under_make_fx: "make_fx",
    under_fake_tensors: "FakeTensorMode",
}


@pytest.mark.parametrize("follower", FOLLOWERS)
@pytest.mark.parametrize("what", ["student", "integers", "quantise", "simulate", "deploy"])
def test_what_follows_the_calls_of_torch_is_refused_by_name(
    follower: Callable[..., None], what: str, tmp_path: Path
) -> None:
    x = torch.rand(2, 1, 8, 8)
    student = build_student("small", n_classes=3, input_shape=(1, 8, 8), n_steps=2)
    integers = api.quantise(student, x)
    program, inputs, n_steps = random_case(1)

    def called(x: Tensor) -> Tensor:
        match what:
            case "student":
                return student(x).logits
            case "integers":
                return integers(x).logits
            case "quantise":
                api.quantise(student, x)
            case "simulate":
                simulate(program, inputs, n_steps=n_steps)
            case "deploy":
                api.deploy(student, (x, torch.arange(2)), folder=tmp_path / "chip", told=api.Told())
        return x

    with pytest.raises(Unsupported) as caught:
        follower(called, x)
    assert str(caught.value) == (
        f"called within {FOLLOWERS[follower]}, which cannot follow what is computed outside of torch; "
        "call it outside; or take a student's gradients by backward() or torch.autograd.grad"
    )
    assert student(x).logits.shape == (2, 2, 3)


UNDOCUMENTED = """
from seamount.cli.root import COMMANDS, load_command
from seamount.config import Config, to_toml
print(load_command.__doc__, to_toml(Config()), *(load_command(c.name).help for c in COMMANDS), sep="\\n")
"""


def test_nothing_that_is_shown_comes_from_docstrings() -> None:
    """Which ``python -OO`` takes away."""
    done = subprocess.run([sys.executable, "-OO", "-c", UNDOCUMENTED], capture_output=True, text=True, check=True)
    commands = [load_command(c.name).help for c in COMMANDS]
    assert done.stdout == "\n".join(["None", to_toml(Config()), *commands]) + "\n"
    assert all(
        told.startswith(c.line) and "\nExample:  seamount " in told
        for c, told in zip(COMMANDS, commands, strict=True)
    )
