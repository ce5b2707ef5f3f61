"""Which population a network is read by, and how: what is chosen, else what the file says, else a rule of the graph.

The rule, where a graph has one Output: neurons that fire are counted; what has no neurons at all (a linear head) is
summed over time; integrators that never fire show their v after the last step. Flatten and a Scale by one number
above 0 change no answer, and are looked through (``elaborate``).
"""

from __future__ import annotations

from collections.abc import Mapping
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


def usual_quantity(p: Population) -> Quantity:
    """How the tools that write NIR read what ends so."""
    if p.v_th is not None:
        return "count"
    return "sum" if p.is_memoryless else "v"


def usual_readout(network: Network) -> tuple[str, Quantity] | None:
    """The readout by the rule of the graph alone; None where there is not exactly one output."""
    shown = set(network.outputs.values())
    if len(shown) != 1:
        return None
    (name,) = shown
    return name, usual_quantity(network.population(name))


def choose_readout(
    network: Network, asked: str | None, asked_quantity: str | None, told: str | None, told_quantity: str | None
) -> ChosenReadout:
    """The readout of a network.

    Args:
        asked, asked_quantity: what the user says: a population or an Output, perhaps with ":" and a word of ``WORDS``.
        told, told_quantity: what the file says.

    Raises:
        InputError: no such population or word, or a count of what never fires.
    """
    name, word = _parted(network, asked)
    word = asked_quantity or word
    usual = usual_readout(network)
    name = name or told or (None if usual is None else usual[0])
    if name is None:
        if word is not None:
            raise _several(network, word)
        return ChosenReadout(None, notes=(f"no readout, because the graph has {len(network.outputs)} outputs",))
    p = _population(network, name)
    if word is not None:
        return _as_asked(p, word, network.name)
    if told_quantity is not None:
        return ChosenReadout(p.name, _quantity(told_quantity, network.name))
    quantity = usual_quantity(p)
    return ChosenReadout(p.name, quantity, (_usual_note(p, quantity),))


def _parted(network: Network, asked: str | None) -> tuple[str | None, str | None]:
    """A name and a word; names may hold a colon themselves."""
    if asked is None or asked in _names(network):
        return asked, None
    name, colon, word = asked.rpartition(":")
    return (name or None, word) if colon else (asked, None)


def _names(network: Network) -> dict[str, str]:
    """What one may name -> its population."""
    return {p.name: p.name for p in network.populations} | dict(network.outputs)


def _population(network: Network, name: str) -> Population:
    names = _names(network)
    if name not in names:
        raise InputError(
            f"readout {name!r} is not there", where=network.name, possible=f"possible are {', '.join(sorted(names))}"
        )
    return network.population(names[name])


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


def _as_asked(p: Population, word: str, where: str) -> ChosenReadout:
    quantity = _quantity(word, where)
    if quantity == "count" and p.v_th is None:
        raise InputError(
            "never fires, so that there are no spikes to count",
            where=p.name,
            possible="possible are sum, mean, max, last, final",
        )
    if quantity in ("sum", "mean") and p.v_th is not None:  # of what it sends, as the tools mean it
        return ChosenReadout(p.name, "count", (f"readout: the {word} of {p.name}'s spikes over time is their count",))
    return ChosenReadout(p.name, quantity)


def _usual_note(p: Population, quantity: Quantity) -> str:
    if quantity == "count":
        return f"readout = count of {p.name}: the graph ends in neurons that fire"
    if quantity == "sum":
        return f"readout = sum over time of {p.name}: the graph ends in a head without neurons"
    return f"readout = last v of {p.name}: the graph ends in integrators"
