"""Your own data, teacher and student, from training to the report.

python examples/own_everything.py [FOLDER]
"""

import sys

import norse.torch as norse
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.utils.data import TensorDataset

from seamount import api

digits = load_digits()
x, y = torch.tensor(digits.images / 16, dtype=torch.float32).unsqueeze(1), torch.tensor(digits.target)
data = TensorDataset(x[:1200], y[:1200]), TensorDataset(x[1200:], y[1200:])  # training, test
neurons = norse.LIFBoxParameters(tau_mem_inv=torch.tensor(500.0), v_th=torch.tensor(0.3), method="tanh", alpha=2.0)
student = norse.SequentialState(nn.Flatten(), nn.Linear(64, 64), norse.LIFBoxCell(neurons), nn.Linear(64, 10))
teacher = nn.Sequential(nn.Flatten(), nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
settings = ["teacher.epochs=10", "train.epochs=10", "quant.epochs=3", "student.n_steps=6", "lava.n_samples=2"]
folder = sys.argv[1] if len(sys.argv) > 1 else "runs/own"
report = api.run(teacher=teacher, student=student, data=data, settings=settings, folder=folder, overwrite=True)
for rung in report.accuracy.rungs:
    print(f"{rung.stage}: {rung.accuracy.value:.2f} {rung.accuracy.unit}")
