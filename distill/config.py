"""Settings of data, teacher, student, distillation, training and quantisation: the sections of a run's TOML file.

Importing this costs no torch, so that the command line answers fast. The defaults are the demonstration on
scikit-learn's digits.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal, get_args

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from seamount.errors import none_of
from seamount.own import is_own, named

from .choices import DATA_SETS, METHODS, TERMS

StaTarget = Literal["logit-mixture", "weighted-kl"]
Divergence = Literal["kl", "hta-kl"]
BudgetUnit = Literal["per_synapse", "operations", "microjoules"]
Encoding = Literal["direct", "rate", "latency", "frames"]
Augmentation = Literal[
    "crop",
    "flip",
    "alternating-flip",
    "autoaugment",
    "cutout",
    "resized-crop",
    "roll-rotate-cutout",
    "time-shift",
    "gain",
]

LEAST, MOST = 1e-12, 1e12
"""Between which quantities lie that somebody means: beyond, float32 soon holds neither their ratios nor products."""


def _meant(value: float) -> float:
    if 0 < value < LEAST:
        raise ValueError(f"0 is possible, and {LEAST:g} and more")
    return value


def _no_switch(value: Any) -> Any:
    if isinstance(value, bool):  # pydantic takes them for 1 and 0
        raise ValueError("true and false are no numbers")
    return value


NO_SWITCH = BeforeValidator(_no_switch)
Count = Annotated[int, Field(ge=1, lt=1 << 31), NO_SWITCH]
Natural = Annotated[int, Field(ge=0, lt=1 << 31), NO_SWITCH]
Pixels = Annotated[int, Field(ge=1, lt=1 << 16), NO_SWITCH]
Seed = Annotated[int, Field(ge=0, lt=1 << 63), NO_SWITCH]  # torch's generators and our mixing of seeds hold 63 bits
# of millions of threads the operating system grants none, and OpenMP crashes
Threads = Annotated[int, Field(ge=1, le=1024), NO_SWITCH]
Bits = Annotated[int, Field(ge=1), NO_SWITCH]
Positive = Annotated[float, Field(ge=LEAST, le=MOST, allow_inf_nan=False), NO_SWITCH]
NotNegative = Annotated[float, Field(ge=0, le=MOST, allow_inf_nan=False), AfterValidator(_meant), NO_SWITCH]
Share = Annotated[float, Field(ge=0, lt=1), AfterValidator(_meant), NO_SWITCH]


class Section(BaseModel):
    """A part of the configuration: frozen, and no key but the known ones.

    Attributes:
        heading: what the section is about, above it in a file; no docstring, because ``python -OO`` takes those away.
    """

    heading: ClassVar[str] = ""

    model_config = ConfigDict(frozen=True, extra="forbid")


class DataConfig(Section):
    heading = "What is learned from, and how it becomes spikes."

    name: str = Field("digits", description=f"one of {', '.join(DATA_SETS)}, or one's own, as mine.py:make_data")
    options: dict[str, Any] = Field({}, description="arguments of one's own")
    root: str | None = Field(None, description="folder (or file) that holds the data; digits need none")
    download: bool = Field(False, description="fetch the data where torchvision or tonic can")
    encoding: Encoding | None = Field(
        None, description='images: "direct" (8-bit pixels at every step), "rate" or "latency"; events: "frames"'
    )
    frames_by: Literal["time", "count"] = Field("time", description="events per frame: equal times or equal numbers")
    frame_values: Literal["binary", "count"] = Field(
        "binary", description="of a frame's pixel: any event, or how many"
    )
    sensor: tuple[Pixels, Pixels] | None = Field(None, description="[height, width] of an event-folder's sensor")
    size: Pixels | None = Field(None, description="side to which images or event frames are brought [pixels]")
    sample_rate: Count = Field(8000, description="of sound [values a second]; recordings of another are refused")
    step_s: Annotated[float, Field(ge=1e-5, le=60), NO_SWITCH] = Field(
        0.025, description="sound that a step hears [s]; T of them are a sample"
    )
    bands: Count = Field(32, description="into which sound is taken apart, from 100 Hz to half of its rate")
    sound_values: Literal["energies", "crossings"] = Field(
        "energies", description="of a band: its energy in 8 bits, or spikes where that rises or falls"
    )
    crossing: Annotated[int, Field(ge=1, le=255), NO_SWITCH] = Field(
        24, description="by how much it has to, for a spike [sixteenths of a doubling: 16 are 3 dB]"
    )
    cut_longer: bool = Field(False, description="cut recordings that are longer than T steps, instead of refusing")
    test_speaker: str | None = Field(
        None, description="of fsdd: the test part is this speaker, whom training never hears; not set: takes 0 to 4"
    )
    cache: str | None = Field(None, description="folder for frames made before; default: beside the data")
    skip_corrupt: bool = Field(False, description="leave out files that cannot be read, instead of refusing")
    validation: Annotated[float, Field(ge=LEAST, lt=1), NO_SWITCH] = Field(
        0.125, description="share of the training part that is held out for choosing the best epoch"
    )
    augment: tuple[str, ...] = Field(
        ("crop",), description=f"of {', '.join(get_args(Augmentation))} or one's own, as mine.py:turn, in this order"
    )
    views: Count | None = Field(
        None,
        description="augmented views of each image, shown in turn and alike in all runs; not set: always new ones",
    )
    crop_padding: Annotated[int, Field(ge=0, lt=1 << 16), NO_SWITCH] = Field(
        1, description="of a random crop [pixels]; CIFAR is used with 4"
    )
    cutout_size: Pixels = Field(16, description="side of the square that cutout blanks [pixels]")
    shift_steps: Natural = Field(3, description="largest time-shift, to either side [steps]")
    gain: Annotated[int, Field(ge=0, le=255), NO_SWITCH] = Field(
        16, description="largest change of all energies together [sixteenths of a doubling: 16 are 3 dB]"
    )
    max_train: Count | None = Field(None, description="use only so many training samples (the first of each class)")
    max_test: Count | None = Field(None, description="use only so many test samples (the first of each class)")
    seed: Seed = Field(0, description="of the splits; the same for all seeds of a study")

    @field_validator("name")
    @classmethod
    def _name(cls, name: str) -> str:
        return named(name, DATA_SETS)

    @field_validator("augment")
    @classmethod
    def _augment(cls, augment: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(named(kind, get_args(Augmentation)) for kind in augment)


class TrainConfig(Section):
    heading = (
        "Optimisation of teacher, student and quantised student alike; two of them have epochs and lr of their own."
    )

    epochs: Count = Field(20, description="of the student's training")
    batch_size: Count = Field(64, description="samples per step, over all processes together")
    optimizer: Literal["adamw", "sgd"] = Field("adamw", description='"adamw" or "sgd" (with momentum)')
    lr: Positive = Field(4e-3, description="largest learning rate of the student")
    weight_decay: NotNegative = Field(5e-4, description="on weights; never on biases and norms")
    momentum: Share = Field(0.9, description="of sgd")
    nesterov: bool = Field(False, description="of sgd: looks ahead along its momentum")
    schedule: Literal["cosine", "one-cycle", "constant", "steps"] = Field(
        "cosine", description='of lr after the warm-up; "one-cycle" falls in a straight line to 0'
    )
    milestones: tuple[Natural, ...] = Field((), description='epochs at which "steps" divides lr by 10')
    warmup_epochs: NotNegative = Field(0.0, description="over which lr rises from 0")
    label_smoothing: Share = Field(0.0, description="share of the hard labels that is spread evenly over all classes")
    average_epochs: NotNegative = Field(
        0.0, description="epochs over which weights are averaged (exponentially) for what is judged and kept; 0: none"
    )
    test_flip: bool = Field(
        False, description="judge by the mean answer to an image and its mirror image; never done in integers"
    )
    clip_norm: Positive | None = Field(None, description="largest norm of all gradients together")
    precision: Literal["fp32", "bf16", "auto"] = Field(
        "fp32",
        description='"bf16" is autocast with channels last, membranes and losses stay fp32; "auto" is bf16 where the '
        "device multiplies it, else fp32",
    )
    compile: bool = Field(
        False, description="torch.compile teacher and student; its minutes at the start pay in long runs, if at all"
    )
    n_workers: Annotated[int, Field(ge=0, le=1024), NO_SWITCH] = Field(
        0, description="processes that read and augment images"
    )
    checkpoint_every_s: Positive = Field(60.0, description="time between checkpoints within an epoch [s]")
    select_on: Literal["validation", "test-set-as-in-the-papers", "last-epoch"] = Field(
        "validation", description="what chooses the best epoch; the papers chose on the test set, which flatters"
    )

    @model_validator(mode="after")
    def _milestones(self) -> TrainConfig:
        if (self.schedule == "steps") != bool(self.milestones):
            raise ValueError('milestones go with schedule = "steps", and only with it')
        if self.nesterov and (self.optimizer != "sgd" or self.momentum == 0):
            raise ValueError('nesterov goes with optimizer = "sgd" and a momentum')
        return self


class TeacherConfig(Section):
    heading = "The network to learn from."

    arch: str = Field("small-cnn", description="a teacher that models/zoo.py builds, or mine.py:make_teacher")
    options: dict[str, Any] = Field({}, description="further arguments of that architecture, or of one's own")
    checkpoint: str | None = Field(None, description="state dict (.safetensors or .pt) to use instead of training")
    epochs: Natural = Field(20, description="of the teacher's own training; 0 takes one's own as it is")
    lr: Positive = Field(2e-3, description="its learning rate")
    train: dict[str, Any] = Field({}, description="settings of [train] that are others for the teacher")

    @field_validator("train")
    @classmethod
    def _train(cls, train: dict[str, Any]) -> dict[str, Any]:
        own = [name for name in ("epochs", "lr") if name in train]
        if own:
            raise ValueError(f"{' and '.join(own)} of the teacher stand in [teacher] itself")
        unknown = [
            none_of(name, list(TrainConfig.model_fields)) for name in train if name not in TrainConfig.model_fields
        ]
        if unknown:
            raise ValueError("; ".join(unknown))
        return train

    def training(self, train: TrainConfig) -> TrainConfig:
        """How the teacher is trained beside a student that is trained so."""
        own = {**self.train, "epochs": max(self.epochs, 1), "lr": self.lr}
        return TrainConfig.model_validate({**train.model_dump(), **own})


class StudentConfig(Section):
    heading = "The spiking network that learns, built of norse cells."

    arch: str = Field("small", description="a student that models/zoo.py builds, or mine.py:make_student")
    n_steps: Count = Field(8, description="timesteps T of one sample")
    options: dict[str, Any] = Field({}, description="further arguments of that architecture")
    checkpoint: str | None = Field(None, description="weights (.safetensors) to start from")


class DistillConfig(Section):
    heading = "How the student learns from the teacher."

    method: str | dict[str, Annotated[float, NO_SWITCH]] = Field(
        "kd",
        description=f"one of {', '.join(METHODS)}, mine.py:Loss, or weights of {', '.join(TERMS)} and one's own",
    )
    options: dict[str, Any] = Field({}, description="arguments of one's own loss")
    ann_epochs: Natural = Field(
        0,
        description="before train.epochs, in which the student's graph learns as an ANN, with ReLUs",
    )
    one_step_epochs: Natural = Field(
        0,
        description="of train.epochs the first ones, in which a still image is learned in one step instead of T",
    )
    temperature: Positive | None = Field(None, description="of all divergences; not set: each method's own")
    divergence: Divergence = Field(
        "kl", description='of kd, kd-per-step and ela from the teacher: "kl", or head and tail apart ("hta-kl")'
    )
    sta_target: StaTarget = Field(
        "logit-mixture", description="what SeAl-KD's steps learn from: the released code's mixture, or each pair"
    )
    sastc: Literal["repaired", "exact"] = Field(
        "repaired", description='"exact" is the released code, which holds for one batch size'
    )
    student_maps: tuple[str, ...] = Field((), description="populations for SASTC; empty: those the student names")
    teacher_maps: tuple[str, ...] = Field((), description="modules for SASTC; empty: the last of each size")
    sastc_every: Count = Field(
        1, description="steps of the optimiser from one in which SASTC counts (so many times) to the next"
    )
    sastc_side: Pixels | None = Field(
        None, description="largest side of the maps that SASTC compares, larger ones are pooled [pixels]"
    )
    spike_budget: dict[BudgetUnit, Positive] | None = Field(
        None,
        description="what an inference may spend, as {per_synapse = 0.3}: spikes per synapse, operations, or "
        "microjoules; {} for no budget",
    )
    budget_weight: Positive = Field(1.0, description="of the budget's loss, times the rest of the loss (at least 1)")
    budget_ramp: Annotated[float, Field(ge=0, le=1), AfterValidator(_meant), NO_SWITCH] = Field(
        0.5, description="share of the epochs in which that weight rises from 0; none of it in integers"
    )
    budget_floor: Share = Field(
        0.1,
        description="share of what it would spend if all spent alike, below which a population is pushed up: none "
        "falls silent",
    )
    cache_teacher: bool = Field(
        True, description="compute the teacher's logits once where images come again: not augmented, or data.views"
    )
    teacher_cache: str | None = Field(
        None, description="folder for these logits and maps, which runs may share; not set: each run's own"
    )
    teacher_cache_gib: NotNegative = Field(
        0.0, description="room for the teacher's maps beside its logits, of all views [GiB]; 0: none are kept"
    )

    @field_validator("method")
    @classmethod
    def _method(cls, method: str | dict[str, float]) -> str | dict[str, float]:
        check_method(method)
        return method

    @field_validator("spike_budget")
    @classmethod
    def _one_unit(cls, budget: dict[BudgetUnit, float] | None) -> dict[BudgetUnit, float] | None:
        if budget is not None and len(budget) > 1:
            raise ValueError(f"needs one of {', '.join(get_args(BudgetUnit))}, such as {{per_synapse = 0.3}}")
        return budget or None  # TOML has no null with which to take a preset's budget away

    @model_validator(mode="after")
    def _exact_sastc(self) -> DistillConfig:
        if self.sastc == "exact" and (self.sastc_every > 1 or self.sastc_side is not None):
            raise ValueError('sastc = "exact" is the released code, without sastc_every and sastc_side')
        return self


class QuantConfig(Section):
    heading = "Fine-tuning of the student in the chip's integers."

    epochs: Natural = Field(6, description="of training in integers; 0 only rounds")
    lr: Positive = Field(1e-3, description="its largest learning rate")
    calibration_samples: Count = Field(512, description="training samples from which the scales start")
    weight_bits: Bits | dict[str, Bits] | None = Field(
        None,
        description="of all weights, or by layer with default for the rest, as {default = 8, conv1_in = 4}; not set: "
        "the widest that the target has",
    )


def check_method(method: str | Mapping[str, float]) -> None:
    """Refuses unknown words, unknown terms and weights that mean nothing."""
    if isinstance(method, str):
        if method not in METHODS and not is_own(method):
            raise ValueError(
                f"{none_of(method, METHODS)}; or give weights of terms, such as {{hard = 1.0, ela = 0.6, sta = 0.15}}"
            )
        return
    unknown = [none_of(name, TERMS) for name in method if name not in TERMS and not is_own(name)]
    if unknown:
        raise ValueError("; ".join(unknown))
    if not any(method.values()) or not all(w == 0 or LEAST <= w <= MOST for w in method.values()):
        raise ValueError(f"weights {dict(method)}; possible are 0 and {LEAST:g} to {MOST:g}, not all 0")
