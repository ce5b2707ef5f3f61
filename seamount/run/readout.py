"""``compile.readout``: how a run's student is read, in the words of ``seamount compile --readout``."""

from __future__ import annotations

from torch import nn

from seamount.compile.nir.readout import WORDS, parted
from seamount.errors import ConfigError, nearest
from seamount.models.cells import Neurons
from seamount.models.spiking_net import READOUT, Answer, SpikingNet, Sum

WHERE = "compile.readout"

OF_A_SUM: dict[str, Answer] = {"sum": "sum", "mean": "sum"}
OF_INTEGRATORS: dict[str, Answer] = {**OF_A_SUM, "max": "max", "last": "v", "final": "v", "v": "v"}

READ: dict[Answer, str] = {"sum": "the sum over all steps", "v": "the last v", "max": "the largest v"}
"""An answer in words."""


def asked_answer(student: SpikingNet, asked: str) -> Answer:
    """How a student answers that is read as asked.

    Raises:
        ConfigError: another population than its readout, no such word, or a way to read that contradicts its readout.
    """
    name, word = parted((READOUT,), asked)
    if name not in (None, READOUT):
        raise ConfigError(
            f"{name!r} is not where a student answers",
            where=WHERE,
            possible=f"possible is {READOUT}, as {READOUT}:max",
        )
    if word is None:
        return student.answer
    possible = _possible(student)
    readout = student.readout
    if isinstance(readout, Neurons) and readout.decay_mem == 1 and possible.get(word) == "sum":
        raise ConfigError(
            f"{asked} of integrators that forget all in a step (decay 1)",
            where=WHERE,
            ways_out='what sums on the chip is student.options.readout = "sum"',
        )
    if word in possible:
        return possible[word]
    ways = f"possible are {', '.join(f'{READOUT}:{word}' for word in possible)}"
    if word not in WORDS:
        raise ConfigError(f"{word!r} is no way to read", where=WHERE, possible=ways, ways_out=nearest(word, possible))
    if isinstance(student.readout, Sum):
        raise ConfigError(
            f"{asked} contradicts the student, whose readout adds up all steps and holds nothing else",
            where=WHERE,
            possible=ways,
            ways_out='read so are leaky integrators: student.options.readout = "libox" or "li"',
        )
    raise ConfigError(
        f"{asked} contradicts the student, whose readout are integrators that never fire", where=WHERE, possible=ways
    )


def _possible(student: SpikingNet) -> dict[str, Answer]:
    if not isinstance(student.readout, Sum):
        return OF_INTEGRATORS
    counts = all(isinstance(student.synapses[name], nn.Identity) for name, _ in student.into(READOUT))
    return {**OF_A_SUM, "count": "sum"} if counts else OF_A_SUM
