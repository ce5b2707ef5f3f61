"""What a report of a network or a program is asked for; it stands in the report's folder, to be made again from."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from .artefacts import DEPLOYMENT
from .errors import InputError
from .files import read_json


@dataclass(frozen=True)
class Reading:
    """How a network file is read and lowered; see ``compile_options`` for the words."""

    written_by: str | None = None
    settings: tuple[str, ...] = ()
    n_steps: int | None = None
    soft_reset: str | None = None
    readout: str | None = None
    calibrate: str | None = None


@dataclass(frozen=True)
class Asked:
    """What a report is made of.

    Attributes:
        data: as ``samples_for`` takes it; None: nothing is run, and the report says so.
        n_samples: at most so many. n_lava: so many on Lava; None: 20 where Lava is installed.
        data_settings: of a data set that ``data`` names, as data.root=FOLDER.
        cross_check: another simulator that is asked for energy and time, "sana-fe".
        float_answers: a ``.npz`` with the answers of one's own network, from wherever it runs.
    """

    source: str
    data: str | None = None
    target: str = "loihi1"
    reading: Reading = field(default_factory=Reading)
    n_samples: int | None = None
    n_lava: int | None = None
    require_lava: bool = False
    float_answers: str | None = None
    data_settings: tuple[str, ...] = ()
    cross_check: str | None = None


def asked_in(folder: Path) -> Asked:
    """What the report of a folder was made of."""
    from pydantic import TypeAdapter, ValidationError  # here, because the command line starts without it

    document = read_json(folder / DEPLOYMENT)
    try:
        return TypeAdapter(Asked).validate_python(document)
    except ValidationError:
        ways = "make the report anew from the network or the program"
        raise InputError("does not say what was asked", where=folder / DEPLOYMENT, ways_out=ways) from None
