"""What strangers' files may not do, kind by kind: each is refused by name, before memory is taken for it."""

import ast
import gzip
import io
import json
import os
import re
import resource
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
import torch
from PIL import Image

from seamount.compile.inspect import inspect_file
from seamount.compile.net.read import read_net
from seamount.compile.nir.file import read_raw
from seamount.compile.nir.read import Discretisation, NirOptions, read_nir
from seamount.compile.program.file import HEAD_BYTES, load_program, sealed
from seamount.config import Config, load_config
from seamount.distill.checkpoint import load_weights
from seamount.distill.config import DataConfig
from seamount.distill.data import load_data
from seamount.distill.data.events import read_events
from seamount.distill.data.mnist import read_idx
from seamount.distill.data.wav import read_wav
from seamount.errors import ConfigError, InputError
from seamount.foreign.arrays import read_npy, read_npz
from seamount.foreign.hdf5 import opened_data
from seamount.foreign.images import read_image
from seamount.foreign.limits import DATA_BYTES, NETWORK_BYTES
from seamount.foreign.tensors import read_tensors
from seamount.foreign.toml import parse_toml
from seamount.foreign.whole import file_bytes, gunzipped
from seamount.runs import load_report

ROOT = Path(__file__).resolve().parents[2]

OPENERS = {
    "h5py.File",
    "h5py.h5f.open_file_image",
    "np.load",
    "numpy.load",
    "np.fromfile",
    "torch.load",
    "safe_open",
    "load_file",
    "Image.open",
    "tomllib.load",
    "tomllib.loads",
    "gzip.open",
    "gzip.decompress",
    "zipfile.ZipFile",
    "pickle.load",
    "pickle.loads",
}
"""Calls that read a foreign file, or write one of that kind."""

OTHERS = {
    "compile/program/file.py: h5py.File": "writes",
    "hardware_targets/lava/write_net.py: h5py.File": "writes",
    "hardware_targets/lava/run.py: zipfile.ZipFile": "writes",
    "hardware_targets/lava/plain_lava.py: np.load": "runs without Seamount, and reads what run.py has just written",
    "hardware_targets/sana_fe/plain_sana_fe.py: np.load": "runs without Seamount, and reads what opinion.py wrote",
}


@cache
def calls() -> list[tuple[str, ast.Call]]:
    """Every call in the code, and the file that it stands in."""
    folders = ("models", "distill", "compile", "hardware_targets", "seamount")
    paths = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [
        (str(path.relative_to(ROOT)), node)
        for path in paths
        if not any(p.is_symlink() for p in path.parents)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call)
    ]


def dotted(called: ast.expr) -> str:
    """``a.b.c`` of such an expression; of others the end alone (ast.unparse takes seconds for all calls)."""
    if isinstance(called, ast.Attribute):
        return f"{dotted(called.value)}.{called.attr}"
    return called.id if isinstance(called, ast.Name) else ""


def test_only_the_door_opens_foreign_files() -> None:
    found = {
        f"{name}: {called}"
        for name, call in calls()
        if not name.startswith("seamount/foreign/") and (called := dotted(call.func)) in OPENERS
    }
    assert found == set(OTHERS)


def test_no_text_is_read_or_written_in_the_encoding_of_the_place() -> None:
    found = [
        f"{name}:{call.lineno}"
        for name, call in calls()
        if isinstance(call.func, ast.Attribute)
        and call.func.attr in ("read_text", "write_text")
        and "encoding" not in {keyword.arg for keyword in call.keywords}
    ]
    assert found == []


