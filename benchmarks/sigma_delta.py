"""ANNs as sigma-delta programs: accuracy, messages and operations by threshold, on stills and on digits that drift.

    python -m benchmarks.sigma_delta --mnist FOLDER [--samples 2000] [--sequences 100]
    python -m benchmarks.sigma_delta --parts regression skips
    python -m benchmarks.sigma_delta --mnist FOLDER --seeds 3

Prints a table for each network and data set, as in docs/sigma_delta.md, and puts its figures into
results/sigma_delta.json, beside those of parts that were measured before. The ANNs are trained here; with ``--seeds``
one of each seed, converted at threshold 0 and at the default, a row of its own each.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable, Sequence
from datetime import date
from functools import partial
from pathlib import Path

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn

from benchmarks.figures import RESULTS, cpu_name, write_figures
from examples.convert_a_moving_digit import drifting, make_data, make_net
from seamount import api
from seamount.config import load_config
from seamount.distill.data import load_data
from seamount.frames import frames_of
from seamount.sigma_delta import Conversion, convert

N_TRAINING = 20_000
N_MOVING = 4_000
"""Sequences, of which the ANN sees single frames."""


def table(title: str, done: Conversion) -> str:
    ann = done.reference
    bits = min(done.weight_bits.values())
    regression = ann.accuracy is None
    of_ann = f"RMSE {ann.rmse:.3f}" if regression else f"{100 * (ann.accuracy or 0.0):.2f} %"
    found = "RMSE" if regression else "accuracy | points | as ANN"
    lines = [
        f"{title}: ANN {of_ann}, {ann.operations:,} multiplications a frame; "
        f"n = {done.n_samples:,} samples, {done.n_frames:,} frames; weights of {bits:.1f} bits and more, "
        f"latency {done.latency} frames, by default threshold {done.chosen.threshold:g}",
        "",
        f"| threshold | messages | operations | of the ANN's | {found} | error RMS, max "
        f"(outputs up to {ann.largest:.3g}) |",
        "|---" * (6 if regression else 8) + "|",
    ]
    for p in done.curve:
        points = 100 * ((p.accuracy or 0.0) - (ann.accuracy or 0.0))
        classes = f"{100 * (p.accuracy or 0.0):.2f} % | {points:+.2f} | {100 * p.same:.2f} %"
        lines.append(
            f"| {p.threshold:g} | {p.messages:,.0f} | {p.operations:,.0f} "
            f"| {100 * p.operations / ann.operations:.1f} % "
            f"| {f'{p.rmse:.3f}' if regression else classes} "
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


class Residual(nn.Module):
    """Two sums of two ways, 2 x 2 and global maxima."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.second = nn.Conv2d(1, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.pool = nn.MaxPool2d(2)
        self.third, self.beside, self.head = nn.Conv2d(8, 16, 3, padding=1), nn.Conv2d(8, 16, 1), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.first(x).relu())
        x = (self.second(x) + x).relu()
        x = (self.third(x) + self.beside(x)).relu()
        out: Tensor = self.head(x.amax((2, 3)))
        return out


def places(n: int, n_frames: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Digits that drift over 24 x 24 by up to a pixel a frame, (n, T, 1, 24, 24), and where they are, (n, T, 2)."""
    rng, room, images = np.random.default_rng(seed), 16, (load_digits().images * (255 / 16)).astype(np.uint8)
    start, speed = rng.uniform(0, 2 * room, (n, 1, 2)), rng.uniform(-1, 1, (n, 1, 2))
    way = (start + speed * np.arange(n_frames)[:, None]) % (2 * room)
    at = np.rint(np.minimum(way, 2 * room - way)).astype(int)  # and back from the border
    frames = np.zeros((n, n_frames, 1, 24, 24), np.uint8)
    for sample, image in enumerate(images[rng.integers(0, len(images), n)]):
        for t, (y, x) in enumerate(at[sample]):
            frames[sample, t, 0, y : y + 8, x : x + 8] = image
    return frames, at[..., ::-1].astype(np.float32)


def where_it_is(x: np.ndarray, y: np.ndarray, epochs: int = 40) -> nn.Module:
    """An ANN that tells the place of the digit in a frame, trained on every fourth."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 8, 3, stride=2, padding=1), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2, padding=1), nn.ReLU(),
        nn.Flatten(), nn.Linear(576, 16), nn.ReLU(), nn.Linear(16, 2),
    )  # fmt: skip
    frames, targets = (torch.from_numpy(values[:, ::4].copy()).flatten(0, 1) for values in (x, y))
    return trained(net, frames, targets, epochs, nn.functional.mse_loss)


def trained(
    net: nn.Module, x: Tensor, y: Tensor, epochs: int, loss: Callable[..., Tensor] = nn.functional.cross_entropy
) -> nn.Module:
    optimiser = torch.optim.AdamW(net.parameters(), lr=2e-3)
    for numbers in [part for _ in range(epochs) for part in torch.randperm(len(y)).split(100)]:
        optimiser.zero_grad()
        loss(net(x[numbers].float() / 255), y[numbers]).backward()
        optimiser.step()
    return net.eval()


def stills(*settings: str) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """Training and test part of a data set, uint8 images and their classes."""
    data = load_data(load_config(None, settings).data, n_steps=1)
    train, test = ((part.read(part.ids, None), part.labels) for part in (data.train, data.test))
    return train, test


