"""Every loss against its equations in numpy, and its gradient against finite differences of them.

What a loss takes as fixed (targets and weights without gradient) is computed at the unmoved logits.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.func import functional_call

from seamount.distill.budget import FanOut, SpikeBudget
from seamount.distill.methods import Lesson, Settings, term
from seamount.distill.methods.sastc import Sastc

T, B, K = 3, 4, 5
SMOOTHING = 0.1


@dataclass
class Batch:
    """z: (T, B, K) the student's logits. fixed: the same, unmoved. teacher: (B, K). labels: (B,)."""

    z: np.ndarray
    fixed: np.ndarray
    teacher: np.ndarray
    labels: np.ndarray

    @property
    def each(self) -> list[tuple[int, int]]:
        return list(np.ndindex(T, B))


def log_shares(logits: np.ndarray, temperature: float = 1.0) -> np.ndarray:
    scaled = logits / temperature
    return scaled - np.log(np.exp(scaled).sum(-1, keepdims=True))


def kl(target: np.ndarray, own: np.ndarray, temperature: float) -> float:
    p, q = log_shares(target, temperature), log_shares(own, temperature)
    return float(temperature**2 * (np.exp(p) * (p - q)).sum())


def hta(target: np.ndarray, own: np.ndarray, fixed: np.ndarray, temperature: float) -> float:
    """Head: from the most probable on, classes before which less than half of the teacher's probability lies."""
    p, q = np.exp(log_shares(target, temperature)), np.exp(log_shares(fixed, temperature))
    head, before = np.zeros(K), 0.0
    for k in np.argsort(-p):
        head[k], before = before < 0.5, before + p[k]
    weight = (abs(p - q) * head).sum() / abs(p - q).sum()
    return float(weight * kl(target, own, temperature) + (1 - weight) * kl(own, target, temperature))


def cross_entropy(logits: np.ndarray, label: int) -> float:
    shares = log_shares(logits)
    return float(-(1 - SMOOTHING) * shares[label] - SMOOTHING * shares.mean())


def hard(batch: Batch) -> float:
    return float(np.mean([cross_entropy(batch.z[t, b], batch.labels[b]) for t, b in batch.each]))


def hard_mean(batch: Batch) -> float:
    return float(np.mean([cross_entropy(batch.z[:, b].mean(0), batch.labels[b]) for b in range(B)]))


def kd(batch: Batch) -> float:
    return float(np.mean([kl(batch.teacher[b], batch.z[:, b].mean(0), 4) for b in range(B)]))


def kd_hta(batch: Batch) -> float:
    pairs = [(batch.z[:, b].mean(0), batch.fixed[:, b].mean(0)) for b in range(B)]
    return float(np.mean([hta(batch.teacher[b], own, fixed, 4) for b, (own, fixed) in enumerate(pairs)]))


def kd_per_step(batch: Batch) -> float:
    return float(np.mean([kl(batch.teacher[b], batch.z[t, b], 3) for t, b in batch.each]))


def kd_per_step_hta(batch: Batch) -> float:
    return float(np.mean([hta(batch.teacher[b], batch.z[t, b], batch.fixed[t, b], 3) for t, b in batch.each]))


def mean_step(batch: Batch) -> float:
    return float(np.mean([kl(batch.fixed[:, b].mean(0), batch.z[t, b], 3) for t, b in batch.each]))


