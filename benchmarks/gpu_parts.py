"""The parts of ``gpu.py``; each gives its figures as a dictionary."""

from __future__ import annotations

import itertools
import statistics
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from distillation import training_step
from mapping import resnet18
from networks import recorded_samples
from simulator import chain, ours
from torch import nn

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.arithmetic.neurons import Real, neuron_table
from seamount.compile.arithmetic.products import conv_sum, matrix_sum, self_test
from seamount.compile.arithmetic.scan import TRACES, lif_scan, spikes_and_potential
from seamount.compile.net.read import read_net
from seamount.compile.neurons.lif import Lif
from seamount.compile.numbers import ints
from seamount.compile.program.program import Program
from seamount.distill.config import DataConfig, DistillConfig, TrainConfig
from seamount.distill.data import load_data
from seamount.distill.quantised import QuantisedStudent
from seamount.distill.train import distill
from seamount.hardware_targets.simulator import simulate
from seamount.models.lif import cpu as lif_cpu
from seamount.models.lif.constants import METHODS, LifConstants
from seamount.models.zoo import build_student


@dataclass(frozen=True)
class Sizes:
    """How much is measured."""

    copy_bytes: int = 1 << 32
    matrix: int = 8192
    n_programs: int = 100
    lif_rows: int = 1 << 16
    far_samples: int = (1 << 18) + 1
    lanes: int = 1 << 24
    simulator_batches: tuple[int, ...] = (1, 64, 1024)
    resnet_width: int = 64
    resnet_batches: tuple[int, ...] = (64, 256)
    training_batches: tuple[int, ...] = (128, 512)
    width: float = 1.0
    teacher: str = "resnet34"
    steps: int = 10
    n_train: int = 20000

    @classmethod
    def small(cls) -> Sizes:
        return cls(
            copy_bytes=1 << 20,
            matrix=64,
            n_programs=3,
            lif_rows=300,
            far_samples=3,
            lanes=1 << 10,
            simulator_batches=(2,),
            resnet_width=2,
            resnet_batches=(1,),
            training_batches=(2,),
            width=0.0625,
            teacher="small-cnn",
            steps=1,
            n_train=128,
        )


