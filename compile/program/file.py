"""Saves a program as one HDF5 file and loads it again; whatever is not exactly such a file is refused.

The file begins with a head of 512 bytes, HDF5's user block: the version and the SHA-256 of all that follows, as text.
The head has no freedom and is compared whole before HDF5 sees a byte, so that no changed bit goes unnoticed.
"""

from __future__ import annotations

import hashlib
import io
import json
from pathlib import Path
from typing import Any, get_args

import h5py
import numpy as np

from seamount.errors import NO_SPACE, InputError, SeamountError
from seamount.files import write_atomically
from seamount.foreign.hdf5 import DAMAGE, opened
from seamount.foreign.limits import NETWORK_BYTES
from seamount.foreign.whole import file_bytes, first_line
from seamount.windows import Window

from ..neurons.models import MODELS
from ..numbers import Ints, PerNeuron, ints
from ..synapses.kinds import Conv, Kind, Synapses
from .program import Input, Population, Program, Readout, Reset

SCHEMA = 5
"""Raise with every change of what a file holds."""

OLDEST = 2
"""Schema 2 lacks what has a default: the drive of synapses, the floor of v; up to 3 a scale is a number;
up to 4 a readout has no scale."""

MAGIC = b"seamount program "
HEAD_BYTES = 512

KINDS = {k.__name__: k for k in get_args(Kind)}
NEURONS = {k.__name__: k for k in MODELS}


NETWORK_ENDINGS = (".nir", ".net")
"""Files that are read as networks by their names."""


def save_program(program: Program, path: str | Path) -> None:
    """Writes the file in one piece, its folder, too: an interrupted write leaves what was there before.

    Raises:
        InputError: the name is that of a network's file, or it cannot be written. OSError: no space is left.
    """
    if (ending := Path(path).suffix) in NETWORK_ENDINGS:
        raise InputError(
            f"a program is written, whose name does not end in {ending}",
            where=path,
            ways_out=f"name it {Path(path).stem}.program.h5; --{ending[1:]} writes a {ending} file, too",
        )
    content = program_bytes(program)
    try:
        write_atomically(Path(path), content)
    except OSError as error:
        if error.errno in NO_SPACE:  # no fault of what was asked; the command line says what to do
            raise
        raise InputError(f"cannot be written ({error.strerror})", where=path) from None


def program_bytes(program: Program) -> bytes:
    """The file's content: the head, a description in JSON and the arrays."""
    arrays: list[Ints] = []
    text = json.dumps(_described(program, arrays), sort_keys=True)
    buffer = io.BytesIO()
    with h5py.File(buffer, "w", track_order=False, userblock_size=HEAD_BYTES) as file:
        file.create_dataset("description", data=np.frombuffer(text.encode(), dtype=np.uint8))
        folder = file.require_group("arrays") if arrays else file
        for i, array in enumerate(arrays):
            small = array.astype(np.min_scalar_type(int(np.abs(array).max(initial=0)) * -1 - 1))
            options = {"compression": "gzip", "compression_opts": 4} if small.size > 64 else {}
            folder.create_dataset(str(i), data=small, track_times=False, **options)
    return sealed(buffer.getvalue()[HEAD_BYTES:])


def sealed(body: bytes, schema: int = SCHEMA) -> bytes:
    """A file of this body, with its head."""
    head = MAGIC + f"{schema}\nsha256 {hashlib.sha256(body).hexdigest()}\n".encode()
    return head.ljust(HEAD_BYTES, b"\0") + body


def load_program(path: str | Path) -> Program:
    """The program in a file that ``save_program`` wrote.

    Raises:
        InputError: not such a file, damaged (checksum), or written by another version.
    """
    content = file_bytes(Path(path), NETWORK_BYTES)
    _check_head(content, str(path))
    try:
        with opened(content, path) as file:
            return _loaded(file, path)
    except DAMAGE as error:  # the constructors raise these, too
        raise InputError(
            f"not a readable program file ({type(error).__name__}: {first_line(error)})", where=path
        ) from None


def is_program_file(content: bytes) -> bool:
    """True where the bytes say that they are a program file of ours."""
    return content.startswith(MAGIC)


def _check_head(content: bytes, path: str) -> None:
    if not is_program_file(content):
        raise InputError("not a seamount program, or one from before version 0.1.0; compile it again", where=path)
    schema = content[len(MAGIC) : HEAD_BYTES].split(b"\n")[0]
    if not (schema.isdigit() and content == sealed(content[HEAD_BYTES:], int(schema))):
        raise InputError("the checksum does not match; the file is damaged or was changed", where=path)
    if not OLDEST <= int(schema) <= SCHEMA:
        way = "a newer seamount wrote it" if int(schema) > SCHEMA else "compile it again"
        raise InputError(
            f"schema {int(schema)}", where=path, possible=f"this version reads {OLDEST} to {SCHEMA}", ways_out=way
        )


