"""Neuron models: one class, one file each."""