@dataclass
class Bench:
    """What is measured, where, and until when (monotonic seconds)."""

    device: str
    sizes: Sizes
    tiny: bool
    seconds: float
    ends: float
    cifar: Path | None
    networks: Path | None
    work: Path
    write: Callable[[], None] = lambda: None
    part_ends: float = 0.0
    part_seconds: float = 0.0
    results: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each part; the last one is under way."""

    @property
    def cuda(self) -> bool:
        return self.device.startswith("cuda")

    def note(self, name: str, measure: Callable[[], Any]) -> Any:
        """One figure of the part under way, or why there is none: the next may still work."""
        found = list(self.results.values())[-1]
        if self.left() <= 0:
            found[name] = {"skipped": "no time left"}
            return None
        try:
            found[name] = measure()
        except Exception as error:
            words = f"{type(error).__name__}: {error}"[:2000]
            found[name] = {"failed": words, "where": traceback.format_exc(limit=-3)[:2000]}
            found["failed"] = f"{found['failed']}, {name}" if "failed" in found else name
        self.write()
        return found[name]

    def left(self) -> float:
        """Seconds of the part."""
        return self.part_ends - time.monotonic()

    def seconds_of(self, work: Callable[[], Any], repeats: int = 5) -> float:
        """Median of several runs, after one to warm up."""
        work()
        found = []
        for _ in range(1 if self.tiny else repeats):
            self.wait()
            start = time.perf_counter()
            work()
            self.wait()
            found.append(time.perf_counter() - start)
        return statistics.median(found)

    def wait(self) -> None:
        if self.cuda:
            torch.cuda.synchronize(self.device)

    def empty(self) -> None:
        if self.cuda:
            torch.cuda.empty_cache()
            torch.cuda.reset_peak_memory_stats(self.device)


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


# ----------------------------------------------------------------------------------------------------- 0 machine


def machine(bench: Bench) -> None:
    """Versions, bytes copied and bf16 operations per second: what everything else is held against."""
    bench.note("versions", lambda: versions(bench))
    bench.note("copy", lambda: {"bytes_per_s": copied_per_s(bench)})
    bench.note("bf16", lambda: {"operations_per_s": multiplied_per_s(bench)})


def versions(bench: Bench) -> dict[str, Any]:
    import triton

    device = torch.cuda.get_device_name(bench.device) if bench.cuda else "cpu"
    return {"device": device, "torch": torch.__version__, "cuda": torch.version.cuda, "triton": triton.__version__}


def copied_per_s(bench: Bench) -> float:
    """Bytes, read and written."""
    source = torch.empty(bench.sizes.copy_bytes, dtype=torch.uint8, device=bench.device)
    target = torch.empty_like(source)
    return 2 * bench.sizes.copy_bytes / bench.seconds_of(lambda: target.copy_(source))


def multiplied_per_s(bench: Bench) -> float:
    n = bench.sizes.matrix
    a, b = (torch.randn(n, n, device=bench.device, dtype=torch.bfloat16) for _ in range(2))
    return 2 * n**3 / bench.seconds_of(lambda: a @ b)


# --------------------------------------------------------------------------------------------------- 1 exactness


def exactness(bench: Bench) -> None:
    """Differing values of everything that has to be equal; a device that is not exact fails here."""
    bench.note("self_test", lambda: self_test(bench.device))
    for check in (large_sums, far_addresses, integer_student, lif_kernels, random_programs):
        bench.note(check.__name__, lambda check=check: _equal(check(bench)))


def _equal(found: dict[str, Any]) -> dict[str, Any]:
    if found["differing"]:
        raise AssertionError(f"not exact: {found}")
    return found


def large_sums(bench: Bench) -> dict[str, int]:
    """Shapes of ResNet-18's layers, and a sum near 2**24 followed by +1 and -1 (what TF32 would lose)."""
    random, differing = generator(), 0
    n = 65536 if not bench.tiny else 64
    weights = torch.from_numpy(random.integers(-255, 256, (512, 4608)))
    x = torch.from_numpy(random.integers(0, 2, (512 if not bench.tiny else 4, 4608)))
    steps = torch.cat([torch.full((1, n), 255.0), torch.tensor([[1.0, -1.0, 1.0]])], dim=1)
    for a, w in ((x.double(), weights.double()), (torch.ones_like(steps).double(), steps.double())):
        sums = matrix_sum(a.to(bench.device, torch.float32), w.to(bench.device, torch.float32), narrow=True)
        differing += int((sums.cpu().double() != a @ w.t()).sum())
    for channels, side in ((64, 32), (512, 4)) if not bench.tiny else ((4, 6),):
        maps = torch.from_numpy(random.integers(0, 2, (16, channels, side, side))).double()
        kernel = torch.from_numpy(random.integers(-255, 256, (channels, channels, 3, 3))).double()
        there = (t.to(bench.device, torch.float32) for t in (maps, kernel))
        sums = conv_sum(*there, padding=(1, 1), narrow=True)
        differing += int((sums.cpu().double() != nn.functional.conv2d(maps, kernel, padding=1)).sum())
    return {"differing": differing}


def random_programs(bench: Bench) -> dict[str, int]:
    """Programs that differ from the definition in a spike, u or v."""
    from tests.simulator.random_programs import random_case

    differing = n = 0
    for seed in range(bench.sizes.n_programs):
        if n and bench.left() <= 0:
            break
        program, inputs, n_steps = random_case(seed)
        expected = run_definition(program, inputs, n_steps, ("spikes", "v", "u"))
        got = simulate(program, inputs, n_steps=n_steps, record=("spikes", "v", "u"), device=bench.device)
        same = all(
            np.array_equal(values, getattr(got, kind)[name])
            for kind in ("spikes", "v", "u")
            for name, values in getattr(expected, kind).items()
        )
        n, differing = n + 1, differing + (not same)
    return {"programs": n, "differing": differing}


def lif_module(bench: Bench) -> Any:
    """The kernels of the device."""
    if not bench.cuda:
        return lif_cpu
    from seamount.models.lif import gpu

    return gpu