def aligned(batch: Batch, t: int, b: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Teacher, student and unmoved student with the winner's entry made the label's, where they are two."""
    winner, label = int(batch.fixed[t, b].argmax()), batch.labels[b]
    teacher, own, fixed = batch.teacher[b].copy(), batch.z[t, b].copy(), batch.fixed[t, b].copy()
    if winner != label:
        own[winner], fixed[winner] = own[label], fixed[label]
        teacher[[winner, label]] = min(teacher[winner], teacher[label])
    return teacher, own, fixed


def ela(batch: Batch) -> float:
    found = [aligned(batch, t, b) for t, b in batch.each]
    return float(np.mean([kl(teacher, own, 3) for teacher, own, _ in found]))


def ela_hta(batch: Batch) -> float:
    return float(np.mean([hta(*aligned(batch, t, b), 3) for t, b in batch.each]))


def listens(batch: Batch, i: int, b: int) -> np.ndarray:
    """How much step i listens to each step, (T,)."""
    scores = np.full(T, -np.inf)
    for j in range(T):
        if j != i:
            a, c = batch.fixed[i, b], batch.fixed[j, b]
            shares = np.exp(log_shares(c))
            confidence = (np.log(K) + (shares * np.log(shares + 1e-8)).sum()) / np.log(K)
            scores[j] = confidence * (a @ c) / (np.linalg.norm(a) * np.linalg.norm(c))
    weights = np.exp(scores)
    return np.asarray(weights / weights.sum())


def sta(batch: Batch) -> float:
    return float(np.mean([kl(listens(batch, i, b) @ batch.fixed[:, b], batch.z[i, b], 3) for i, b in batch.each]))


def sta_pairs(batch: Batch) -> float:
    def of(i: int, b: int) -> float:
        return sum(w * kl(batch.fixed[j, b], batch.z[i, b], 3) for j, w in enumerate(listens(batch, i, b)))

    return float(np.mean([of(i, b) for i, b in batch.each]))


def differences(loss: Callable[[np.ndarray], float], at: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central ones, of the shape of ``at``."""
    found = np.zeros_like(at)
    for index in np.ndindex(at.shape):
        moved = np.zeros_like(at)
        moved[index] = step
        found[index] = (loss(at + moved) - loss(at - moved)) / (2 * step)
    return found


HTA = Settings(divergence="hta-kl")


@pytest.mark.parametrize(
    ("name", "settings", "equation"),
    [
        ("hard", Settings(label_smoothing=SMOOTHING), hard),
        ("hard-mean", Settings(label_smoothing=SMOOTHING), hard_mean),
        ("kd", Settings(), kd),
        ("kd", HTA, kd_hta),
        ("kd-per-step", Settings(), kd_per_step),
        ("kd-per-step", HTA, kd_per_step_hta),
        ("mean-step", Settings(), mean_step),
        ("ela", Settings(), ela),
        ("ela", HTA, ela_hta),
        ("sta", Settings(), sta),
        ("sta", Settings(sta_target="weighted-kl"), sta_pairs),
    ],
)
def test_a_loss_and_its_gradient_are_those_of_its_equation(
    name: str, settings: Settings, equation: Callable[[Batch], float]
) -> None:
    random = np.random.default_rng(4)
    z, teacher, labels = random.normal(0, 2, (T, B, K)), random.normal(0, 2, (B, K)), random.integers(0, K, B)
    labels[0] = z[1, 0].argmax()  # a step that is right beside those that are wrong
    logits, taught = (torch.tensor(x, requires_grad=True) for x in (z, teacher))
    loss = term(name).of(settings)(Lesson(logits, torch.tensor(labels), taught))
    loss.backward()
    assert loss.dtype == torch.float64
    assert loss.item() == pytest.approx(equation(Batch(z, z, teacher, labels)), rel=1e-12)
    expected = differences(lambda moved: equation(Batch(moved, z, teacher, labels)), z)
    assert logits.grad is not None
    np.testing.assert_allclose(logits.grad, expected, atol=1e-8)
    assert taught.grad is None


@pytest.mark.parametrize("batch_size", [None, 8])
def test_sastc_has_the_gradient_of_its_finite_differences(batch_size: int | None) -> None:
    torch.manual_seed(3)
    n = 8 if batch_size else 5
    shapes = {"a": (2, 4, 4)}, {"x": (3, 2, 2), "y": (2, 4, 4)}
    head = Sastc(*shapes, batch_size=batch_size, points=8).double()
    maps = torch.randn(2, n, 2, 4, 4, dtype=torch.float64, requires_grad=True)
    taught = {
        name: torch.randn(n, *shape, dtype=torch.float64, requires_grad=True) for name, shape in shapes[1].items()
    }
    names = [name for name, _ in head.named_parameters()]
    values = [p.detach().clone().requires_grad_() for p in head.parameters()]

    def loss(maps: torch.Tensor, *values: torch.Tensor) -> torch.Tensor:
        lesson = Lesson(maps.sum((2, 3, 4)), torch.zeros(n).long(), None, {"a": maps}, taught)
        found = functional_call(head, dict(zip(names, values, strict=True)), (lesson,))
        assert isinstance(found, torch.Tensor)
        return found

    assert torch.autograd.gradcheck(loss, (maps, *values), fast_mode=True)
    assert all(one.grad is None for one in taught.values())


@pytest.mark.parametrize(("limit", "busy"), [(30.0, True), (100.0, False)])
def test_a_budget_has_the_gradient_of_its_equation(limit: float, busy: bool) -> None:
    """Over the budget, where all together pull; and under it, where the floor pushes one population up."""
    random, floor, entry = np.random.default_rng(6), 0.3, 7.0
    fans = {"a": random.integers(1, 9, (2, 3)).astype(float), "b": random.integers(1, 9, 4).astype(float)}
    spikes = {"a": random.random((T, B, 2, 3)), "b": random.random((T, B, 4)) * 0.01}
    aim = 0.85 * (limit - entry)

    def equation(spikes: dict[str, np.ndarray]) -> float:
        spent = {name: (x.sum(0) * fans[name]).reshape(B, -1).sum(1).mean() for name, x in spikes.items()}
        n_synapses = sum(fan.sum() for fan in fans.values())
        loss = 2 * max(0.0, sum(spent.values()) / aim - 1) ** 2
        for name, fan in fans.items():
            loss += max(0.0, 1 - spent[name] / (floor * aim * fan.sum() / n_synapses)) ** 2
        return float(loss)

    budget = SpikeBudget(
        FanOut({"input": torch.ones(5), **{name: torch.tensor(fan).float() for name, fan in fans.items()}}),
        *(limit, entry),
        floor=floor,
    )
    sent = {name: torch.tensor(x, requires_grad=True) for name, x in spikes.items()}
    loss, spent = budget(sent)
    loss.backward()
    assert loss.item() == pytest.approx(equation(spikes), rel=1e-5)
    assert (spent.item() > limit) == busy
    for name, x in spikes.items():
        expected = differences(lambda moved, name=name: equation({**spikes, name: moved}), x)
        assert (np.abs(expected) > 1e-6).all() == (busy or name == "b")
        np.testing.assert_allclose(sent[name].grad, expected, rtol=1e-4, atol=1e-6)
