"""SeAl-KD in a training loop of your own, then the chip's integers, then a report.

python examples/losses_in_your_own_loop.py [FOLDER]
"""

import sys

import torch
from sklearn.datasets import load_digits
from torch import nn

from seamount import api
from seamount.losses import SealKD
from seamount.models.zoo import build_student

digits = load_digits()
x, y = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(digits.target)


def train(network, loss_of, epochs=5):
    optimiser = torch.optim.AdamW(network.parameters(), lr=4e-3)
    for numbers in [part for _ in range(epochs) for part in torch.randperm(1200).split(64)]:
        optimiser.zero_grad()
        loss_of(network(x[numbers]), numbers).backward()
        optimiser.step()
    return network.eval()


teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
train(teacher, lambda logits, i: nn.functional.cross_entropy(logits, y[i]))
student, loss = build_student("small", n_classes=10, input_shape=(1, 8, 8), n_steps=4), SealKD()
train(student, lambda out, i: loss(out.logits, y[i], teacher(x[i])))
chip = api.quantise(student, x[:256])  # computes with the chip's integers, and learns in them
train(chip, lambda out, i: loss(out.logits, y[i], teacher(x[i])), epochs=1).freeze()
report = api.deploy(
    chip, (x[1200:], y[1200:]), folder=sys.argv[1] if len(sys.argv) > 1 else "runs/own_loop", n_lava=2
)
print(f"deployed: {report.accuracy.rungs[-1].accuracy.value:.2f} %")
