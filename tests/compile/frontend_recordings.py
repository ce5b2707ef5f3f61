"""What another tool computed with a network that it exported, and the comparison with ours."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from seamount.compile.network.interpret import run_network
from seamount.compile.network.network import Network
from seamount.compile.nir.read import read_nir
from seamount.compile.options import compile_options
from seamount.compile.pipeline import CompileOptions

FOLDER = Path(__file__).parent / "recordings"


@dataclass(frozen=True)
class Recording:
    """One run of a tool.

    Attributes:
        settings: as given to ``--set``.
        values: the output is a potential, equal to 1e-4 of its largest value; else numbers of spikes, equal exactly.
        late: steps by which the tool's output comes later than ours.
        written: how the file came about.
        file: the NIR file's bytes.
        x, y: (T, B, *shape) input spikes and output.
    """

    tool: str
    version: str
    settings: tuple[str, ...]
    values: bool
    late: int
    written: str
    file: bytes
    x: np.ndarray[Any, Any]
    y: np.ndarray[Any, Any]

    def save(self, path: Path) -> None:
        told = {k: getattr(self, k) for k in ("tool", "version", "values", "late", "written")}
        y = self.y.astype(np.float32) if self.values else self.y.astype(np.uint8)
        settings = " ".join(self.settings)
        nir = np.frombuffer(self.file, np.uint8)
        np.savez_compressed(path, nir=nir, x=self.x.astype(np.uint8), y=y, settings=settings, **told)

    @staticmethod
    def load(path: Path) -> Recording:
        with np.load(path) as file:
            told = {k: file[k].item() for k in ("tool", "version", "values", "late", "written", "settings")}
            settings = tuple(told.pop("settings").split())
            return Recording(**told, settings=settings, file=file["nir"].tobytes(), x=file["x"], y=file["y"])

    def options(self) -> CompileOptions:
        """As ``seamount compile --from TOOL --set ...`` gives them."""
        return compile_options(written_by=self.tool, settings=list(self.settings))

    def network(self) -> Network:
        """The file as our reader understands it."""
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.nir"
            path.write_bytes(self.file)
            return read_nir(path, self.options().nir)


@dataclass(frozen=True)
class Comparison:
    bins: int
    differing: int


def compare(recording: Recording) -> Comparison:
    """Our reading of the file, run on the recorded input, against the recorded output."""
    network = recording.network()
    (shown,) = network.outputs.values()
    trace = run_network(network, recording.x.astype(np.float64))[shown]
    ours = trace.v if network.population(shown).v_th is None else trace.spikes
    theirs = recording.y.astype(np.float64)
    if recording.late:
        assert not theirs[: recording.late].any()
        ours, theirs = ours[: -recording.late], theirs[recording.late :]
    assert ours.shape == theirs.shape, (ours.shape, theirs.shape)
    if recording.values:
        return Comparison(theirs.size, int((np.abs(ours - theirs) > 1e-4 * np.abs(theirs).max()).sum()))
    return Comparison(theirs.size, int((ours != theirs).sum()))
