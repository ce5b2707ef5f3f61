"""A network or a program on samples of one's own, from the file to the report, in one folder:

deployment.json     what was asked: source, data, how the source was read
network.nir         the network as it was given (or network.net; none of a program)
program.h5          what a chip would run
samples.npz         the samples whose layers were compared
report.json, report.html
"""

from __future__ import annotations

import os
import platform
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from seamount import __version__
from seamount.artefacts import (
    DEPLOYMENT,
    SAMPLES,
)
from seamount.asked import Asked, asked_in
from seamount.chip_samples import ChipSamples
from seamount.compile.pipeline import Compiled
from seamount.compile.program.activity import EVERY_STATE, Activity
from seamount.compile.program.file import save_program
from seamount.compile.program.messages import sending_changes
from seamount.compile.program.program import Program
from seamount.compile.program.readout import told as told_of
from seamount.config import TargetConfig
from seamount.distill.parallel import World, open_world
from seamount.distill.progress import Progress
from seamount.errors import BackendMissing, Unsupported, plural
from seamount.files import file_hash, make_folder, replacing, write_json
from seamount.hardware_targets.agreement import Agreement, compare_runs
from seamount.hardware_targets.lava import lava_status, run_on_lava
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.prepared import Prepared, prepare, source_of
from seamount.report.evidence import Answers, Evidence, Outputs, Traced
from seamount.report.report import Report
from seamount.run.answers import BATCH, write_arrays
from seamount.run.cross_check import Asking, cross_check
from seamount.run.estimates import estimates
from seamount.run.float_network import FloatRun, run_float
from seamount.run.held import run_held
from seamount.run.reporting import ORACLE, weight_bits, write_report
from seamount.run.stages.compile import rounding_lines
from seamount.run.told import Told
from seamount.run.versions import versions
from seamount.run.whole_set import WholeRun, run_all

Array = NDArray[Any]

N_LAVA = 20
"""Samples on Lava where nobody says how many."""
N_COMPARED = 64
"""Samples whose layers are compared."""
TRACES = ("spikes", EVERY_STATE)
FLOAT_NETWORK = "float network"


def deploy(asked: Asked, folder: Path, told: Told, prepared: Prepared | None = None) -> Report | None:
    """Compile, simulate, compare, estimate, report. Processes that torchrun started share the samples.

    Args:
        prepared: what ``prepare`` gave; None: it is called here.

    Returns:
        The report; None in a process that torchrun started only to help.

    Raises:
        ConfigError, InputError, Unsupported, BackendMissing: see ``prepare``; nothing is written then.
        BackendMissing: Lava is required, and stopped.
    """
    with open_world("cpu") as world:
        leads = world.rank == 0
        told = told if leads else Told()
        clock = _Clock(told)
        made = _made(prepared or prepare(asked, folder, told), clock, world)
    if not leads:
        return None
    made = _with_lava(asked, made, clock)  # alone: nobody waits in the meantime
    _write(asked, made, folder)
    evidence = _evidence(asked, folder, made, told)
    told.stage("report")
    return write_report(evidence, folder)


def again(folder: Path, told: Told, cross_check: str | None = None) -> Report | None:
    """The report of a folder once more, from what was asked for then, and perhaps ``cross_check`` too."""
    asked = asked_in(folder)
    return deploy(asked if cross_check is None else replace(asked, cross_check=cross_check), folder, told)


@dataclass(frozen=True)
class Made:
    """What was found out before it becomes a report.

    Attributes:
        compiled: None of a program, which holds integers already.
        samples: None where no data was given; then nothing was run.
        whole, floats: the first process has those of all samples; the others, which help, have none.
        traced: the run of the first samples, with all traces. floats: the network in real numbers.
        own: the answers of one's own network, (n,). outputs: its outputs after each frame, (T, n, K), if it told
            them. lava: None where it was not run.
        reasons: part of the report -> why it is missing.
    """

    compiled: Compiled | None
    program: Program
    samples: ChipSamples | None = None
    whole: WholeRun | None = None
    traced: Activity | None = None
    floats: FloatRun | None = None
    own: Array | None = None
    outputs: Array | None = None
    lava: Agreement | None = None
    reasons: Mapping[str, str] = field(default_factory=dict)
    wall_s: Mapping[str, float] = field(default_factory=dict)


def _made(prepared: Prepared, clock: _Clock, world: World) -> Made:
    """All but Lava's part, over all processes."""
    compiled, program, samples = prepared.compiled, prepared.program, prepared.samples
    clock.wall_s["compile"] = prepared.wall_s
    if samples is None:
        reason = "no samples were given, --data x.npz does"
        opinion = () if prepared.cross_check is None else ("opinion",)
        return Made(
            compiled, program, reasons=dict.fromkeys(("traced", "accuracy", "anytime", "proof", *opinion), reason)
        )
    reasons: dict[str, str] = {}
    with clock("simulate"):
        whole = run_all(
            program,
            _batches(samples),
            samples.n,
            keep_read=samples.targets is not None or prepared.outputs is not None,
            progress=clock.told.progress,
            world=world,
        )
        traced = simulate(program, samples.first(N_COMPARED).inputs, record=TRACES)
    with clock(FLOAT_NETWORK):
        floats = _floats(compiled, program, samples, reasons, clock.told.progress, world)
    own, outputs = prepared.own, prepared.outputs
    return Made(compiled, program, samples, whole, traced, floats, own, outputs, reasons=reasons)


