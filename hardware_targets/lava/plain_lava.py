"""Runs a network that is written down in a folder (network.json, arrays.npz, inputs.npz) on Lava, in fixed point.

    python run.py [FOLDER]

inputs.npz holds one integer array per input, (steps, samples, *shape). ``traces(FOLDER)`` reads what was recorded.

This file needs lava-nc 0.10.0 and numpy, and nothing else: it is also the ``run.py`` of exported folders. Every
number is computed by Lava's own fixed-point process models; the classes below only start them afresh for each sample
and write down what they did, because reading a trace through ``Monitor`` or ``Var.get`` costs more than the run.
"""

from __future__ import annotations

import contextlib
import ctypes
import dataclasses
import functools
import json
import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]

STATES = ("u", "v", "sigma", "act", "residue", "error", "real", "imag", "v2", "i", "theta", "r", "a_buff", "a_buf")
"""Variables of Lava's models that a sample changes."""

SLOTS = 8
"""Steps that Lava may buffer per connection (64 unless told): memory in /dev/shm, of which containers have little."""


# ---------------------------------------------------------------------------------- Lava 0.10.0 on current Python


def make_importable() -> None:
    """Lets lava-nc 0.10.0 import and run on Python 3.11 and later and on numpy without ``newshape``; files stay as
    they are."""
    _hash_byte_encoder()
    from lava.magma.core.process.ports.ports import ReshapePort

    # np.reshape(..., newshape=) went with numpy 2.4
    ReshapePort.get_transform_func_fwd = lambda self: functools.partial(_reshape, self.shape)
    ReshapePort.get_transform_func_bwd = lambda self: functools.partial(_reshape, self.old_shape)


def _hash_byte_encoder() -> None:
    """Python 3.11 refuses ``ByteEncoder()`` as a default of a dataclass field, unless it can be hashed."""
    original = dataclasses.dataclass

    def dataclass(cls: type | None = None, /, **options: Any) -> Any:
        if cls is not None and cls.__name__ == "ByteEncoder":
            options["unsafe_hash"] = True
        return original(cls, **options)

    dataclasses.dataclass = dataclass
    try:
        import lava.magma.compiler.var_model  # noqa: F401
    finally:
        dataclasses.dataclass = original


def _reshape(shape: tuple[int, ...], data: Array) -> Array:
    return np.reshape(data, shape)


def _say(folder: Path, why: str) -> None:
    """Why the run ends early; names of programs may hold what UTF-8 does not."""
    (folder / "error.txt").write_text(why, encoding="utf-8", errors="backslashreplace")


# ------------------------------------------------------------------------------------------------ process models


