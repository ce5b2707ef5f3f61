"""ANNs as sigma-delta programs: accuracy, messages and operations by threshold, on stills and on digits that drift.

    python -m benchmarks.sigma_delta --mnist FOLDER [--samples 2000] [--sequences 100]

Prints a table for each network and data set, as in docs/sigma_delta.md. One seed; the ANNs are trained here.
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
from seamount.sigma_delta import Conversion

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


def cnn(side: int) -> nn.Sequential:
    """Four weighted layers for one channel; ``side`` is a multiple of 4."""
    torch.manual_seed(0)
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


def mnist(folder: Path, n_samples: int, n_sequences: int) -> None:
    data = load_data(load_config(None, ['data.name="mnist"', f'data.root="{folder}"']).data, n_steps=1)
    (x, y), (x_test, y_test) = ((part.read(part.ids, None), part.labels) for part in (data.train, data.test))
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
    asked = parser.parse_args(arguments)
    (x, y), (x_test, y_test) = make_data()
    first = np.s_[:, :1]  # a still
    net = make_net()
    stills = (x[first][:, 0], y), (x_test[first][:, 0], y_test)
    print(table("Digits", api.convert(net, stills)))
    print(table("Digits, drifting", api.convert(net, make_data(), frames=True, n_samples=asked.sequences)))
    if asked.mnist is not None:
        mnist(asked.mnist, asked.samples, asked.sequences)


if __name__ == "__main__":
    main()
