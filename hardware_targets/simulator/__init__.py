"""Runs a program on CPU or GPU: the integers of ``compile/arithmetic/definition.py``, hundreds of times faster."""

from .simulate import simulate

__all__ = ["simulate"]
