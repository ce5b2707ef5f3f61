"""Passes: one file each, a frozen value in, a new one out."""