def lif_cases() -> Iterator[tuple[LifConstants, torch.dtype]]:
    """Each is a kernel to compile; the first half has every method with every other choice."""
    choices = list(itertools.product((None, 0.3), (True, False), (torch.float32, torch.bfloat16)))
    odd = [sum((a_syn is None, detach, dtype == torch.float32)) % 2 for a_syn, detach, dtype in choices]
    for half in (1, 0):
        for (k, method), ((a_syn, detach, dtype), side) in itertools.product(
            enumerate(METHODS), zip(choices, odd, strict=True)
        ):
            if (side + k) % 2 == half:
                yield LifConstants(0.1, a_syn, 0.0, 1.0, 0.0, method=method, alpha=0.7, detach_reset=detach), dtype


def lif_kernels(bench: Bench) -> dict[str, Any]:
    """Spikes equal to the CPU's kernels; largest difference of kept potential and gradient."""
    kernels = lif_module(bench)
    torch.manual_seed(0)
    n, n_steps, n_cases, differing, furthest = bench.sizes.lif_rows, 5, 0, 0, 0.0
    for constants, dtype in lif_cases():
        if n_cases and bench.left() < bench.part_seconds / 3:  # the random programs have to follow
            break
        n_cases += 1
        x, gradient = 2 * torch.randn(n_steps, n).to(dtype), torch.randn(n_steps, n).to(dtype)
        results = []
        for device, module in (("cpu", lif_cpu), (bench.device, kernels)):
            spikes, kept, into = (torch.empty(n_steps, n, dtype=dtype, device=device) for _ in range(3))
            module.forward(x.to(device), spikes, kept, constants)
            # of what the CPU kept, so that a rounding cannot grow on its way
            before = results[0][1].to(device) if results else kept
            module.backward(gradient.to(device), before, into, constants)
            results.append([t.cpu() for t in (spikes, kept, into)])
        differing += int((results[0][0] != results[1][0]).sum())
        furthest = max(furthest, float((results[0][2].float() - results[1][2].float()).abs().max()))
    return {"cases": n_cases, "differing": differing, "largest_gradient_difference": furthest}


def integer_student(bench: Bench) -> dict[str, int]:
    """Logits of the quantised student there and here."""
    student, x = quantised("resnet18", bench, min(bench.sizes.width, 0.25))
    with torch.no_grad():
        here = student(x).logits
        there = student.to(bench.device)(x.to(bench.device)).logits.cpu()
    return {"compared": here.numel(), "differing": int((here != there).sum())}


def quantised(architecture: str, bench: Bench, width: float) -> tuple[QuantisedStudent, torch.Tensor]:
    torch.manual_seed(0)
    net = build_student(architecture, n_classes=10, input_shape=(3, 32, 32), n_steps=2, width=width).train()
    x = torch.rand(8 if not bench.tiny else 4, 3, 32, 32)
    with torch.no_grad():  # statistics to fold: a net whose layers fire
        for _ in range(2):
            net(x)
    return QuantisedStudent(net).calibrate(x), x


def far_addresses(bench: Bench) -> dict[str, Any]:
    """Beyond T * B * n = 2**31 the last sample must do what it does alone."""
    n, batch = 4096, bench.sizes.far_samples
    needed = 32 * batch * n  # of the scan: drive, states, spikes, and what is compared
    if bench.cuda and torch.cuda.mem_get_info(bench.device)[0] < needed:
        return {"skipped": f"less than {needed >> 30} GiB free", "differing": 0}
    x = torch.randn(3, n, device=bench.device).to(torch.bfloat16)
    far = torch.zeros(3, batch * n, dtype=torch.bfloat16, device=bench.device)
    far[:, -n:] = x
    outputs = []
    for drive in (x, far):
        spikes, kept = torch.empty_like(drive), torch.empty_like(drive)
        lif_module(bench).forward(drive, spikes, kept, LifConstants(0.5, None, 0.0, 0.1, 0.0))
        outputs.append((spikes[:, -n:].clone(), kept[:, -n:].clone()))
        del spikes, kept
    differing = sum(int((a != b).sum()) for a, b in zip(*outputs, strict=True))
    del far
    lif = Lif(ints(2048), ints(1024), ints(1))
    alone = (64 * x.float()).round().to(torch.int32).unsqueeze(1)
    far = torch.zeros(3, batch, n, dtype=torch.int32, device=bench.device)
    far[:, -1:] = alone
    one, other = (lif_scan(d, lif, (n,), want=("spikes",), drive_limit=1 << 18) for d in (alone, far))
    differing += int((one.spikes != other.spikes[:, -1:]).sum())
    return {"differing": differing, "values": 3 * batch * n}


