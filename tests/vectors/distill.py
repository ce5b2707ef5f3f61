"""Compares the distillation losses with recorded vectors: ``python -m tests.vectors.distill DIR``.

Takes any directory of ``seal_*.npz`` and ``sastc_*.npz`` in the form that golden/distill/README.md describes. Values
and gradients of the float64 records must agree to 1e-12 absolute plus 1e-10 relative, of the float32 ones to 1e-6
absolute plus 1e-5 relative. Exits with 1 unless everything agrees.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from seamount.distill.methods.hard import Hard, HardMean
from seamount.distill.methods.kd import Kd
from seamount.distill.methods.kd_per_step import KdPerStep
from seamount.distill.methods.lesson import Lesson, soft_divergence
from seamount.distill.methods.sastc import Regressors, Sastc, Shape
from seamount.distill.methods.seal_kd import (
    ErrorAwareAlignment,
    SelectiveAlignment,
    align_errors,
    mix_steps,
    step_weights,
)

Record = Mapping[str, NDArray[np.generic]]
Found = dict[str, Tensor | None]


@dataclass(frozen=True)
class Tally:
    """Result of one file: how many numbers were compared, and which disagree by how much."""

    n_values: int
    n_differing: int
    lines: tuple[str, ...]


def seal(record: Record, dtype: torch.dtype) -> Found:
    """Every quantity of a SeAl-KD record, computed by our terms; ``None``: the recorded key needs no counterpart."""
    labels = torch.from_numpy(record["label"])
    teacher = torch.from_numpy(record["teacher"]).to(dtype)
    alpha, beta, tau = (float(record[name]) for name in ("alpha", "beta", "tau"))
    logits = torch.from_numpy(record["student"]).to(dtype)
    terms = {
        "ce": Hard(),
        "sta": SelectiveAlignment(tau),
        "ela": ErrorAwareAlignment(tau),
        "plainkd": KdPerStep(tau),
    }
    found: Found = {}
    losses = {}
    for name, term in terms.items():
        leaf = logits.clone().requires_grad_()
        losses[name] = term(Lesson(leaf, labels, teacher))
        found[f"{name}_loss"] = losses[name].detach()
        found[f"{name}_grad"] = gradient(losses[name], leaf)
    leaf = logits.clone().requires_grad_()
    lesson = Lesson(leaf, labels, teacher)
    total = terms["ce"](lesson) + alpha * terms["ela"](lesson) + beta * terms["sta"](lesson)
    found |= {"total_loss": total.detach(), "total_grad": gradient(total, leaf)}
    student, aligned = align_errors(logits, teacher, labels)
    found |= {"ela_student": student, "ela_teacher": aligned}
    found["ela_per_step"] = soft_divergence(aligned, student, tau).mean(-1)
    found["plainkd_per_step"] = soft_divergence(teacher, logits, tau).mean(-1)
    if len(logits) > 1:
        weights = step_weights(logits)
        found["sta_weight"] = weights
        found["sta_target_prob"] = (mix_steps(weights, logits) / tau).softmax(-1)
    return found


def sastc(record: Record, dtype: torch.dtype) -> Found:
    """Every quantity of a SASTC record, computed by the exact mode."""
    n_student, n_teacher = int(record["n_student"]), int(record["n_teacher"])
    student = [torch.from_numpy(record[f"student_{i}"]).to(dtype).requires_grad_() for i in range(n_student)]
    teacher = [torch.from_numpy(record[f"teacher_{j}"]).to(dtype) for j in range(n_teacher)]
    shapes: list[dict[str, Shape]] = [
        {str(i): (m.shape[-3], m.shape[-2], m.shape[-1]) for i, m in enumerate(maps)} for maps in (student, teacher)
    ]
    head = Sastc(shapes[0], shapes[1], batch_size=int(record["embed_in"]), factor=int(record["factor"])).to(dtype)
    module = {k.removeprefix("param/"): torch.from_numpy(v) for k, v in record.items() if k.startswith("param/")}
    for name, tensor in head.state_dict().items():
        tensor.copy_(ours(name, head, module))
    head.zero_grad()
    found: Found = {"attention": head.attention(student, teacher).transpose(0, 1).detach()}
    lesson = Lesson(
        torch.from_numpy(record["logits"]).to(dtype).transpose(0, 1).requires_grad_(),
        torch.from_numpy(record["label"]),
        torch.from_numpy(record["teacher_logits"]).to(dtype),
        {str(i): maps.transpose(0, 1) for i, maps in enumerate(student)},
        {str(j): maps for j, maps in enumerate(teacher)},
    )
    loss = head(lesson)
    loss.backward()
    hard, soft = HardMean()(lesson), Kd(4.0)(lesson)
    found |= {"loss": loss.detach(), "ce_loss": hard.detach(), "div_loss": soft.detach()}
    found["grad_logits"] = gradient(hard + soft, lesson.logits).transpose(0, 1)
    found["total_loss"] = (hard + soft + float(record["beta"]) * loss).detach()
    for i, maps in enumerate(student):
        assert maps.grad is not None
        found[f"grad_student_{i}"] = maps.grad
    buffers = {name: buffer.clone() for name, buffer in head.named_buffers()}  # ``values`` runs the head again
    parameters = dict(head.named_parameters())
    for name in module:
        is_buffer = name.rsplit(".", 1)[-1] in ("running_mean", "running_var", "num_batches_tracked")
        mine, part = theirs(name, head)
        if is_buffer:
            found[f"buffer_after/{name}"] = buffers[mine][part] if buffers[mine].ndim else buffers[mine]
        else:
            grad = parameters[mine].grad
            assert grad is not None
            found[f"grad_param/{name}"] = grad[part]
    return found | values(head, student, teacher)


def values(head: Sastc, student: list[Tensor], teacher: list[Tensor]) -> Found:
    """The regressed maps and their targets, per step and pair."""
    found: Found = {}
    for i, j, group in pairs(head):
        with torch.no_grad():
            made = group(student[i])[j]
            found[f"value_teacher/{i}_{j}"] = torch.nn.functional.adaptive_avg_pool2d(teacher[j], group.size)
        found |= {f"value_student/{t}_{i}_{j}": made[:, t] for t in range(made.shape[1])}
    return found


def pairs(head: Sastc) -> Iterator[tuple[int, int, Regressors]]:
    """(student layer, teacher layer, the group of regressors that joins them)."""
    layer, seen = 0, 0
    for group in head.regressors:
        assert isinstance(group, Regressors)
        for j in group.teachers:
            yield layer, j, group
        seen += len(group.teachers)
        if seen == len(head.teacher):
            layer, seen = layer + 1, 0


def theirs(name: str, head: Sastc) -> tuple[str, slice | int]:
    """The authors' name of a tensor -> our tensor's name, and which part of it."""
    module, rest = name.split(".", 1)
    if not module.startswith("regressor"):
        layer = rest.replace("linear", "").replace(".", "")  # "1weight"
        return f"{module.split('_')[0]}.{layer[1:]}{layer[0]}", int(module.rpartition("weight")[2])
    at, kind = rest.removeprefix("regressor.").split(".", 1)
    wanted = module.removeprefix("regressor")
    for i, j, group in pairs(head):
        if wanted == f"{i}{j}":
            index = list(head.regressors).index(group)
            members = list(group.teachers)
            if at == "3":
                return f"regressors.{index}.out.{members.index(j)}.weight", slice(None)
            start = sum(2 * group.teachers[m] for m in members[: members.index(j)])
            inner = {"0": "conv", "1": "norm"}[at]
            return f"regressors.{index}.{inner}.{kind}", slice(start, start + 2 * group.teachers[j])
    raise KeyError(name)


def ours(name: str, head: Sastc, module: Mapping[str, Tensor]) -> Tensor:
    """Our tensor, put together from the authors' tensors."""
    parts = [(theirs(key, head), value) for key, value in module.items()]
    mine = [(part, value) for (target, part), value in parts if target == name]
    result = head.state_dict()[name].clone()
    for part, value in mine:
        if result.ndim:
            result[part] = value.to(result.dtype)
    return result


