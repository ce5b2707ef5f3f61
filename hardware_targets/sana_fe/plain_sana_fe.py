"""Replays recorded spikes on SANA-FE's Loihi. A script of its own: it knows numpy and SANA-FE, and nothing of us.

    python plain_sana_fe.py FOLDER    reads job.json and job.npz (see ``opinion.write_job``), writes result.json

Every neuron of the chip is its LIF with a threshold of 0.5 that forgets at once and whose weights are 0: a bias of 1
makes it fire in just the steps in which it fired in the run, and all it costs is what SANA-FE says a LIF costs. The
replay is done twice, the second time by the inputs alone, because energies add up: the difference is the chip's own.
"""

from __future__ import annotations

import importlib.resources
import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import sanafe

Job = dict[str, Any]
Arrays = dict[str, Any]

UNITS = {"dense": "loihi_dense_synapse", "sparse": "loihi_sparse_synapse", "conv": "loihi_conv_synapse"}
KINDS = ("synapse", "dendrite", "soma", "network")
COUNTS = {
    "operations": "spikes",
    "spikes": "neurons_fired",
    "updates": "neurons_updated",
    "messages": "packets_sent",
    "seconds": "sim_time",
}
AT_ONCE = 100_000
"""Connections that are handed over as Python's tuples."""


def main(folder: Path) -> None:
    job: Job = json.loads((folder / "job.json").read_text(encoding="utf-8"))
    with np.load(folder / "job.npz", allow_pickle=False) as archive:
        arrays = dict(archive)
    architecture = architecture_for(job, arrays, folder)
    net = sanafe.Network()
    place(net, architecture.cores(), job, arrays)
    connect(net, job, arrays)
    chip = sanafe.SpikingChip(architecture)
    chip.load(net)
    neurons = [i for i, entry in enumerate(job["senders"]) if not entry["input"]]
    states = {i: dict.fromkeys(("bias", "force_update"), np.zeros(job["senders"][i]["n"], np.uint8)) for i in neurons}
    every, inputs = (replay(chip, job["steps"], states, arrays, fire) for fire in (1, 0))
    (folder / "result.json").write_text(json.dumps({"all": every, "inputs": inputs}), encoding="utf-8")


def architecture_for(job: Job, arrays: Arrays, folder: Path) -> Any:
    """Its loihi.yaml with as many input units on a core as are used: 131,072 of them take 2 GB."""
    text = (importlib.resources.files("sanafe.examples") / "loihi.yaml").read_text(encoding="utf-8")
    cores = [arrays[f"cores{i}"] for i, entry in enumerate(job["senders"]) if entry["input"]]
    most = int(np.bincount(np.concatenate(cores)).max()) if cores else 1
    (folder / "loihi.yaml").write_text(
        re.sub(r"loihi_inputs\[0\.\.1023\]", f"loihi_inputs[0..{most - 1}]", text), encoding="utf-8"
    )
    return sanafe.load_arch(str(folder / "loihi.yaml"))


def place(net: Any, cores: Any, job: Job, arrays: Arrays) -> None:
    taken: dict[int, int] = {}
    still = {"threshold": 0.5, "leak_decay": 0.0, "input_decay": 0.0}
    for i, entry in enumerate(job["senders"]):
        group = net.create_neuron_group(str(i), entry["n"], {}, soma_hw_name="loihi_lif")
        trains = np.concatenate([arrays[f"fired{i}"]] * 2).T.tolist() if entry["input"] else None
        for j, core in enumerate(arrays[f"cores{i}"].tolist()):
            # model_attributes, because 2.2.9 takes soma_attributes for those of the dendrite
            if trains is None:
                group[j].set_attributes(model_attributes=still)
            else:
                unit = taken[core] = taken.get(core, -1) + 1
                group[j].set_attributes(soma_hw_name=f"loihi_inputs[{unit}]", model_attributes={"spikes": trains[j]})
            group[j].map_to_core(cores[core])


def connect(net: Any, job: Job, arrays: Arrays) -> None:
    for i, bundle in enumerate(job["bundles"]):
        source, target = net[str(bundle["source"])], net[str(bundle["target"])]
        sources, targets = arrays[f"sources{i}"], arrays[f"targets{i}"]
        # a connection takes the unit that its target names when it is made
        for j in np.unique(targets).tolist():
            target[j].set_attributes(default_synapse_hw_name=UNITS[bundle["encoding"]])
        for start in range(0, len(sources), AT_ONCE):
            part = slice(start, start + AT_ONCE)
            pairs = list(zip(sources[part].tolist(), targets[part].tolist(), strict=True))
            source.connect_neurons_sparse(target, {"weight": [0.0] * len(pairs)}, pairs)


def replay(chip: Any, n_steps: int, states: dict[int, dict[str, Any]], arrays: Arrays, fire: int) -> dict[str, Any]:
    """Counts and time of every step, energies of all of them, and how long messages were on their way.

    Args:
        states: of the neurons' attributes, kept from replay to replay.
        fire: 1, or 0 to have the inputs alone send.
    """
    told: dict[str, list[float]] = {name: [] for name in (*COUNTS, "hops")}
    energies, delays = dict.fromkeys(KINDS, 0.0), []
    for step in range(n_steps):
        for i, state in states.items():
            neurons = chip.mapped_neuron_groups[str(i)]
            set_changed(neurons, state, "bias", arrays[f"fired{i}"][step] * fire, float)
            set_changed(neurons, state, "force_update", arrays[f"awake{i}"][step] * fire, int)
        found = chip.sim(1, message_trace=True)
        messages = [message for message in found["message_trace"][-1] if not message["placeholder"]]
        for name, key in COUNTS.items():
            told[name].append(found[key])
        told["hops"].append(sum(message["hops"] for message in messages))
        for kind in KINDS:
            energies[kind] += found["energy"][kind]
        delays += [delay(message) for message in messages]
    mean = float(np.mean(delays)) if delays else 0.0
    return {**told, "energy": energies, "delay_mean": mean, "delay_max": max(delays, default=0.0)}


def set_changed(neurons: Any, state: dict[str, Any], name: str, values: Any, kind: type) -> None:
    for j in np.flatnonzero(state[name] != values).tolist():
        neurons[j].set_attributes(model_attributes={name: kind(values[j])})
    state[name] = values


def delay(message: dict[str, Any]) -> float:
    """From where it was ready to go to where its core takes it [s]."""
    return float(message["blocking_delay"] + message["received_timestamp"] - message["send_timestamp"])


if __name__ == "__main__":
    main(Path(sys.argv[1]))
