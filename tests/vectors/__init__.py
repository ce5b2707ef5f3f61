"""Recorded runs of other implementations, replayed by ours."""
