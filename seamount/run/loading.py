"""The data of a run, loaded once for all that asks for them."""

from __future__ import annotations

from collections.abc import Callable

from seamount import own
from seamount.distill.config import DataConfig
from seamount.distill.data import Data, load_data

from .settings import own_code

LoadData = Callable[[DataConfig, int], Data]
"""The data set of a configuration in T steps."""


def load_once() -> LoadData:
    """Loads the data of a configuration when they are first asked for."""
    known: dict[tuple[object, ...], Data] = {}

    def load(config: DataConfig, n_steps: int) -> Data:
        # code that was edited meanwhile gives other data, as the inputs of the next stage say
        code = [own.digest(reference, setting) for setting, reference in own_code([("data", config)])]
        key = (config.model_dump_json(), n_steps, *code)  # options, being a dict, have no hash of their own
        if key not in known:
            known[key] = load_data(config, n_steps=n_steps)
        return known[key]

    return load
