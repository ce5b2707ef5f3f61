"""From a source to a program: the list of steps, in order."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from seamount.errors import ConfigError, Unsupported

from .fit.chip import HasChip
from .lower.calibration import calibrate
from .lower.lower import Lowered, NumberFormat, lower
from .lower.rounding_table import RoundingTable
from .lower.scale_search import SearchOptions, choose_scales
from .net.read import NetOptions, read_net
from .network.network import Network
from .nir.read import NirOptions, read_nir
from .passes.align_startup import align_startup
from .passes.balance_latency import Schedule, balance_latency, own_delay
from .passes.emulate_soft_reset import emulate_soft_reset
from .passes.fold_pooling import fold_pooling
from .passes.fold_scale import fold_scale
from .passes.merge_linear import merge_linear
from .passes.range_analysis import RangeReport, analyse_ranges
from .passes.remove_unseen import remove_unseen
from .program.program import Program

NETWORK_PASSES: tuple[Callable[[Network], Network], ...] = (remove_unseen, fold_scale, fold_pooling, merge_linear)
"""Real numbers in, the same function out. Before them: emulate_soft_reset, where asked for."""

SoftReset = Literal["refuse", "emulate"]

PASS_NAMES = (
    "read",
    "emulate_soft_reset",
    *(p.__name__ for p in NETWORK_PASSES),
    "balance_latency",
    "quantise",
    "align_startup",
    "range_analysis",
)


@dataclass(frozen=True)
class CompileOptions:
    """How to compile.

    Attributes:
        nir: how to read a NIR source; of it, n_steps and input_bits are for ``.net`` files, too.
        net: how to read a ``.net`` source.
        search: how scales are chosen where the file gives none.
        scales: population -> scale, wins over both.
        calibration: real inputs (T, B, *shape) for the calibrated search.
        number_format: overrides what the target says.
        whole_sums: weights get no exponent below 0, so that no sum is rounded down and every sum can be cut.
        soft_reset: a reset by subtraction is refused ("refuse") or emulated (``passes/emulate_soft_reset.py``).
        print_after: name of a pass (PASS_NAMES) after which to hand the state to ``printer``.
    """

    nir: NirOptions = field(default_factory=NirOptions)
    net: NetOptions = field(default_factory=NetOptions)
    search: SearchOptions = field(default_factory=SearchOptions)
    scales: Mapping[str, float] = field(default_factory=dict)
    calibration: NDArray[np.float64] | Mapping[str, NDArray[np.float64]] | None = None
    number_format: NumberFormat | None = None
    whole_sums: bool = False
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

    def to_dict(self) -> dict[str, Any]:
        """What a report shows, in plain values."""
        return {
            "program": str(self.program).splitlines(),
            "arrival": {} if self.schedule is None else dict(self.schedule.arrival),
            "scales": dict(self.program.scales),
            "rounding": [] if self.rounding is None else self.rounding.to_dict(),
            "ranges": self.ranges.to_dict(),
            "assumptions": list(self.assumptions),
            "warnings": list(self.warnings),
        }


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
    if options.print_after is not None and options.print_after not in PASS_NAMES:
        raise ConfigError(f"print_after: no pass {options.print_after!r}, possible are {', '.join(PASS_NAMES)}")
    if isinstance(source, str | Path) and Path(source).suffix == ".net":
        return _from_net(Path(source), options)
    if options.net != NetOptions():
        told = ", ".join(k for k, v in vars(options.net).items() if v != getattr(NetOptions(), k))
        raise ConfigError(f"{told}: only a .net file is read so; leave it out")
    form = options.number_format or number_format(target)
    if options.whole_sums:
        form = replace(form, exponents=(max(0, form.exponents[0]), form.exponents[1]))
    read = source if isinstance(source, Network) else read_nir(source, options.nir)
    _print(options, "read", read)
    network = read
    asked = (emulate_soft_reset,) if options.soft_reset == "emulate" else ()
    for a_pass in (*asked, *NETWORK_PASSES):
        network = a_pass(network)
        _print(options, a_pass.__name__, network)
    schedule = balance_latency(network)
    _print(options, "balance_latency", "\n".join(_schedule_lines(schedule)))
    given = {**network.scales, **options.scales}
    names = {p.name for p in network.populations}
    if unknown := set(given) - names:
        raise ConfigError(f"scales: {', '.join(sorted(unknown))} are not populations of {network.name}")
    if options.calibration is not None and names <= set(given):
        raise ConfigError(f"{network.name}: calibration has nothing to choose, every population's scale is given")
    calibration = None
    if options.calibration is not None and options.search.method == "calibrated":
        calibration = calibrate(network, options.calibration)
    search = {} if names <= set(given) else choose_scales(network, form, options.search, calibration)
    exact = tuple(name for name in network.scales if name not in options.scales)
    moments = None if calibration is None else calibration.moments
    lowered: Lowered = lower(network, schedule, {**search, **given}, form, exact=exact, moments=moments)
    _print(options, "quantise", lowered.program)
    arrival = lowered.program.arrivals()
    remembers = any(own_delay(c).any() for c in network.connections)
    if remembers and network.n_steps is not None and any(arrival[n] != a for n, a in schedule.arrival.items()):
        raise Unsupported(
            f"{network.name}: delays in the network make its samples longer than {network.n_steps} steps; compile it "
            "without a number of steps"
        )
    program = align_startup(lowered.program, arrival, remembers=remembers)
    program = program.with_(provenance=_provenance(network, source))
    _print(options, "align_startup", program)
    ranges = analyse_ranges(program)
    _print(options, "range_analysis", "\n".join(ranges.lines()))
    return Compiled(
        source=read,
        network=network,
        program=program,
        schedule=schedule,
        rounding=lowered.table,
        ranges=ranges,
        assumptions=network.assumptions,
        warnings=(*lowered.warnings, *ranges.warnings()),
    )


def _from_net(path: Path, options: CompileOptions) -> Compiled:
    """A lava-dl file is a program already."""
    if (
        replace(options.nir, n_steps=None, input_bits=None) != NirOptions()
        or options.search != SearchOptions()
        or options.scales
        or options.calibration is not None
        or options.soft_reset != "refuse"
    ):
        raise ConfigError(
            f"{path}: a .net file holds integers in known steps already; possible settings are n_steps, input_bits, "
            f"{', '.join(vars(options.net))}"
        )
    program = read_net(path, n_steps=options.nir.n_steps, input_bits=options.nir.input_bits or 0, **vars(options.net))
    _print(options, "read", program)
    ranges = analyse_ranges(program)
    return Compiled(program=program, ranges=ranges, warnings=tuple(ranges.warnings()))


def number_format(target: HasChip | None) -> NumberFormat:
    """What a target says about numbers; Loihi's where there is none."""
    if target is None:
        return NumberFormat()
    chip = target.chip
    return NumberFormat(
        weight_bits=min(8, max(chip.weight_widths)),
        exponents=chip.weight_exponent,
        conv_exponents=(max(0, chip.weight_exponent[0]), chip.weight_exponent[1]),
        v_th_mant_max=(1 << chip.v_th_mant_bits) - 1,
        bias_mant_max=chip.bias_mant_max,
        bias_exp_max=chip.bias_exp_max,
        delay_max=chip.delay_max,
    )


def _print(options: CompileOptions, name: str, state: object) -> None:
    if options.print_after == name:
        options.printer(f"after {name}:\n{state}")


def _schedule_lines(schedule: Schedule) -> list[str]:
    lines = [f"arrival {name} {step}" for name, step in schedule.arrival.items()]
    return lines + [f"delay {name} {int(d.max(initial=0))}" for name, d in schedule.delay.items() if d.any()]


def _provenance(network: Network, source: Any) -> dict[str, str]:
    facts = {"passes": ", ".join(PASS_NAMES)}
    if network.source_sha256:
        facts["source_sha256"] = network.source_sha256
    if isinstance(source, str | Path):
        facts["source"] = Path(source).name
    if network.assumptions:
        facts["assumptions"] = "; ".join(network.assumptions)
    return facts