def _with_lava(asked: Asked, made: Made, clock: _Clock) -> Made:
    if made.samples is None:
        return made
    reasons = dict(made.reasons)
    with clock("lava"):
        lava = _lava(asked, made.program, made.samples, reasons)
    if lava is None:
        reasons["proof"] = reasons["oracle"]
    return replace(made, lava=lava, reasons=reasons, wall_s=clock.wall_s)


class _Clock:
    """Tells the name of a part and notes how long it took."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.wall_s: dict[str, float] = {}

    @contextmanager
    def __call__(self, name: str) -> Iterator[None]:
        self.told.stage(name)
        start = perf_counter()
        yield
        self.wall_s[name] = perf_counter() - start


def _batches(samples: ChipSamples) -> list[Callable[[], dict[str, Array]]]:
    def batch(start: int) -> dict[str, Array]:
        return {name: x[:, start : start + BATCH] for name, x in samples.inputs.items()}

    return [partial(batch, start) for start in range(0, samples.n, BATCH)]


def _floats(
    compiled: Compiled | None,
    program: Program,
    samples: ChipSamples,
    reasons: dict[str, str],
    progress: Progress,
    world: World,
) -> FloatRun | None:
    """The network in real numbers on what the chip gets, silence at the end included."""
    if compiled is None or compiled.source is None:
        kind = "program" if compiled is None else ".net file"
        reasons["float_spikes"] = f"a {kind} holds integers, and no network in real numbers to compare with"
        return None
    n_steps = program.n_steps or 0
    padded = {
        name: np.pad(x, [(0, max(0, n_steps - len(x))), *[(0, 0)] * (x.ndim - 1)])
        for name, x in samples.inputs.items()
    }
    return run_float(compiled.source, padded, min(N_COMPARED, samples.n), progress, world)


def _lava(asked: Asked, program: Program, samples: ChipSamples, reasons: dict[str, str]) -> Agreement | None:
    status = lava_status(try_it=False)
    n = min(samples.n, N_LAVA if asked.n_lava is None else asked.n_lava)
    if n == 0:
        reasons["oracle"] = "it was not asked for, --lava 20 does"
        return None
    if not status.present:
        reasons["oracle"] = status.message
        return None
    some, traces = samples.first(n), TRACES
    try:
        on_lava = run_on_lava(program, some.inputs, record=traces)
    except (BackendMissing, Unsupported) as error:
        if asked.require_lava:
            raise
        reasons["oracle"] = str(error)
        return None
    return compare_runs(program, ("simulator", simulate(program, some.inputs, record=traces)), ("Lava", on_lava))


# ------------------------------------------------------------------------------------------------ the report


def _evidence(asked: Asked, folder: Path, made: Made, told: Told) -> Evidence:
    program, target, traced = made.program, load_target(asked.target), made.traced
    held = None
    if traced is not None and made.samples is not None:
        held = run_held(program, made.samples.first(N_COMPARED).inputs, traced, TRACES)
    counts = None if made.whole is None else made.whole.counts
    # a step of a program that sends changes is a frame, for each of which an ANN would run
    passes = (program.n_steps or 1) if sending_changes(program) else 1
    quiet = None if held is None else held[0]
    estimated = estimates(program, target, TargetConfig(), counts, traced, held=quiet, passes=passes)
    reasons = {"sweep": "this report is not part of a sweep", **estimated.reasons, **made.reasons}
    answers = _answers(made, reasons)
    compiled, opinion = made.compiled, None
    if asked.cross_check is not None and made.samples is not None and traced is not None:
        shown = Asking(program, target, estimated.placement, made.samples.first(N_COMPARED).inputs, traced)
        opinion = cross_check(shown, reasons, told)
    return Evidence(
        name=folder.name,
        program=program,
        target=target,
        reference=FLOAT_NETWORK,
        folder=str(folder),
        trained=False,
        command=told.command,
        facts=_facts(asked, made),
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        wall_s=made.wall_s,
        versions={"seamount": __version__, "python": platform.python_version(), **versions()},
        hashes=_hashes(asked),
        hardware=f"{platform.machine()}, {os.cpu_count()} cores",
        oracle=None if made.lava is None else ORACLE,
        answers=answers,
        proof=() if made.lava is None else (made.lava, *(() if held is None else held[1:])),
        traced=_traced(made),
        outputs=_outputs(made),
        full_run=None if made.whole is None else made.whole.counts,
        rounding={} if compiled is None else rounding_lines(compiled),
        weight_bits={} if compiled is None else weight_bits(compiled.to_dict()),
        assumptions=() if compiled is None else compiled.assumptions,
        deviations=(*(() if compiled is None else compiled.warnings), *estimated.assumed()),
        placement=estimated.placement,
        does_not_fit=estimated.does_not_fit,
        energy=estimated.energy,
        single_energy=estimated.single,
        held_energy=estimated.held,
        opinion=opinion,
        neurobench=estimated.neurobench,
        reasons=reasons,
    )


OF_ANSWERS = ("accuracy", "anytime")
"""Parts of the report that need answers and labels."""


def _answers(made: Made, reasons: dict[str, str]) -> list[Answers]:
    """Of one's own network, of the float one, of the program; without labels only why there are none."""
    samples, whole, floats = made.samples, made.whole, made.floats
    if samples is None or whole is None:
        return []
    if whole.per_step is None:
        reasons |= dict.fromkeys(OF_ANSWERS, _no_readout(made))
        return []
    float_steps = None if floats is None else floats.per_step
    if samples.targets is not None:
        told = f"{samples.what} holds real outputs in place of classes; their error stands with the frames"
        reasons |= dict.fromkeys(OF_ANSWERS, told)
        return []
    if samples.labels is None:
        told = _without_labels(samples, whole.per_step[-1], None if float_steps is None else float_steps[-1])
        reasons |= dict.fromkeys(OF_ANSWERS, told)
        return []
    found = []
    if made.own is not None:
        found.append(Answers("original", made.own, samples.labels))
    if float_steps is not None:
        found.append(Answers("float", float_steps[-1], samples.labels, float_steps))
    return [*found, Answers("deployed", whole.per_step[-1], samples.labels, whole.per_step)]