@contextmanager
def refused(told: str, most_bytes: int = 1 << 28) -> Iterator[None]:
    """Refuses with these words, and never holds ``most_bytes`` more than before."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    with pytest.raises(InputError, match=told):
        yield
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - before < most_bytes


def _gunzipped(path: Path) -> None:
    gunzipped(path, NETWORK_BYTES)


def _all_of(path: Path) -> None:
    with opened_data(path):
        pass


@pytest.mark.parametrize(
    ("ending", "read"),
    [
        *((".h5", _all_of), (".npz", read_npz), (".npy", read_npy), (".pt", read_tensors), (".pt", load_weights)),
        *((".safetensors", load_weights), (".nir", read_raw), (".net", read_net), (".nir", inspect_file)),
        *((".h5", load_program), (".json", load_report), (".png", read_image), (".gz", _gunzipped)),
        *((ending, read_events) for ending in (".bin", ".aedat4", ".raw", ".dat", ".npy", ".npz")),
        (".wav", lambda path: read_wav(path, 8000, 10, cut=False)),
    ],
)
def test_an_empty_file_is_said_to_be_one(ending: str, read: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / f"a{ending}"
    path.touch()
    with refused(rf"^{path}: an empty file; was it written to the end\? write or fetch it again$"):
        read(path)
    (tmp_path / "a.toml").touch()  # asks for nothing else than usual
    assert load_config(tmp_path / "a.toml") == Config()


# ------------------------------------------------------------------------------------------------------- HDF5


def _nir(path: Path) -> Path:
    with h5py.File(path, "w") as file:
        file["version"] = "1.0"
        file["node/type"] = "NIRGraph"
        for name in ("input", "output"):
            file[f"node/nodes/{name}/type"] = name.capitalize()
            file[f"node/nodes/{name}/shape"] = np.array([2])
        file["node/edges"] = np.array([("input", "output")], dtype=h5py.string_dtype())
        file["node/nodes/input/x"] = np.zeros(3)
        file["layer/0/type"] = "input"
        file["description"] = np.zeros(3, np.uint8)
    return path


def _data(path: Path) -> Any:
    with opened_data(path) as file:
        return list(file)


READERS: dict[str, Callable[[Path], Any]] = {"nir": read_raw, "net": read_net, "data": _data}


def _external(file: h5py.File, folder: Path) -> None:
    file.create_dataset("x", shape=(64,), dtype="u1", external=[("/etc/os-release", 0, 64)])


def _virtual(file: h5py.File, folder: Path) -> None:
    with h5py.File(folder / "other.h5", "w") as other:
        other["secret"] = np.full(64, 65, np.uint8)
    layout = h5py.VirtualLayout((64,), "u1")
    layout[:] = h5py.VirtualSource(str(folder / "other.h5"), "secret", (64,))
    file.create_virtual_dataset("x", layout)


def _soft(file: h5py.File, folder: Path) -> None:
    file["x"] = h5py.SoftLink("/node")


def _outer(file: h5py.File, folder: Path) -> None:
    file["x"] = h5py.ExternalLink("/etc/passwd", "/x")


def _hard(file: h5py.File, folder: Path) -> None:
    """12 ** 14 paths of 15 groups."""
    group = file.create_group("x")
    for level in range(14):
        below = file.create_group(f"level{level}")
        for k in range(12):
            group[f"again{k}"] = below
        group = below


def _chunk(file: h5py.File, folder: Path) -> None:
    """12 values in a chunk of 2 GiB, deflated to nothing twice."""
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk(((1 << 31) // 32 - 4, 4))
    plist.set_deflate(9)
    space = h5py.h5s.create_simple((3, 4), (h5py.h5s.UNLIMITED,) * 2)
    h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F64LE, space, plist)


def _twice(file: h5py.File, folder: Path) -> None:
    plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    plist.set_chunk((4,))
    plist.set_deflate(9)
    plist.set_deflate(9)
    h5py.h5d.create(file.id, b"x", h5py.h5t.IEEE_F64LE, h5py.h5s.create_simple((4,)), plist)


def _lazy(file: h5py.File, folder: Path) -> None:
    file.create_dataset("x", shape=(1 << 15, 1, 32, 32), dtype="u1", chunks=(64, 1, 32, 32))


def _deep(file: h5py.File, folder: Path) -> None:
    file.create_group("x" + "/x" * 60)


def _long_text(file: h5py.File, folder: Path) -> None:
    """Texts that refer to one text of 1 MiB again and again."""
    file["x"] = np.array(["a" * (1 << 16)] * 2, dtype=h5py.string_dtype())
    file.flush()
    at = file["x"].id.get_offset()
    with open(file.filename, "r+b") as raw:
        raw.seek(at)
        raw.write(struct.pack("<I", (1 << 32) - 1))


def _references(file: h5py.File, folder: Path) -> None:
    file.create_dataset("x", data=[file["node"].ref], dtype=h5py.ref_dtype)


HDF5_KINDS = {
    _external: "/x: its data lie outside of the file",
    _virtual: "/x: its data lie outside of the file",
    _soft: "/x: a SoftLink; only data inside of the file is read",
    _outer: "/x: a ExternalLink; only data inside of the file is read",
    _hard: "again1: the same group as ",
    _chunk: r"/x: chunks of 21474\d* bytes for a dataset of 96",
    _twice: "/x: packed twice by deflate",
    _lazy: "/x: 33554432 bytes announced, but they are not in the file|/x: shape .* needs 268500992 bytes",
    _deep: "groups more than 40 deep",
    _long_text: "/x: texts that are longer than the file|/x: shape",
    _references: "/x: values of type object that refer to others",
}


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("kind", HDF5_KINDS, ids=lambda kind: kind.__name__)
def test_every_reader_of_hdf5_has_the_same_rules(
    kind: Callable[[h5py.File, Path], None], reader: str, tmp_path: Path
) -> None:
    path = _nir(tmp_path / "a.h5")
    with h5py.File(path, "a") as file:
        kind(file, tmp_path)
    with refused(HDF5_KINDS[kind]):
        READERS[reader](path)


@pytest.mark.parametrize("kind", [_external, _soft, _hard, _chunk, _lazy], ids=lambda kind: kind.__name__)
def test_programs_have_them_too(kind: Callable[[h5py.File, Path], None], tmp_path: Path) -> None:
    path = tmp_path / "a.program.h5"
    with h5py.File(path, "w", userblock_size=HEAD_BYTES) as file:
        file["description"] = np.zeros(3, np.uint8)
        file.create_group("node")
        kind(file, tmp_path)
    path.write_bytes(sealed(path.read_bytes()[HEAD_BYTES:]))
    with refused(f"{path}: .*{HDF5_KINDS[kind]}"):
        load_program(path)


@pytest.mark.parametrize("options", [{}, {"chunks": (2,)}, {"chunks": (2,), "compression": "gzip", "shuffle": True}])
def test_rows_of_any_length_are_read_however_they_are_stored(options: dict[str, Any], tmp_path: Path) -> None:
    rows = [np.arange(n, dtype=np.uint16) for n in (3, 0, 5)]
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file.create_dataset("rows", (3,), h5py.vlen_dtype(np.uint16), **options)[:] = rows
        file.create_dataset("texts", data=["a", "", "bcd"], dtype=h5py.string_dtype(), **options)
    with opened_data(tmp_path / "a.h5") as file:
        assert [row.tolist() for row in file["rows"][()]] == [row.tolist() for row in rows]
        assert file["texts"].asstr()[()].tolist() == ["a", "", "bcd"]


def test_limits_are_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=np.zeros(1000))
    monkeypatch.setenv("SEAMOUNT_MAX_DATA_BYTES", "1000")
    with pytest.raises(InputError) as error:
        read_npz(path)
    size = path.stat().st_size
    assert str(error.value) == (
        f"{path}: {size} bytes, the reader takes up to 1000 bytes; if you trust the file, "
        "set SEAMOUNT_MAX_DATA_BYTES in the environment"
    )
    monkeypatch.setenv("SEAMOUNT_MAX_DATA_BYTES", "100000")
    assert read_npz(path)["x"].shape == (1000,)
    monkeypatch.setenv("SEAMOUNT_MAX_DATA_BYTES", "much")
    with pytest.raises(ConfigError) as setting:
        read_npz(path)
    told = "SEAMOUNT_MAX_DATA_BYTES: 'much', a whole number of bytes is possible, from 1"
    assert str(setting.value) == told


# ------------------------------------------------------------------------------------------------- npz and npy


def npy_head(shape: str, descr: str = "<f8") -> bytes:
    text = f"{{'descr': '{descr}', 'fortran_order': False, 'shape': {shape}, }}".encode()
    text += b" " * (-(10 + len(text) + 1) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def zipped(path: Path, members: dict[str, bytes], packing: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", packing) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return path


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array)
    return buffer.getvalue()


NPZ_KINDS: dict[str, tuple[dict[str, bytes], str]] = {
    "more announced than there": ({"x.npy": npy_head("(999999999999,)") + bytes(80)}, "x announces shape"),
    "sizes that overflow": ({"x.npy": npy_head(f"({1 << 32}, {1 << 32}, {1 << 32})")}, "x announces shape"),
    "sizes below 0": ({"x.npy": npy_head("(-5, 5)") + bytes(80)}, "x announces shape"),
    "objects": ({"x.npy": _npy(np.array([None], dtype=object))}, "x holds objects"),
    "no head": ({"x.npy": b"hello"}, "not a readable .npz file"),
    "a deep head": ({"x.npy": b"\x93NUMPY\x01\x00" + struct.pack("<H", 8000) + b"(" * 8000}, "not a readable"),
}


@pytest.mark.parametrize("kind", NPZ_KINDS)
def test_arrays_that_are_none_are_refused(kind: str, tmp_path: Path) -> None:
    members, told = NPZ_KINDS[kind]
    with refused(told):
        read_npz(zipped(tmp_path / "a.npz", members))


def test_packed_arrays_are_counted_before_they_are_unpacked(tmp_path: Path) -> None:
    head = npy_head(f"({3 << 30},)", "|u1")
    path = tmp_path / "bomb.npz"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for k in range(2):
            archive.writestr(f"x{k}.npy", head + bytes(1000))
    content = bytearray(path.read_bytes())
    for entry in (b"PK\x01\x02",):  # sizes in the table, as a file of 3 GiB of zeros would have them
        at = content.find(entry)
        while at >= 0:
            content[at + 24 : at + 28] = struct.pack("<I", (3 << 30) + len(head))
            at = content.find(entry, at + 1)
    path.write_bytes(content)
    with refused(r"bomb\.npz: 6442451\d* bytes when it is unpacked, the reader takes up to 4294967296 bytes"):
        read_npz(path)


def test_members_are_read_as_numpy_packs_them(tmp_path: Path) -> None:
    x = _npy(np.arange(3))
    with refused("x is packed as kind 14"):
        read_npz(zipped(tmp_path / "a.npz", {"x.npy": x}, zipfile.ZIP_LZMA))
    content = zipped(tmp_path / "b.npz", {"x.npy": x, "z.npy": x}).read_bytes()
    (tmp_path / "b.npz").write_bytes(content.replace(b"z.npy", b"x.npy"))
    with refused("holds x twice"):
        read_npz(tmp_path / "b.npz")
    assert read_npz(zipped(tmp_path / "c.npz", {"x.npy": x, "readme": b"hello"}))["x"].tolist() == [0, 1, 2]
    content = bytearray(zipped(tmp_path / "d.npz", {"x.npy": x}).read_bytes())
    content[content.find(b"PK\x01\x02") + 8] |= 1
    (tmp_path / "d.npz").write_bytes(content)
    with refused("not a readable .npz file"):
        read_npz(tmp_path / "d.npz")


def test_npy_files_are_compared_with_their_heads(tmp_path: Path) -> None:
    path = tmp_path / "a.npy"
    path.write_bytes(npy_head(f"({1 << 40},)"))
    for mapped in (False, True):
        with refused("announces shape"):
            read_npy(path, mapped=mapped)


# --------------------------------------------------------------------------------------------------- the others


def test_only_regular_files_are_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, kind in ((tmp_path / "pipe", "pipe"), (Path("/dev/zero"), "device"), (tmp_path, "folder")):
        with refused(f"not a file but a {kind}"):
            file_bytes(path, NETWORK_BYTES)
    with refused("no such file"):
        file_bytes(tmp_path / "absent", NETWORK_BYTES)


def test_packed_files_end_at_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.gz"
    monkeypatch.setenv("SEAMOUNT_MAX_NETWORK_BYTES", str(1 << 20))
    with gzip.open(path, "wb") as file:
        file.write(bytes([0, 0, 8, 1]) + bytes(1 << 22))
    with refused("more than 1048576 bytes when it is unpacked"):
        read_idx(path, 1)


def test_images_are_measured_before_they_are_unpacked() -> None:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    head = struct.pack(">IIBBBBB", 20000, 20000, 1, 0, 0, 0, 0)
    content = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(bytes(2501 * 20000))) + chunk(b"IEND", b"")
    with refused("20000 x 20000 pixels, the reader takes up to 67108864 pixels|not a readable image"):
        read_image(b"\x89PNG\r\n\x1a\n" + content)
    with refused(r"not a readable image \(none of JPEG, PNG, BMP, WEBP, PPM, or damaged\)"):
        read_image(b"GIF89a")


@pytest.mark.parametrize("ending", ["PNG", "PPM"])
def test_grey_of_16_bits_keeps_its_upper_8(ending: str) -> None:
    file = io.BytesIO()
    Image.fromarray(np.array([[0, 255, 256], [40000, 65279, 65535]], np.uint16)).save(file, ending)
    shown = np.asarray(read_image(file.getvalue()))
    assert (shown == np.array([[0, 0, 1], [156, 254, 255]])[..., None]).all()


def test_weights_are_plain_numbers_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    for state, told in (
        ({"a": torch.zeros(2).to_sparse()}, "a is torch.float32, torch.sparse_coo on cpu"),
        ({"a": torch.zeros((1,) * 33)}, "a has 33 axes, possible are 32"),
        ({"a": torch.zeros(2, device="meta")}, "a is torch.float32, torch.strided on meta"),
        ({"a": torch.zeros(2, dtype=torch.complex64)}, "a is torch.complex64"),
        ({"a": torch.tensor([1.0, float("nan")])}, "a holds NaN or infinity"),
        ({1: torch.zeros(2)}, "holds dict, not a state dict of tensors"),
        ([1], "holds list, not a state dict of tensors"),
        (torch.nn.Linear(2, 2), "not a state dict"),
    ):
        torch.save(state, path)
        with refused(told):
            load_weights(path)
    for content in (b"\x80", b"\x80\x02cos\nsystem\n(S'true'\ntR."):
        path.write_bytes(content)
        with refused("not a state dict"):
            load_weights(path)


def entry(begin: int, end: int, *, dtype: str = "F32", shape: tuple[int, ...] = (2,)) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [begin, end]}


@pytest.mark.parametrize(
    ("header", "told"),
    [
        ({"a": entry(0, 8), "b": entry(4, 12)}, "invalid offset for tensor `b`"),
        ({"a": entry(0, 8), "b": entry(0, 8)}, "invalid offset for tensor"),
        (
            {"a": entry(0, 0, shape=(0,)), "b": entry(0, 16, shape=(4,)), "c": entry(0, 16, shape=(4,))},
            "invalid offset",
        ),
        ({"a": entry(8, 16)}, "invalid offset for tensor `a`"),
        ({"a": entry(0, 16, dtype="Q7")}, "unknown variant `Q7`"),
        ({"a": entry(0, 16, shape=(1 << 63, 1 << 63))}, "overflow computing buffer size"),
        ({"a": entry(0, 8)}, "file not fully covered"),
        ({"a": entry(0, 16, dtype="C64")}, "a is torch.complex64"),
        ({"a": entry(0, 8), "b": entry(8, 16, dtype="F4", shape=(16,))}, "b is torch.float4"),
        ({"a": entry(0, 16, shape=(4,))}, "a holds NaN or infinity"),
        ({"a": entry(0, 16, shape=(1,) * 3000 + (4,))}, "a has 3001 axes"),
        (None, "header too large"),
    ],
)
def test_weights_in_safetensors_that_are_none_are_refused(
    header: dict[str, Any] | None, told: str, tmp_path: Path
) -> None:
    path, head = tmp_path / "a.safetensors", json.dumps(header).encode()
    content = np.array([1, 2, 3, np.nan], "<f4").tobytes()
    path.write_bytes(struct.pack("<Q", 1 << 63 if header is None else len(head)) + head + content)
    # nothing about deleting it: it is the user's, not a state that training goes on from
    with refused(rf"{re.escape(told)}((?!delete).)*$"):
        load_weights(path)


@pytest.mark.parametrize("facts", ["[" * 100_000, "5", "9" * 5000])
def test_facts_that_are_none_are_refused(facts: str, tmp_path: Path) -> None:
    head = json.dumps({"__metadata__": {"facts": facts}}).encode()
    path = tmp_path / "a.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    with refused("not a readable safetensors file"):
        load_weights(path)


@pytest.mark.parametrize(
    "text",
    [
        b"a = " + b"[" * 5000,
        b"a = " + b"9" * 5000,
        b"\xff\xfea\x00",
        b"a = 1\x00",
        b"a" + b".a" * 9,
        b"a" + b".a" * 5000 + b" = 1",
        b"[a" + b".a" * 5000 + b"]",
        # read to the end, these would take gigabytes
        b"a" + b".a" * 200_000 + b" = 1",
        b"[t]\n  a = {" + b'\'a\' . "a\\"".-\t.' * 50_000 + b"a = 1}",
    ],
)
def test_toml_that_is_none_is_refused(text: bytes) -> None:
    with refused("x.toml: not TOML"):
        parse_toml(text, "x.toml")


def test_dots_of_another_kind_are_no_names_in_each_other() -> None:
    assert parse_toml(f"# {'.' * 99}\na.b = '{'an x. ' * 99}'\n" + "c.d = 1.5\n", "x.toml")["c"] == {"d": 1.5}
    text = f"a{'.a' * 31} = 1\n".replace(".a", '."a"', 9)
    assert parse_toml(text, "x.toml").keys() == {"a"}


def test_toml_may_begin_with_a_byte_order_mark() -> None:
    assert parse_toml(b"\xef\xbb\xbfa = 1\r\n", "x.toml") == {"a": 1}


# ------------------------------------------------------------------------------------------------------- labels

X = np.zeros((10, 4), np.uint8)


@pytest.mark.parametrize(
    ("y", "told"),
    [
        (np.array([0, 1] * 4 + [(1 << 32) - 1, 1]), "y holds the label 4294967295, so 4294967296 classes"),
        (np.array([0, 1] * 4 + [(1 << 64) - 1, 1], np.uint64), "y holds the label 18446744073709551615"),
        (np.array([0, 1] * 4 + [-1, 1]), "y holds the label -1, possible are 0 and above"),
        (
            np.array([0.0, 1.0] * 5),
            r"y \(10,\) of type float64, needed are whole numbers of classes, one a sample; write y.astype\(int\)$",
        ),
        (np.array([0.0, 0.5] * 5), r"y \(10,\) of type float64, needed are whole numbers of classes, one a sample$"),
        (
            np.array([0.0, 1.0] * 4 + [np.nan, 1.0]),
            r"y \(10,\) of type float64, nan at sample 8, .*; leave out the samples without a label$",
        ),
        (np.array(["a", "b"] * 5), r"y \(10,\) of type <U1, .*; number the classes, as np.unique\(y, return_inverse"),
        (
            np.zeros((10, 2), int),
            r"y \(10, 2\) of type int64, .*; write y.argmax\(1\), if a row has a number for each",
        ),
        (np.zeros((10, 1), int), r"y \(10, 1\) of type int64, .*; write y.reshape\(-1\)$"),
        (np.array(np.nan), r"y \(\) of type float64"),
        (np.zeros(10, [("a", "i4")]), r"y \(10,\) of type \[\('a', '<i4'\)\]"),
    ],
)
def test_labels_that_name_no_class_are_refused(y: np.ndarray, told: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=y)
    with refused(told):
        load_data(DataConfig(name="file", root=str(path)), n_steps=1)


def test_a_class_without_samples_is_named_and_not_all_of_65_000(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, x=X, y=np.array([0, 1] * 4 + [65_535, 65_535]))
    with pytest.raises(InputError, match="2, 3, 4") as error:
        load_data(DataConfig(name="file", root=str(path)), n_steps=1)
    assert len(str(error.value)) < 400


def test_the_data_limit_is_larger_than_that_of_networks() -> None:
    assert DATA_BYTES.value > NETWORK_BYTES.value


# ------------------------------------------------------------------------- arrays that nobody asked for, or has made


def many_zeros(path: Path, **small: np.ndarray) -> None:
    """A .npz file of half a megabyte, of which one array is 512 MiB."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, values in small.items():
            archive.writestr(f"{name}.npy", _npy(values))
        with archive.open("large.npy", "w") as file:
            file.write(npy_head(f"({1 << 29},)", "|u1"))
            for _ in range(32):
                file.write(bytes(1 << 24))


