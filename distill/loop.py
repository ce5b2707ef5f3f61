"""The training loop: order, optimiser, checkpoints, resumption. It knows nothing of teachers or losses.

A run is a function of its settings: the order of the samples, the augmentation and every other random choice of a
step follow from (seed, epoch, step). So a run that was killed and resumed ends with the weights of one that was not.
"""

from __future__ import annotations

import json
import math
import signal
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.nn.parallel import DistributedDataParallel

from seamount.errors import ConfigError, out_of_memory
from seamount.own import said

from . import checkpoint
from .average import Average
from .config import TrainConfig
from .data.randomness import mix
from .data.samples import Batch, Data
from .evaluate import Evaluation
from .memory import kept_for_the_next_step
from .methods.own import OwnTerm
from .optimizers import learning_rate, make_optimizer
from .parallel import World, shared_batch_norm
from .progress import Progress
from .readers import Readers

Loss = tuple[Tensor, dict[str, Tensor]]

UNREAD_STEPS = 32
"""Steps on a GPU whose losses are read together: reading one waits until the GPU has done all it was given."""


@dataclass(frozen=True)
class Moment:
    """Where in a training a step stands.

    Attributes:
        share: of all epochs that lies behind it, 0 to 1.
        step: its number in the epoch, from 0.
        epoch: from 0.
    """

    share: float
    step: int
    epoch: int


@dataclass(frozen=True)
class Task:
    """What is trained and how it is judged.

    Attributes:
        name: for messages and progress.
        learner: called with what ``prepare`` returns; gives the loss and its terms. Everything in it is trained.
        network: the part of ``learner`` that is the result.
        prepare: a batch, the numbers of its samples and the moment -> the learner's arguments (runs the teacher).
        evaluate: "validation" or "test" -> Evaluation of ``network``.
        settings: everything that decides the result; a folder of other settings is refused.
        drop_short: leave out the last batch of an epoch if it is not full.
        overspent: an epoch's mean terms -> what its accuracy is worth less when the best epoch is chosen.
    """

    name: str
    learner: nn.Module
    network: nn.Module
    prepare: Callable[[Batch, Tensor, Moment], tuple[Any, ...]]
    evaluate: Callable[[str], Evaluation]
    settings: Mapping[str, Any]
    drop_short: bool = False
    overspent: Callable[[Mapping[str, float]], float] = lambda terms: 0.0


@dataclass(frozen=True)
class Epoch:
    """What one pass over the training part did."""

    number: int
    lr: float
    loss: float
    terms: Mapping[str, float]
    validation: tuple[float, ...]
    validation_loss: float
    rates: Mapping[str, float]
    seconds: float


@dataclass
class _State:
    """Where a run stands; goes into the checkpoint."""

    epoch: int = 0
    done: int = 0  # samples of this epoch
    sums: dict[str, float] = field(default_factory=dict)  # over the samples done
    seconds: float = 0.0  # spent in this epoch
    best: int = -1
    best_key: tuple[float, float] = (-math.inf, 0.0)
    history: list[dict[str, Any]] = field(default_factory=list)


