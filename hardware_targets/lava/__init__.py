"""Lava: `.net` files and process graphs of a program, run in fixed-point mode in a process of its own."""
