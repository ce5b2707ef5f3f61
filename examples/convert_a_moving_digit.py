"""An ANN trained on single frames, as a sigma-delta program on digits that drift: messages where something changes.

python examples/convert_a_moving_digit.py [FOLDER]
seamount convert examples/convert_a_moving_digit.py:make_net --data examples/convert_a_moving_digit.py:make_data
"""

import sys

import numpy as np
import torch
from sklearn.datasets import load_digits
from torch import nn

from seamount import api

N_FRAMES, MARGIN = 24, 4


def drifting(images, n_frames=N_FRAMES, margin=MARGIN, seed=0):
    """(N, H, W) -> (N, T, 1, H + 2 margin, W + 2 margin): each moves on by a pixel every third frame."""
    rng, (n, height, width) = np.random.default_rng(seed), images.shape
    frames = np.zeros((n, n_frames, 1, height + 2 * margin, width + 2 * margin), images.dtype)
    at, way = rng.integers(0, 2 * margin + 1, (n, 2)), rng.choice([-1, 1], (n, 2))
    for t in range(n_frames):
        for i, (y, x) in enumerate(at):
            frames[i, t, 0, y : y + height, x : x + width] = images[i]
        if t % 3 == 2:  # and back from the border
            way = np.where((at + way < 0) | (at + way > 2 * margin), -way, way)
            at = at + way
    return frames


def make_data():
    digits = load_digits()
    x, y = drifting((digits.images * (255 / 16)).astype(np.uint8)), digits.target
    return (x[:1400], y[:1400]), (x[1400:], y[1400:])


def make_net(epochs=8, seed=0):
    torch.manual_seed(seed)
    (x, y), _ = make_data()
    frames, labels = torch.from_numpy(x[:, ::4]).flatten(0, 1).float() / 255, torch.from_numpy(np.repeat(y, 6))
    net = nn.Sequential(
        nn.Conv2d(1, 16, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Conv2d(16, 32, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )
    optimiser = torch.optim.AdamW(net.parameters(), lr=3e-3)
    for numbers in [part for _ in range(epochs) for part in torch.randperm(len(labels)).split(64)]:
        optimiser.zero_grad()
        nn.functional.cross_entropy(net(frames[numbers]), labels[numbers]).backward()
        optimiser.step()
    return net.eval()


if __name__ == "__main__":
    folder = sys.argv[1] if len(sys.argv) > 1 else "runs/moving_digit"
    done = api.convert(make_net(), make_data(), frames=True, threshold=0.05, net=True, n_samples=50, folder=folder)
    ann, found = done.reference, done.chosen
    print(f"accuracy {100 * found.accuracy:.1f} %, ANN {100 * ann.accuracy:.1f} %, n = {done.n_frames} frames")
    print(
        f"{found.operations:,.0f} operations a frame, the ANN {ann.operations / found.operations:.1f} times as many"
    )