def fit(
    task: Task, data: Data, config: TrainConfig, folder: Path, *, seed: int, world: World, progress: Progress
) -> tuple[Epoch, ...]:
    """Trains to the last epoch, from where the folder stands; leaves the best weights in the network.

    Writes last.safetensors (all that a resumption needs), best.safetensors (the network) and TensorBoard's log.

    Raises:
        ConfigError: the folder belongs to other settings; the loss is no longer finite; memory does not suffice.
        KeyboardInterrupt: after the step at which Ctrl-C came is saved.
    """
    task.learner.to(world.device)
    if config.precision == "bf16":
        task.learner.to(memory_format=torch.channels_last)
    optimizer = make_optimizer(task.learner, config)
    average = None
    if config.average_epochs:
        average = Average(task.network, config.average_epochs * len(data.train) / config.batch_size)
    state = _resume(task, optimizer, average, folder)
    with ExitStack() as stack:
        stack.enter_context(torch.random.fork_rng(devices=_cuda(world)))
        stack.enter_context(shared_batch_norm(task.learner, world))
        stack.enter_context(kept_for_the_next_step())
        stopped = stack.enter_context(_interrupts())
        run = _Run(task, data, config, folder, seed, world, progress, optimizer, state, stopped, average)
        steps = run.steps_an_epoch
        progress.begin(task.name, config.epochs * steps, state.epoch * steps + state.done // config.batch_size)
        stack.callback(progress.end)
        while state.epoch < config.epochs:
            run.epoch()
    world.wait()
    if state.best >= 0:
        tensors, _ = checkpoint.load(folder / "best.safetensors")
        weights = {name.removeprefix("network."): value for name, value in tensors.items()}
        checkpoint.put(task.network, weights, f"{folder}/best.safetensors")
    task.network.to(memory_format=torch.contiguous_format).eval()
    return tuple(Epoch(**{**e, "validation": tuple(e["validation"])}) for e in state.history)


@dataclass(frozen=True)
class _Step:
    """What a step found, still on the device: losses times samples, over all processes."""

    names: tuple[str, ...]
    found: Tensor
    n_samples: int
    done: int
    lr: float


@dataclass
class _Run:
    task: Task
    data: Data
    config: TrainConfig
    folder: Path
    seed: int
    world: World
    progress: Progress
    optimizer: torch.optim.Optimizer
    state: _State
    stopped: list[bool]
    average: Average | None

    def __post_init__(self) -> None:
        self.parallel: nn.Module = self.task.learner
        if self.world.size > 1:
            self.parallel = DistributedDataParallel(self.task.learner)
        self.saved_at = time.monotonic()
        # values that lie on the GPU no other process can read
        self.readers = Readers(0 if self.data.train.ids.is_cuda else self.config.n_workers)
        self.unread: list[_Step] = []
        self.steps_an_epoch = len(self.starts(0))

    def starts(self, done: int) -> list[tuple[int, int]]:
        """(first, last + 1) positions of the rest of an epoch's batches in its order."""
        n, size = len(self.data.train), self.config.batch_size
        pieces = [(a, min(a + size, n)) for a in range(done, n, size)]
        # a batch norm cannot learn from one sample, nor a process from none
        least = size if self.task.drop_short else min(size, max(2, self.world.size))
        return [piece for piece in pieces if piece[1] - piece[0] >= least]

    def epoch(self) -> None:
        """The rest of the current epoch, its evaluation and its checkpoint."""
        state, started = self.state, time.monotonic()
        self.task.learner.train()
        pieces = self.starts(state.done)
        if not self.steps_an_epoch:
            raise ConfigError(
                f"{len(self.data.train)} training samples make no batch of {self.config.batch_size} over "
                f"{self.world.size} processes",
                where=self.task.name,
                ways_out="lower train.batch_size",
            )
        began = started - state.seconds
        with self._readers_live():
            for (first, last), (values, seeds, numbers) in zip(pieces, self.batches(pieces), strict=True):
                stop = self.step(values, seeds, numbers, last - first)
                state.done = last
                self.progress.advance()
                if stop:
                    state.seconds = time.monotonic() - began
                    self.save()
                    raise KeyboardInterrupt(f"{self.task.name}: stopped, saved in {self.folder}; run again to go on")
                if time.monotonic() - self.saved_at > self.config.checkpoint_every_s:
                    state.seconds = time.monotonic() - began
                    self.save()
        self.close_epoch(time.monotonic() - began)

    def batches(self, pieces: list[tuple[int, int]]) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """This process's share of each batch: values, seeds, sample numbers."""
        seed, epoch = self.seed, self.state.epoch
        order = torch.randperm(
            len(self.data.train), generator=torch.Generator().manual_seed(int(mix(seed, epoch, 1)) % 2**63)
        ).to(self.data.train.ids.device)
        shares = [self.world.share(order[first:last]) for first, last in pieces]
        return self.readers.read(self.data, shares, self.data.during(seed, epoch))

    def step(self, values: Tensor, seeds: Tensor, numbers: Tensor, n_together: int) -> bool:
        """One step of the optimiser; whether it shall be the last one, because somebody pressed Ctrl-C."""
        state, config, world = self.state, self.config, self.world
        lr = learning_rate(config, state.epoch + state.done / len(self.data.train))
        for group in self.optimizer.param_groups:
            group["lr"] = lr
        self.reseed()
        loss: Tensor | None = None
        try:
            loss, terms = self.loss(self.parallel, values, seeds, numbers)
            self.optimizer.zero_grad(set_to_none=True)
            # processes average their gradients: weigh by their share, so that the sum is the whole batch's mean
            (loss * (len(numbers) * world.size / n_together)).backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, ValueError) as error:
            raise _explained(self, error, values, seeds, numbers, backward=loss is not None) from error
        found = torch.stack([loss.detach().float(), *(value.float() for value in terms.values())])
        found, stop = self.over_processes(found.double() * len(numbers))
        self.unread.append(_Step(("loss", *terms), found, n_together, state.done, lr))
        if len(self.unread) >= (UNREAD_STEPS if world.device.type == "cuda" else 1):
            self.read()
        if config.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.task.learner.parameters(), config.clip_norm)
        self.optimizer.step()
        if self.average is not None:
            self.average.update(state.epoch * self.steps_an_epoch + state.done // config.batch_size)
        return stop

    def reseed(self) -> None:
        """What a step draws follows from its place in the run."""
        seed = int(mix(self.seed, self.state.epoch, self.state.done, 3 + self.world.rank)) % 2**63
        if self.world.device.type == "cuda":
            torch.manual_seed(seed)
        else:  # because torch.manual_seed notes for a GPU that is not in use who called it: 3 ms, each time
            torch.default_generator.manual_seed(seed)

    def over_processes(self, found: Tensor) -> tuple[Tensor, bool]:
        """Sums over the processes, and whether one of them was asked to stop.

        All have to know it in the same step, or the others wait for one that is gone.
        """
        if self.world.size == 1:
            return found, bool(self.stopped)
        *sums, stop = self.world.sum(torch.cat([found, found.new_tensor([float(bool(self.stopped))])]))
        return torch.stack(sums), bool(stop)

    def read(self) -> None:
        """Adds up the losses of the steps since it was last asked; refuses the first that is not finite."""
        if not self.unread:
            return
        sums = self.state.sums
        for step, found in zip(self.unread, torch.stack([s.found for s in self.unread]).tolist(), strict=True):
            if not all(math.isfinite(value) for value in found):
                self.refuse_loss(step, found)
            for name, value in zip(step.names, found, strict=True):
                sums[name] = sums.get(name, 0.0) + value
        self.unread.clear()

    def loss(self, learner: nn.Module, values: Tensor, seeds: Tensor, numbers: Tensor) -> Loss:
        device, state, config = self.world.device, self.state, self.config
        share = (state.epoch + state.done / len(self.data.train)) / config.epochs
        moment = Moment(share, state.done // config.batch_size, state.epoch)
        labels = self.data.train.labels[numbers]
        batch = self.data.batch(values.to(device), seeds.to(device), labels.to(device))
        bf16 = torch.autocast(device.type, torch.bfloat16) if config.precision == "bf16" else nullcontext()
        with bf16:
            result: Loss = learner(*self.task.prepare(batch, numbers, moment))
        return result

    def refuse_loss(self, step: _Step, found: Sequence[float]) -> None:
        facts = ", ".join(f"{n} {value / step.n_samples:.4g}" for n, value in zip(step.names, found, strict=True))
        kept = f"the checkpoint in {self.folder} is from before" if self.state.history else "nothing is saved yet"
        raise ConfigError(
            f"the loss is not finite at epoch {self.state.epoch + 1}, sample {step.done} ({facts}; lr {step.lr:.3g})",
            where=self.task.name,
            ways_out=f"lower the learning rate, set train.clip_norm or train.warmup_epochs; {kept}",
        )

    @contextmanager
    def _readers_live(self) -> Iterator[None]:
        """Within it, a reading process that dies (torch then interrupts whatever goes on) is explained."""
        try:
            yield
        except RuntimeError:
            if not self.readers.lost():
                raise
            raise ConfigError(
                f"one of {self.config.n_workers} processes that read data is gone",
                where=self.task.name,
                ways_out=f"lower train.n_workers (0 reads without them) or give them more memory; {self.folder} is "
                "resumed",
            ) from None

    def close_epoch(self, seconds: float) -> None:
        """Evaluates, keeps the best, writes the log and the checkpoint."""
        self.read()
        with nullcontext() if self.average is None else self.average.in_place():
            self.judge(seconds)
        self.save()

    def judge(self, seconds: float) -> None:
        """Of the weights as they are now."""
        state, config = self.state, self.config
        validation = self.task.evaluate("validation")
        judged = self.task.evaluate("test") if config.select_on == "test-set-as-in-the-papers" else validation
        means = {name: value / max(state.done, 1) for name, value in state.sums.items()}
        epoch = Epoch(
            number=state.epoch,
            lr=learning_rate(config, state.epoch),
            loss=means.pop("loss"),
            terms=means,
            validation=validation.anytime,
            validation_loss=validation.loss,
            rates=dict(validation.rates),
            seconds=seconds,
        )
        state.history.append(asdict(epoch))
        state.epoch, state.done, state.sums, state.seconds = state.epoch + 1, 0, {}, 0.0
        key = (judged.accuracy - self.task.overspent(means), -judged.loss)
        if key > state.best_key or config.select_on == "last-epoch":
            state.best, state.best_key = epoch.number, key
            if self.world.rank == 0:
                weights = {f"network.{name}": value for name, value in self.task.network.state_dict().items()}
                checkpoint.save(
                    self.folder / "best.safetensors", weights, {"epoch": epoch.number, "accuracy": judged.accuracy}
                )
        if self.world.rank == 0:
            _log(self.folder, epoch)
        self.progress.say(f"loss {epoch.loss:.3f}, validation {100 * validation.accuracy:.1f} %")

    def save(self) -> None:
        """Everything that a resumption needs, in one file."""
        self.read()  # before, because a network that is no longer finite is not worth keeping
        self.saved_at = time.monotonic()
        if self.world.rank == 0:
            tensors = {f"learner.{name}": value for name, value in self.task.learner.state_dict().items()}
            for number, slots in self.optimizer.state_dict()["state"].items():
                tensors |= {f"optimizer.{number}.{slot}": torch.as_tensor(v) for slot, v in slots.items()}
            if self.average is not None:
                tensors |= {f"average.{name}": value for name, value in self.average.values.items()}
            facts = {"settings": _plain(self.task.settings), "state": asdict(self.state)}
            checkpoint.save(self.folder / "last.safetensors", tensors, facts)


def _explained(
    run: _Run, error: Exception, values: Tensor, seeds: Tensor, numbers: Tensor, *, backward: bool
) -> Exception:
    """A batch too small for batch norm; gradients of a loss of one's own; out of memory: the batch that would fit."""
    if isinstance(error, ValueError) and _one_value_per_channel(run, values, seeds, numbers):
        return ConfigError(
            f"batch norm cannot learn from a batch of {len(numbers)}",
            where=run.task.name,
            ways_out="raise train.batch_size",
        )
    if not out_of_memory(error):
        losses = [one.reference for one in run.task.learner.modules() if isinstance(one, OwnTerm)]
        if not (backward and losses):  # in the way there a loss of one's own tells for itself
            return error
        found = f"the gradients raise {said(error)}"
        return ConfigError(found, where=" and ".join(losses), ways_out="--debug shows the way there")
    if run.world.size > 1:  # not tried, because a step talks to the others, who do not know of it
        return ConfigError(
            f"process {run.world.rank} of {run.world.size} is out of memory with {len(numbers)} of a batch of "
            f"{run.config.batch_size}",
            where=run.task.name,
            ways_out="lower train.batch_size, start more processes, or set precision = 'bf16', which needs about "
            f"half; {run.folder} is resumed",
        )
    fits = _batch_that_fits(run, values, seeds, numbers)
    advice = f"train.batch_size = {fits} fits" if fits else "not even a batch of 1 fits"
    return ConfigError(
        f"out of memory with a batch of {run.config.batch_size}; {advice}",
        where=run.task.name,
        ways_out=f"precision = 'bf16' needs about half; set it and run again, {run.folder} is resumed",
    )


def _one_value_per_channel(run: _Run, values: Tensor, seeds: Tensor, numbers: Tensor) -> bool:
    """Whether a batch norm sees a single value, which has no spread; torch raises the ValueError of many mistakes."""
    seen: list[bool] = []

    def look(_: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        seen.append(inputs[0].numel() == inputs[0].shape[1])

    norms = [module for module in run.task.learner.modules() if isinstance(module, _BatchNorm)]
    hooks = [norm.register_forward_pre_hook(look) for norm in norms]
    with suppress(ValueError), torch.no_grad():
        run.loss(run.task.learner, values, seeds, numbers)
    for hook in hooks:
        hook.remove()
    return any(seen)


def _batch_that_fits(run: _Run, values: Tensor, seeds: Tensor, numbers: Tensor) -> int:
    """The largest half, quarter, ... of the batch for which a step has the memory; 0 if none has."""
    n = run.config.batch_size // 2
    while n >= 1:
        run.optimizer.zero_grad(set_to_none=True)
        if run.world.device.type == "cuda":
            torch.cuda.empty_cache()
        try:
            loss, _ = run.loss(run.task.learner, values[:n], seeds[:n], numbers[:n])
            loss.backward()  # type: ignore[no-untyped-call]
        except RuntimeError:
            n //= 2
        else:
            return n
    return 0


def _resume(task: Task, optimizer: torch.optim.Optimizer, average: Average | None, folder: Path) -> _State:
    """Loads the folder's last checkpoint, if there is one of the same settings."""
    path = folder / "last.safetensors"
    if not path.exists():
        return _State()
    tensors, facts = checkpoint.load(path)
    if "settings" not in facts or "state" not in facts:
        raise ConfigError("not a training checkpoint", where=path, ways_out="use another folder")
    before, now = facts["settings"], _plain(task.settings)
    changed = [f"{k} was {before.get(k)}, is {now.get(k)}" for k in {**before, **now} if before.get(k) != now.get(k)]
    if changed:
        raise ConfigError(
            f"{folder} holds a run with other settings ({'; '.join(changed[:3])})",
            where=task.name,
            ways_out="use another folder, or set them back to resume it",
        )
    learner = {k.removeprefix("learner."): v for k, v in tensors.items() if k.startswith("learner.")}
    checkpoint.put(task.learner, learner, str(path))
    slots: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, slot = name.split(".", 2)
            slots.setdefault(int(number), {})[slot] = value
    if average is not None:
        average.load({k.removeprefix("average."): v for k, v in tensors.items() if k.startswith("average.")})
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({"state": slots, "param_groups": groups})
    state = _State(**facts["state"])
    state.best_key = (float(state.best_key[0]), float(state.best_key[1]))
    return state


def _plain(settings: Mapping[str, Any]) -> dict[str, Any]:
    """As it reads back from a file: tuples become lists."""
    plain: dict[str, Any] = json.loads(json.dumps(settings))
    return plain


def _log(folder: Path, epoch: Epoch) -> None:
    """TensorBoard: loss, terms, accuracies, learning rate, firing rates."""
    from torch.utils.tensorboard.writer import SummaryWriter

    with SummaryWriter(str(folder / "tensorboard"), purge_step=epoch.number) as writer:
        scalars = {"loss": epoch.loss, "lr": epoch.lr, "seconds": epoch.seconds}
        scalars |= {f"terms/{name}": value for name, value in epoch.terms.items()}
        scalars |= {f"rates/{name}": value for name, value in epoch.rates.items()}
        scalars |= {f"accuracy/after_step_{t}": value for t, value in enumerate(epoch.validation, 1)}
        for name, value in scalars.items():
            writer.add_scalar(name, value, epoch.number)


@contextmanager
def _interrupts() -> Iterator[list[bool]]:
    """Within it, the first Ctrl-C only fills the list; the second stops at once."""
    stopped: list[bool] = []

    def note(number: int, frame: Any) -> None:
        if stopped:
            raise KeyboardInterrupt
        stopped.append(True)

    try:
        before = signal.signal(signal.SIGINT, note)
    except ValueError:  # not the main thread: nobody sends it signals
        yield stopped
        return
    try:
        yield stopped
    finally:
        signal.signal(signal.SIGINT, before)


def _cuda(world: World) -> list[torch.device]:
    return [world.device] if world.device.type == "cuda" else []