def test_arrays_that_nobody_asks_for_are_not_unpacked(tmp_path: Path) -> None:
    many_zeros(tmp_path / "a.npz", x=X, y=np.array([0, 1] * 5))
    with h5py.File(tmp_path / "a.h5", "w") as file:
        file["x"], file["y"] = X, np.array([0, 1] * 5)
        file.create_dataset("large", data=np.zeros(1 << 24, np.uint8), chunks=True, compression="gzip")
    (tmp_path / "folder").mkdir()
    for name, values in {"x": X, "y": np.array([0, 1] * 5), "large": np.zeros(1 << 24)}.items():
        np.save(tmp_path / "folder" / f"{name}.npy", values)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for name in ("a.npz", "a.h5", "folder"):
        config = DataConfig(name="file", root=str(tmp_path / name))
        assert len(load_data(config, n_steps=1).test) == 2
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) < 1 << 16  # in KiB


def test_an_array_is_looked_at_again_when_it_is_read(tmp_path: Path) -> None:
    x = _npy(np.arange(1 << 16))
    path = zipped(tmp_path / "a.npz", {"x.npy": x, "z.npy": x}, zipfile.ZIP_STORED)
    found = read_npz(path)
    content = path.read_bytes()
    with path.open("r+b") as file:
        file.write(content.replace(b"(65536,)", b"(99999,)"))
    with refused(r"x announces shape \(99999,\)"):
        found["x"]
    with pytest.raises(KeyError):
        found["absent"]