def of_seed(seed: int, train: tuple[Tensor, Tensor], test: tuple[Tensor, Tensor]) -> Conversion:
    """At threshold 0 and at the default."""
    (x, y), (x_test, y_test) = train, test
    net = trained(cnn(x.shape[-1], seed), x, y, epochs=max(3, 30_000 // len(y)))
    parts = (x.numpy(), y.numpy()), (x_test.numpy(), y_test.numpy())
    return convert(net, *frames_of(parts, frames=False), thresholds=(0.0,))


def moving_of_seed(seed: int, n_sequences: int) -> Conversion:
    train, test = frames_of(make_data(), frames=True)
    return convert(make_net(seed=seed), train, test.part(0, n_sequences), thresholds=(0.0,))


def row(title: str, done: Conversion) -> str:
    """What conversion of an ANN costs at threshold 0 and at the default."""
    ann, zero, usual = done.reference.accuracy or 0.0, done.curve[0], done.chosen
    exact, found = (100 * ((point.accuracy or 0.0) - ann) for point in (zero, usual))
    return (
        f"| {title} | {100 * ann:.2f} % | {exact:+.2f} | {usual.threshold:g} | {found:+.2f} "
        f"| {100 * usual.same:.2f} % | {usual.messages:,.0f} "
        f"| {usual.error_rms:.3f} of {done.reference.largest:.3g} |"
    )


def digits() -> Conversion:
    (x, y), (x_test, y_test) = make_data()
    return api.convert(make_net(), ((x[:, 0], y), (x_test[:, 0], y_test)))


def digits_drifting(n_sequences: int) -> Conversion:
    return api.convert(make_net(), make_data(), frames=True, n_samples=n_sequences)


def regression() -> Conversion:
    train, test = places(600, 20, 0), places(100, 20, 1)
    return api.convert(where_it_is(*train), (train, test), frames=True)


def skips() -> Conversion:
    (x, y), (x_test, y_test) = stills('data.name="digits"')
    parts = (x.numpy(), y.numpy()), (x_test.numpy(), y_test.numpy())
    return api.convert(trained(Residual(), x, y, epochs=30), parts)


def mnist(folder: Path, n_samples: int, *, net: bool) -> Conversion:
    (x, y), (x_test, y_test) = stills('data.name="mnist"', f'data.root="{folder}"')
    x, y = x[:N_TRAINING], y[:N_TRAINING]
    parts = (x.numpy(), y.numpy()), (x_test.numpy(), y_test.numpy())
    return api.convert(trained(cnn(28), x, y, epochs=3), parts, net=net, n_samples=n_samples)


def mnist_drifting(folder: Path, n_sequences: int) -> Conversion:
    (x, y), (x_test, y_test) = stills('data.name="mnist"', f'data.root="{folder}"')
    moving = drifting(x[:N_MOVING, 0].numpy())
    frames, labels = torch.from_numpy(moving[:, ::4]).flatten(0, 1), y[:N_MOVING].repeat_interleave(6)
    sequences = drifting(x_test[:n_sequences, 0].numpy(), seed=1)
    both = (moving[:500], y[:500].numpy()), (sequences, y_test[:n_sequences].numpy())
    return api.convert(trained(cnn(36), frames, labels, epochs=3), both, frames=True)


def measure(parts: dict[str, Callable[[], Conversion]], shown: Callable[[str, Conversion], str]) -> None:
    """What is shown of each part is printed, and its figures are written at once."""
    file = RESULTS / "sigma_delta.json"
    for name, part in parts.items():
        began = time.process_time()
        done = part()
        print(shown(name, done), flush=True)
        found = json.loads(file.read_text()) if file.exists() else {}
        machine = {"cpu": cpu_name(), "load": os.getloadavg()[0], "torch": torch.__version__}
        spent = {"date": str(date.today()), **machine, "cpu_s": time.process_time() - began}
        write_figures(file, {**found, name: {**spent, **done.to_dict()}})


def parts_of_seeds(asked: argparse.Namespace) -> dict[str, Callable[[], Conversion]]:
    train, test = stills('data.name="digits"')
    made: dict[str, Callable[[int], Conversion]] = {
        "digits": partial(of_seed, train=train, test=test),
        "digits-drifting": partial(moving_of_seed, n_sequences=asked.sequences),
    }
    if asked.mnist is not None:
        (x, y), (x_test, y_test) = stills('data.name="mnist"', f'data.root="{asked.mnist}"')
        n = asked.samples
        made["mnist"] = partial(of_seed, train=(x[:N_TRAINING], y[:N_TRAINING]), test=(x_test[:n], y_test[:n]))
    return {f"{name}, seed {seed}": partial(make, seed) for name, make in made.items() for seed in range(asked.seeds)}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mnist", type=Path, help="folder with the four idx files; without it digits alone")
    parser.add_argument("--samples", type=int, default=2000)
    parser.add_argument("--sequences", type=int, default=100)
    parser.add_argument("--seeds", type=int, help="in place of the curves, ANNs of so many seeds")
    parser.add_argument("--parts", nargs="+", metavar="PART", help="these alone; without it, all")
    asked = parser.parse_args(arguments)
    if asked.seeds:
        measure(parts_of_seeds(asked), row)
        return
    parts: dict[str, Callable[[], Conversion]] = {
        "digits": digits,
        "digits-drifting": partial(digits_drifting, asked.sequences),
        "regression": regression,
        "skips": skips,
    }
    if asked.mnist is not None:
        parts["mnist"] = partial(mnist, asked.mnist, asked.samples, net=False)
        parts["mnist-net"] = partial(mnist, asked.mnist, asked.samples, net=True)
        parts["mnist-drifting"] = partial(mnist_drifting, asked.mnist, asked.sequences)
    unknown = sorted(set(asked.parts or ()) - set(parts))
    if unknown:
        parser.error(f"no part {', '.join(unknown)}; there are {', '.join(parts)}")
    measure({name: part for name, part in parts.items() if not asked.parts or name in asked.parts}, table)


if __name__ == "__main__":
    main()
