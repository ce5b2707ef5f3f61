"""Samples in any of the files that people keep them in, for training and for programs."""

import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch

from seamount.chip_samples import samples_for
from seamount.compile.neurons.lif import NEVER_FIRES, Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Dense, Synapses
from seamount.config import load_config
from seamount.distill.data import load_data
from seamount.errors import ConfigError, InputError
from seamount.foreign.samples import read_samples

X, Y = np.arange(48, dtype=np.uint8).reshape(12, 1, 2, 2), np.arange(12) % 2


def hdf5(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["x"], file["y"] = X, Y


def folder(path: Path) -> None:
    path.mkdir()
    np.save(path / "x.npy", X)
    np.save(path / "y.npy", Y)


WRITERS: dict[str, Callable[[Path], Any]] = {
    "a.npz": lambda path: np.savez(path, x=X, y=Y),
    "a.h5": hdf5,
    "a.pt": lambda path: torch.save({"x": torch.from_numpy(X), "y": torch.from_numpy(Y), "note": "mine"}, path),
    "pair.pth": lambda path: torch.save((torch.from_numpy(X), torch.from_numpy(Y)), path),
    "folder": folder,
}


@pytest.mark.parametrize("name", WRITERS)
def test_one_trains_on_any_of_them(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    data = load_data(load_config(None, ["data.name=file", f"data.root={tmp_path / name}"]).data, n_steps=2)
    assert (len(data.train) + len(data.val), len(data.test), data.input_shape) == (10, 2, (1, 2, 2))


@pytest.mark.parametrize("name", [name for name in WRITERS if name != "folder"])
def test_arrays_are_the_same_whatever_the_file(name: str, tmp_path: Path) -> None:
    WRITERS[name](tmp_path / name)
    found = read_samples(tmp_path / name)
    assert np.array_equal(found["x"], X)
    assert np.array_equal(found["y"], Y)


def test_one_array_is_x_and_torchs_own_types_are_numbers(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    assert np.array_equal(read_samples(tmp_path / "x.npy")["x"], X)
    for dtype in (torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2fnuz):
        torch.save(torch.full((3,), 1.5).to(dtype), tmp_path / "x.pt")
        assert read_samples(tmp_path / "x.pt")["x"].tolist() == [1.5, 1.5, 1.5]


def test_views_of_torch_are_the_numbers_that_they_show(tmp_path: Path) -> None:
    turned = torch.complex(torch.zeros(2), torch.tensor([1.0, -2.0])).conj().imag
    torch.save({"x": turned, "y": None, "classes": ["a"]}, tmp_path / "a.pt")
    found = read_samples(tmp_path / "a.pt")
    assert (found["x"].tolist(), list(found)) == ([-1.0, 2.0], ["x"])


def test_a_file_of_groups_alone_is_told(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["data/x"] = X
    with pytest.raises(InputError, match=r"holds groups alone \(data\), needed are x and y, in no group"):
        read_samples(tmp_path / "a.h5")


with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # that they are a prototype
    NESTED = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)], layout=torch.strided)


@pytest.mark.parametrize(
    ("held", "text"),
    [
        (torch.nn.Linear(1, 1), "not a file of tensors (it holds more than tensors, which could run code and is "
         "never read); save a dict of tensors, as torch.save({'x': x, 'y': y}, path)"),
        (7, "holds int, needed are tensors by name, or one, or two (x, y)"),
        ({"x": torch.ones(2) * 1j}, "x is torch.complex64, torch.strided on cpu, dense real numbers are"),
        ({"x": NESTED}, "x is torch.float32, nested on cpu, dense real numbers are"),
        ({"x": torch.ones(2), "y": [0, 1]}, "y is of type list, not a tensor; save torch.as_tensor(y)"),
        ({"train": {"x": torch.ones(2)}}, "train is of type dict, not a tensor; save dense tensors by name"),
    ],
)  # fmt: skip
def test_files_of_torch_that_hold_something_else(held: object, text: str, tmp_path: Path) -> None:
    torch.save(held, tmp_path / "a.pt")
    with pytest.raises(InputError) as caught:
        read_samples(tmp_path / "a.pt")
    assert str(caught.value) == f"{tmp_path / 'a.pt'}: {text}"


def test_samples_without_labels_do_not_train(tmp_path: Path) -> None:
    np.save(tmp_path / "x.npy", X)
    with pytest.raises(InputError, match=r"holds x alone, without labels; set data.root to a file"):
        load_data(load_config(None, ["data.name=file", f"data.root={tmp_path / 'x.npy'}"]).data, n_steps=2)
    with pytest.raises(InputError, match=r"unknown kind '.csv'; possible are .npz, .npy, .h5, .hdf5, .pt, .pth"):
        read_samples(tmp_path / "a.csv")


def program() -> Program:
    weights = np.ones((2, 4), np.int64)
    return Program(
        name="tiny",
        inputs=(Input("in", (1, 2, 2), bits=8),),
        populations=(Population("out", (2,), Lif(du=ints(4096), dv=ints(0), v_th_mant=ints(NEVER_FIRES))),),
        synapses=(Synapses("w", "in", "out", Dense(weights), 0),),
        readout=Readout("out"),
        n_steps=2,
    )


def test_real_outputs_need_a_program_that_says_how_they_stand_in_what_is_read(tmp_path: Path) -> None:
    file = str(tmp_path / "real.npz")
    np.savez(file, x=X, y=np.full((12, 2), 0.5))
    with pytest.raises(InputError, match=r"y \(12, 2\) are real outputs, and the program does not say how"):
        samples_for(program(), file)
    with pytest.raises(InputError, match=r"out: the program does not say how real outputs stand in what is read"):
        Readout("out").real(np.zeros(2))
    said = program().with_(readout=Readout("out", scale=64.0))
    targets = samples_for(said, file).targets
    assert targets is not None
    assert targets.shape == (2, 12, 2)


def test_settings_of_a_data_set_reach_programs(tmp_path: Path) -> None:
    folder(tmp_path / "mine")
    samples = samples_for(program(), "file", settings=[f"data.root={tmp_path / 'mine'}"])
    assert samples.inputs["in"].shape == (2, 2, 1, 2, 2)
    with pytest.raises(ConfigError, match=r"--set root=x: no setting of data; as data.root=FOLDER"):
        samples_for(program(), "file", settings=["root=x"])
    np.save(tmp_path / "x.npy", X)
    assert samples_for(program(), str(tmp_path / "x.npy")).inputs["in"].shape == (2, 12, 1, 2, 2)
    with pytest.raises(ConfigError, match=r"x.npy is a file, which is read as it is"):
        samples_for(program(), str(tmp_path / "x.npy"), settings=["data.root=x"])