class Watched:
    """A Lava process model that starts afresh with each sample, writes down what it does, and says why it died."""

    proc_params: Any
    time_step: int
    sent: Any

    def run_spk(self) -> None:
        try:
            self._run_one_step()
        except BaseException as error:
            self._report(error)
            raise

    def _run_one_step(self) -> None:
        task = self.proc_params["task"]
        absolute = self.time_step
        if absolute == 1:
            self._first_step(task)
        if task["restart"]:
            step = (absolute - 1) % task["period"]
            if step == 0:
                for name, value in self._initial.items():
                    setattr(self, name, value.copy())  # not into the old one, which may be what a port received
            self.time_step = step + 1  # LIFReset counts the steps of its own sample
        self._lava_step()
        self.time_step = absolute
        if absolute == 1:
            self._check_weights(task)
        self._write(task, absolute - 1)

    def _lava_step(self) -> None:
        super().run_spk()  # type: ignore[misc]

    def _first_step(self, task: Mapping[str, Any]) -> None:
        states = [n for n in STATES if isinstance(getattr(self, n, None), np.ndarray)]
        self._initial = {name: getattr(self, name).copy() for name in states}
        weights = getattr(self, "weights", None)
        self._given = None if weights is None else weights.copy()
        self._maps = {n: np.load(path, mmap_mode="r+") for n, path in task["records"].items()}

    def _check_weights(self, task: Mapping[str, Any]) -> None:
        now = getattr(self, "weights", None)
        if self._given is not None and abs(self._given - now).max() != 0:
            raise ValueError(f"{task['name']}: Lava changed the weights that it was given")

    def _write(self, task: Mapping[str, Any], step: int) -> None:
        """Into the files of this node, where the step lies in the window that shows a sample."""
        sample, step = divmod(step - task["start"], task["period"])
        if not self._maps or not (0 <= sample < task["samples"] and step < task["length"]):
            return
        sent = np.asarray(self.sent).reshape(-1)
        is_last = step == task["length"] - 1
        for name, file in self._maps.items():
            match name:
                case "spikes":
                    file[sample, step] = sent
                case "counts":
                    file[sample] += sent != 0
                case _ if not _once_a_sample(name):
                    file[sample, step] = self._state(name)
                case _ if is_last:
                    file[sample] = self._state(name.removeprefix("last_"))

    def _state(self, name: str) -> Array:
        variable = self.proc_params["task"]["variables"].get(name, name)
        values: Array = getattr(self, variable).reshape(-1)
        return values

    def spiking_activation(self) -> Any:
        self.sent = super().spiking_activation()  # type: ignore[misc]
        return self.sent

    def _report(self, error: BaseException) -> None:
        task = self.proc_params["task"]
        text = f"{task['name']}: {type(error).__name__}: {error}\n{traceback.format_exc()}"
        _say(Path(task["folder"]), text)


class WatchedSender(Watched):
    """A model that hands what it sends straight to its port."""

    s_out: Any

    def _first_step(self, task: Mapping[str, Any]) -> None:
        super()._first_step(task)
        send = self.s_out.send

        def watched(values: Any) -> None:
            self.sent = np.array(values)
            send(values)

        self.s_out.send = watched


@functools.cache
def _models() -> dict[type, type]:
    """Lava's process -> the model that runs it: Lava's own, watched."""
    from lava.magma.core.model.py.type import LavaPyType
    from lava.proc.atrlif import models as atrlif
    from lava.proc.atrlif.process import ATRLIF
    from lava.proc.conv import models as conv
    from lava.proc.conv.process import Conv
    from lava.proc.dense import models as dense
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.graded import models as graded
    from lava.proc.graded.process import GradedReluVec, GradedVec, NormVecDelay
    from lava.proc.io import sink
    from lava.proc.lif import models as lif
    from lava.proc.lif.process import LIF, LIFReset, TernaryLIF
    from lava.proc.prodneuron import models as prodneuron
    from lava.proc.prodneuron.process import ProdNeuron
    from lava.proc.rf import models as rf
    from lava.proc.rf.process import RF
    from lava.proc.rf_iz import models as rf_iz
    from lava.proc.rf_iz.process import RF_IZ
    from lava.proc.sdn import models as sdn
    from lava.proc.sdn.process import Delta, Sigma, SigmaDelta
    from lava.proc.sparse import models as sparse
    from lava.proc.sparse.process import DelaySparse, Sparse

    class WatchedConv(Watched, conv.PyConvModelFixed):
        # Lava holds these in int8: 128 groups or a padded side of 128 pixels would not fit
        kernel_size = LavaPyType(np.ndarray, np.int32)
        stride = LavaPyType(np.ndarray, np.int32)
        padding = LavaPyType(np.ndarray, np.int32)
        dilation = LavaPyType(np.ndarray, np.int32)
        groups = LavaPyType(np.ndarray, np.int32)

    class WatchedSink(Watched, sink.PyReceiveModelFixed):
        def _lava_step(self) -> None:
            self.sent = self.a_in.recv()

    originals: dict[type, type] = {
        LIF: lif.PyLifModelBitAcc,
        LIFReset: lif.PyLifResetModelBitAcc,
        TernaryLIF: lif.PyTernLifModelFixed,
        Dense: dense.PyDenseModelBitAcc,
        DelayDense: dense.PyDelayDenseModelBitAcc,
        Sparse: sparse.PySparseModelBitAcc,
        DelaySparse: sparse.PyDelaySparseModelBitAcc,
    }
    senders: dict[type, type] = {
        ATRLIF: atrlif.PyATRLIFModelFixed,
        Delta: sdn.PyDeltaModelFixed,
        SigmaDelta: sdn.PySigmaDeltaModelFixed,
        Sigma: sdn.PySigmaModelFixed,
        RF: rf.PyRFModelFixed,
        RF_IZ: rf_iz.PyRF_IZModelFixed,
        GradedVec: graded.PyGradedVecModelFixed,
        GradedReluVec: graded.PyGradedReluVecModelFixed,
        NormVecDelay: graded.NormVecDelayModel,
        ProdNeuron: prodneuron.PyProdNeuronModelFixed,
    }
    kinds = dict.fromkeys(originals, Watched) | dict.fromkeys(senders, WatchedSender)
    watched = {
        process: type(f"Watched{model.__name__}", (kinds[process], model), {})
        for process, model in (originals | senders).items()
    }
    return watched | {Conv: WatchedConv, sink.RingBuffer: WatchedSink}


