"""The report's terms: what each means, and links to that where a text uses it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from markupsafe import Markup

from seamount.shown import html


@dataclass(frozen=True)
class Term:
    """A word of the report. ``written``: how texts write it, a regular expression; else the name itself."""

    name: str
    means: str
    written: str = ""

    @property
    def id(self) -> str:
        return "term-" + re.sub(r"[^a-z0-9]+", "-", self.name.lower()).strip("-")


GLOSSARY = (
    Term("axon", "The route of a spike into a core or out of it; cores have room for so many.", "axons?"),
    Term("binding", "The limit of a core that a layer of several cores comes nearest to: it decides how many."),
    Term("bit-exact", "No value differs: every spike and every membrane value of the compared samples is the same."),
    Term(
        "break-even band",
        "From published analyses: below it a spiking network should need less energy than the ANN, above it more.",
        "break-even bands?",
    ),
    Term("compartment", "The place of one neuron on a core.", "compartments?"),
    Term(
        "damage",
        "Of all positions (step, sample, neuron) where either side fires, the share where only one does: "
        "unmatched spikes.",
        "damage|[Uu]nmatched spikes",
    ),
    Term("deployed program", "The integers that the chip would run, on the simulator.", "[Dd]eployed program"),
    Term("drive", "The weighted sum of what arrives at a neuron in a step, before any decay."),
    Term("dynamic energy", "What operations cost: synaptic operations, updates, spikes, messages.", "dynamic"),
    Term(
        "EMD",
        "Earth mover's distance: how far the firing rates of a layer's neurons would have to move, on average, to be "
        "distributed as on the other side. Equal accuracy can hide it.",
        "EMD",
    ),
    Term("float network", "The network in real numbers, run by Seamount as the file says it.", "float network"),
    Term("float student", "The student in real numbers, as it was distilled.", "float student"),
    Term(
        "front", "The points that no other beats: none is as good in accuracy and cost, and better in one.", "fronts?"
    ),
    Term("gate", "A limit that was asked for, of accuracy, energy, cores and the like.", "gates?"),
    Term("imbalance", "Operations of the busiest core over the mean of all: the busiest one sets the pace."),
    Term("Lava", "Intel's framework; its fixed-point models are the reference that is not ours."),
    Term("lead", "By how much the largest value read exceeds the second, in the chip's integers."),
    Term("McNemar", "A test whether two networks are right on different samples by more than chance.", "McNemar"),
    Term("membrane value", "v, the potential of a neuron, after a step.", "membrane values?"),
    Term("message", "What a neuron sends to others: a spike, or a number with it.", "[Mm]essages?"),
    Term("ordering only", "A number that tells which of two is larger, and no more."),
    Term("overflow", "A value left its register: v saturates at its end, u and drive wrap around.", "[Oo]verflow"),
    Term("placeholder", "A constant of another chip, because none of this one is published.", "placeholders?"),
    Term("pp", "Percentage points."),
    Term(
        "scale",
        "How many of the chip's units a layer has for a real one: with more of them it rounds finer, and values "
        "leave their range sooner.",
        "scale of this layer|its scale",
    ),
    Term(
        "set of constants",
        "Energies of operations from one publication, which our counts are multiplied with.",
        "sets? of constants",
    ),
    Term(
        "sigma-delta",
        "Neurons (SigmaDelta) that send by how much their activation changed, as a message, where that reaches a "
        "threshold.",
        "[Ss]igma-delta|SigmaDelta",
    ),
    Term(
        "SOP",
        "Synaptic operation: one spike or message meeting one stored weight that is not 0.",
        "SOP|synaptic operations?",
    ),
    Term(
        "static power", "What the chip draws whether or not anything happens; its share grows with the step period."
    ),
    Term("T", "The time steps of a sample; it takes some more to run through the layers."),
    Term("u, v", "Synaptic current and membrane potential of a neuron, in the chip's integers.", "u and v|v and u"),
    Term("v RMSE", "Root mean square difference of v, program against network, as a share of the threshold."),
    Term("Wilson interval", "In which the true accuracy lies with 95 % probability, given so few samples.", "Wilson"),
)


@cache
def _pattern() -> re.Pattern[str]:
    # the longer ones first, so that "dynamic energy" is not taken apart
    written = sorted((t.written or re.escape(t.name) for t in GLOSSARY), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])(?:{'|'.join(written)})(?![\w-])")


@cache
def _term(word: str) -> Term:
    return next(t for t in GLOSSARY if re.fullmatch(t.written or re.escape(t.name), word))


def linked(text: str) -> Markup:
    """A text with the first use of each term as a link to what it means."""
    parts, seen, end = [], set(), 0
    for found in _pattern().finditer(text):
        term = _term(found[0].strip())
        if term.name in seen:
            continue
        seen.add(term.name)
        parts += [
            html(text[end : found.start()]),
            Markup('<a class="term" href="#{}">{}</a>').format(term.id, found[0]),
        ]
        end = found.end()
    return Markup("").join([*parts, html(text[end:])])
