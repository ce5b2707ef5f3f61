"""The raster of one sample: the float student's spikes and the deployed program's, on one another."""

from __future__ import annotations

import numpy as np

from ..evidence import Array, Evidence, Traced, as_long_as, window
from ..schema.values import Item, Missing


class RasterRow(Item):
    """One population's part of the raster: for each drawn neuron the steps at which it fires.

    ``n_worst``: the first so many neurons are those that differ most (or fire most), the others typical ones: spread
    evenly over all that fire, by how often they do. None where all neurons are drawn.
    """

    name: str
    n_neurons: int
    neurons: tuple[int, ...]
    n_worst: int | None = None
    steps_float: tuple[tuple[int, ...], ...] | Missing
    steps_deployed: tuple[tuple[int, ...], ...]
    n_agree: int | None
    n_only_float: int | None
    n_only_deployed: int | None


class Picture(Item):
    """A graded input of the chosen sample, 0 .. 255, rows from the top.

    The mean over time and channels; of lines, such as the bands of sound, the steps side by side, a line's last value
    on top.
    """

    name: str
    rows: tuple[tuple[int, ...], ...]


class Raster(Item):
    sample: int
    label: int | None
    predicted: int | None
    n_steps: int
    why: str
    picture: Picture | Missing
    rows: tuple[RasterRow, ...]


MAX_NEURONS = 24
"""A row each: four populations side by side stay within one screen."""
MAX_POPULATIONS = 4
MAX_PIXELS = 64
"""A side of the picture: it stands in report.json number by number."""


def raster(evidence: Evidence) -> Raster | Missing:
    traced = evidence.traced
    if traced is None or not traced.deployed.spikes:
        return Missing(missing=evidence.reason("traced", "no spikes were recorded"))
    names = [p.name for p in evidence.program.populations if p.name in traced.deployed.spikes]
    windows = {n: window(evidence.program, traced.deployed, n, traced.deployed.spikes[n]) for n in names}
    deployed = {n: spikes for n, spikes in windows.items() if len(spikes)}
    float_ = _float_spikes(traced, deployed)
    firing = [n for n in deployed if np.any(deployed[n]) or np.any(float_.get(n, 0))]
    if not firing:
        return Missing(missing="no recorded layer fires")
    sample, why = _choose(traced, deployed, float_, evidence.reference)
    shown = firing if len(firing) <= MAX_POPULATIONS else [firing[0], *_middle(firing), firing[-1]]
    predictions = traced.deployed.predictions() if traced.deployed.readout is not None else None
    return Raster(
        sample=sample,
        label=None if traced.labels is None else int(traced.labels[sample]),
        predicted=None if predictions is None else int(predictions[sample]),
        n_steps=max(len(deployed[n]) for n in shown),
        why=why,
        picture=_picture(evidence, traced, sample),
        rows=tuple(_row(n, deployed[n][:, sample], float_[n][:, sample] if n in float_ else None) for n in shown),
    )


def _middle(names: list[str]) -> list[str]:
    inner = names[1:-1]
    places = np.linspace(0, len(inner) - 1, MAX_POPULATIONS - 2).round().astype(int)
    return [inner[i] for i in sorted(set(places.tolist()))]


def _float_spikes(traced: Traced, deployed: dict[str, Array]) -> dict[str, Array]:
    found = {n: as_long_as(deployed[n], s) for n, s in (traced.float_spikes or {}).items() if n in deployed}
    return {n: s.reshape(deployed[n].shape) for n, s in found.items() if s.size == deployed[n].size}


def _choose(traced: Traced, deployed: dict[str, Array], float_: dict[str, Array], reference: str) -> tuple[int, str]:
    differing = np.zeros(traced.deployed.n_samples, dtype=np.int64)
    for name, spikes in float_.items():
        different = (spikes != deployed[name]).reshape(spikes.shape[0], spikes.shape[1], -1)
        differing += different.sum(axis=(0, 2))
    if not differing.any():
        return 0, f"the first traced sample; {reference} and program agree on all of them" if float_ else "the first"
    return int(np.argmax(differing)), f"the sample with the most differing spikes, {int(differing.max())}"


def _picture(evidence: Evidence, traced: Traced, sample: int) -> Picture | Missing:
    if traced.inputs is None or len(evidence.program.inputs) != 1:
        return Missing(missing="the input was not recorded" if traced.inputs is None else "more than one input")
    entry = evidence.program.inputs[0]
    values = np.asarray(traced.inputs)
    if values.ndim == len(entry.shape) + 1:  # a still image
        values = values[None]
    image = drawn(values[:, sample].astype(np.float64))
    if image.ndim != 2 or max(image.shape) > MAX_PIXELS:
        return Missing(missing=f"an input of shape {entry.shape} is not drawn as a picture")
    # against its own brightest pixel, because event frames hold a few counts of 255
    top = max(float(image.max()), 1e-9)
    grey = np.rint(255 * np.clip(image / top, 0, 1)).astype(int)
    return Picture(name=entry.name, rows=tuple(tuple(row) for row in grey.tolist()))


def drawn(values: Array) -> Array:
    """What is drawn of one sample's input (T, ...)."""
    if values.ndim == 4 and values.shape[2] == 1 and len(values) > 1:
        over_time: Array = values.mean(axis=(1, 2)).T[::-1]
        return over_time
    image: Array = values.mean(axis=0)
    return image.mean(axis=0) if image.ndim == 3 else image


def _row(name: str, deployed: Array, float_: Array | None) -> RasterRow:
    """Half of the room for neurons that differ most, half for typical ones, each in their own order."""
    flat = deployed.reshape(len(deployed), -1) != 0
    other = None if float_ is None else float_.reshape(len(float_), -1) != 0
    weight = flat.sum(axis=0).astype(np.int64)
    if other is not None:
        # weighed so that a neuron that differs once comes before any that only fires often
        weight = weight + other.sum(axis=0) + 1000 * (flat != other).sum(axis=0)
    ranked, n_worst = np.argsort(-weight, kind="stable"), None
    chosen = np.sort(ranked[:MAX_NEURONS])
    if flat.shape[1] > MAX_NEURONS:
        n_worst = MAX_NEURONS // 2
        chosen = np.concatenate([np.sort(ranked[:n_worst]), _typical(flat, ranked[:n_worst], MAX_NEURONS - n_worst)])
    return RasterRow(
        name=name,
        n_neurons=flat.shape[1],
        neurons=tuple(chosen.tolist()),
        n_worst=n_worst,
        steps_deployed=_steps(flat, chosen),
        steps_float=Missing(missing="no counterpart in the network it is compared with")
        if other is None
        else _steps(other, chosen),
        n_agree=None if other is None else int(np.sum(flat & other)),
        n_only_float=None if other is None else int(np.sum(other & ~flat)),
        n_only_deployed=None if other is None else int(np.sum(flat & ~other)),
    )


def _typical(spikes: Array, taken: Array, n: int) -> Array:
    """``n`` neurons, spread over those that fire by how often they do; silent ones where too few fire."""
    rates = spikes.sum(axis=0)
    others = np.setdiff1d(np.argsort(-rates, kind="stable"), taken, assume_unique=True)
    firing = others[rates[others] > 0]
    pool = firing if len(firing) >= n else others[:n]
    return np.sort(pool[np.linspace(0, len(pool) - 1, n).round().astype(int)])


def _steps(spikes: Array, neurons: Array) -> tuple[tuple[int, ...], ...]:
    return tuple(tuple((np.flatnonzero(spikes[:, n]) + 1).tolist()) for n in neurons)
