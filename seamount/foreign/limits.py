"""How much a foreign file may hold; each limit can be set by a variable of the environment, which refusals name."""

from __future__ import annotations

import os
from dataclasses import dataclass

from seamount.errors import ConfigError, InputError


@dataclass(frozen=True)
class Limit:
    """A number that no foreign file may exceed.

    Attributes:
        variable: of the environment, which sets another.
        unit: of what, in the plural.
    """

    variable: str
    default: int
    unit: str = "bytes"

    @property
    def value(self) -> int:
        """Read anew each time: the environment may change within a process."""
        if not self.is_set:
            return self.default
        text = os.environ[self.variable]
        # 18 digits are more than any memory; Python refuses to read numbers of thousands
        if not (text.isascii() and text.isdecimal() and len(text) <= 18 and int(text) > 0):
            raise ConfigError(
                f"{text[:40]!r}", where=self.variable, possible=f"a whole number of {self.unit} is possible, from 1"
            )
        return int(text)

    def check(self, n: float, where: object, found: str | None = None) -> None:
        """Refuses more than the limit; ``found`` says what it is that has so many."""
        if n > self.value:
            raise InputError(
                found or f"{n:.0f} {self.unit}", where=where, possible=self.possible, ways_out=self.way_out
            )

    @property
    def is_set(self) -> bool:
        return self.variable in os.environ

    @property
    def possible(self) -> str:
        return f"the reader takes up to {self.value} {self.unit}"

    @property
    def way_out(self) -> str:
        return f"if you trust the file, set {self.variable} in the environment"


NETWORK_BYTES = Limit("SEAMOUNT_MAX_NETWORK_BYTES", 1 << 30)
"""Of a network, a program or one recording of events, packed and unpacked: a chip holds far less."""

DATA_BYTES = Limit("SEAMOUNT_MAX_DATA_BYTES", 4 << 30)
"""Of a file of samples, traces or weights, packed and unpacked: it has to fit into the memory."""

TEXT_BYTES = Limit("SEAMOUNT_MAX_TEXT_BYTES", 16 << 20)
"""Of a configuration or a target."""

PIXELS = Limit("SEAMOUNT_MAX_PIXELS", 1 << 26, "pixels")
"""Of one image."""

VALUES = Limit("SEAMOUNT_MAX_VALUES", 1 << 24, "values")
"""Of one array that a network's file describes, or that its few numbers (a shape, a window, groups) make: a chip
holds far less, and a dozen bytes can ask for terabytes."""

CLASSES = Limit("SEAMOUNT_MAX_CLASSES", 1 << 16, "classes")
"""That labels may name: the largest common data set, ImageNet-21k, has 21,841."""
