"""The losses: the authors' recorded values, what was worked out by hand, and what the repaired SASTC promises."""

from __future__ import annotations

import importlib.util
import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from seamount.distill.choices import METHODS, TERMS
from seamount.distill.config import DistillConfig
from seamount.distill.methods import Lesson, Settings, WeightedSum, term, weights_of
from seamount.distill.methods.hta_kl import head_of, hta_divergence
from seamount.distill.methods.lesson import soft_divergence
from seamount.distill.methods.sastc import Sastc, StepNorm
from seamount.distill.methods.seal_kd import SelectiveAlignment, align_errors, step_weights
from seamount.errors import ConfigError, InputError

ROOT = Path(__file__).resolve().parents[2]
GOLDEN = ROOT / ".." / "shared" / "golden" / "distill"
A_LESSONS_SETTINGS = Settings(student_shapes={"a": (3, 4, 4)}, teacher_shapes={"x": (5, 2, 2)})


@pytest.mark.shared
@pytest.mark.skipif(not GOLDEN.exists(), reason="the recorded vectors are not beside the checkout")
def test_recorded_values_and_gradients_agree(capsys: pytest.CaptureFixture[str]) -> None:
    spec = importlib.util.spec_from_file_location("vectors_distill", ROOT / "tests" / "vectors" / "distill.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["vectors_distill"] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    assert module.main(str(GOLDEN)) == 0
    assert capsys.readouterr().out.endswith("0 differing or out of tolerance\n")
    assert module.main(str(GOLDEN / "..")) == 1  # nothing compared is not agreement


def test_a_wrong_step_is_edited_and_a_right_one_is_not() -> None:
    # step 0 says class 2, the label is 0: student's entry 2 becomes its entry 0; teacher's 0 and 2 their minimum, 1
    # step 1 is right: nothing changes
    logits = torch.tensor([[[1.0, 0.0, 3.0]], [[5.0, 0.0, 3.0]]])
    student, teacher = align_errors(logits, torch.tensor([[4.0, 2.0, 1.0]]), torch.tensor([0]))
    assert student.tolist() == [[[1.0, 0.0, 1.0]], [[5.0, 0.0, 3.0]]]
    assert teacher.tolist() == [[[1.0, 2.0, 1.0]], [[4.0, 2.0, 1.0]]]


def test_two_steps_listen_to_each_other_alone() -> None:
    weights = step_weights(torch.randn(2, 3, 5))
    assert torch.equal(weights, torch.tensor([[0.0, 1.0], [1.0, 0.0]]).unsqueeze(-1).expand(2, 2, 3))


def test_one_class_is_refused() -> None:
    with pytest.raises(InputError) as error:
        step_weights(torch.zeros(2, 3, 1))
    assert str(error.value) == ("seal-kd: 1 class, confidence needs at least 2; check the student's output")


def test_the_other_reading_of_sta_is_the_weighted_sum_of_pairs() -> None:
    logits = torch.randn(3, 2, 4, dtype=torch.float64)
    term = SelectiveAlignment(3.0, "weighted-kl")
    weights = step_weights(logits)
    soft = (logits / 3).softmax(-1)
    total = 0.0
    for i in range(3):
        for j in range(3):
            for b in range(2):
                divergence = (soft[j, b] * (soft[j, b] / soft[i, b]).log()).sum()
                total += float(weights[i, j, b] * 9 * divergence) / 6
    assert math.isclose(float(term(Lesson(logits, torch.zeros(2).long()))), total, rel_tol=1e-12)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_gives_a_loss_with_a_gradient_at_batch_one_and_one_step(method: str) -> None:
    lesson = a_lesson(n_steps=1, n_samples=1)
    loss, terms = WeightedSum(weights_of(method), A_LESSONS_SETTINGS)(lesson)
    loss.backward()
    assert torch.isfinite(loss)
    assert set(terms) == set(METHODS[method])
    assert lesson.logits.grad is not None
    assert torch.isfinite(lesson.logits.grad).all()


def test_a_sum_is_the_sum_of_its_weighted_terms() -> None:
    lesson = a_lesson()
    both = WeightedSum({"hard": 2.0, "ela": 0.5})(lesson)[0]
    parts = [WeightedSum({name: 1.0})(lesson)[0] for name in ("hard", "ela")]
    assert torch.allclose(both, 2 * parts[0] + 0.5 * parts[1])


def test_every_file_of_losses_is_in_the_list_and_every_term_has_its_class() -> None:
    folder = ROOT / "distill" / "methods"
    others = {"__init__", "hta_kl", "lesson", "own", "weighted"}
    assert {one.file for one in TERMS.values()} == {path.stem for path in folder.glob("*.py")} - others
    assert {one for weights in METHODS.values() for one in weights} <= set(TERMS)
    for name in TERMS:
        assert isinstance(term(name).of(A_LESSONS_SETTINGS), nn.Module)


@pytest.mark.parametrize(
    ("method", "message"),
    [
        (
            "seal",
            "method: 'seal' is none of hard, hard-mean, kd, kd-per-step, twsnn, seal-kd, sastc, seal-kd+sastc; did "
            "you mean seal-kd?; or give weights of terms, such as {hard = 1.0, ela = 0.6, sta = 0.15}",
        ),
        (
            {"hrad": 1.0},
            "method: 'hrad' is none of hard, hard-mean, kd, kd-per-step, mean-step, ela, sta, sastc; did you mean "
            "hard?",
        ),
        ({"hard": -1.0}, "method: weights {'hard': -1.0}; possible are 0 and 1e-12 to 1e+12, not all 0"),
        ({"hard": 0.0}, "method: weights {'hard': 0.0}; possible are 0 and 1e-12 to 1e+12, not all 0"),
    ],
)
def test_a_method_that_is_none_says_what_is_possible(method: str | dict[str, float], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        weights_of(method)
    assert str(error.value) == message
    with pytest.raises(ValueError, match="method"):
        DistillConfig(method=method)


# ------------------------------------------------------------------------------------------ HTA-KL, mean of steps


def test_the_head_is_what_holds_half_of_the_teachers_probability() -> None:
    shares = torch.tensor([[0.1, 0.4, 0.3, 0.2], [0.05, 0.9, 0.03, 0.02], [0.25, 0.25, 0.25, 0.25]])
    assert head_of(shares).tolist() == [[0, 1, 1, 0], [0, 1, 0, 0], [1, 1, 0, 0]]


def test_head_and_tail_weigh_the_two_divergences_by_where_the_student_is_off() -> None:
    # head is class 0; gaps are .1 there, .1 and .2 in the tail
    teacher, student = (torch.tensor(p, dtype=torch.float64) for p in ([0.6, 0.3, 0.1], [0.5, 0.2, 0.3]))
    forward = float((teacher * (teacher / student).log()).sum())
    reverse = float((student * (student / teacher).log()).sum())
    found = float(hta_divergence(teacher.log(), student.log(), 1.0))
    assert math.isclose(found, 0.25 * forward + 0.75 * reverse, rel_tol=1e-12)
    assert float(hta_divergence(teacher.log(), teacher.log(), 3.0)) == pytest.approx(0, abs=1e-12)


def test_the_divergence_changes_the_terms_in_which_the_teacher_teaches_and_no_other() -> None:
    lesson, hta = a_lesson(), Settings(divergence="hta-kl")
    for name, one in TERMS.items():
        if one.maps:
            continue
        plain, other = (term(name).of(settings)(lesson).item() for settings in (Settings(), hta))
        assert (plain != other) == one.teacher, name


def test_every_step_learns_from_the_mean_of_the_steps_which_learns_from_none() -> None:
    lesson = a_lesson(dtype=torch.float64)
    loss = term("mean-step").of(Settings(temperature=2.0))(lesson)
    mean = lesson.logits.detach().mean(0)
    steps = [soft_divergence(mean, step, 2.0).mean() for step in lesson.logits.detach()]
    assert torch.allclose(loss.detach(), torch.stack(steps).mean())
    loss.backward()
    assert lesson.logits.grad is not None
    assert float(lesson.logits.grad.abs().sum()) > 0
    assert term("mean-step").of(Settings())(a_lesson(n_steps=1)).item() == 0


# --------------------------------------------------------------------------------------------------- SASTC


def a_lesson(n_steps: int = 3, n_samples: int = 6, dtype: torch.dtype = torch.float32) -> Lesson:
    torch.manual_seed(0)
    return Lesson(
        torch.randn(n_steps, n_samples, 4, dtype=dtype, requires_grad=True),
        torch.arange(n_samples) % 4,
        torch.randn(n_samples, 4, dtype=dtype),
        {"a": (torch.rand(n_steps, n_samples, 3, 4, 4) > 0.7).to(dtype).requires_grad_()},
        {"x": torch.randn(n_samples, 5, 2, 2, dtype=dtype)},
    )


def head(batch_size: int | None = None) -> Sastc:
    torch.manual_seed(1)
    return Sastc({"a": (3, 4, 4)}, {"x": (5, 2, 2)}, batch_size=batch_size)


@pytest.mark.parametrize("n_samples", [1, 2, 3, 7, 33])
def test_the_repaired_head_takes_any_batch(n_samples: int) -> None:
    module = head()
    lesson = a_lesson(n_samples=n_samples)
    module(lesson).backward()
    grad = lesson.student_maps["a"].grad
    assert grad is not None
    assert torch.isfinite(grad).all()
    assert sum(p.numel() for p in module.parameters()) == sum(p.numel() for p in head().parameters())


def test_pooled_maps_are_regressed_at_the_side_that_was_asked_for() -> None:
    small = Sastc({"a": (3, 4, 4)}, {"x": (5, 2, 2)}, side=1)
    assert [group.size for group in small.regressors] == [(1, 1)]  # type: ignore[misc]
    assert torch.isfinite(small(a_lesson()))


def test_sastc_every_few_steps_counts_so_many_times_and_stays_silent_between() -> None:
    plain = head()
    torch.manual_seed(1)
    seldom = Sastc({"a": (3, 4, 4)}, {"x": (5, 2, 2)}, every=4)
    lesson = a_lesson()
    assert torch.allclose(seldom(lesson), 4 * plain(lesson))
    between = seldom(Lesson(lesson.logits, lesson.labels, lesson.teacher_logits, lesson.student_maps, {}))
    between.backward()
    assert between.item() == 0
    assert all(p.grad is not None and not p.grad.any() for p in seldom.parameters())


def test_a_samples_relations_do_not_depend_on_its_place_in_the_batch() -> None:
    module, order = head(), torch.tensor([4, 0, 3, 1, 5, 2])
    maps, teacher = torch.rand(6, 3, 3, 4, 4), torch.rand(6, 5, 2, 2)
    first = module.attention([maps], [teacher, teacher * 2 - 1][:1])
    second = module.attention([maps[order]], [teacher[order]])
    assert torch.allclose(first[order], second, atol=1e-6)


def test_silent_maps_give_no_nan() -> None:
    lesson = a_lesson()
    module = head()
    with torch.no_grad():
        for name, parameter in module.named_parameters():
            if "bias" in name and "query" in name:
                parameter.zero_()  # the released norm is 0 / 0 here
    silent = torch.zeros_like(lesson.student_maps["a"]).requires_grad_()
    loss = module(Lesson(lesson.logits, lesson.labels, lesson.teacher_logits, {"a": silent}, lesson.teacher_maps))
    loss.backward()
    assert torch.isfinite(loss)
    assert silent.grad is not None
    assert torch.isfinite(silent.grad).all()


def test_the_attention_of_the_repaired_head_learns() -> None:
    torch.manual_seed(2)
    module = Sastc({"a": (3, 4, 4)}, {"x": (5, 2, 2), "y": (6, 4, 4)})
    lesson = a_lesson(n_samples=4)  # where the released code's embedding has one unit, of gradient 0
    maps = {**lesson.teacher_maps, "y": torch.randn(4, 6, 4, 4)}
    module(Lesson(lesson.logits, lesson.labels, None, lesson.student_maps, maps)).backward()
    assert module.query.weight1.grad is not None
    assert float(module.query.weight1.grad.abs().max()) > 1e-6


def test_the_exact_head_says_which_batch_it_holds_for() -> None:
    with pytest.raises(InputError) as error:
        head(batch_size=8)(a_lesson(n_samples=6))
    assert str(error.value) == (
        "sastc: a batch of 6, but the exact mode holds for batches of 8 only; drop short batches, or use "
        "sastc = 'repaired'"
    )
    with pytest.raises(ConfigError) as refused:
        head(batch_size=3)
    assert str(refused.value) == (
        "sastc: batch 3 is too small for the exact mode, its embedding has 3 // 4 = 0 units; use sastc = 'repaired', "
        "or a batch of at least 8"
    )


def test_step_norm_is_batch_norm_called_once_a_step() -> None:
    ours, torchs = StepNorm(3).double(), nn.BatchNorm2d(3).double()
    maps = torch.randn(5, 4, 3, 2, 2, dtype=torch.float64)  # (B, T, M, h, w)
    wanted = torch.stack([torchs(maps[:, t]) for t in range(4)], 1)
    assert torch.allclose(ours(maps.flatten(0, 1), 4).view_as(wanted), wanted, atol=1e-12)
    for name, buffer in torchs.named_buffers():
        assert torch.allclose(dict(ours.named_buffers())[name], buffer, atol=1e-12)


def test_losses_are_taken_in_float32_under_autocast() -> None:
    lesson = a_lesson()
    settings = Settings(student_shapes={"a": (3, 4, 4)}, teacher_shapes={"x": (5, 2, 2)})
    method = WeightedSum(weights_of("seal-kd+sastc"), settings)
    plain: Tensor = method(lesson)[1]["ela"]
    with torch.autocast("cpu", torch.bfloat16):
        loss, terms = method(lesson)
    assert loss.dtype == torch.float32
    assert torch.equal(terms["ela"], plain)
