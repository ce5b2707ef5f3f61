"""torch's precision of float32 products while a sum runs, whatever threads do: a switch of the whole process.

Inside a float32 product a device may multiply with 8 significant bits (bfloat16, TF32). Some sums are exact that
way and several times as fast; all others need the whole 24 bits.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import cache
from typing import Any

import torch


@contextmanager
def exactly(device: torch.device, narrow: bool) -> Iterator[None]:
    """No autocast, which would round results; and float32 products in 8 bits if ``narrow``, else in 24.

    Not to be entered twice by a thread.
    """
    switch = _switch(device.type)
    with torch.autocast(device.type, enabled=False) if torch.is_autocast_enabled(device.type) else nullcontext():
        switch.enter(narrow)
        try:
            yield
        finally:
            switch.leave()


class _Switch:
    """The setting of one kind of device, shared by all threads whose products want the same.

    A thread that wants the other precision waits until no product runs. The last one out puts back what was set.
    """

    def __init__(self, device_type: str) -> None:
        self.settings = _settings(device_type)
        self.free()

    def free(self) -> None:
        """Nobody is inside."""
        self.change = threading.Condition(threading.Lock())
        self.inside: set[int] = set()
        self.waiting = [0, 0]  # that want exact products, that want narrow ones
        self.narrow = False
        self.before: list[tuple[Any, str, Any]] = []

    def enter(self, narrow: bool) -> None:
        me = threading.get_ident()
        with self.change:
            # an interrupt between enter and leave's try would keep this thread inside for ever
            self.inside.discard(me)
            self.waiting[narrow] += 1
            try:
                # also behind those who wait for the other precision: threads without a pause would starve them
                while self.inside and (self.narrow != narrow or self.waiting[not narrow]):
                    self.change.wait()
            finally:
                self.waiting[narrow] -= 1
            if not self.inside:
                self._set(narrow)
            self.inside.add(me)

    def leave(self) -> None:
        with self.change:
            self.inside.discard(threading.get_ident())
            if not self.inside:
                self.put_back()
                if any(self.waiting):
                    self.change.notify_all()

    def _set(self, narrow: bool) -> None:
        self.narrow = narrow
        self.before = []
        for owner, name, exact, fast in self.settings:
            value, wanted = getattr(owner, name), fast if narrow else exact
            if value != wanted:
                self.before.append((owner, name, value))
                setattr(owner, name, wanted)

    def put_back(self) -> None:
        for owner, name, value in self.before:
            setattr(owner, name, value)


@cache
def _switch(device_type: str) -> _Switch:
    made = _Switch(device_type)

    def in_child() -> None:
        """A fork copies setting and lock, but not the threads that would put back the one and free the other."""
        if made.inside:
            made.put_back()
        made.free()

    os.register_at_fork(after_in_child=in_child)
    return made


def _settings(device_type: str) -> list[tuple[Any, str, Any, Any]]:
    """(module, attribute, exact setting, narrow setting). torch below 2.9 has them for CUDA alone."""
    if device_type == "cuda":
        owner = torch.backends.cuda.matmul
        if hasattr(owner, "fp32_precision"):
            return [(owner, "fp32_precision", "ieee", "tf32")]
        return [(owner, "allow_tf32", False, True)]
    backend: Any = torch.backends.mkldnn
    if device_type == "cpu" and hasattr(backend, "matmul") and hasattr(backend.matmul, "fp32_precision"):
        return [(backend.matmul, "fp32_precision", "ieee", "bf16"), (backend.conv, "fp32_precision", "ieee", "ieee")]
    return []


__all__ = ["exactly"]
