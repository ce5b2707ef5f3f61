"""The gradient of a convolution's weights where its input is spikes: a sum over spikes instead of a product.

Each spike adds the gradients of the outputs that it reaches to its channel's rows of weights; what does not spike
costs a look. From 32 channels on, where one in seven fires, it takes half of the time of oneDNN's product in bf16.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from seamount.compiled import compiled
from seamount.vectors import LANES, load, pack, set_bits, store

from .lif.cpu import memory, together

STRIP = 256
"""Pixels that are taken together: their gradients and the places of their spikes stay in the first-level cache."""


def spike_weight_gradient(spikes: Tensor, gradient: Tensor, stride: int) -> Tensor:
    """Of the weights (C_out, C_in, 3, 3) of a convolution with a padding of 1, in float32.

    Args:
        spikes: (M, C_in, H, W) zeros and ones, float32 or bf16.
        gradient: of the output (M, C_out, H', W'), of the same type.
        stride: 1 or 2.
    """
    n, c_in, height, width = spikes.shape
    c_out = gradient.shape[1]
    x, g = (memory(values.permute(0, 2, 3, 1).contiguous()) for values in (spikes, gradient))
    # padded to whole vectors, whose last lanes nobody reads
    row = -(-(3 if stride == 1 else 2) * c_out // LANES) * LANES
    n_threads = min(torch.get_num_threads(), n)
    sums = np.zeros((n_threads, c_in, 3, 2, row), np.float32)
    rows = max(2, STRIP // width // 2 * 2)
    many = max(1, STRIP // (height * width))
    borders = [n * k // n_threads for k in range(n_threads + 1)]
    calls = [partial(_add, *borders[k : k + 2], x, g, sums[k], stride, rows, many) for k in range(n_threads)]
    if n_threads == 1:
        calls[0]()
    else:
        together(calls)
    found = torch.from_numpy(sums).sum(0)
    if stride == 1:  # of three outputs side by side the left one came from the weight's right column
        return found[:, :, 0, : 3 * c_out].reshape(c_in, 3, 3, c_out).flip(2).permute(3, 0, 1, 2).contiguous()
    right, left = found[:, :, 1, :c_out], found[:, :, 1, c_out : 2 * c_out]
    return torch.stack([left, found[:, :, 0, :c_out], right], 2).permute(3, 0, 1, 2).contiguous()


def _add_samples(first: int, last: int, x: Any, g: Any, sums: Any, stride: int, rows: int, many: int) -> None:
    """sums (C_in, 3 rows of weights, odd column of the spike, outputs side by side) of samples first .. last.

    Taken together are ``rows`` lines of one sample, or ``many`` whole samples.
    """
    height, c_in = x.shape[1], x.shape[3]
    rows = min(rows, height)
    line = (g.shape[2] + 2) * g.shape[3]
    each = (-(-rows // stride) + 2) * line
    room = np.zeros(many * each + sums.shape[3], np.float32)
    starts, n_starts = _starts(x.shape[2], g.shape[3], stride, rows, many, line, each)
    words = np.zeros(((c_in + 31) // 32, stride * stride, starts.shape[1]), np.int32)
    places = np.empty(starts.shape[1], np.int32)
    for m in range(first, last, many):
        for top in range(0, height, rows):
            bottom, end = min(top + rows, height), min(m + many, last)
            # the outputs from one line above to one below what the strip's spikes stand at
            for k in range(m, end):
                _copy_lines(room, (k - m) * each, g, k, top // stride - 1, (bottom - 1) // stride + 1)
            _note(x, m, end, top, bottom, stride, n_starts, words)
            for kind in range(stride * stride):
                odd_row, odd_column = kind // 2, kind % 2
                # a spike reaches outputs on three lines, on its own one, or on the two beside it; the line above came
                # from the lowest row of weights
                lowest = 2 if stride == 1 or odd_row else 1
                n_lines = 3 if stride == 1 else 1 + odd_row
                first_line = 0 if stride == 1 else line
                length = (3 if stride == 1 else 1 + odd_column) * g.shape[3]
                n_places = n_starts[kind]
                for c in range(c_in):
                    n = 0
                    at_words = ((c // 32) * stride * stride + kind) * starts.shape[1]
                    for at in range(0, n_places, LANES):
                        n = pack(
                            places, n, words, at_words + at, starts, kind * starts.shape[1] + at, np.int32(c % 32)
                        )
                    if n:
                        at_sums = ((c * 3 + lowest) * 2 + odd_column) * sums.shape[3]
                        _sum(
                            sums,
                            at_sums,
                            2 * stride * sums.shape[3],
                            room,
                            first_line,
                            line,
                            n_lines,
                            places,
                            n,
                            length,
                        )


def _starts_of(width: int, c_out: int, stride: int, rows: int, many: int, line: int, each: int) -> Any:
    """Where in ``room`` the sums of a spike begin, by kind of place (odd or even row and column) in reading order."""
    size = many * -(-rows // stride) * -(-width // stride)
    starts = np.zeros((stride * stride, -(-size // LANES) * LANES + LANES), np.int32)
    counts = np.zeros(stride * stride, np.int64)
    for k in range(many):
        for y in range(rows):
            for column in range(width):
                kind = 0 if stride == 1 else 2 * (y % 2) + column % 2
                at = column if stride == 1 else column // 2 + 1
                starts[kind, counts[kind]] = k * each + (y // stride) * line + at * c_out
                counts[kind] += 1
    return starts, counts


def _note_spikes(
    x: Any, first: int, last: int, top: int, bottom: int, stride: int, n_starts: Any, words: Any
) -> None:
    """Which channels spike, as bits, in the order of the starts; as many starts as there are places."""
    height, width, c_in = x.shape[1:]
    n_starts[:] = 0
    for m in range(first, last):
        for y in range(top, bottom):
            for odd in range(stride):
                kind = stride * (y % stride) + odd
                n = (width - odd + stride - 1) // stride
                place = ((m * height + y) * width + odd) * c_in
                for k in range(words.shape[0]):
                    _line(words[k, kind, n_starts[kind] :], x, place + 32 * k, stride * c_in, n)
                n_starts[kind] += n
    for kind in range(words.shape[1]):  # so that what stands behind is no spike
        words[:, kind, n_starts[kind] : n_starts[kind] + LANES] = 0


def _note_line(words: Any, x: Any, place: int, step: int, n: int) -> None:
    """The bits of n places, of 32 values each, as far as there are any."""
    whole = min(n, max(0, (x.size - LANES - place) // step + 1)) if place + LANES <= x.size else 0
    for j in range(whole):
        words[j] = set_bits(x, place + j * step)
    values = x.ravel()
    for j in range(whole, n):
        word = np.int32(0)
        for c in range(min(LANES, x.size - place - j * step)):
            if values[place + j * step + c] != 0:
                word |= np.int32(1) << np.int32(c)
        words[j] = word


def _copy_lines_of(room: Any, at: int, g: Any, m: int, top: int, bottom: int) -> None:
    """Lines top .. bottom (included) of a sample's gradients as float32, zeros around them."""
    height, width, c_out = g.shape[1:]
    for y in range(top, bottom + 1):
        room[at : at + (width + 2) * c_out] = 0
        if 0 <= y < height:
            _copy(room, at + c_out, g, ((m * height + y) * width) * c_out, width * c_out)
        at += (width + 2) * c_out


