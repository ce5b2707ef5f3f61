"""Synapses: the closed set of kinds, and one algebra for all that is computed of them."""
