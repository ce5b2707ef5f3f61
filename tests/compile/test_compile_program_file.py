"""Program files: round trip, and every damage is noticed."""

import errno
import hashlib
import io
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from compile_networks import random_network

from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.relay import Relay
from seamount.compile.neurons.ternary_lif import TernaryLif
from seamount.compile.numbers import ints
from seamount.compile.pipeline import compile_graph
from seamount.compile.program.file import HEAD_BYTES, SCHEMA, load_program, program_bytes, save_program, sealed
from seamount.compile.program.program import Input, Population, Program, Readout, Reset
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Sparse, Synapses, Wire
from seamount.errors import InputError
from seamount.windows import Window


def every_kind() -> Program:
    lif = Lif(du=ints(4096), dv=ints([1, 2, 3, 4]), v_th_mant=ints(100), bias_mant=ints(-7), refractory_steps=2)
    ternary = TernaryLif(du=ints(0), dv=ints(5), v_th_hi_mant=ints(3), v_th_lo_mant=ints(-3))
    weights = ints([[1, -2, 3, 4]] * 4)
    return Program(
        name="every kind",
        inputs=(Input("x", (1, 2, 2), 8, True), Input("y", (4,))),
        populations=(
            Population("a", (1, 2, 2), Lif(du=ints(1), dv=ints(2), v_th_mant=ints(3)), Reset(16, 3)),
            Population("b", (4,), lif),
            Population("c", (4,), ternary),
            Population("d", (4,), Relay()),
        ),
        synapses=(
            Synapses(
                "conv",
                "x",
                "a",
                Conv(ints(np.ones((1, 1, 1, 1))), Window((1, 1), (0, 0), (1, 1), 1)),
                2,
                True,
                ints(1),
                24,
            ),
            Synapses("dense", "a", "b", Dense(weights), -3, delay=ints([[0, 1, 2, 3]] * 4)),
            Synapses("sparse", "b", "c", Sparse(ints([5, -6]), ints([0, 3]), ints([1, 1]), 4, 4)),
            Synapses("each", "b", "d", OneToOne(ints([1, 2, 3, 4]))),
            Synapses("wire", "y", "d", Wire()),
        ),
        readout=Readout("c", "count"),
        n_steps=16,
        timestep_s=1e-3,
        scales={"a": 0.1 + 0.2},
        provenance={"source": "tests"},
    )


def test_a_program_comes_back_as_it_was(tmp_path: Path) -> None:
    for program in (every_kind(), compile_graph(random_network(3)).program):
        path = tmp_path / "p.h5"
        save_program(program, path)
        again = load_program(path)
        assert str(again) == str(program)
        assert again.scales == dict(program.scales)
        assert again.provenance == dict(program.provenance)
        assert program_bytes(again) == program_bytes(program)
        arrays = [a for s in again.synapses for a in vars(s.kind).values() if isinstance(a, np.ndarray)]
        arrays += [a for p in again.populations for a in vars(p.neuron).values() if isinstance(a, np.ndarray)]
        assert len(arrays) > 10
        assert {a.dtype for a in arrays} == {np.dtype(np.int64)}
        assert not any(a.flags.writeable for a in arrays)


def test_saving_twice_gives_the_same_bytes_and_no_other_file(tmp_path: Path) -> None:
    save_program(every_kind(), tmp_path / "p.h5")
    first = (tmp_path / "p.h5").read_bytes()
    save_program(every_kind(), tmp_path / "p.h5")
    assert (tmp_path / "p.h5").read_bytes() == first
    assert [p.name for p in tmp_path.iterdir()] == ["p.h5"]


def test_a_folder_is_made_and_one_that_cannot_be_is_named(tmp_path: Path) -> None:
    save_program(every_kind(), tmp_path / "new" / "p.h5")
    assert load_program(tmp_path / "new" / "p.h5").name == every_kind().name
    path = tmp_path / "new" / "p.h5" / "deep" / "p.h5"
    with pytest.raises(InputError) as caught:
        save_program(every_kind(), path)
    assert str(caught.value) == f"{path}: cannot be written (Not a directory)"


def test_a_full_disk_is_no_fault_of_the_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "a.h5")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space left") as caught:
        save_program(every_kind(), tmp_path / "a.h5")
    assert caught.value.filename == str(tmp_path / "a.h5")
    assert not list(tmp_path.iterdir())


WHOLE = program_bytes(every_kind())


def test_every_flipped_bit_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    rng = np.random.default_rng(0)
    for n_bytes in (HEAD_BYTES, len(WHOLE)):
        for at in rng.integers(0, 8 * n_bytes, 300).tolist():
            damaged = bytearray(WHOLE)
            damaged[at // 8] ^= 1 << at % 8
            path.write_bytes(damaged)
            with pytest.raises(InputError):
                load_program(path)


def test_a_file_of_the_version_before_still_loads() -> None:
    recorded = Path(__file__).parent / "recordings" / "program_schema_2.h5"
    assert recorded.read_bytes().startswith(b"seamount program 2\n")
    assert str(load_program(recorded)) == str(every_kind())
    assert program_bytes(load_program(recorded)) == WHOLE


def test_the_file_is_hdf5_behind_its_head(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    save_program(every_kind(), path)
    head = path.read_bytes()[:HEAD_BYTES].rstrip(b"\0").decode()
    digest = hashlib.sha256(path.read_bytes()[HEAD_BYTES:]).hexdigest()
    assert head == f"seamount program {SCHEMA}\nsha256 {digest}\n"
    with h5py.File(path) as file:
        assert json.loads(bytes(file["description"][()]))["name"] == "every kind"


def test_truncated_foreign_and_newer_files(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    for n in (0, 10, 100, HEAD_BYTES, len(WHOLE) // 2, len(WHOLE) - 1):
        path.write_bytes(WHOLE[:n])
        with pytest.raises(InputError):
            load_program(path)
    for schema, way in ((SCHEMA + 1, "a newer seamount wrote it"), (1, "compile it again")):
        path.write_bytes(sealed(WHOLE[HEAD_BYTES:], schema))
        with pytest.raises(InputError) as caught:
            load_program(path)
        assert str(caught.value) == f"{path}: schema {schema}, this version reads 2 to {SCHEMA}; {way}"
    with h5py.File(path, "w") as file:
        file["node"] = 1
    with pytest.raises(InputError) as caught:
        load_program(path)
    assert str(caught.value) == (
        f"{path}: not a seamount program, or one from before version 0.1.0; compile it again"
    )


@pytest.mark.parametrize(
    "description",
    ["", "{}", "[" * 100_000, '{"name": 1, "inputs": [], "populations": [{}]}', '{"populations": 3}', "\ud800"],
)
def test_a_sealed_file_with_another_description_is_refused(description: str, tmp_path: Path) -> None:
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", userblock_size=HEAD_BYTES) as file:
        file["description"] = np.frombuffer(description.encode("utf-8", "surrogatepass"), dtype=np.uint8)
    path = tmp_path / "p.h5"
    path.write_bytes(sealed(buffer.getvalue()[HEAD_BYTES:]))
    with pytest.raises(InputError, match="not a readable program file"):
        load_program(path)


def test_a_changed_weight_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "p.h5"
    save_program(every_kind(), path)
    with h5py.File(path, "a") as file:
        name = next(n for n in file["arrays"] if file[f"arrays/{n}"].shape == (4, 4))
        file[f"arrays/{name}"][0, 0] += 1
    with pytest.raises(InputError) as caught:
        load_program(path)
    assert str(caught.value) == f"{path}: the checksum does not match; the file is damaged or was changed"