def test_tensors_that_repeat_what_they_show_are_counted_whole(tmp_path: Path) -> None:
    torch.save({"x": torch.zeros(1).expand(1 << 40)}, tmp_path / "a.pt")
    with refused("tensors of 4398046511104 bytes, the reader takes up to 4294967296 bytes"):
        load_weights(tmp_path / "a.pt")
    one = torch.zeros(1 << 18)
    torch.save({f"x{k}": one for k in range(5000)}, tmp_path / "b.pt")
    with refused("tensors of 5242880000 bytes"):
        read_tensors(tmp_path / "b.pt")


LIF = {"neuron/type": "LOIHI", "neuron/iDecay": 0, "neuron/vDecay": 0, "neuron/vThMant": 10}
WINDOW = {"stride": 1, "dilation": 1, "groups": 1}


@pytest.mark.parametrize(
    ("before", "layers", "told"),
    [
        (
            (1, 8, 8),
            [{"type": "pool", "kernelSize": [30000] * 2, "padding": 15000}],
            r"windows \(30000, 30000\) on 1",
        ),
        (
            (1 << 20, 4, 4),
            [{"type": "pool", "kernelSize": [30, 30], "padding": 15}],
            r"windows \(30, 30\) on 1048576",
        ),
        (
            (1, 2048, 2048),
            [{"type": "pool", "kernelSize": [1, 1], "padding": 0}, {"type": "average", "shape": [64]}],
            "a mean of 4194304 neurons in 64 groups",
        ),
        ((1, 5000, 5000), [{"type": "pool", "kernelSize": [1, 1], "padding": 0}], r"shape \(1, 5000, 5000\)"),
    ],
)
def test_what_a_net_files_numbers_make_is_counted_before_it_is_made(
    before: tuple[int, ...], layers: list[dict[str, Any]], told: str, tmp_path: Path
) -> None:
    path = tmp_path / "a.net"
    with h5py.File(path, "w") as file:
        for i, layer in enumerate([{"type": "input"}, *layers]):
            pool = {"weight": 1, **WINDOW, **LIF} if layer["type"] == "pool" else {}
            for key, value in {"shape": before, **pool, **layer}.items():
                file[f"layer/{i}/{key}"] = value
    with refused(rf"{told}.*the reader takes up to 16777216 values; if you trust the file, set SEAMOUNT_MAX_VALUES"):
        read_net(path)


@pytest.mark.parametrize("kind", ["SumPool2d", "AvgPool2d"])
def test_windows_of_a_nir_file_are_counted_before_they_are_made(kind: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nir"
    with h5py.File(path, "w") as file:
        graph = file.create_group("node")
        graph["type"], graph["edges"] = "NIRGraph", [("in", "pool"), ("pool", "out")]
        for name, node in {
            "in": {"type": "Input", "shape": [1, 8, 8]},
            "pool": {"type": kind, "kernel_size": [30000] * 2, "stride": [1, 1], "padding": [15000] * 2},
            "out": {"type": "Output", "shape": [1, 9, 9]},
        }.items():
            for key, value in node.items():
                graph[f"nodes/{name}/{key}"] = value
    with refused(r"pool: windows \(30000, 30000\) on 1 channels, the reader takes up to 16777216 values"):
        read_nir(path, NirOptions(discretisation=Discretisation(dt=1e-3)))
