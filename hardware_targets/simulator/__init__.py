"""Runs a program on CPU or GPU: the integers of ``compile/arithmetic/definition.py``, hundreds of times faster."""

from .simulate import simulate
from .stream import simulate_stream

__all__ = ["simulate", "simulate_stream"]
