"""From a source to a program: the lists of steps, in order (FROM_NETWORK, FROM_NET)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from seamount.errors import ConfigError, Unsupported
from seamount.surroundings import undisturbed

from .fit.chip import HasChip
from .formats import LOIHI, BitsSetting, check_names, weight_bits
from .lower.exact_grid import find_grids
from .lower.given_scales import GivenScales, given_scales
from .lower.joint_rounding import Moments
from .lower.lower import LoweredNetwork, Origin, lower_network
from .lower.outliers import split_outliers
from .lower.real_groups import RoundingRules
from .lower.rounding_table import RoundingTable, plain, span
from .lower.scale_search import SearchOptions, choose_scales
from .net.read import NetOptions, read_as, read_net
from .network.network import Network
from .nir.read import NirOptions, read_nir
from .nir.readout import as_asked, no_such, parted
from .numbers import PerNeuron
from .passes.align_startup import CannotStart, align_startup, mark_arrivals
from .passes.balance_latency import Schedule, balance_latency, own_delay
from .passes.cannot_work import cannot_work
from .passes.clock_biases import clock_biases
from .passes.emulate_soft_reset import emulate_soft_reset
from .passes.fold_pooling import fold_pooling
from .passes.fold_scale import fold_scale
from .passes.integrate_readout import integrate_readout
from .passes.lines_as_maps import lines_as_maps
from .passes.merge_linear import merge_linear
from .passes.range_analysis import RangeReport, analyse_ranges
from .passes.remove_unseen import remove_unseen
from .passes.written_as import LIMIT_BYTES
from .program.program import Program, Readout

if TYPE_CHECKING:
    from pandas import DataFrame

SoftReset = Literal["refuse", "emulate"]

Part = TypeVar("Part")


@dataclass(frozen=True)
class CompileOptions:
    """How to compile.

    Attributes:
        nir: how to read a NIR source; of it, n_steps, input_bits, input_shape and the readout are for ``.net`` files,
            too.
        net: how to read a ``.net`` source.
        search: how scales are chosen where the file gives none.
        scales: population -> scale, wins over both.
        calibration: real inputs (T, B, *shape) for the calibrated search.
        weight_bits: of all weights, or by synapse group or population; None: the target's widest.
        whole_sums: weights get no exponent below 0, so that no sum is rounded down and every sum can be cut.
        matrix_gib: what a chain of operators that is no single one may take, written out.
        soft_reset: a reset by subtraction is refused ("refuse") or emulated (``passes/emulate_soft_reset.py``).
        print_after: name of a step (PASS_NAMES) after which to hand the state to ``printer``.
    """

    nir: NirOptions = field(default_factory=NirOptions)
    net: NetOptions = field(default_factory=NetOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    scales: Mapping[str, float] = field(default_factory=dict)
    calibration: NDArray[np.float64] | Mapping[str, NDArray[np.float64]] | None = None
    weight_bits: BitsSetting = None
    whole_sums: bool = False
    matrix_gib: float = LIMIT_BYTES / 2**30
    soft_reset: SoftReset = "refuse"
    print_after: str | None = None
    printer: Callable[[str], None] = print


@dataclass(frozen=True)
class Compiled:
    """A program and how it came about.

    Attributes:
        source: the network as read. network: behind the network passes, what was lowered. Both, schedule and rounding
            are None for a ``.net`` file, which holds integers already.
        rounding: what rounding did, a row per population and synapse group.
        ranges: worst cases of drive, u and v.
        assumptions: what the file did not say. warnings: what may make the program differ from the network.
    """

    program: Program
    ranges: RangeReport
    source: Network | None = None
    network: Network | None = None
    schedule: Schedule | None = None
    rounding: RoundingTable | None = None
    assumptions: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<Compiled {self.program!r}>"

    def _repr_html_(self) -> str:
        from seamount.notebook import card

        return card(f"program {self.program.name}", repr(self.program), self.card_rows())

    def card_rows(self) -> list[list[str]]:
        """What rounding did, for a card; nothing of a ``.net`` file."""
        from seamount.notebook import headed

        return [] if self.rounding is None else headed(self.rounding.rows())

    def table(self) -> DataFrame:
        """What rounding did, a row a synapse group; empty of a ``.net`` file, which holds integers already."""
        from seamount.notebook import frame

        return frame([] if self.rounding is None else self.rounding.rows())

    def to_dict(self) -> dict[str, Any]:
        """What a report shows, in plain values."""
        return {
            "program": str(self.program).splitlines(),
            "arrival": {} if self.schedule is None else dict(self.schedule.arrival),
            "scales": {name: plain(scale) for name, scale in self.program.scales.items()},
            "rounding": [] if self.rounding is None else self.rounding.to_dict(),
            "ranges": self.ranges.to_dict(),
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
        }


@dataclass(frozen=True)
class Draft:
    """What is known so far; every step returns a new one.

    Attributes:
        source, options: what to compile and how. rules: for the integers.
        read: the network as read. network: behind the network passes so far.
        given: scales that came with the file, where they are kept. scales, origins: known so far, and where from.
        outliers: what is to be told of weights that stand in groups of their own.
        moments: of the connections whose weights are rounded together.
        clocked: populations whose biases come from clocks.
    """

    source: Any
    options: CompileOptions
    rules: RoundingRules = field(default_factory=RoundingRules)
    read: Network | None = None
    network: Network | None = None
    schedule: Schedule | None = None
    given: GivenScales | None = None
    scales: Mapping[str, PerNeuron] | None = None
    origins: Mapping[str, Origin] = field(default_factory=dict)
    outliers: tuple[str, ...] = ()
    moments: Mapping[str, Moments] | None = None
    lowered: LoweredNetwork | None = None
    program: Program | None = None
    ranges: RangeReport | None = None
    clocked: frozenset[str] = frozenset()


def _made(part: Part | None) -> Part:
    assert part is not None, "a step further up in the list makes it"
    return part


@dataclass(frozen=True)
class Step:
    """One step: its name, what it does, and what ``print_after`` shows of it."""

    name: str
    work: Callable[[Draft], Draft]
    shown: Callable[[Draft], object]


@undisturbed
def compile_graph(source: Any, target: HasChip | None = None, options: CompileOptions | None = None) -> Compiled:
    """A path (``.nir`` or ``.net``), a ``nir.NIRGraph`` or a ``Network`` as a program.

    Args:
        source: what to compile.
        target: whose number formats to keep to; None: Loihi's.
        options: see there.

    Raises:
        InputError, Unsupported: what cannot be carried over exactly, with the reason and what to do.
    """
    options = options or CompileOptions()
    if isinstance(source, str | Path) and Path(source).suffix == ".net":
        steps, draft = FROM_NET, Draft(Path(source), options)
        _refuse_network_options(draft)
    else:
        steps, draft = FROM_NETWORK, Draft(source, options, _rules(target, options))
        _refuse_net_options(options)
    if options.print_after is not None and options.print_after not in (names := [step.name for step in steps]):
        raise ConfigError(
            f"no pass {options.print_after!r}", where="print_after", possible=f"possible are {', '.join(names)}"
        )
    while True:
        shown: list[str] = []
        try:
            return _compiled(_worked(draft, steps, shown))
        except CannotStart as error:  # only integers tell; then from the start once more, with clocks for the biases
            clocked = draft.clocked | {reason.where for reason in error.reasons}
            if clocked == draft.clocked:
                raise
            draft = replace(draft, clocked=clocked)
            shown.clear()  # the next try shows what becomes of it
        finally:  # of a refused network, too: that is what one looks at
            for text in shown:
                options.printer(text)


def _worked(draft: Draft, steps: Iterable[Step], shown: list[str]) -> Draft:
    for step in steps:
        draft = step.work(draft)
        if step.name == draft.options.print_after:
            shown.append(f"after {step.name}:\n{step.shown(draft)}")
    return draft


def _compiled(draft: Draft) -> Compiled:
    ranges, lowered = _made(draft.ranges), draft.lowered
    return Compiled(
        source=draft.read,
        network=draft.network,
        program=_made(draft.program),
        schedule=draft.schedule,
        rounding=None if lowered is None else lowered.table,
        ranges=ranges,
        assumptions=() if draft.network is None else draft.network.assumptions,
        warnings=(
            *(() if draft.read is None else draft.read.warnings),
            *(() if draft.given is None else draft.given.warnings),
            *draft.outliers,
            *(() if lowered is None else lowered.warnings),
            *ranges.warnings(),
            *cannot_work(_made(draft.program), ranges),
        ),
    )


# -------------------------------------------------------------------------------------------------- the steps


def _read(draft: Draft) -> Draft:
    source = draft.source
    network = source if isinstance(source, Network) else read_nir(source, draft.options.nir)
    return replace(draft, read=network, network=network)


def _read_net(draft: Draft) -> Draft:
    """A lava-dl file is a program already."""
    nir, net = draft.options.nir, draft.options.net
    program = read_net(
        draft.source,
        n_steps=nir.n_steps,
        input_bits=nir.input_bits or 0,
        input_shape=nir.input_shape,
        **vars(net),
    )
    return replace(draft, program=_read_as_asked(program, nir))


def _read_as_asked(program: Program, nir: NirOptions) -> Program:
    """The program of a ``.net`` file, read by what the options name, if they do."""
    assert program.readout is not None, "the reader takes the last layer"
    neurons = {p.name: p.neuron for p in program.populations}
    name, word = parted(neurons, nir.readout)
    name, word = name or program.readout.population, nir.readout_quantity or word
    if name not in neurons:
        raise no_such(name, neurons, program.name)
    usual = read_as(neurons[name])
    chosen = as_asked(name, usual == "count", word or usual, program.name)
    return program.with_(readout=Readout(name, chosen.quantity))


def _soft_resets(draft: Draft) -> Draft:
    if draft.options.soft_reset == "refuse":  # lowering refuses them by name
        return draft
    return replace(draft, network=emulate_soft_reset(_made(draft.network)))


def _clocks(draft: Draft) -> Draft:
    return replace(draft, network=clock_biases(_made(draft.network), draft.clocked))


def _network_step(a_pass: Callable[[Network], Network]) -> Step:
    """Real numbers in, the same function out."""
    return Step(a_pass.__name__, lambda d: replace(d, network=a_pass(_made(d.network))), lambda d: d.network)


def _merge(draft: Draft) -> Draft:
    limit_bytes = int(draft.options.matrix_gib * 2**30)
    return replace(draft, network=merge_linear(_made(draft.network), limit_bytes))


def _schedule(draft: Draft) -> Draft:
    return replace(draft, schedule=balance_latency(_made(draft.network)))


def _known_scales(draft: Draft) -> Draft:
    """Scales of the options before those of the file, before those of a grid on which all numbers lie already."""
    network, options = _made(draft.network), draft.options
    names = {p.name for p in network.populations}
    if unknown := {*network.scales, *options.scales} - names:
        raise ConfigError(f"{', '.join(sorted(unknown))} are not populations of {network.name}", where="scales")
    if bad := {name: scale for name, scale in options.scales.items() if not 0 < scale < math.inf}:
        found = ", ".join(f"{name} = {scale:g}" for name, scale in bad.items())
        raise ConfigError(f"found {found}", where="scales", possible="needed are numbers above 0")
    check_names(draft.rules.bits, [c.name for c in network.connections], sorted(names), "weight_bits")
    kept = given_scales(network, draft.rules, options.scales)
    given: dict[str, PerNeuron] = {**kept.exact, **options.scales}
    if names <= set(given) and options.calibration is not None:
        raise ConfigError("calibration has nothing to choose, every population's scale is given", where=network.name)
    grids = find_grids(network, draft.rules, given)
    # the file's own scales come with numbers that lie on the grid already; one that the user changes does not
    origins: dict[str, Origin] = {
        **dict.fromkeys(grids, "grid"),
        **dict.fromkeys(kept.exact, "file"),
        **dict.fromkeys(options.scales, "user"),
    }
    return replace(draft, given=kept, scales={**grids, **given}, origins=origins)


def _outliers(draft: Draft) -> Draft:
    rules = draft.rules
    done = split_outliers(_made(draft.network), rules, _made(draft.scales))
    named = {name: rules.bits.named[old] for name, old in done.taken.items() if old in rules.bits.named}
    bits = replace(rules.bits, named={**rules.bits.named, **named})
    rules, touched = replace(rules, bits=bits), {c.target for c in done.network.connections if c.name in done.taken}
    # what is left without them may lie on a grid
    grids = find_grids(done.network, rules, {p.name for p in done.network.populations} - touched)
    return replace(
        draft,
        network=done.network,
        rules=rules,
        outliers=done.warnings,
        scales={**grids, **_made(draft.scales)},
        origins={**dict.fromkeys(grids, "grid"), **draft.origins},
    )


def _scales(draft: Draft) -> Draft:
    """What is not known is searched."""
    network, options, known = _made(draft.network), draft.options, _made(draft.scales)
    searched = [p.name for p in network.populations if p.name not in known]
    calibration = None
    if options.calibration is not None and options.search.method == "calibrated":
        from .lower.calibration import calibrate  # here, because it brings torch

        calibration = calibrate(network, options.calibration)
    found = choose_scales(network, draft.rules, options.search, calibration, known)
    return replace(
        draft,
        scales={**found, **known},
        origins={**dict.fromkeys(searched, "search"), **draft.origins},
        moments=None if calibration is None else calibration.moments,
    )


def _integers(draft: Draft) -> Draft:
    network = _made(draft.network)
    lowered = lower_network(
        network,
        _made(draft.schedule),
        _made(draft.scales),
        draft.rules,
        origins=draft.origins,
        moments=draft.moments,
    )
    return replace(draft, lowered=lowered, program=lowered.program)


def _startup(draft: Draft) -> Draft:
    network, program = _made(draft.network), _made(draft.program)
    remembers = any(own_delay(c).any() for c in network.connections)
    due = _made(draft.schedule).arrival
    # the network's own delays are latency to the program: its first value comes after the schedule's step
    if remembers and network.n_steps is not None:
        program = mark_arrivals(program, due)
    arrival = program.arrivals()
    if remembers and network.n_steps is not None and any(arrival[n] != a for n, a in due.items()):
        raise Unsupported(
            f"delays in the network make its samples longer than {network.n_steps} steps",
            where=network.name,
            ways_out="compile it without a number of steps",
        )
    # a bias acts from the network's first step on, also where its delays bring the first value later
    start = {**arrival, **due} if remembers else arrival
    aligned = align_startup(program, start, remembers=remembers)
    return replace(draft, program=aligned.with_(provenance=_provenance(network, draft)))


def _ranges(draft: Draft) -> Draft:
    return replace(draft, ranges=analyse_ranges(_made(draft.program)))


def _provenance(network: Network, draft: Draft) -> dict[str, str]:
    facts, source = {"passes": ", ".join(PASS_NAMES)}, draft.source
    if draft.options.weight_bits is not None:
        facts["weight_bits"] = str(draft.rules.bits)
    if network.source_sha256:
        facts["source_sha256"] = network.source_sha256
    if isinstance(source, str | Path):
        facts["source"] = Path(source).name
    if network.assumptions:
        facts["assumptions"] = "; ".join(network.assumptions)
    return facts


# -------------------------------------------------------------------------------------------------- the lists


def _network_shown(draft: Draft) -> object:
    return draft.network


def _program_shown(draft: Draft) -> object:
    return draft.program


def _schedule_shown(draft: Draft) -> str:
    schedule = _made(draft.schedule)
    lines = [f"arrival {name} {step}" for name, step in schedule.arrival.items()]
    return "\n".join(lines + [f"delay {n} {int(d.max(initial=0))}" for n, d in schedule.delay.items() if d.any()])


def _scales_shown(draft: Draft) -> str:
    known = [f"scale {name} {span(scale)}" for name, scale in _made(draft.scales).items()]
    return "\n".join(known or ["scale of none"])


def _ranges_shown(draft: Draft) -> str:
    return "\n".join(_made(draft.ranges).lines())


FROM_NETWORK: tuple[Step, ...] = (
    Step("read", _read, _network_shown),
    Step("emulate_soft_reset", _soft_resets, _network_shown),
    Step("clock_biases", _clocks, _network_shown),
    _network_step(integrate_readout),
    _network_step(remove_unseen),
    _network_step(lines_as_maps),
    _network_step(fold_scale),
    _network_step(fold_pooling),
    Step("merge_linear", _merge, _network_shown),
    Step("known_scales", _known_scales, _scales_shown),
    Step("split_outliers", _outliers, _network_shown),
    Step("balance_latency", _schedule, _schedule_shown),
    Step("choose_scales", _scales, _scales_shown),
    Step("quantise", _integers, _program_shown),
    Step("align_startup", _startup, _program_shown),
    Step("range_analysis", _ranges, _ranges_shown),
)
"""A NIR file or graph, or a network: physical time and real numbers become steps and integers."""

FROM_NET: tuple[Step, ...] = (
    Step("read", _read_net, _program_shown),
    Step("range_analysis", _ranges, _ranges_shown),
)
"""A ``.net`` file of lava-dl: integers in steps already."""

PASS_NAMES = tuple(step.name for step in FROM_NETWORK)


# --------------------------------------------------------------------------------------------------- options


SHARED = ("n_steps", "input_bits", "input_shape", "readout", "readout_quantity")
"""Of ``NirOptions``, what is for ``.net`` files, too."""


def _refuse_network_options(draft: Draft) -> None:
    options = draft.options
    if (
        any(value != getattr(NirOptions(), key) for key, value in vars(options.nir).items() if key not in SHARED)
        or options.search != SearchOptions()
        or options.scales
        or options.calibration is not None
        or options.weight_bits is not None
        or options.soft_reset != "refuse"
        or options.matrix_gib != CompileOptions.matrix_gib
    ):
        raise ConfigError(
            "a .net file holds integers in known steps already",
            where=draft.source,
            ways_out=f"possible settings are {', '.join((*SHARED, *vars(options.net)))}",
        )


def _refuse_net_options(options: CompileOptions) -> None:
    told = ", ".join(k for k, v in vars(options.net).items() if v != getattr(NetOptions(), k))
    if told:
        raise ConfigError("only a .net file is read so", where=told, ways_out="leave it out")


def _rules(target: HasChip | None, options: CompileOptions) -> RoundingRules:
    """What a target and the options say about numbers; Loihi's where there is no target."""
    formats = LOIHI if target is None else target.chip.formats
    return RoundingRules(formats, weight_bits(options.weight_bits, formats), options.whole_sums)
