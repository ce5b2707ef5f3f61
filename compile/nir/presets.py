"""What NIR leaves open, and what each tool that writes NIR means by it.

NIR holds no time step, no time unit and no reset rule. ``Discretisation`` names the open questions, ``PRESETS``
answers them per tool; an explicit option wins over the file's metadata, metadata over the preset, the preset over
the default. ``resolve`` says where each answer came from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from functools import cache
from typing import Any, Literal, get_args, get_type_hints

from seamount.errors import ConfigError, InputError


@dataclass(frozen=True)
class Discretisation:
    """Answers to what NIR leaves open; None: not answered here.

    Attributes:
        dt: time step, in ``time_unit``.
        time_unit: what the file's time constants count in. "steps" needs no dt.
        decay: a = dt / tau ("euler") or 1 - exp(-dt / tau) ("exp").
        spike: a spike is the value 1 during its step ("bin") or an impulse of area 1 ("dirac").
        reset: to v_reset or by subtraction of v_threshold; "-next-step" acts a step late, behind the decay and the
            input of that step (snnTorch); "subtract-spyx" does so in I, IF and LIF, and at once in CubaLIF.
        threshold: fires where v > or >= v_threshold.
        multi_spike: several spikes in one step (floor of v / v_threshold).
        init: v starts at v_leak, zero or v_reset.
        first_step_feedback: an Affine inside of a loop adds its bias at step 0 ("bias") or not ("absent").
        cuba_order: the current drives v before it decays ("fresh") or after ("decayed").
        current: CubaLIF's input enters with w_in * a_syn ("ode") or with w_in alone ("jump": i = (1 - a) i + w_in x).
        integrator: I and IF add r * dt * x ("dt") or r * x ("step").
        membrane: the drive of LIF, CubaLI and CubaLIF enters v with r * a_mem ("ode") or with 1 ("unit": the tool
            ignores r).
        li: LI's drive enters with r * a_mem ("ode"), with 1 ("unit") or with 1 - a_mem ("decayed").
        tau: time constants as meant ("plain") or multiplied by dt once too often ("times-dt", norse 1.1.0).
        output: IF's, LIF's and CubaLIF's spikes leave in the step in which v crosses ("same-step") or one later
            ("next-step"); what a graph's Output shows is not shifted.
    """

    dt: float | None = None
    time_unit: Literal["s", "ms", "steps"] | None = None
    decay: Literal["euler", "exp"] | None = None
    spike: Literal["bin", "dirac"] | None = None
    reset: Literal["value", "subtract", "value-next-step", "subtract-next-step", "subtract-spyx"] | None = None
    threshold: Literal[">", ">="] | None = None
    multi_spike: Literal["off", "on"] | None = None
    init: Literal["leak", "zero", "reset"] | None = None
    first_step_feedback: Literal["bias", "absent"] | None = None
    cuba_order: Literal["fresh", "decayed"] | None = None
    current: Literal["ode", "jump"] | None = None
    integrator: Literal["dt", "step"] | None = None
    membrane: Literal["ode", "unit"] | None = None
    li: Literal["ode", "unit", "decayed"] | None = None
    tau: Literal["plain", "times-dt"] | None = None
    output: Literal["same-step", "next-step"] | None = None

    def __post_init__(self) -> None:
        for key, value in vars(self).items():
            if key != "dt" and value is not None and (not isinstance(value, str) or value not in choices(key)):
                raise ConfigError(f"found {value!r}", where=key, possible=f"possible are {', '.join(choices(key))}")
        if self.dt is not None and not (isinstance(self.dt, int | float) and 0 < self.dt < float("inf")):
            raise ConfigError(f"found {self.dt!r}", where="dt", possible="needed is a number above 0")


@cache
def choices(key: str) -> tuple[str, ...]:
    """The possible values of a field of Discretisation (not of dt)."""
    literal, _ = get_args(get_type_hints(Discretisation)[key])  # Literal[...] | None
    return get_args(literal)


DEFAULTS = Discretisation(
    time_unit="s",
    decay="euler",
    spike="bin",
    reset="value",
    threshold=">",
    multi_spike="off",
    init="zero",
    first_step_feedback="bias",
    cuba_order="fresh",
    current="ode",
    integrator="dt",
    membrane="ode",
    li="ode",
    tau="plain",
    output="same-step",
)

_NORSE = Discretisation(init="leak", first_step_feedback="absent", current="jump", integrator="step")

PRESETS: Mapping[str, Discretisation] = {
    "nir": Discretisation(),
    "norse": Discretisation(**{**vars(_NORSE), "tau": "times-dt"}),
    "norse-head": _NORSE,
    "snntorch": Discretisation(dt=1e-4, reset="subtract-next-step"),
    "sinabs": Discretisation(
        time_unit="steps", decay="exp", threshold=">=", multi_spike="on", reset="subtract", li="unit"
    ),
    "spikingjelly": Discretisation(dt=1e-4, threshold=">=", init="reset"),
    "rockpool": Discretisation(
        decay="exp",
        threshold=">=",
        multi_spike="on",
        reset="subtract",
        cuba_order="decayed",
        current="jump",
        membrane="unit",
        li="decayed",
    ),
    "spyx": Discretisation(
        time_unit="steps",
        reset="subtract-spyx",
        current="jump",
        integrator="step",
        membrane="unit",
        li="unit",
        output="next-step",
    ),
    "hxtorch": Discretisation(time_unit="ms", dt=1e-3, spike="dirac"),
    "lava": Discretisation(),
    "nengo": Discretisation(decay="exp"),
}
"""``--from``: what each tool means (nothing here: NIR's own text and DEFAULTS)."""

NOT_WRITTEN: Mapping[str, str] = {
    "norse": "norse 1.1.0 writes neither v_reset (read as 0) nor the way of the reset (read as to v_reset)",
    "norse-head": "norse does not write the way of the reset (read as to v_reset)",
    "snntorch": (
        "snnTorch does not write reset_mechanism and reset_delay (read as its defaults, by subtraction a step late; "
        "'zero' is reset=value for Leaky and reset=value-next-step for Synaptic, RLeaky, RSynaptic), inhibition, "
        "state_quant, graded_spikes_factor, AvgPool2d's padding"
    ),
    "sinabs": (
        "sinabs does not write norm_input (read as its defaults, LIF normalised, ExpLeak not; where LIF is not: "
        "membrane=unit), spike_fn and reset_fn (MultiSpike, MembraneSubtract; SingleSpike is multi_spike=off, "
        "MembraneReset is reset=value), tau_syn, min_v_mem (none)"
    ),
    "rockpool": "rockpool does not write w_rec and bias of LIFTorch, bias of LIFNeuronTorch, noise (read as none)",
    "spyx": (
        "spyx does not write Conv's dilation (read as 1); its spikes come a step later than those of the outputs here"
    ),
}
"""What a tool's exporter leaves out although its networks depend on it, and what is taken instead; always told."""


@dataclass(frozen=True)
class Resolved:
    """A Discretisation in which only dt may be open, and a line for each answer that the file did not give itself.

    Attributes:
        assumptions: field of Discretisation (or "preset", for what its tool does not write) -> line.
    """

    settings: Discretisation
    assumptions: Mapping[str, str]


def resolve(preset: str, options: Discretisation, metadata: Mapping[str, Any]) -> Resolved:
    """Options over metadata over preset over defaults.

    Args:
        preset: a name in PRESETS.
        options: what the user set explicitly.
        metadata: the file's "discretization" group; keys that are not ours are left alone.
    """
    if preset not in PRESETS:
        raise ConfigError("no such preset", where=f"--from {preset}", possible=f"possible are {', '.join(PRESETS)}")
    told = _from_metadata(metadata)
    values: dict[str, Any] = {}
    assumptions: dict[str, str] = {}
    for entry in fields(Discretisation):
        key = entry.name
        sources = (
            (options, "option"),
            (told, "metadata"),
            (PRESETS[preset], f"preset {preset}"),
            (DEFAULTS, "default"),
        )
        value, source = next(
            ((getattr(given, key), source) for given, source in sources if getattr(given, key) is not None),
            (None, ""),
        )
        values[key] = value
        if value is not None and source != "metadata":
            assumptions[key] = f"{key} = {value} ({source})"
    if preset in NOT_WRITTEN:
        assumptions["preset"] = f"not in the file: {NOT_WRITTEN[preset]}"
    return Resolved(Discretisation(**values), assumptions)


def _from_metadata(metadata: Mapping[str, Any]) -> Discretisation:
    known = {entry.name for entry in fields(Discretisation)}
    given: dict[str, Any] = {}
    for key, value in metadata.items():
        if key in known:
            given[key] = float(value) if key == "dt" and isinstance(value, int | float) else value
    try:
        return Discretisation(**given)
    except ConfigError as error:
        raise InputError.together(reason.inside("metadata/discretization") for reason in error.reasons) from None
