"""Runs small networks in the tools that write NIR, exports them with the tools' own exporters and compares.

    python tests/compile/record_frontends.py sinabs snntorch --seeds 20

For each case the same random spikes go through the tool and through its file, read with ``--from`` and run by the
float64 interpreter; a line tells how many bins differ. The first seed is kept in ``recordings/`` for
``test_compile_frontends.py``. Only this script needs the tools.
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from frontend_recordings import FOLDER, Recording, compare
from nir_files import write

os.environ.setdefault("JAX_PLATFORMS", "cpu")

Array = np.ndarray[Any, Any]
Runner = Callable[[Array], Array]


@dataclass(frozen=True)
class Case:
    """One kind of network of one tool.

    Attributes:
        settings: as given to ``--set``, for what the exporter does not write.
        shape: of the input; ``values`` are real numbers of a readout, not spikes.
        make: random generator and number of samples -> (graph, what runs x (T, B, *shape)).
        late: steps by which the tool's output comes later than ours.
    """

    name: str
    make: Callable[[np.random.Generator, int], tuple[Any, Runner]]
    settings: tuple[str, ...] = ()
    shape: tuple[int, ...] = (12,)
    values: bool = False
    late: int = 0


# ------------------------------------------------------------------------------------------------ torch tools


def weights(rng: np.random.Generator, module: Any, dyadic: bool = False) -> Any:
    """The module with weights that make its neurons fire now and then; dyadic: sums are exact, ties happen."""
    import torch

    for name, p in module.named_parameters():
        fan_in = p[0].numel() if name.endswith("weight") and p.ndim > 1 else 16
        value = (
            rng.normal(0.12, 1.0, tuple(p.shape)) * (1.6 / np.sqrt(fan_in)) * (0.4 if name.endswith("bias") else 1)
        )
        p.data = torch.tensor(np.rint(value * 8) / 8 if dyadic else value, dtype=torch.float32)
    return module


def linear(
    rng: np.random.Generator, n_in: int, n_out: int, bias: bool = True, dyadic: bool = False, gain: float = 1.0
) -> Any:
    import torch

    module = weights(rng, torch.nn.Linear(n_in, n_out, bias=bias), dyadic)
    module.weight.data *= gain
    return module


def calm(rng: np.random.Generator, n_in: int, n_out: int, most: float) -> Any:
    """A weight that never brings more than ``most`` in a step."""
    import torch

    module = torch.nn.Linear(n_in, n_out, bias=False)
    module.weight.data = uniform(rng, 0.6 * most / n_in, most / n_in, n_out, n_in)
    return module


def uniform(rng: np.random.Generator, low: float, high: float, *shape: int) -> Any:
    import torch

    return torch.tensor(rng.uniform(low, high, shape), dtype=torch.float32)


def sinabs_cases() -> list[Case]:
    import sinabs.layers as sl
    import torch
    from sinabs.activation import MembraneReset, SingleSpike
    from sinabs.nir import to_nir

    def made(layers: list[Any], shape: tuple[int, ...]) -> tuple[Any, Runner]:
        net = torch.nn.Sequential(*layers)

        def run(x: Array) -> Array:
            with torch.no_grad():
                y = net(torch.from_numpy(x.swapaxes(0, 1).reshape(-1, *shape)).float())
            return y.reshape(x.shape[1], x.shape[0], *y.shape[1:]).numpy().swapaxes(0, 1)

        batch = next(m.batch_size for m in layers if hasattr(m, "batch_size"))
        sample = torch.zeros((4 * batch, *shape))
        net(sample)
        for m in layers:
            if hasattr(m, "reset_states"):
                m.reset_states()
        graph = to_nir(net, sample)
        for m in layers:
            if hasattr(m, "reset_states"):
                m.reset_states()
        return graph, run

    def iaf(rng: np.random.Generator, n: int, **options: Any) -> tuple[Any, Runner]:
        neurons = [sl.IAFSqueeze(batch_size=n, **options) for _ in range(2)]
        return made([linear(rng, 12, 9, dyadic=True), neurons[0], linear(rng, 9, 5, dyadic=True), neurons[1]], (12,))

    def lif(rng: np.random.Generator, n: int, **options: Any) -> tuple[Any, Runner]:
        scale = 8.0 if options.get("norm_input", True) else 1.0
        first, second = linear(rng, 12, 9, gain=scale), linear(rng, 9, 5, gain=scale)
        return made(
            [
                first,
                sl.LIFSqueeze(
                    tau_mem=uniform(rng, 4, 20, 9), spike_threshold=uniform(rng, 0.7, 1.4, 9), batch_size=n, **options
                ),
                second,
                sl.LIFSqueeze(
                    tau_mem=uniform(rng, 4, 20, 5), spike_threshold=uniform(rng, 0.7, 1.4, 5), batch_size=n, **options
                ),
            ],
            (12,),
        )

    def readout(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
        return made(
            [
                linear(rng, 12, 9),
                sl.IAFSqueeze(batch_size=n),
                linear(rng, 9, 4),
                sl.ExpLeakSqueeze(tau_mem=uniform(rng, 4, 20, 4), batch_size=n),
            ],
            (12,),
        )

    def conv(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
        layers = [
            weights(rng, torch.nn.Conv2d(2, 3, 3, padding=1), dyadic=True),
            sl.IAFSqueeze(batch_size=n),
            sl.SumPool2d(2),
            torch.nn.Flatten(),
            linear(rng, 27, 5, dyadic=True),
            sl.IAFSqueeze(batch_size=n),
        ]
        return made(layers, (2, 6, 6))

    once = {"spike_fn": SingleSpike, "reset_fn": MembraneReset()}
    hard = ("multi_spike=off", "reset=value")
    return [
        Case("if", iaf),
        Case("if_single_hard", lambda rng, n: iaf(rng, n, **once), hard),
        Case("lif", lif),
        Case("lif_single_hard", lambda rng, n: lif(rng, n, **once), hard),
        Case("lif_unnormalised", lambda rng, n: lif(rng, n, norm_input=False), ("membrane=unit",)),
        Case("readout", readout, values=True),
        Case("conv", conv, shape=(2, 6, 6)),
    ]


def snntorch_cases() -> list[Case]:
    import snntorch as snn
    import torch
    from snntorch.export_nir import export_to_nir

    zero, now = {"reset_mechanism": "zero"}, {"reset_delay": False}

    def made(layers: list[Any], shape: tuple[int, ...]) -> tuple[Any, Runner]:
        net = torch.nn.Sequential(*layers)
        graph = export_to_nir(net, torch.zeros(1, *shape), ignore_dims=[0])

        def run(x: Array) -> Array:
            for m in layers:
                if hasattr(m, "reset_mem"):
                    m._init_mem()
            with torch.no_grad():
                return np.stack([net(torch.from_numpy(step).float()).numpy() for step in x])

        return graph, run

    def leaky(rng: np.random.Generator, n: int, **options: Any) -> tuple[Any, Runner]:
        def cell(size: int) -> Any:
            beta, threshold = uniform(rng, 0.5, 0.95, size), uniform(rng, 0.7, 1.4, size)
            return snn.Leaky(beta, threshold=threshold, init_hidden=True, **options)

        first, second = linear(rng, 12, 9), linear(rng, 9, 5, bias=False)
        if options == now:  # else a potential above the threshold behind a reset is treated apart
            return made([calm(rng, 12, 9, 0.65), cell(9)], (12,))
        return made([first, cell(9), second, cell(5)], (12,))

    def synaptic(rng: np.random.Generator, n: int, **options: Any) -> tuple[Any, Runner]:
        def cell(size: int) -> Any:
            alpha, beta = uniform(rng, 0.3, 0.8, size), uniform(rng, 0.5, 0.95, size)
            return snn.Synaptic(alpha, beta, threshold=torch.full((size,), 1.2), init_hidden=True, **options)

        first, second = linear(rng, 12, 9), linear(rng, 9, 5)
        if options == now:
            return made([calm(rng, 12, 9, 0.22), cell(9)], (12,))
        return made([first, cell(9), second, cell(5)], (12,))

    def rleaky(rng: np.random.Generator, n: int, one: bool = False, **options: Any) -> tuple[Any, Runner]:
        how = {"all_to_all": False, "V": uniform(rng, -0.5, 0.5, 9)} if one else {"linear_features": 9}
        cell = snn.RLeaky(uniform(rng, 0.5, 0.95, 9), init_hidden=True, **how, **options)
        if not one:
            weights(rng, cell.recurrent)
        return made(
            [
                linear(rng, 12, 9),
                cell,
                linear(rng, 9, 5),
                snn.Leaky(torch.full((5,), 0.8), threshold=torch.ones(5), init_hidden=True),
            ],
            (12,),
        )

    def rsynaptic(rng: np.random.Generator, n: int, **options: Any) -> tuple[Any, Runner]:
        cell = snn.RSynaptic(
            uniform(rng, 0.3, 0.8, 9), uniform(rng, 0.5, 0.95, 9), linear_features=9, init_hidden=True, **options
        )
        weights(rng, cell.recurrent)
        return made([linear(rng, 12, 9), cell], (12,))

    def conv(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
        layers = [
            weights(rng, torch.nn.Conv2d(2, 3, 3, stride=1, padding=1)),
            snn.Leaky(uniform(rng, 0.5, 0.95, 3, 6, 6), threshold=torch.ones(3, 6, 6), init_hidden=True),
            torch.nn.Flatten(),
            linear(rng, 108, 5),
            snn.Leaky(torch.full((5,), 0.8), threshold=torch.ones(5), init_hidden=True),
        ]
        return made(layers, (2, 6, 6))

    return [
        Case("leaky", leaky),
        Case("leaky_zero", lambda rng, n: leaky(rng, n, **zero), ("reset=value",)),
        Case("leaky_no_delay", lambda rng, n: leaky(rng, n, **now), ("reset=subtract",)),
        Case("leaky_zero_no_delay", lambda rng, n: leaky(rng, n, **zero, **now), ("reset=value",)),
        Case("synaptic", synaptic),
        Case("synaptic_zero", lambda rng, n: synaptic(rng, n, **zero), ("reset=value-next-step",)),
        Case("synaptic_no_delay", lambda rng, n: synaptic(rng, n, **now), ("reset=subtract",)),
        Case("rleaky", rleaky),
        Case("rleaky_one_to_one", lambda rng, n: rleaky(rng, n, one=True)),
        Case("rsynaptic", rsynaptic),
        Case("rsynaptic_zero", lambda rng, n: rsynaptic(rng, n, **zero), ("reset=value-next-step",)),
        Case("conv", conv, shape=(2, 6, 6)),
    ]


def spikingjelly_cases() -> list[Case]:
    import torch
    from spikingjelly.activation_based import functional, layer, neuron
    from spikingjelly.activation_based.nir_exchange import export_to_nir

    def made(layers: list[Any], shape: tuple[int, ...], dt: float = 1e-4) -> tuple[Any, Runner]:
        net = torch.nn.Sequential(*layers)
        graph = export_to_nir(net, torch.zeros(1, *shape), dt=dt)

        def run(x: Array) -> Array:
            functional.reset_net(net)
            with torch.no_grad():
                return np.stack([net(torch.from_numpy(step).float()).numpy() for step in x])

        return graph, run

    def dense(cell: Callable[[], Any], dyadic: bool = False, gain: float = 1.0, dt: float = 1e-4) -> Any:
        def make(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
            first = linear(rng, 12, 9, dyadic=dyadic, gain=gain)
            second = linear(rng, 9, 5, bias=False, dyadic=dyadic, gain=gain)
            return made([first, cell(), second, cell()], (12,), dt)

        return make

    def conv(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
        layers = [
            weights(rng, layer.Conv2d(2, 3, 3, padding=1)),
            neuron.IFNode(),
            layer.AvgPool2d(2),
            layer.Flatten(),
            linear(rng, 27, 5),
            neuron.LIFNode(tau=3.0, decay_input=False),
        ]
        return made(layers, (2, 6, 6))

    def conv1d(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
        layers = [
            weights(rng, layer.Conv1d(2, 3, 3, stride=2)),
            neuron.LIFNode(decay_input=False),
            layer.Flatten(),
            linear(rng, 18, 5),
            neuron.IFNode(),
        ]
        return made(layers, (2, 13))

    return [
        Case("if", dense(neuron.IFNode, dyadic=True)),
        Case("if_reset", dense(lambda: neuron.IFNode(v_threshold=1.5, v_reset=-0.25), dyadic=True)),
        Case("lif", dense(lambda: neuron.LIFNode(tau=3.0), gain=2.0)),
        Case("lif_ties", dense(lambda: neuron.LIFNode(tau=2.0), dyadic=True, gain=2.0)),
        Case("lif_reset", dense(lambda: neuron.LIFNode(tau=5.0, v_threshold=0.8, v_reset=0.125), gain=2.0)),
        Case("lif_undecayed_input", dense(lambda: neuron.LIFNode(tau=4.0, decay_input=False, v_reset=-0.2))),
        Case("plif", dense(lambda: neuron.ParametricLIFNode(init_tau=2.7), gain=2.0)),
        Case("cuba", dense(lambda: neuron.CUBALIFNode(c_decay=0.6, v_decay=0.85, v_reset=0.0), gain=0.6)),
        Case("cuba_reset", dense(lambda: neuron.CUBALIFNode(c_decay=0.3, v_decay=0.9, v_reset=-0.3), gain=0.6)),
        Case("if_dt", dense(neuron.IFNode, dyadic=True, dt=1e-3)),
        Case("cuba_dt", dense(lambda: neuron.CUBALIFNode(v_reset=0.0), gain=0.6, dt=2e-3)),
        Case("lif_dt", dense(lambda: neuron.LIFNode(tau=3.0), gain=2.0, dt=1e-3), ("dt=1e-3",)),
        Case("conv", conv, shape=(2, 6, 6)),
        Case("conv1d", conv1d, shape=(2, 13)),
    ]


def rockpool_cases() -> list[Case]:
    import torch
    from rockpool.nn.combinators import Sequential
    from rockpool.nn.modules.torch import ExpSynTorch, LIFNeuronTorch, LIFTorch, LinearTorch
    from rockpool.nn.modules.torch.nir import to_nir

    def made(net: Any) -> tuple[Any, Runner]:
        def run(x: Array) -> Array:
            net.reset_state()
            with torch.no_grad():
                return net(torch.from_numpy(x.swapaxes(0, 1)).float())[0].numpy().swapaxes(0, 1)

        return to_nir(net), run

    def dense(rng: np.random.Generator, n_in: int, n_out: int, bias: bool = False) -> Any:
        return weights(rng, LinearTorch((n_in, n_out), has_bias=bias))

    def lif(rng: np.random.Generator, n: int, dt: float = 1e-3) -> tuple[Any, Runner]:
        def cell(size: int) -> Any:
            taus = {"tau_mem": uniform(rng, 4, 20, size) * dt, "tau_syn": uniform(rng, 2, 8, size, 1) * dt}
            return LIFTorch(size, **taus, threshold=uniform(rng, 0.7, 1.4, size), dt=dt)

        return made(Sequential(dense(rng, 12, 9, bias=True), cell(9), dense(rng, 9, 5), cell(5)))

    def neuron(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
        def cell(size: int) -> Any:
            return LIFNeuronTorch(
                size, tau_mem=uniform(rng, 4e-3, 2e-2, size), threshold=uniform(rng, 0.7, 1.4, size)
            )

        return made(Sequential(dense(rng, 12, 9), cell(9), dense(rng, 9, 5), cell(5)))

    def readout(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
        neurons = LIFTorch(9, tau_mem=torch.tensor(0.01), tau_syn=torch.tensor(0.005))
        return made(
            Sequential(dense(rng, 12, 9), neurons, dense(rng, 9, 4), ExpSynTorch(4, tau=uniform(rng, 4e-3, 2e-2, 4)))
        )

    return [
        Case("lif", lif, shape=(12,)),
        Case("lif_dt", lambda rng, n: lif(rng, n, 1e-2), shape=(12,)),
        Case("neuron", neuron, shape=(12,)),
        Case("readout", readout, shape=(12,), values=True),
    ]


# --------------------------------------------------------------------------------------------------------- jax


def spyx_cases() -> list[Case]:
    import jax.numpy as jnp
    import spyx.nir
    import spyx.nn as sn
    from flax import nnx

    rngs = nnx.Rngs(0)

    def filled(rng: np.random.Generator, module: Any) -> Any:
        for name in ("kernel", "bias", "recurrent_w", "alpha", "beta"):
            p = getattr(module, name, None)
            if isinstance(p, nnx.Variable):
                shape = p[...].shape
                fan_in = max(1, int(np.prod(shape[:-1])))
                if name in ("alpha", "beta"):
                    value = rng.uniform(0.3, 0.95, shape)
                else:
                    value = rng.normal(0.12, 1.0, shape) * (1.4 / np.sqrt(fan_in)) * (0.2 if name == "bias" else 1)
                p[...] = jnp.array(value, dtype=jnp.float32)
        return module

    def made(rng: np.random.Generator, layers: list[Any], shape: tuple[int, ...], n_out: int, dt: float = 1) -> Any:
        net = sn.Sequential(*[filled(rng, layer) for layer in layers])
        ports = {"input": np.array(shape)}, {"output": np.array([n_out])}
        graph = spyx.nir.to_nir(net, *ports, dt=dt)

        def run(x: Array) -> Array:
            x = np.moveaxis(x, 2, -1) if len(shape) == 3 else x
            return np.asarray(sn.run(net, jnp.asarray(x, dtype=jnp.float32))[0])

        return graph, run

    def dense(cell: Callable[..., Any], dt: float = 1) -> Any:
        def make(rng: np.random.Generator, n: int) -> tuple[Any, Runner]:
            layers = [nnx.Linear(12, 9, rngs=rngs), cell((9,), rngs=rngs)]
            layers += [nnx.Linear(9, 5, use_bias=False, rngs=rngs), cell((5,), rngs=rngs)]
            return made(rng, layers, (12,), 5, dt)

        return make

    def conv(rng: np.random.Generator, n: int, channels: int = 3) -> tuple[Any, Runner]:
        layers = [
            nnx.Conv(2, channels, (3, 3), padding="VALID", rngs=rngs),
            sn.LIF((4, 4, channels), rngs=rngs),
            sn.SumPool(2, 2, "VALID"),
            sn.Flatten(),
            nnx.Linear(4 * channels, 5, rngs=rngs),
            sn.LIF((5,), rngs=rngs),
        ]
        return made(rng, layers, (2, 6, 6), 5)

    return [
        Case("if", dense(sn.IF), late=1),
        Case("lif", dense(sn.LIF), late=1),
        Case("cuba", dense(sn.CuBaLIF), late=1),
        Case("rif", dense(sn.RIF), late=1),
        Case("rlif", dense(sn.RLIF), late=1),
        Case("rcuba", dense(sn.RCuBaLIF), late=1),
        Case("psu", dense(sn.PSU_LIF)),
        Case("lif_dt", dense(sn.LIF, dt=1e-3), late=1),
        Case("conv", conv, shape=(2, 6, 6), late=1),
    ]


TOOLS: dict[str, Callable[[], list[Case]]] = {
    "sinabs": sinabs_cases,
    "snntorch": snntorch_cases,
    "spikingjelly": spikingjelly_cases,
    "rockpool": rockpool_cases,
    "spyx": spyx_cases,
}


# -------------------------------------------------------------------------------------------------- recording


def save(graph: Any, path: Path) -> str:
    """By nir.write where it can; else node by node, leaving out what is None. Says which."""
    import nir
    import torch

    try:
        nir.write(path, graph)
        return "nir.write"
    except (TypeError, RuntimeError) as error:
        nodes: dict[str, Any] = {}
        for name, node in graph.nodes.items():
            kind = type(node).__name__
            values = {
                k: v
                for k, v in vars(node).items()
                if v is not None and k not in ("metadata", "input_type", "output_type")
            }
            values = {k: v.detach().numpy() if isinstance(v, torch.Tensor) else v for k, v in values.items()}
            if kind in ("Input", "Output"):
                values["shape"] = next(iter((node.input_type if kind == "Input" else node.output_type).values()))
            nodes[name] = (kind, values)
        write(path, nodes, list(graph.edges))
        return f"by hand, nir.write refuses it ({type(error).__name__}: {str(error)[:60]})"


def record(tool: str, case: Case, seeds: int, keep: bool) -> tuple[int, int, int]:
    """(bins, differing, spikes) over the seeds; the first seed is kept."""
    bins = differing = spikes = 0
    for seed in range(seeds):
        rng = np.random.default_rng([seed, sum(map(ord, tool + case.name))])
        steps, samples = (48, 2) if seed == 0 else (100, 4)
        graph, run = case.make(rng, samples)
        x = (rng.random((steps, samples, *case.shape)) < rng.uniform(0.1, 0.5)).astype(np.float64)
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "net.nir"
            how = save(graph, path)
            file = path.read_bytes()
        told = (case.settings, case.values, case.late, how)
        recording = Recording(tool, importlib.metadata.version(tool), *told, file, x, run(x))
        found = compare(recording)
        bins, differing, spikes = bins + found.bins, differing + found.differing, spikes + int(recording.y.sum())
        if keep and seed == 0:
            recording.save(FOLDER / f"{tool}_{case.name}.npz")
    return bins, differing, spikes


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tools", nargs="*", default=list(TOOLS))
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--case", default="", help="only cases whose name holds this")
    parser.add_argument("--keep", action="store_true", help="write the first seed into recordings/")
    options = parser.parse_args(arguments)
    warnings.simplefilter("ignore")
    FOLDER.mkdir(exist_ok=True)
    for tool in options.tools:
        total = [0, 0]
        cases = [case for case in TOOLS[tool]() if options.case in case.name]
        for case in cases:
            try:
                bins, differing, spikes = record(tool, case, options.seeds, options.keep)
            except Exception as error:
                print(f"{tool} {case.name}: {type(error).__name__}: {error}", flush=True)
                continue
            total[0] += bins
            total[1] += differing
            print(f"{tool} {case.name}: {bins:,} bins, {differing:,} differ, {spikes:,} in all", flush=True)
        version = importlib.metadata.version(tool)
        print(f"| {tool} | {version} | {len(cases)} | {total[0]:,} | {total[1]:,} |", flush=True)


if __name__ == "__main__":
    main()
