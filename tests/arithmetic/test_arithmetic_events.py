"""Spikes that add rows of weights: the sums of whole numbers by numpy, whatever holds the weights."""

from __future__ import annotations

import numpy as np
import pytest
from numba import njit

from seamount.compile.arithmetic import lanes
from seamount.compile.arithmetic.events import Layout, Rows, aligned, packed, runs
from seamount.compile.arithmetic.kernels import add_rows
from seamount.compile.arithmetic.lanes import LANES, WIDE
from seamount.compile.numbers import ints
from seamount.compile.synapses.fan_out import fan_out
from seamount.compile.synapses.kinds import Dense

LARGEST = {
    "bytes": (127, 0),
    "a chip's even weights": (127, 1),
    "bytes times 8": (100, 3),
    "more than bytes": (129, 0),
}


@pytest.mark.parametrize("largest", LARGEST)
@pytest.mark.parametrize("n_target", [1, LANES, LANES + 1, WIDE, 2 * WIDE + LANES + 5])
def test_rows_of_weights_add_up_as_by_numpy(n_target: int, largest: str) -> None:
    random = np.random.default_rng(n_target)
    high, shift = LARGEST[largest]
    n_source, n_steps, batch = 40, 3, 4
    weights = random.integers(-high, high + 1, (n_target, n_source)) << shift
    weights[0, 0] = high << shift
    kind = Dense(ints(weights))
    counted = fan_out(kind, (n_source,))
    found = runs(kind, Layout((n_source,)), Layout((n_target,)))
    assert found is not None
    rows = packed(found, counted, narrow=True)
    assert isinstance(rows, Rows)
    assert (rows.weights.dtype == np.int8) == (high <= 127)

    spikes = np.zeros((n_steps + 1, batch, 2 * LANES), np.uint8)
    spikes[:, :, :n_source] = random.random((n_steps + 1, batch, n_source)) < 0.2
    spikes[1, 0] = 0
    drive = aligned((n_steps, 2, rows.reach), np.int16)
    drive[:] = 5
    operations = np.zeros((n_steps, 2), np.int64)
    # samples 1 and 2, from the second row on
    add_rows((1, 3, n_steps, 1, 0), spikes, drive, rows.weights, rows.shift, counted, operations)
    fired = spikes[1:, 1:3, :n_source].astype(np.int64)
    assert (drive[:, :, :n_target] == fired @ weights.T + 5).all()
    assert (drive[:, :, n_target:] == 5).all()
    assert (operations == (fired @ counted).sum(axis=1)).all()


def test_a_layer_without_weights_adds_nothing() -> None:
    kind = Dense(ints(np.zeros((3, 2))))
    found = runs(kind, Layout((2,)), Layout((3,)))
    assert found is not None
    rows = packed(found, fan_out(kind, (2,)), narrow=True)
    assert isinstance(rows, Rows)
    assert rows.shift == 0
    assert not rows.weights.any()


@pytest.mark.parametrize("narrow", [False, True], ids=["as here", "without AVX-512"])
def test_every_pattern_of_spikes_is_noted(narrow: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if narrow:
        monkeypatch.setattr(lanes, "has_avx512", lambda: False)

    @njit
    def noted(flags: np.ndarray, found: np.ndarray) -> np.ndarray:
        ends = np.empty(len(flags), np.int64)
        for k in range(len(flags)):
            mask = lanes.load_flags(flags, k * LANES)
            ends[k] = lanes.note(found, k * 3 * LANES + 1, np.int32(1000), mask)
        return ends

    # each byte of eight sources at each of its places, among others; -1 is 255
    random = np.random.default_rng(0)
    flags = (random.random((4 * 256, LANES)) < 0.5).astype(np.uint8)
    for k, (place, byte) in enumerate(np.ndindex(4, 256)):
        flags[k, 8 * place : 8 * place + 8] = np.unpackbits(np.uint8(byte), bitorder="little")
    flags *= random.choice(np.array([1, 255], np.uint8), flags.shape)
    found = np.zeros((len(flags), 3 * LANES), np.int32)
    ends = noted(flags, found)
    for k, row in enumerate(flags):
        (fired,) = np.nonzero(row)
        assert ends[k] == k * 3 * LANES + 1 + len(fired)
        np.testing.assert_array_equal(found[k, 1 : 1 + len(fired)], 1000 + fired)
        assert found[k, 0] == 0
        assert not found[k, 1 + len(fired) + LANES :].any()