def _loaded(file: h5py.File, path: object) -> Program:
    try:
        text = bytes(_read(file["description"]).astype(np.uint8)).decode()
        folder = file.get("arrays")
        arrays = [] if folder is None else [_read(folder[str(i)]) for i in range(len(folder))]
        return _rebuilt(json.loads(text), arrays)
    except SeamountError as error:
        # the checks of the parts name what they look at, not the file
        raise InputError.together(reason.inside(str(path)) for reason in error.reasons) from None


def _read(item: Any) -> Ints:
    if not isinstance(item, h5py.Dataset) or item.shape is None or item.dtype.kind not in "iu":
        raise InputError(f"{getattr(item, 'name', item)} is not an array of integers of this file")
    return ints(item[()])


# -------------------------------------------------------------------------------------------- description


def _described(program: Program, arrays: list[Ints]) -> dict[str, Any]:
    return {
        "name": program.name,
        "inputs": [vars(i) for i in program.inputs],
        "populations": [
            {
                "name": p.name,
                "shape": p.shape,
                "neuron": _with_arrays(p.neuron, p.neuron.parameters(), arrays),
                "reset": None if p.reset is None else [p.reset.interval, p.reset.offset],
            }
            for p in program.populations
        ],
        "synapses": [
            {
                **{
                    k: getattr(s, k) for k in ("name", "source", "target", "exponent", "graded", "wrap_bits", "drive")
                },
                "kind": _with_arrays(s.kind, _parameters(s.kind), arrays),
                "delay": _stored(s.delay, arrays),
            }
            for s in program.synapses
        ],
        "readout": None if program.readout is None else list(vars(program.readout).values()),
        "n_steps": program.n_steps,
        "timestep_s": program.timestep_s,
        "scales": {name: _described_scale(scale) for name, scale in program.scales.items()},
        "provenance": dict(program.provenance),
    }


def _described_scale(scale: PerNeuron) -> float | dict[str, Any]:
    """As text, which keeps every bit of a float64; the file's arrays hold integers."""
    if isinstance(scale, float | int):
        return scale
    return {"shape": scale.shape, "values": scale.reshape(-1).tolist()}


def _scale(told: float | dict[str, Any]) -> PerNeuron:
    if isinstance(told, float | int):
        return told
    scale = np.array(told["values"], dtype=np.float64).reshape(told["shape"])
    scale.setflags(write=False)
    return scale


def _parameters(kind: Kind) -> dict[str, Any]:
    """The fields of synapses; those of a convolution's window stand beside its weights."""
    if isinstance(kind, Conv):
        return {"weights": kind.weights, **kind.window._asdict()}
    return vars(kind)


def _with_arrays(item: Any, values: dict[str, Any], arrays: list[Ints]) -> dict[str, Any]:
    stored = {key: _stored(x, arrays) if isinstance(x, np.ndarray) else x for key, x in values.items()}
    return {"type": type(item).__name__, **stored}


def _stored(array: Ints, arrays: list[Ints]) -> dict[str, int]:
    arrays.append(array)
    return {"array": len(arrays) - 1}


def _rebuilt(told: dict[str, Any], arrays: list[Ints]) -> Program:
    def made(item: dict[str, Any], types: dict[str, Any]) -> Any:
        values = {k: _value(v, arrays) for k, v in item.items() if k != "type"}
        if types[item["type"]] is Conv:
            return Conv(values.pop("weights"), Window(**values))
        return types[item["type"]](**values)

    return Program(
        name=told["name"],
        inputs=tuple(Input(**{**i, "shape": tuple(i["shape"])}) for i in told["inputs"]),
        populations=tuple(
            Population(
                p["name"],
                tuple(p["shape"]),
                made(p["neuron"], NEURONS),
                None if p["reset"] is None else Reset(*p["reset"]),
            )
            for p in told["populations"]
        ),
        synapses=tuple(
            Synapses(**{**s, "kind": made(s["kind"], KINDS), "delay": _value(s["delay"], arrays)})
            for s in told["synapses"]
        ),
        readout=None if told["readout"] is None else Readout(*told["readout"]),
        n_steps=told["n_steps"],
        timestep_s=told["timestep_s"],
        scales={name: _scale(scale) for name, scale in told["scales"].items()},
        provenance=told["provenance"],
    )


def _value(value: Any, arrays: list[Ints]) -> Any:
    if isinstance(value, dict):
        return arrays[value["array"]]
    return tuple(value) if isinstance(value, list) else value