def _no_readout(made: Made) -> str:
    network = None if made.compiled is None else made.compiled.network
    if network is None or not network.outputs:
        return f"{made.program.name} has no readout, compile it with --readout"
    names = sorted(network.outputs)
    told = f"{made.program.name} has the outputs {', '.join(names)} and nothing says which is read"
    return f"{told}, --readout {names[0]} does"


def _without_labels(samples: ChipSamples, answers: Array, reference: Array | None) -> str:
    reason = f"{samples.what} holds no labels y"
    if reference is None:
        return reason
    n = len(answers)
    return f"{reason}; {int(np.sum(answers == reference)):,} of {n:,} answers are the float network's"


def _traced(made: Made) -> Traced | None:
    if made.traced is None or made.samples is None:
        return None
    some, n = made.samples.first(N_COMPARED), made.traced.n_samples
    return Traced(
        deployed=made.traced,
        float_spikes=None if made.floats is None else made.floats.spikes,
        float_v=None if made.floats is None else made.floats.v,
        inputs=next(iter(some.inputs.values())) if len(some.inputs) == 1 else None,
        labels=some.labels,
        note=f"the first {n} {plural(n, 'sample')}",
    )


def _outputs(made: Made) -> Outputs | None:
    readout = made.program.readout
    if made.whole is None or made.whole.read is None or made.samples is None:
        return None
    if readout is None or readout.scale is None:
        return None
    return Outputs(np.asarray(readout.real(made.whole.read)), made.outputs, made.samples.targets)


def _facts(asked: Asked, made: Made) -> tuple[tuple[str, str], ...]:
    """What a reviewer asks first: which network, read how, on which samples."""
    samples, reading = made.samples, asked.reading
    source = Path(asked.source).name + ("" if reading.written_by is None else f", written by {reading.written_by}")
    facts = [("network" if made.compiled is not None else "program", source)]
    if samples is not None:
        n_classes = 0 if samples.labels is None else len(np.unique(samples.labels))
        labels = f", labels of {n_classes} {'class' if n_classes == 1 else 'classes'}" if n_classes else ", no labels"
        facts.append(("data", f"{samples.what}, {samples.n:,} {plural(samples.n, 'sample')}{labels}"))
    if made.program.readout is not None:
        facts.append(("readout", f"{told_of(made.program.readout.quantity)} of {made.program.readout.population}"))
    return tuple(facts)


def _hashes(asked: Asked) -> dict[str, str]:
    paths = [source_of(Path(asked.source))]
    paths += [Path(p) for p in (asked.data, asked.float_answers, asked.reading.calibrate) if p is not None]
    return {path.name: file_hash(path) for path in paths if path.is_file()}


def _write(asked: Asked, made: Made, folder: Path) -> None:
    """The parts of the folder that later commands read."""
    make_folder(folder)
    source = source_of(Path(asked.source))
    kept = {name: folder / name for name in ("network.nir", "network.net")}
    if made.compiled is not None and source not in kept.values():
        for path in kept.values():
            path.unlink(missing_ok=True)
        with replacing(kept[f"network{source.suffix}"]) as fresh:
            shutil.copyfile(source, fresh)
    save_program(made.program, folder / "program.h5")
    if made.samples is not None:
        some = made.samples.first(N_COMPARED)
        labels = {} if some.labels is None or "y" in some.inputs else {"y": some.labels}
        write_arrays(folder / SAMPLES, {**some.inputs, **labels})
    write_json(folder / DEPLOYMENT, asdict(asked))
