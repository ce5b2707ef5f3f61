"""Runs a .net file on Lava's fixed-point simulation, or on lava-dl's slayer, and times it; for ``simulator.py``.

    python lava_peers.py (lava|slayer) NET INPUT.npy RESULT.npz [N_THREADS]

INPUT is (B, W, H, C, T) or (B, N, T). RESULT holds seconds (stepping, no start-up), the output, and of Lava cpu_s (of
all its processes) and the neurons' final u, v and sigma.
A process of its own, because Lava starts processes and may not come back.
"""

from __future__ import annotations

import sys
import time

import h5py
import numpy as np
import psutil

from seamount.hardware_targets.lava.plain_lava import make_importable


def run_lava(net_file: str, x: np.ndarray) -> dict[str, np.ndarray]:
    """Each sample on a network of its own, from rest."""
    from lava.lib.dl import netx
    from lava.lib.dl.netx.blocks.process import Input
    from lava.magma.core.run_conditions import RunSteps
    from lava.magma.core.run_configs import Loihi2SimCfg
    from lava.proc import io

    seconds, cpu, outputs, states = [], [], [], []
    for sample in x:
        net = netx.hdf5.Network(net_config=net_file)
        source = io.source.RingBuffer(data=sample.astype(np.int32))
        sink = io.sink.RingBuffer(shape=net.out.shape, buffer=sample.shape[-1])
        # netx leaves its input block's port unconnected: the neurons themselves are driven
        entry = net.in_layer.neuron.a_in if isinstance(net.in_layer, Input) else net.inp
        source.s_out.connect(entry)
        net.out.connect(sink.a_in)
        net.create_runtime(Loihi2SimCfg(select_tag="fixed_pt"))
        start, cpu_start = time.perf_counter(), cpu_of_all()
        net.run(condition=RunSteps(num_steps=sample.shape[-1]), run_cfg=Loihi2SimCfg(select_tag="fixed_pt"))
        seconds.append(time.perf_counter() - start)
        cpu.append(cpu_of_all() - cpu_start)
        outputs.append(sink.data.get().astype(np.int64))
        states.append(
            {
                f"{name}{k}": getattr(layer.neuron, name).get()
                for k, layer in enumerate(net.layers)
                for name in ("u", "v", "sigma")
                if hasattr(layer.neuron, name)
            }
        )
        net.stop()
    found = {"seconds": np.array(seconds), "cpu_s": np.array(cpu), "output": np.stack(outputs)}
    return found | {name: np.stack([one[name] for one in states]) for name in states[0]}


def cpu_of_all() -> float:
    """CPU seconds of this process and of those that it started and that still run."""
    this = psutil.Process()
    return sum(sum(one.cpu_times()[:2]) for one in (this, *this.children(recursive=True)))


def run_slayer(net_file: str, x: np.ndarray, n_threads: int) -> dict[str, np.ndarray]:
    """The batch at once, torch on the CPU; best of three."""
    import torch
    from lava.lib.dl import slayer

    torch.set_num_threads(n_threads)
    blocks = []
    with h5py.File(net_file) as file:
        for k in range(1, len(file["layer"])):
            layer = file[f"layer/{k}"]
            kind = layer["type"][0].decode()
            if kind == "flatten":
                blocks.append(slayer.block.cuba.Flatten())
                continue
            neuron = {
                "threshold": float(layer["neuron/vThMant"][()]) / 64,
                "current_decay": float(layer["neuron/iDecay"][()]) / 4096,
                "voltage_decay": float(layer["neuron/vDecay"][()]) / 4096,
            }
            weight = torch.from_numpy(layer["weight"][()]).float() / 64
            if kind == "conv":
                pairs = {name: tuple(layer[name][()].tolist()) for name in ("stride", "padding", "dilation")}
                block = slayer.block.cuba.Conv(
                    neuron, weight.shape[1], weight.shape[0], tuple(weight.shape[2:]), **pairs,
                    groups=int(layer["groups"][()]), delay_shift=True,
                )  # fmt: skip
            else:
                block = slayer.block.cuba.Dense(neuron, weight.shape[1], weight.shape[0], delay_shift=True)
            block.synapse.weight.data = weight.reshape(block.synapse.weight.shape)
            blocks.append(block)
    values = torch.from_numpy(x).float()
    if values.ndim == 5:
        values = values.permute(0, 3, 2, 1, 4).contiguous()
    seconds = []
    with torch.no_grad():
        for _ in range(3):
            start = time.perf_counter()
            y = values
            for block in blocks:
                y = block(y)
            seconds.append(time.perf_counter() - start)
    return {"seconds": np.array([min(seconds)]), "output": y.numpy().astype(np.int64)}


if __name__ == "__main__":
    who, net, given, result = sys.argv[1:5]
    make_importable()
    inputs = np.load(given)
    done = run_lava(net, inputs) if who == "lava" else run_slayer(net, inputs, int(sys.argv[5]))
    np.savez(result, **done)