# ----------------------------------------------------------------------------------------------------- 2 kernels


def kernel_rates(bench: Bench) -> None:
    """Bytes per second of each kernel, and the share of the copy's."""
    copy = bench.results.get("machine", {}).get("copy", {}).get("bytes_per_s")
    n, n_steps = bench.sizes.lanes, 8

    def rate(work: Callable[[], Any], moved: int) -> dict[str, Any]:
        found = moved * n * n_steps / bench.seconds_of(work)
        return {"bytes_per_s": found, "share_of_copy": copy and found / copy}

    for name, work, moved in itertools.chain(scans(bench, n, n_steps), lifs(bench, n, n_steps)):
        bench.note(name, lambda work=work, moved=moved: rate(work, moved))


Measured = tuple[str, Callable[[], Any], int]
"""Name, work, bytes per neuron and step."""


LEARNT = Real(0.01, torch.bfloat16)


def scans(bench: Bench, n: int, n_steps: int) -> Iterator[Measured]:
    drive = torch.randint(-50, 80, (n_steps, 1, n), device=bench.device).float()
    lif = Lif(ints(400), ints(128), ints(900))
    table = neuron_table(lif, (n,))
    for limit, bits in ((1 << 18, 32), (1 << 19, 64)):
        wide = drive if bits == 32 else drive.to(torch.int64)
        for want, counts in (((), False), ((), True), (("v_before_reset",), False), (TRACES[1:], True)):

            def work(x: Any = wide, w: Any = want, c: bool = counts, most: int = limit) -> Any:
                return lif_scan(x, lif, (n,), want=w, drive_limit=most, table=table, counts=c)

            name = f"scan {bits} bits, {', '.join(want) or 'spikes'}{', counts' if counts else ''}"
            yield name, work, wide.element_size() + 1 + 4 * len(want)
        yield (
            f"scan {bits} bits, as a student learns from it",
            lambda x=wide, most=limit: spikes_and_potential(x, lif, (n,), LEARNT, table, most),
            wide.element_size() + 4,
        )


def lifs(bench: Bench, n: int, n_steps: int) -> Iterator[Measured]:
    kernels = lif_module(bench)
    for dtype, a_syn in itertools.product((torch.float32, torch.bfloat16), (None, 0.3)):
        constants = LifConstants(0.1, a_syn, 0.0, 1.0, 0.0)
        x, spikes, kept = (torch.randn(n_steps, n, device=bench.device).to(dtype) for _ in range(3))
        moved, name = 3 * x.element_size(), f"{str(dtype)[6:]} {'box' if a_syn is None else 'with current'}"
        yield (
            f"LIF forward {name}",
            lambda x=x, s=spikes, k=kept, c=constants: kernels.forward(x, s, k, c),
            moved,
        )
        yield (
            f"LIF backward {name}",
            lambda x=x, s=spikes, k=kept, c=constants: kernels.backward(s, k, x, c),
            moved,
        )


# --------------------------------------------------------------------------------------------------- 3 simulator


def programs(bench: Bench) -> Iterator[tuple[str, Program, Callable[[int], np.ndarray], tuple[int, ...]]]:
    """Name, program, input of a batch, batches."""
    batches = bench.sizes.simulator_batches
    if bench.networks is not None:
        for name in ("dense", "conv"):
            net = read_net(bench.networks / f"{name}.net")
            yield name, net, lambda b, file=bench.networks / f"{name}_x.npz": ours(recorded_samples(file, b)), batches
    else:
        made = chain((2, 34, 34), [(16, 5, 2), (16, 3, 1), (10,)], bits=0, threshold=400)
        yield "random conv", made, _spikes, batches
    program = resnet18(bench.sizes.resnet_width)
    yield program.name, program, _frames, bench.sizes.resnet_batches


