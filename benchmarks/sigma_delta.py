"""ANNs as sigma-delta programs: accuracy, messages and operations by threshold, on stills and on digits that drift.

    python -m benchmarks.sigma_delta --mnist FOLDER [--samples 2000] [--sequences 100]
    python -m benchmarks.sigma_delta --mnist FOLDER --seeds 3

Prints a table for each network and data set, as in docs/sigma_delta.md. The ANNs are trained here; with ``--seeds``
one of each seed, converted at threshold 0 and at the default.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from examples.convert_a_moving_digit import drifting, make_data, make_net
from seamount import api
from seamount.config import load_config
from seamount.distill.data import load_data
from seamount.frames import Frames, frames_of
from seamount.sigma_delta import Conversion, convert

N_TRAINING = 20_000
N_MOVING = 4_000
"""Sequences, of which the ANN sees single frames."""


def table(title: str, done: Conversion) -> str:
    ann = done.reference
    bits = min(done.weight_bits.values())
    accuracy = 0.0 if ann.accuracy is None else ann.accuracy
    lines = [
        f"{title}: ANN {100 * accuracy:.2f} %, {ann.operations:,} multiplications a frame; "
        f"n = {done.n_samples:,} samples, {done.n_frames:,} frames; weights of {bits:.1f} bits and more, "
        f"latency {done.latency} frames",
        "",
        "| threshold | messages | operations | of the ANN's | accuracy | points | as ANN | error RMS, max "
        f"(outputs up to {ann.largest:.3g}) |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for p in done.curve:
        found = 0.0 if p.accuracy is None else p.accuracy
        lines.append(
            f"| {p.threshold:g} | {p.messages:,.0f} | {p.operations:,.0f} "
            f"| {100 * p.operations / ann.operations:.1f} % "
            f"| {100 * found:.2f} % | {100 * (found - accuracy):+.2f} | {100 * p.same:.2f} % "
            f"| {p.error_rms:.3f}, {p.error_max:.3f} |"
        )
    return "\n".join([*lines, ""])


def cnn(side: int, seed: int = 0) -> nn.Sequential:
    """Four weighted layers for one channel; ``side`` is a multiple of 4."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1), nn.BatchNorm2d(16), nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1), nn.BatchNorm2d(32), nn.ReLU(),
        nn.Flatten(), nn.Linear(2 * side * side, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def trained(net: nn.Module, x: Tensor, y: Tensor, epochs: int) -> nn.Module:
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for numbers in [part for _ in range(epochs) for part in torch.randperm(len(y)).split(100)]:
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(x[numbers].float() / 255), y[numbers]).backward()
        optimiser.step()
    return net.eval()


def stills(*settings: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and test part of a data set, uint8 images and their classes."""
    data = load_data(load_config(None, settings).data, n_steps=1)
    train, test = ((part.read(part.ids, None), part.labels) for part in (data.train, data.test))
    return train, test


def over_seeds(title: str, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor], n_seeds: int) -> None:
    (x, y), (x_test, y_test) = train, test
    epochs = max(3, 30_000 // len(y))
    parts = (x.numpy(), y.numpy()), (x_test.numpy(), y_test.numpy())
    for seed in range(n_seeds):
        print(
            row(title, seed, trained(cnn(x.shape[-1], seed), x, y, epochs), frames_of(parts, frames=False)),
            flush=True,
        )


def moving_over_seeds(n_seeds: int, n_sequences: int) -> None:
    train, test = frames_of(make_data(), frames=True)
    for seed in range(n_seeds):
        net = make_net(seed=seed)
        title = f"digits, drifting, n = {n_sequences} x {test.n_steps} frames"
        print(row(title, seed, net, (train, test.part(0, n_sequences))), flush=True)


def row(title: str, seed: int, net: nn.Module, parts: tuple[Frames, Frames]) -> str:
    """What conversion of an ANN costs at threshold 0 and at the default."""
    done = convert(net, *parts, thresholds=(0.0,))
    ann, zero, usual = done.reference.accuracy or 0.0, done.curve[0], done.chosen
    exact, found = (100 * ((point.accuracy or 0.0) - ann) for point in (zero, usual))
    return (
        f"| {title} | {seed} | {100 * ann:.2f} % | {exact:+.2f} | {usual.threshold:g} | {found:+.2f} "
        f"| {100 * usual.same:.2f} % | {usual.messages:,.0f} "
        f"| {usual.error_rms:.3f} of {done.reference.largest:.3g} |"
    )


def mnist(folder: Path, n_samples: int, n_sequences: int) -> None:
    (x, y), (x_test, y_test) = stills('data.name="mnist"', f'data.root="{folder}"')
    x, y = x[:N_TRAINING], y[:N_TRAINING]
    still = trained(cnn(28), x, y, epochs=3)
    parts = (x.numpy(), y.numpy()), (x_test.numpy(), y_test.numpy())
    for net in (False, True):
        print(table(f"MNIST{', as .net' if net else ''}", api.convert(still, parts, net=net, n_samples=n_samples)))
    moving = drifting(x[:N_MOVING, 0].numpy())
    frames, labels = torch.from_numpy(moving[:, ::4]).flatten(0, 1), y[:N_MOVING].repeat_interleave(6)
    sequences = drifting(x_test[:n_sequences, 0].numpy(), seed=1)
    both = (moving[:500], y[:500].numpy()), (sequences, y_test[:n_sequences].numpy())
    print(table("MNIST, drifting", api.convert(trained(cnn(36), frames, labels, epochs=3), both, frames=True)))


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder with the four idx files; without it digits alone")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--seeds", type=int, help="in place of the curves, ANNs of so many seeds")
    asked = parser.parse_args(arguments)
    if asked.seeds:
        train, test = stills('data.name="digits"')
        over_seeds(f"digits, n = {len(test[1])}", train, test, asked.seeds)
        moving_over_seeds(asked.seeds, asked.sequences)
        if asked.mnist is not None:
            (x, y), (x_test, y_test) = stills('data.name="mnist"', f'data.root="{asked.mnist}"')
            n = asked.samples
            over_seeds(f"MNIST, n = {n:,}", (x[:N_TRAINING], y[:N_TRAINING]), (x_test[:n], y_test[:n]), asked.seeds)
        return
    (x, y), (x_test, y_test) = make_data()
    first = np.s_[:, :1]  # a still
    net = make_net()
    single = (x[first][:, 0], y), (x_test[first][:, 0], y_test)
    print(table("Digits", api.convert(net, single)))
    print(table("Digits, drifting", api.convert(net, make_data(), frames=True, n_samples=asked.sequences)))
    if asked.mnist is not None:
        mnist(asked.mnist, asked.samples, asked.sequences)


if __name__ == "__main__":
    main()
