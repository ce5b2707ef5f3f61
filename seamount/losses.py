"""The losses of the methods as modules for a training loop of one's own: logits in, one number out.

    loss = SealKD()
    loss(student_logits, labels, teacher_logits).backward()

Student's logits are (T, B, K), each step's own; labels (B,); the teacher's logits (B, K). They are the terms that
``distill.method`` names, with the weights published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import get_args

from torch import Tensor, nn

from seamount.distill.config import StaTarget
from seamount.distill.methods import Lesson, Settings, WeightedSum, Whose, needs_maps, needs_teacher, weights_of
from seamount.distill.methods.lesson import Shape
from seamount.errors import InputError

Maps = Mapping[str, Tensor]


class Method(nn.Module):
    """A method by its name, or weights of terms: ``Method({"hard": 1.0, "ela": 0.6})``.

    Args:
        settings: temperature and what else terms depend on.
    """

    def __init__(self, method: str | Mapping[str, float], settings: Settings | None = None) -> None:
        super().__init__()
        weights, settings = weights_of(method), settings or Settings()
        self.sum = WeightedSum(weights, settings)
        self.method = method
        # asked once, because one's own loss is made to be asked
        self.asks_teacher = needs_teacher(weights, settings.options)
        whose: tuple[Whose, ...] = get_args(Whose)
        self.asks_maps = [f"{who}_maps" for who in whose if needs_maps(who, weights, settings.options)]

    def forward(
        self,
        logits: Tensor,
        labels: Tensor,
        teacher_logits: Tensor | None = None,
        student_maps: Maps | None = None,
        teacher_maps: Maps | None = None,
    ) -> Tensor:
        """
        Args:
            logits: (T, B, K).
            labels: (B,) class numbers, 0 to K - 1.
            teacher_logits: (B, K); may be left out of methods without a teacher.
            student_maps, teacher_maps: of SASTC: name -> (T, B, C, H, W), name -> (B, C, H, W).
        """
        _check(self, logits, labels, teacher_logits, student_maps, teacher_maps)
        total, _ = self.sum(Lesson(logits, labels.long(), teacher_logits, student_maps or {}, teacher_maps or {}))
        loss: Tensor = total
        return loss


class Hard(Method):
    """Cross-entropy of every step."""

    def __init__(self) -> None:
        super().__init__("hard")


class HardMean(Method):
    """Cross-entropy of the logits' mean over steps."""

    def __init__(self) -> None:
        super().__init__("hard-mean")


class KD(Method):
    """Hinton et al. on the logits' mean over steps, with hard labels."""

    def __init__(self, temperature: float = 4.0) -> None:
        super().__init__("kd", Settings(temperature))


class KDPerStep(Method):
    """Each step answers like the teacher, with hard labels."""

    def __init__(self, temperature: float = 3.0) -> None:
        super().__init__("kd-per-step", Settings(temperature))


class SealKD(Method):
    """SeAl-KD (arXiv 2605.14252): hard labels of every step, error-aware and selective alignment."""

    def __init__(
        self,
        temperature: float = 3.0,
        *,
        ela: float = 0.6,
        sta: float = 0.15,
        sta_target: StaTarget = "logit-mixture",
    ) -> None:
        super().__init__({"hard": 1.0, "ela": ela, "sta": sta}, Settings(temperature, sta_target=sta_target))


class Sastc(Method):
    """SASTC (arXiv 2501.08049): maps of the student regress onto the teacher's, with KD and hard labels.

    Its regressors are parameters: give them to the optimiser, and call the loss with the maps.

    Args:
        student, teacher: name -> (C, H, W) of the maps that are compared.
    """

    def __init__(
        self,
        student: Mapping[str, Shape],
        teacher: Mapping[str, Shape],
        *,
        weight: float = 100.0,
        temperature: float = 4.0,
    ) -> None:
        settings = Settings(temperature, student_shapes=student, teacher_shapes=teacher)
        super().__init__({"hard-mean": 1.0, "kd": 1.0, "sastc": weight}, settings)


def _check(
    loss: Method,
    logits: Tensor,
    labels: Tensor,
    teacher_logits: Tensor | None,
    student_maps: Maps | None,
    teacher_maps: Maps | None,
) -> None:
    name, shape = type(loss).__name__, tuple(logits.shape)
    if logits.dim() != 3 or 0 in shape:
        ways = "torch.stack() the logits of all steps"
        raise InputError(f"student's logits {shape}", where=name, possible="needed are (T, B, K)", ways_out=ways)
    if tuple(labels.shape) != shape[1:2] or labels.is_floating_point():
        found = f"labels {tuple(labels.shape)} of {labels.dtype}"
        raise InputError(found, where=name, possible=f"needed are {shape[1:2]} class numbers")
    low, high = (int(label) for label in labels.aminmax())
    if low < 0 or high >= shape[2]:  # torch would leave out samples of one number (-100), and teach them by the rest
        found = f"labels from {low} to {high}"
        raise InputError(found, where=name, possible=f"needed are 0 to {shape[2] - 1}", ways_out="leave others out")
    if teacher_logits is None and loss.asks_teacher:
        raise InputError("no logits of a teacher", where=name, possible=f"needed are {shape[1:]}")
    if teacher_logits is not None and tuple(teacher_logits.shape) != shape[1:]:
        found = f"teacher's logits {tuple(teacher_logits.shape)}"
        raise InputError(found, where=name, possible=f"needed are {shape[1:]}, once for all steps")
    maps = {"student_maps": student_maps, "teacher_maps": teacher_maps}
    if any(maps[kind] is None for kind in loss.asks_maps):
        raise InputError("no maps", where=name, possible=f"needed are {' and '.join(loss.asks_maps)}, by name")