# ------------------------------------------------------------------------------------------------- the network


def build(network: Mapping[str, Any], arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> list[Any]:
    """The network's Lava processes, connected."""
    made = [_process(i, node, arrays, inputs) for i, node in enumerate(network["nodes"])]
    for source, target, changes, name in network["edges"]:
        port = made[source].a_out if hasattr(made[source], "a_out") else made[source].s_out
        for change in changes:
            if change == "reverse":
                port = port.transpose([2, 1, 0])
            elif change == "flatten":
                port = port.flatten()
            else:
                port = port.reshape(tuple(change))
        port.connect(getattr(made[target], name or ("s_in" if hasattr(made[target], "s_in") else "a_in")))
    return made


def _process(i: int, node: Mapping[str, Any], arrays: Mapping[str, Array], inputs: Mapping[str, Array]) -> Any:
    from lava.proc import io
    from lava.proc.atrlif.process import ATRLIF
    from lava.proc.conv.process import Conv
    from lava.proc.dense.process import DelayDense, Dense
    from lava.proc.graded.process import GradedReluVec, GradedVec, NormVecDelay
    from lava.proc.lif.process import LIF, LIFReset, TernaryLIF
    from lava.proc.prodneuron.process import ProdNeuron
    from lava.proc.rf.process import RF
    from lava.proc.rf_iz.process import RF_IZ
    from lava.proc.sdn.process import ActivationMode, Delta, Sigma, SigmaDelta
    from lava.proc.sparse.process import DelaySparse, Sparse
    from lava.utils.weightutils import SignMode

    settings = dict(node["settings"])
    settings |= {name: arrays[f"{i}.{name}"] for name in node["arrays"]}
    for name in ("shape", "input_shape"):
        if name in settings:
            settings[name] = tuple(settings[name])
    if "sign_mode" in settings:
        settings["sign_mode"] = SignMode[settings["sign_mode"]]
    if "act_mode" in settings:
        settings["act_mode"] = ActivationMode[settings["act_mode"]]
    makers: dict[str, Callable[..., Any]] = {
        "LIF": LIF,
        "LIFReset": LIFReset,
        "TernaryLIF": TernaryLIF,
        "Dense": Dense,
        "DelayDense": DelayDense,
        "Conv": Conv,
        "ATRLIF": ATRLIF,
        "Delta": Delta,
        "SigmaDelta": SigmaDelta,
        "Sigma": Sigma,
        "RF": RF,
        "RF_IZ": RF_IZ,
        "GradedVec": GradedVec,
        "GradedReluVec": GradedReluVec,
        "ProdNeuron": ProdNeuron,
        "NormVecDelay": NormVecDelay,
    }
    match node["type"]:
        case "Source":
            return io.source.RingBuffer(data=inputs[node["name"]])
        case "Sink":
            return io.sink.RingBuffer(shape=settings["shape"], buffer=1)
        case "Sparse":
            return Sparse(**_matrices(settings))
        case "DelaySparse":
            return DelaySparse(**_matrices(settings))
        case kind:
            made = makers[kind](**settings)
            for name, value in node["initial"].items():
                getattr(made, name).init = value
            return made


def _matrices(settings: dict[str, Any]) -> dict[str, Any]:
    """Settings of a sparse process with its weights, and delays if it has them, as scipy matrices."""
    from scipy.sparse import csr_matrix

    where = settings.pop("rows"), settings.pop("columns")
    size = settings.pop("n_target"), settings.pop("n_source")
    for name in ("weights", "delays"):
        if name in settings:
            settings[name] = csr_matrix((settings[name], where), shape=size, dtype=int)
    return settings


# ----------------------------------------------------------------------------------------------------- a run


def run(folder: Path) -> None:
    """Run the network of a folder; ``results/I.QUANTITY.npy`` hold what node I was asked to record."""
    make_importable()
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg

    network = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    with np.load(folder / "arrays.npz") as stored:
        arrays = dict(stored)
    given: dict[str, Array] = {}
    if any(node["type"] == "Source" for node in network["nodes"]):
        with np.load(folder / "inputs.npz") as stored:
            given = dict(stored)
    # what biases alone drive is one sample
    n_samples = next((x.shape[1] for x in given.values()), 1)
    total_steps = (n_samples - 1) * network["period"] + network["steps"]
    inputs = {
        node["name"]: _stream(given[node["name"]], network["period"], total_steps, node)
        for node in network["nodes"]
        if node["type"] == "Source"
    }
    made = build(network, arrays, inputs)
    (folder / "results").mkdir(exist_ok=True)
    for i, (node, process) in enumerate(zip(network["nodes"], made, strict=True)):
        if node["type"] != "Source":
            process.proc_params.overwrite("task", _task(folder, i, network, n_samples))
    config = Loihi2SimCfg(select_tag="fixed_pt", exception_proc_model_map=_models())
    for i in _one_of_each_part(network):
        made[i].create_runtime(run_cfg=config, compile_config={"pypy_channel_size": SLOTS})
        with _watching(folder):
            made[i].run(condition=RunSteps(num_steps=total_steps))
        made[i].stop()


@contextlib.contextmanager
def _watching(folder: Path) -> Iterator[None]:
    """Lava waits for ever for a process that was killed; writes error.txt if one of them is."""
    done = threading.Event()
    processes = multiprocessing.active_children()

    def watch() -> None:
        while not done.wait(0.2):
            codes = [p.exitcode for p in processes if p.exitcode]
            if codes and not (folder / "error.txt").exists():
                hint = "; is /dev/shm or the memory full?" if codes[0] < 0 else ""
                _say(folder, f"one of its processes ended with code {codes[0]}{hint}")

    threading.Thread(target=watch, daemon=True).start()
    try:
        yield
    finally:
        done.set()


def _die_with_parent() -> None:
    """In a forked process: Linux kills it when the process that forked it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def _stream(values: Array, period: int, total_steps: int, node: Mapping[str, Any]) -> Array:
    """(steps, samples, *shape) laid out as Lava's source wants it: one sample after the other, time last."""
    stream = np.zeros((total_steps, *values.shape[2:]), np.int32)
    for sample in range(values.shape[1]):
        ours = stream[sample * period : (sample + 1) * period]
        n = min(len(values), len(ours))
        ours[:n] = values[:n, sample]
        if node["settings"]["held"]:  # a frame whose end would be a change
            ours[n:] = values[-1, sample]
    return np.moveaxis(stream.transpose(0, 3, 2, 1) if node["is_whc"] else stream, 0, -1)


def _one_of_each_part(network: Mapping[str, Any]) -> list[int]:
    """Lava runs what is connected: a node of each part that has neurons."""
    part = list(range(len(network["nodes"])))
    for source, target, *_ in network["edges"]:
        part = [part[source] if p == part[target] else p for p in part]
    firsts = {part[i]: i for i, node in enumerate(network["nodes"]) if node["records"]}
    return list(firsts.values())


def _task(folder: Path, i: int, network: Mapping[str, Any], n_samples: int) -> dict[str, Any]:
    """What the model of node i has to know, with its record files made."""
    node = network["nodes"][i]
    records = {}
    for name in node["records"]:
        rows = (n_samples,) if _once_a_sample(name) else (n_samples, node["length"])
        size = int(np.prod(node["settings"]["shape"]))
        records[name] = str(folder / "results" / f"{i}.{name}.npy")
        np.lib.format.open_memmap(records[name], "w+", np.int64 if name == "counts" else np.int32, (*rows, size))
    run = {"samples": n_samples, "period": network["period"], "restart": network["restart"]}
    window = {"start": node["start"], "length": node["length"]}
    told = {"name": node["name"], "variables": node["variables"], "folder": str(folder), "records": records}
    return told | run | window


def _once_a_sample(name: str) -> bool:
    """Whether a record holds one row a sample, not one a step."""
    return name == "counts" or name.startswith("last_")


def traces(folder: Path) -> dict[str, dict[str, Array]]:
    """What was recorded: quantity -> population -> values, maps as (C, H, W).

    "spikes" and states ("v", "u", ...) are (steps, samples, *shape), 0 where the population does not show the sample;
    "counts" and "last_v", "last_u", ... are (samples, *shape).
    """
    network = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    found: dict[str, dict[str, Array]] = {}
    for i, node in enumerate(network["nodes"]):
        for name in node["records"]:
            values = np.load(folder / "results" / f"{i}.{name}.npy", mmap_mode="r")
            values = values.reshape(*values.shape[:-1], *node["settings"]["shape"])
            values = np.moveaxis(values, (-1, -2, -3), (-3, -2, -1)) if node["is_whc"] else values
            if not _once_a_sample(name):
                binary = name == "spikes" and node["type"] in ("LIF", "LIFReset")
                shape = (network["steps"], len(values), *values.shape[2:])
                whole = np.zeros(shape, np.uint8 if binary else np.int32)
                whole[node["start"] : node["start"] + node["length"]] = values.swapaxes(0, 1)
                values = whole
            found.setdefault(name, {})[node["name"]] = np.array(values)
    return found


def _tell(folder: Path) -> bool:
    """Prints spike counts, and whether all is as expected.npz says; false if it is not."""
    found = traces(folder)
    for name, counts in found["counts"].items():
        print(f"{name}: {int(counts.sum())} spikes in {len(counts)} samples")
    if not (folder / "expected.npz").exists():
        return True
    n_compared = n_differing = 0
    with np.load(folder / "expected.npz") as expected:
        for key in expected.files:
            quantity, _, name = key.partition(":")
            n_compared += expected[key].size
            n_differing += int(np.count_nonzero(expected[key] != found[quantity][name]))
    print(f"{n_compared} values compared with expected.npz, {n_differing} differ")
    return n_differing == 0


def main() -> None:
    if sys.argv[1:] == ["--check"]:
        make_importable()
        _models()
        return
    arguments = [a for a in sys.argv[1:] if not a.startswith("--")]
    folder = Path(arguments[0] if arguments else ".").resolve()
    os.register_at_fork(after_in_child=_die_with_parent)
    try:
        run(folder)
    except BaseException as error:
        if not (folder / "error.txt").exists():
            _say(folder, f"{type(error).__name__}: {error}\n{traceback.format_exc()}")
        raise
    (folder / "done").touch()
    if "--quiet" not in sys.argv and not _tell(folder):
        sys.exit(1)


if __name__ == "__main__":
    main()
