"""Another simulator's energy and time of the same run, beside ours."""

from __future__ import annotations

from seamount.hardware_targets.sana_fe import Opinion

from ..evidence import Evidence
from ..schema.quantities import known
from ..schema.text import count, joule, si
from ..schema.values import Item, Missing, Quantity
from .verdicts import Check

NOT_ASKED = "it was not asked for, --cross-check sana-fe does"
UNITS = {
    "operations": "SOP",
    "spikes": "spikes",
    "active updates": "updates",
    "messages": "messages",
    "hops": "hops",
}
SHARED = (
    "the program, its placement on cores and the recorded spikes",
    "the constants, where ours are its own: its architecture file, fitted to a Nahuku board",
)
INDEPENDENT = (
    "every operation, message and hop counted again from connections alone",
    "its rule of when a neuron is updated",
    "its routes, queues and waiting times, message by message, and its table of what the end of a step takes",
)


class CountedTwice(Item):
    name: str
    ours: Quantity
    theirs: Quantity


class PricedTwice(Item):
    """Energy of a kind, per inference of a sample that runs alone."""

    kind: str
    ours_j: Quantity
    theirs_j: Quantity


class TimedTwice(Item):
    name: str
    ours_s: Quantity | None
    theirs_s: Quantity


class SecondOpinion(Item):
    """``equal``: operations and spikes are the same in every step; ``difference`` says where they are not."""

    tool: str
    words: str
    equal: bool
    difference: str | None
    n_steps: int
    constants: str
    counts: tuple[CountedTwice, ...]
    energies: tuple[PricedTwice, ...]
    times: tuple[TimedTwice, ...]
    shared: tuple[str, ...]
    independent: tuple[str, ...]
    why: tuple[str, ...]


def second_opinion(evidence: Evidence) -> SecondOpinion | Missing:
    found = evidence.opinion
    if found is None:
        return Missing(missing=evidence.reason("opinion", NOT_ASKED))
    return SecondOpinion(
        tool=f"SANA-FE {found.version}",
        words=_words(found),
        equal=found.difference is None,
        difference=found.difference,
        n_steps=found.n_steps,
        constants=found.constants,
        counts=_counts(found),
        energies=_energies(found),
        times=_times(found),
        shared=SHARED,
        independent=INDEPENDENT,
        why=tuple(_why(found)),
    )


def check_of(found: SecondOpinion | Missing) -> tuple[Check, ...]:
    """Of an opinion that there is; where none was asked for there is nothing to check."""
    if isinstance(found, Missing):
        return ()
    return (
        Check(
            id="second-opinion",
            code="REP-007",
            state="ok" if found.equal else "error",
            message=f"Second opinion: {found.words}",
        ),
    )


def _counts(found: Opinion) -> tuple[CountedTwice, ...]:
    n = found.n_samples
    return tuple(
        CountedTwice(
            name=name, ours=known(ours, UNITS[name], "counted", n), theirs=known(theirs, UNITS[name], "counted", n)
        )
        for name, (ours, theirs) in found.counts.items()
    )


def _energies(found: Opinion) -> tuple[PricedTwice, ...]:
    n = found.n_samples
    rows = [
        PricedTwice(
            kind=kind, ours_j=known(found.ours_j[kind], "J", "fitted", n), theirs_j=known(j, "J", "fitted", n)
        )
        for kind, j in found.energy_j.items()
    ]
    ours, theirs = sum(found.ours_j.values()), sum(found.energy_j.values())
    total = known(ours, "J", "fitted", n, low=found.low_j, high=found.high_j)
    return (*rows, PricedTwice(kind="all dynamic", ours_j=total, theirs_j=known(theirs, "J", "fitted", n)))


def _times(found: Opinion) -> tuple[TimedTwice, ...]:
    def theirs(seconds: float) -> Quantity:
        return known(seconds, "s", "fitted", found.n_samples)

    busiest = known(found.our_step_s, "s", "derived", found.n_samples)
    return (
        TimedTwice(name="busiest step", ours_s=busiest, theirs_s=theirs(found.step_max_s)),
        TimedTwice(name="mean step", ours_s=None, theirs_s=theirs(found.step_mean_s)),
        TimedTwice(name="a message on its way, mean", ours_s=None, theirs_s=theirs(found.delay_mean_s)),
        TimedTwice(name="a message on its way, longest", ours_s=None, theirs_s=theirs(found.delay_max_s)),
    )


def _words(found: Opinion) -> str:
    n, operations = found.n_samples, found.counts["operations"][1]
    if found.difference is not None:
        return f"SANA-FE {found.version} does not count what we count: {found.difference}."
    ours, theirs = sum(found.ours_j.values()), sum(found.energy_j.values())
    return (
        f"SANA-FE {found.version}: the same {count(operations)} operations (n = {n}); {si(theirs, 'J')} dynamic "
        f"(ours {si(ours, 'J')}, {joule(found.low_j, found.high_j)}); busiest step {si(found.step_max_s, 's')} (ours "
        f"{si(found.our_step_s, 's')})."
    )


def _why(found: Opinion) -> list[str]:
    """What the energies and times differ by."""
    told = [
        f"{name}: {count(ours)} here, {count(theirs)} there; {_RULES[name]}"
        for name, (ours, theirs) in found.counts.items()
        if name in _RULES and abs(ours - theirs) > 1e-6 * max(ours, theirs)
    ]
    if found.input_messages:
        told.append(
            f"inputs: {count(found.input_messages)} messages from inputs to cores would be {si(found.inputs_j, 'J')} "
            "more; we leave the link to the host out, and so do the rows above"
        )
    told.append(
        "time: we take the longest of busiest core, busiest link and barrier; SANA-FE lets each message wait for "
        "those before it at routers and cores, and adds 0.6 to 1.8 µs for the end of a step"
    )
    return told


_RULES = {
    "active updates": (
        "SANA-FE updates a neuron into which something arrives or whose v is not 0 or that has a bias; we call those "
        "active whose input, u or v changed"
    ),
    "messages": "SANA-FE sends one for each core that a spike reaches; we count one for each group of synapses there",
    "hops": "as many as the messages differ by",
}