def _copy_values(room: Any, at: int, g: Any, start: int, n: int) -> None:
    """Whole vectors; n is a multiple of half of one."""
    for k in range(0, n - LANES + 1, LANES):
        store(room, at + k, load(g, start + k))
    if n % LANES:
        store(room, at + n - LANES, load(g, start + n - LANES))


def _sum_rows(
    sums: Any, at: int, up: int, room: Any, shift: int, line: int, n_lines: int, places: Any, n: int, length: int
) -> None:
    """Adds what begins at the places on each line to a row of weights, from the one at ``at`` upwards."""
    for _ in range(n_lines):
        done = 0
        while length - done > 2 * LANES:
            a, b, c = load(sums, at + done), load(sums, at + done + LANES), load(sums, at + done + 2 * LANES)
            for j in range(n):
                place = shift + done + places[j]
                a, b, c = a + load(room, place), b + load(room, place + LANES), c + load(room, place + 2 * LANES)
            store(sums, at + done, a)
            store(sums, at + done + LANES, b)
            store(sums, at + done + 2 * LANES, c)
            done += 3 * LANES
        if length - done > LANES:
            a, b = load(sums, at + done), load(sums, at + done + LANES)
            for j in range(n):
                place = shift + done + places[j]
                a, b = a + load(room, place), b + load(room, place + LANES)
            store(sums, at + done, a)
            store(sums, at + done + LANES, b)
        elif length > done:
            a = load(sums, at + done)
            for j in range(n):
                a = a + load(room, shift + done + places[j])
            store(sums, at + done, a)
        at -= up
        shift += line


_copy, _sum = compiled(_copy_values), compiled(_sum_rows)
_line = compiled(_note_line)
_copy_lines, _note = compiled(_copy_lines_of), compiled(_note_spikes)
_starts: Any = compiled(_starts_of)
_add = compiled(_add_samples)
