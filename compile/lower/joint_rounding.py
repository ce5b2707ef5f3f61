"""Rounds the weights of a neuron together, so that their sum on the user's data changes least.

The data enter as second moments: with M the mean of x x' over steps, samples and positions, an error d of the weights
moves the sum by d' M d in the mean square.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..formats import LOIHI
from ..network.network import Reals, reals
from ..numbers import FULL_SCALE_BITS, Ints, ints
from .quantise import Rounded, nearest_on_grid, round_weights

BLOCK = 512
"""Weights of a neuron whose errors may make up for each other; more cost time and memory by the square."""

DAMPING = 0.01
"""Share of the mean square input that is added to every weight's: what the data did not show counts a little, too."""


@dataclass(frozen=True)
class Moments:
    """Of what one connection's weights multiply.

    Attributes:
        blocks: for every group of a convolution (1 else) the moments along the diagonal, (BLOCK, BLOCK) each, the
            last one smaller; for one-to-one weights none.
        square: mean square of what each weight multiplies; broadcasts to the weights.
    """

    blocks: tuple[tuple[Reals, ...], ...]
    square: Reals


def round_with_moments(
    weights: Reals,
    moments: Moments,
    exponents: tuple[int, int] = LOIHI.weight_exponent,
    weight_bits: int = FULL_SCALE_BITS,
) -> Rounded:
    """As ``round_weights``, but with the least squared error of the sums: what rounding a weight loses is made up for
    by the weights that are rounded after it, as far as their inputs come together (Frantar et al. 2022, "GPTQ").

    No row is worse on these moments than with every weight rounded to nearest.
    """
    nearest = round_weights(weights, exponents, weight_bits, moments.square)
    unit = 2.0**nearest.exponent
    grid = together(reals(weights / unit), nearest.weights, moments, nearest.mode, weight_bits)
    error = mean_square(reals(grid * unit - weights), moments)
    norm, total = float(np.sum(weights**2)), mean_square(weights, moments)
    return replace(
        nearest,
        weights=grid,
        relative_error=float(np.sqrt(np.sum((grid * unit - weights) ** 2) / norm)) if norm else 0.0,
        sum_error=float(np.sqrt(error / total)) if total else 0.0,
    )


def together(weights: Reals, nearest: Ints, moments: Moments, mode: str, weight_bits: int = FULL_SCALE_BITS) -> Ints:
    """Weights in units of the grid, rounded; a row that is no better on these moments stays ``nearest``."""
    if not moments.blocks:
        return nearest
    scaled = np.split(_flat(weights), len(moments.blocks))
    plain = np.split(_flat(reals(nearest)), len(moments.blocks))
    rows = [
        np.concatenate(
            [
                _round_block(some, near, block, mode, weight_bits)
                for some, near, block in zip(_columns(own, blocks), _columns(plain_own, blocks), blocks, strict=True)
            ],
            axis=1,
        )
        for own, plain_own, blocks in zip(scaled, plain, moments.blocks, strict=True)
    ]
    return ints(np.concatenate(rows).reshape(weights.shape))


def _round_block(weights: Reals, nearest: Reals, moments: Reals, mode: str, weight_bits: int) -> Reals:
    """Weights (rows, n) in units of the grid; those with the most input first, whose errors cost most."""
    order = np.argsort(-np.diag(moments), kind="stable")
    damped = moments[np.ix_(order, order)] + DAMPING * max(float(np.mean(np.diag(moments))), 1e-12) * np.eye(
        len(order)
    )
    spread = np.linalg.cholesky(np.linalg.inv(damped)).T
    left, rounded = weights[:, order].copy(), np.empty(weights.shape)
    for j in range(len(order)):
        rounded[:, j] = nearest_on_grid(reals(left[:, j]), mode, weight_bits)
        lost = (left[:, j] - rounded[:, j]) / spread[j, j]
        left[:, j + 1 :] -= np.outer(lost, spread[j, j + 1 :])
    found = np.empty(weights.shape)
    found[:, order] = rounded
    error, plain = found - weights, nearest - weights
    better = np.sum((error @ moments) * error, axis=1) < np.sum((plain @ moments) * plain, axis=1)
    return reals(np.where(better[:, None], found, nearest))


def mean_square(weights: Reals, moments: Moments) -> float:
    """Mean square of the sums that these weights (or errors of weights) make, added up over the rows."""
    if not moments.blocks:
        return float(np.sum(weights**2 * moments.square))
    total = 0.0
    for rows, blocks in zip(np.split(_flat(weights), len(moments.blocks)), moments.blocks, strict=True):
        for some, block in zip(_columns(rows, blocks), blocks, strict=True):
            total += float(np.sum((some @ block) * some))
    return total


def _flat(weights: Reals) -> Reals:
    return reals(weights.reshape(len(weights), -1))


def _columns(rows: Reals, blocks: Sequence[Reals]) -> list[Reals]:
    return np.split(rows, np.cumsum([len(block) for block in blocks])[:-1], axis=1)
