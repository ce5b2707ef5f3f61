"""The time step that a NIR file does not name, from what its numbers have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from seamount.errors import Reason

from .file import RawGraph
from .presets import PRESETS, Discretisation

Values = np.ndarray[Any, Any]
Rule = Callable[[Values, Values], Values]

TAU_OF = {"LI": "tau", "LIF": "tau", "CubaLI": "tau_mem", "CubaLIF": "tau_mem"}

SAME = 1e-4
"""Values that differ by less, relatively, are one: files hold float32."""


def _rockpool(tau: Values, r: Values) -> Values:
    """r = tau exp(-dt / tau) / dt solved for dt."""
    from scipy.special import lambertw  # here, because one of many writers needs it

    return np.asarray(tau * lambertw(1 / r).real)


def _spyx(tau: Values, r: Values) -> Values:
    """tau = dt / (1 - beta), r = beta."""
    return np.asarray(tau * (1 - r))


OWN_RULES: Mapping[str, Mapping[str, Rule]] = {
    "rockpool": {"tau W(1 / r)": _rockpool},
    "spyx": {"tau (1 - r)": _spyx},
}
"""Tools that write r so that the time step follows in a way of their own; W is Lambert's function."""

READS_THE_FILE = ("lava", "snntorch", "spikingjelly", "rockpool", "spyx")
"""Presets whose tools write numbers from which the time step follows."""


def dt_candidates(raw: RawGraph, preset: str = "nir") -> dict[str, float]:
    """Where the file seems to say its time step: rule -> value, only where one value holds for all neurons."""
    found: dict[str, list[Values]] = {}
    for node in raw.nodes.values():
        values = {k: np.asarray(v, dtype=np.float64) for k, v in node.values.items() if not isinstance(v, str)}
        tau, r = values.get(TAU_OF.get(node.kind, ""), np.zeros(0)), values.get("r", np.zeros(0))
        if preset in OWN_RULES:
            for rule, solve in OWN_RULES[preset].items():
                if tau.size and r.size and np.all(r >= 0):  # spyx writes beta = 0 as r = 0
                    _add(found, rule, lambda solve=solve, tau=tau, r=r: solve(tau, r))  # type: ignore[misc]
            continue
        # tools without such a factor write 1 for all, so that r = 1 or w_in = 1 alone says nothing of the time step
        if tau.size and r.size and np.all(r > 0) and np.any(r != 1):
            _add(found, f"{TAU_OF[node.kind]} / r", lambda tau=tau, r=r: tau / r)  # type: ignore[misc]
        tau_syn, w_in = values.get("tau_syn", np.zeros(0)), values.get("w_in", np.zeros(0))
        if tau_syn.size and w_in.size and np.all(w_in > 0) and np.any(w_in != 1):
            _add(found, "tau_syn / w_in", lambda a=tau_syn, b=w_in: a / b)  # type: ignore[misc]
        if node.kind in ("I", "IF") and r.size and np.all(r > 0):
            _add(found, "1 / r", lambda r=r: 1 / r)  # type: ignore[misc]
    return dict(_agreeing(found))


def _add(found: dict[str, list[Values]], rule: str, make: Callable[[], Values]) -> None:
    try:
        with np.errstate(invalid="ignore", divide="ignore"):
            values = make().reshape(-1)
        # neurons without a leak (tau and r infinite) show no time step
        found.setdefault(rule, []).append(values[~np.isnan(values)])
    except ValueError:  # shapes that do not fit; the reader will say so
        return


def _agreeing(found: Mapping[str, list[Values]]) -> Iterator[tuple[str, float]]:
    for rule, parts in found.items():
        every = np.concatenate(parts) if parts else np.zeros(0)
        if every.size and np.all(np.isfinite(every)) and every[0] > 0 and np.ptp(every) <= SAME * every[0]:
            # six digits, because files hold float32: 1e-4 comes as 9.9999997e-05
            yield rule, float(f"{np.median(every):.6g}")


def with_own_step(raw: RawGraph, preset: str, settings: Discretisation) -> tuple[Discretisation, str | None]:
    """The settings with the file's own time step, where the preset's tool lets one see it, and what to tell of it.

    Args:
        raw: the file.
        preset: the tool that wrote it.
        settings: dt is the preset's guess or None; nobody else has said one.
    """
    candidates = dt_candidates(raw, preset) if preset in READS_THE_FILE else {}
    steps = set(candidates.values())
    if not steps or max(steps) - min(steps) > SAME * min(steps):
        return settings, None
    rule, dt = next(iter(candidates.items()))
    guess = 1.0 if settings.time_unit == "steps" else settings.dt
    if guess is not None and abs(dt - guess) <= SAME * guess:
        return settings, None
    unit = "s" if settings.time_unit == "steps" else settings.time_unit
    return replace(settings, dt=dt, time_unit=unit), f"dt = {dt} ({rule} in the file)"


def no_step(raw: RawGraph, preset: str) -> Reason:
    """Nothing names the time step; lists what can be seen."""
    seen = ", ".join(f"{rule} = {value:g} for all neurons" for rule, value in dt_candidates(raw, preset).items())
    tools = f", or --from with the tool that wrote the file ({', '.join(PRESETS)})" if preset == "nir" else ""
    return Reason(
        f"the file names no time step; candidates: {seen or 'none can be seen'}",
        ways_out=(f"say it with --set dt=...{tools}",),
    )
