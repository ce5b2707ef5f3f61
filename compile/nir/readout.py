"""Which population a network is read by, and how: what is chosen, else what the file says, else a rule of the graph.

The rule, where a graph has one Output: neurons that fire are counted; what has no neurons at all (a linear head) is
summed over time; integrators that never fire show their v after the last step. Flatten and a Scale by one number
above 0 change no answer, and are looked through (``elaborate``).
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Mapping
from dataclasses import dataclass

from seamount.errors import InputError

from ..network.network import Network, Population
from ..program.readout import Quantity

WORDS: Mapping[str, Quantity] = {
    "count": "count",
    "sum": "sum",
    "mean": "mean",
    "max": "max",
    "last": "v",
    "final": "v",
    "v": "v",
}
"""What one may say, and what it is called in a program; v is what last and final were called first."""


@dataclass(frozen=True)
class ChosenReadout:
    """Where and how a network is read; ``notes`` say what nobody chose, or what was read otherwise than said."""

    population: str | None
    quantity: Quantity = "v"
    notes: tuple[str, ...] = ()


def usual_quantity(network: Network, p: Population) -> Quantity:
    """How the tools that write NIR read what ends so."""
    if p.v_th is not None:
        return "count"
    # a head has no node of its own among the populations, its Output stands for it; an LI with tau = dt is an LI
    return "sum" if p.is_memoryless and network.outputs.get(p.name) == p.name else "v"


def usual_readout(network: Network) -> tuple[str, Quantity] | None:
    """The readout by the rule of the graph alone; None where there is not exactly one output."""
    shown = set(network.outputs.values())
    if len(shown) != 1:
        return None
    (name,) = shown
    return name, usual_quantity(network, network.population(name))


def choose_readout(
    network: Network,
    asked: str | None,
    asked_quantity: str | None,
    told: str | None,
    told_quantity: str | None,
    called: Mapping[str, str],
) -> ChosenReadout:
    """The readout of a network.

    Args:
        asked, asked_quantity: what the user says: a population or an Output, perhaps with ":" and a word of WORDS.
        told, told_quantity: what the file says.
        called: what nodes are called here that the file calls by numbers; either may be said.

    Raises:
        InputError: no such population or word, or a count of what never fires.
    """
    names = {p.name: p.name for p in network.populations} | dict(network.outputs)
    name, word = parted({*names, *called}, asked)
    name, word = called.get(name or "", name), asked_quantity or word
    usual = usual_readout(network)
    name = name or told or (None if usual is None else usual[0])
    if name is None:
        if word is not None:
            raise _several(network, word)
        several = ", ".join(sorted(network.outputs))
        why = f"has several outputs ({several})" if several else "has no output"
        return ChosenReadout(None, notes=(f"no readout, because the graph {why}",))
    if name not in names:
        raise no_such(name, names, network.name)
    p = network.population(names[name])
    if word is not None:
        return as_asked(p.name, p.v_th is not None, word, network.name)
    if told_quantity is not None:
        quantity = _quantity(told_quantity, network.name)
        return ChosenReadout(p.name, quantity, (f"readout = {quantity} of {p.name} (the file)",))
    quantity = usual_quantity(network, p)
    return ChosenReadout(p.name, quantity, (_usual_note(p, quantity),))


def parted(names: Container[str], asked: str | None) -> tuple[str | None, str | None]:
    """What a user says of a readout as a name and a word; names may hold a colon themselves."""
    if asked is None or asked in names:
        return asked, None
    name, colon, word = asked.rpartition(":")
    return (name or None, word) if colon else (asked, None)


def no_such(name: str, names: Iterable[str], where: str) -> InputError:
    """What is said of a readout that names nothing."""
    return InputError(
        f"readout {name!r} is not there", where=where, possible=f"possible are {', '.join(sorted(names))}"
    )


def _several(network: Network, word: str) -> InputError:
    return InputError(
        f"readout {word!r} of {len(network.outputs)} outputs",
        where=network.name,
        possible=f"possible are {', '.join(sorted(network.outputs))}",
        ways_out=f"name one, as --readout {min(network.outputs, default='POPULATION')}:{word}",
    )


def _quantity(word: str, where: str) -> Quantity:
    if word not in WORDS:
        possible = ", ".join(WORDS)
        raise InputError(f"readout_quantity {word!r}", where=where, possible=f"possible are {possible}")
    return WORDS[word]


def as_asked(name: str, fires: bool, word: str, where: str) -> ChosenReadout:
    """A population, which fires or never does, read as a word says."""
    quantity = _quantity(word, where)
    if quantity == "count" and not fires:
        raise InputError(
            "never fires, so that there are no spikes to count",
            where=name,
            possible="possible are sum, mean, max, last, final",
        )
    if quantity in ("sum", "mean") and fires:  # of what it sends, as the tools mean it
        return ChosenReadout(name, "count", (f"readout = count of {name}: the {word} of spikes over time is that",))
    return ChosenReadout(name, quantity)


def _usual_note(p: Population, quantity: Quantity) -> str:
    if quantity == "count":
        return f"readout = count of {p.name}: the graph ends in neurons that fire"
    if quantity == "sum":
        return f"readout = sum over time of {p.name}: the graph ends in a head without neurons"
    return f"readout = last v of {p.name}: the graph ends in integrators"