def _spikes(batch: int) -> np.ndarray:
    return (generator().random((100, batch, 2, 34, 34)) < 0.05).astype(np.uint8)


def _frames(batch: int) -> np.ndarray:
    return generator().integers(0, 256, (4, batch, 3, 32, 32), dtype=np.uint8)


def simulator(bench: Bench) -> None:
    """Seconds of a batch on the device and, of small ones, on the CPU; and what the largest spends them on."""
    for name, program, inputs, batches in programs(bench):
        for batch in batches:
            x = inputs(batch)

            def work(device: str = bench.device, program: Program = program, x: np.ndarray = x) -> Any:
                return simulate(program, x, n_steps=len(x), record=("spikes",), device=device)

            bench.note(
                f"{name}, batch {batch}",
                lambda work=work, batch=batch, first=batches[0]: simulated(bench, work, batch, batch == first),
            )
        if bench.left() > 10 or bench.tiny:
            bench.note(f"{name}, profile", lambda work=work: profile(bench, work))


def simulated(bench: Bench, work: Callable[..., Any], batch: int, first: bool) -> dict[str, Any]:
    row: dict[str, Any] = {"seconds": bench.seconds_of(work, 3)}
    if batch <= 64 and (first or bench.left() > 10):
        if first:
            work("cpu")  # compiles, and proves sums exact
        start = time.perf_counter()
        here = work("cpu")
        row["cpu_seconds"] = time.perf_counter() - start
        there = work()
        row["differing"] = sum(int((here.spikes[k] != there.spikes[k]).sum()) for k in here.spikes)
        _equal(row)
    return row


def profile(bench: Bench, work: Callable[[], Any]) -> list[dict[str, Any]]:
    """The ten operations that take longest."""
    from torch.profiler import ProfilerActivity
    from torch.profiler import profile as watch

    kinds = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if bench.cuda else [])]
    with watch(activities=kinds) as seen:
        work()
        bench.wait()
    key = "self_device_time_total" if bench.cuda else "self_cpu_time_total"
    rows = sorted(seen.key_averages(), key=lambda row: -getattr(row, key))[:10]
    return [{"name": row.key[:80], "calls": row.count, "microseconds": getattr(row, key)} for row in rows]


# ---------------------------------------------------------------------------------------------------- 4 training


def training(bench: Bench) -> None:
    """A SeAl-KD step, ResNet-18 under a ResNet-34 in it: images/s, memory, share of the bf16 rate."""
    paths = ("fused bf16 channels_last", "fused bf16", "fused fp32", "norse step by step")
    for path, batch in itertools.product(paths, bench.sizes.training_batches):
        counted = path == paths[0] and batch == bench.sizes.training_batches[0]
        bench.note(f"{path}, batch {batch}", lambda p=path, b=batch, c=counted: trained(bench, p, b, c))


def trained(bench: Bench, path: str, batch: int, counted: bool) -> dict[str, Any]:
    bench.empty()
    step = training_step(path, batch, 4, bench.device, bench.sizes.width, bench.sizes.teacher)
    operations = flops(step) if counted else None
    seconds = bench.seconds_of(step, bench.sizes.steps)
    row: dict[str, Any] = {"images_per_s": batch / seconds}
    if operations is not None:
        peak = bench.results.get("machine", {}).get("bf16", {}).get("operations_per_s")
        row |= {"operations": operations, "share_of_bf16_rate": peak and operations / seconds / peak}
    if bench.cuda:
        row["peak_bytes"] = torch.cuda.max_memory_allocated(bench.device)
    return row