def gradient(loss: Tensor, leaf: Tensor) -> Tensor:
    """Of a loss, zeros where it has no graph."""
    if not loss.requires_grad:
        return torch.zeros_like(leaf)
    found = torch.autograd.grad(loss, leaf, retain_graph=True)
    assert isinstance(found[0], Tensor)
    return found[0]


def compare(path: Path) -> Tally:
    """One file: every recorded number of both precisions against ours."""
    with np.load(path) as file:
        record = {name: file[name] for name in file.files}
    compute = seal if path.name.startswith("seal") else sastc
    n_values = n_differing = 0
    lines = []
    for prefix, dtype in (("f64", torch.float64), ("f32", torch.float32)):
        found = compute(record, dtype)
        for key, recorded in record.items():
            if not key.startswith(f"{prefix}/"):
                continue
            name = key.removeprefix(f"{prefix}/")
            wanted = torch.from_numpy(np.asarray(recorded)).double()
            value = found.get(name)
            if value is None or value.shape != wanted.shape:
                n_values, n_differing = n_values + wanted.numel(), n_differing + wanted.numel()
                shape = "absent" if value is None else tuple(value.shape)
                lines.append(f"{path.name}: {key} is {tuple(wanted.shape)}, ours {shape}")
                continue
            error = (value.double() - wanted).abs()
            if dtype == torch.float64:
                bound = 1e-12 + 1e-10 * wanted.abs()
            else:
                bound = 1e-6 + 1e-5 * wanted.abs()
            wrong = int((~(error <= bound)).sum())
            n_values, n_differing = n_values + wanted.numel(), n_differing + wrong
            if wrong:
                lines.append(
                    f"{path.name}: {key} differs in {wrong} of {wanted.numel()}, most {float(error.max()):.3g}"
                )
    return Tally(n_values, n_differing, tuple(lines))


def main(folder: str) -> int:
    files = sorted([*Path(folder).glob("seal_*.npz"), *Path(folder).glob("sastc_*.npz")])
    tallies = [compare(path) for path in files]
    for tally in tallies:
        for line in tally.lines:
            print(line)
    n_values, n_differing = sum(t.n_values for t in tallies), sum(t.n_differing for t in tallies)
    print(f"distill: {len(files)} cases, {n_values} values compared, {n_differing} differing or out of tolerance")
    return 1 if n_differing or not files else 0


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m tests.vectors.distill DIR")
    sys.exit(main(sys.argv[1]))