def flops(step: Callable[[], Any]) -> int:
    """Of products and convolutions, forward and backward."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counted:
        step()
    return int(counted.get_total_flops())


# ---------------------------------------------------------------------------------------------------- 5 integers


def integers(bench: Bench) -> None:
    """A training step of the quantised student against the float one's, and how often it waits for the GPU."""
    batch = bench.sizes.training_batches[0]
    for path in ("fused bf16 channels_last", "exact integer bf16"):
        bench.empty()
        step = training_step(path, batch, 4, bench.device, bench.sizes.width, bench.sizes.teacher)
        bench.note(path, lambda step=step: {"images_per_s": batch / bench.seconds_of(step, bench.sizes.steps)})
        if bench.cuda:
            bench.note(f"{path}, waits per step", lambda step=step: waits(step))
        if bench.left() > 5 or bench.tiny:
            bench.note(f"{path}, profile", lambda step=step: profile(bench, step))


def waits(step: Callable[[], Any]) -> int:
    """Calls that wait for the GPU, as torch's own debug mode sees them."""
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            step()
    finally:
        torch.cuda.set_sync_debug_mode("default")
    return sum("synchroniz" in str(w.message) for w in seen)


# ---------------------------------------------------------------------------------------------------- 6 learning


def learning(bench: Bench) -> None:
    """Hard labels for as many epochs as there is time, then a batch in integers against the simulator's spikes."""
    bench.note("cifar10" if bench.cifar is not None else "digits", lambda: learnt(bench))


def learnt(bench: Bench) -> dict[str, Any]:
    if bench.cifar is not None:
        data_config = DataConfig(name="cifar10", root=str(bench.cifar), max_train=bench.sizes.n_train, augment=())
        architecture, width = "resnet18", min(0.5, bench.sizes.width)
    else:
        data_config = DataConfig(max_train=bench.sizes.n_train)
        architecture, width = "small", 1.0
    data = load_data(data_config, n_steps=4)

    def learn(epochs: int, folder: str) -> tuple[float, Any, nn.Module]:
        torch.manual_seed(0)
        net = build_student(
            architecture, n_classes=data.n_classes, input_shape=data.input_shape, n_steps=4, width=width,
            input_bits=data.input_bits,
        )  # fmt: skip
        train = TrainConfig(epochs=epochs, batch_size=128, precision="bf16" if bench.cuda else "fp32")
        start = time.perf_counter()
        done = distill(
            data, None, net, DistillConfig(method="hard"), train, bench.work / f"{folder}-{time.time_ns()}",
            device=bench.device,
        )  # fmt: skip
        return time.perf_counter() - start, done, net

    first_s, done, net = learn(1, "first")
    found: dict[str, Any] = {"data": data.name, "one_epoch_s": first_s}
    epochs = int(0.7 * bench.left() / first_s) if not bench.tiny else 0
    if epochs >= 2:
        seconds, done, net = learn(epochs, "learnt")
        found |= {"epochs": epochs, "seconds": seconds, "images_per_s": epochs * len(data.train) / seconds}
    found |= {"test_accuracy": done.test.accuracy, "anytime": list(done.test.anytime)}
    return found | as_program(bench, data, net)


def as_program(bench: Bench, data: Any, net: nn.Module) -> dict[str, Any]:
    """The student in integers on the device, and its program in the simulator, on the same samples."""
    import nir

    from seamount.compile.pipeline import compile_graph

    some = data.inputs(data.test, torch.arange(16)).x
    student = QuantisedStudent(net.cpu()).calibrate(some)
    path = bench.work / "student.nir"
    path.parent.mkdir(parents=True, exist_ok=True)
    nir.write(path, student.to_nir())
    program = compile_graph(path).program
    frames = student.to_input(some).numpy().astype(np.int64)
    if some.dim() == len(student.input_shape) + 1:
        frames = np.repeat(frames[None], student.n_steps, axis=0)
    run = simulate(program, frames, record=("spikes",), device=bench.device)
    recorded, arrivals = student.to(bench.device).record(some.to(bench.device)), program.arrivals()
    differing = n_spikes = 0
    for name, spikes in recorded.spikes.items():
        window = slice(arrivals[name], arrivals[name] + student.n_steps)
        differing += int(np.count_nonzero(run.spikes[name][window] != spikes.cpu().numpy()))
        n_spikes += int(spikes.sum())
    return {"program": _equal({"samples": len(some), "spikes": n_spikes, "differing": differing})}
