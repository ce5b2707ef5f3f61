"""What to try next, the most promising first."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator

from seamount.compile.neurons.model import SIGNED_SPIKES, SPIKES
from seamount.compile.program.symptoms import Symptoms

from ..evidence import Evidence
from ..schema.text import count, si
from ..schema.values import Item, Missing, Series, Stage
from .accuracy import Accuracy, Rung
from .anytime import Anytime
from .energy import Energy
from .layers import Layer
from .mapping import Mapping


class Opportunity(Item):
    """``command`` tries it, as it stands; empty where no command does."""

    id: str
    title: str
    gain: str
    command: str


def opportunities(
    evidence: Evidence,
    layers: tuple[Layer, ...] | Missing,
    mapping: Mapping | Missing,
    energy: Energy | Missing,
    early: Anytime | Missing,
    accuracy: Accuracy | Missing,
    symptoms: Symptoms | None,
) -> tuple[Opportunity, ...]:
    """What to try, the most promising first. A gain is a bound or an estimate and says which.

    Of a network with ``symptoms`` nothing is advised that would make it cheaper as it is.
    """
    silent = () if symptoms is None else symptoms.silent
    found: list[Opportunity] = [_wake(evidence, silent)] if silent else []
    if isinstance(accuracy, Accuracy):
        found += _of_accuracy(evidence, accuracy, symptoms)
    if isinstance(mapping, Mapping):
        found += _relieve(evidence, mapping)
    if isinstance(layers, tuple):
        found += [told for layer in layers for told in _of_layer(evidence, layer, silent)]
    if isinstance(energy, Energy):
        found += _of_energy(evidence, energy)
    if isinstance(early, Anytime) and not symptoms:
        found += _of_time(evidence, early, energy.mark if isinstance(energy, Energy) else "")
    if evidence.oracle is None and evidence.counted is not None:  # else there are no samples to run
        found.append(
            Opportunity(
                id="prove-lava",
                title="Prove it against Lava",
                gain="The verdict bit-exact then rests on an implementation that is not ours.",
                command=f"seamount run-lava {_folder(evidence)} --samples 20",
            )
        )
    return tuple(found)


def _wake(evidence: Evidence, silent: Collection[str]) -> Opportunity:
    gain = (
        "Nothing is learned or answered through it: a lower v_th, a membrane that takes in more of a step "
        "(tau_mem_inv nearer to 1 / dt) or larger weights make it fire."
        if evidence.trained
        else "Nothing is answered through it: look at the time step (--set dt=), the exporter (--from; if norse or "
        "norse-head, try the other) and the scale of the inputs, which may be another than the network was trained "
        "with."
    )
    layers = "a layer without a single spike, wake it first" if len(silent) == 1 else "silent layers, wake them first"
    return Opportunity(id="wake", title=f"{', '.join(silent)}: {layers}", gain=gain, command="")


def _of_accuracy(evidence: Evidence, accuracy: Accuracy, symptoms: Symptoms | None) -> Iterator[Opportunity]:
    """What to mend first: a file that means something else, a teacher, a student, the rounding."""
    rungs = {rung.stage: rung for rung in accuracy.rungs}
    if "original" in rungs and "float" in rungs:
        yield from _read_otherwise(rungs["float"], accuracy.n_samples)
    trained = [stage for stage, training in evidence.trainings.items() if training.improving and stage in rungs]
    taught = "teacher" in rungs and "teacher" in evidence.trainings
    by_chance = symptoms is not None and bool(symptoms.chance or symptoms.slight)
    if taught and by_chance and _value(rungs["teacher"]) <= _value(rungs["float"]):
        yield _train_longer(evidence, rungs["teacher"])  # nothing can be learned from one that only guesses
    elif taught and by_chance and _learned_nothing(evidence, rungs):
        yield _other_rates(evidence, rungs["teacher"])
    elif trained:  # the first of them, because what follows learns from it
        yield _train_longer(evidence, rungs[trained[0]])
    elif taught and _value(rungs["teacher"]) < _value(rungs["float"]):
        yield _train_longer(evidence, rungs["teacher"])
    before = rungs.get("float")
    if before is not None and "deployed" in rungs and _value(before) - _value(rungs["deployed"]) > ROUNDING_COSTS_PP:
        yield _round_better(evidence, _value(before) - _value(rungs["deployed"]))


ROUNDING_COSTS_PP = 1.0
"""More than that is worth an advice."""


def _value(rung: Rung) -> float:
    return float(rung.accuracy.value or 0)


def _learned_nothing(evidence: Evidence, rungs: dict[Stage, Rung]) -> bool:
    """Of a program that answers by chance: it was the student that did, not what rounding made of it."""
    if "float" not in evidence.trainings or "deployed" not in rungs:
        return False
    return _value(rungs["float"]) - _value(rungs["deployed"]) <= ROUNDING_COSTS_PP


def _other_rates(evidence: Evidence, teacher: Rung) -> Opportunity:
    """The one that is usual here, and a smaller one."""
    return Opportunity(
        id="other-rates",
        title=f"The student learned next to nothing from a teacher that reaches {_value(teacher):.1f} %",
        gain="More epochs seldom help it: another learning rate may, or a layer that fires more.",
        command=_sweep(evidence, "train.lr=0.004,0.001"),
    )


def _read_otherwise(rung: Rung, n: int) -> Iterator[Opportunity]:
    same = None if rung.agreement is None else rung.agreement.value
    if same is None or same == 100:
        return
    yield Opportunity(
        id="read-otherwise",
        title=f"{round(n * (1 - same / 100)):,} of {n:,} answers of the file are not your own network's",
        gain="The file says something else than your tool computes: try --from, --set dt=..., --readout.",
        command="",
    )


def _train_longer(evidence: Evidence, rung: Rung) -> Opportunity:
    training = evidence.trainings[rung.stage]
    what = {"teacher": "teacher", "float": "float student"}.get(rung.stage, "student in integers")
    why = "was still improving in the last of" if training.improving else "is no better than its student after"
    return Opportunity(
        id=f"train-{rung.stage}",
        title=f"The {what} reaches {_value(rung):.1f} % and {why} {training.n_epochs} epochs: train it longer first",
        gain="The program answers as it does."
        if rung.stage == "quantised"
        else "What follows learns from it, and seldom passes it.",
        command=_sweep(evidence, f"{training.setting}={training.n_epochs},{2 * training.n_epochs}"),
    )


def _round_better(evidence: Evidence, lost_pp: float) -> Opportunity:
    epochs = evidence.trainings.get("quantised")
    axis = None if epochs is None else f"{epochs.setting}={epochs.n_epochs},{2 * epochs.n_epochs}"
    return Opportunity(
        id="round-better",
        title=f"The integers cost {lost_pp:.1f} pp",
        gain="Fine-tuning in integers wins most of it back."
        if evidence.trained
        else "Scales chosen on real inputs (--calibrate) may win some of it back, training in integers most.",
        command="" if axis is None else _sweep(evidence, axis),
    )


def _relieve(evidence: Evidence, mapping: Mapping) -> list[Opportunity]:
    tight = sorted((m for m in mapping.layers if m.share >= 0.9 and m.n_cores > 1), key=lambda m: -m.share)
    return [
        Opportunity(
            id=f"relieve-{m.name}",
            title=f"{m.name} fills {100 * m.share:.0f} % of its {m.binding}",
            gain=m.relief,
            command=_sweep(evidence, "target.placement=cores,load,crossings"),
        )
        for m in tight[:3]
    ]


def _folder(evidence: Evidence) -> str:
    return shlex.quote(evidence.folder or f"runs/{evidence.name}")


def _sweep(evidence: Evidence, axis: str) -> str:
    """Nothing for what Seamount did not train: there are no settings to train it anew with."""
    return f"seamount sweep {_folder(evidence)}/resolved.toml --over {axis}" if evidence.trained else ""


def _why(evidence: Evidence, layer: Layer) -> str:
    """Of the samples that were compared; nothing where there is no network in real numbers to explain it with."""
    if layer.damage.value is None:
        return ""
    return f"seamount why {_folder(evidence)} {shlex.quote(layer.name)} --samples {layer.damage.n}"


def _of_time(evidence: Evidence, early: Anytime, mark: str) -> list[Opportunity]:
    n_steps = len(early.steps)
    if early.enough >= n_steps:
        return []
    saved = ""
    if isinstance(early.energy_j, Series):
        full, part = (float(early.energy_j.values[t - 1] or 0) for t in (n_steps, early.enough))
        saved = f" and saves {si(full - part, 'J')} of {si(full, 'J')} dynamic energy{mark}"
    return [
        Opportunity(
            id="fewer-steps",
            title=f"{early.enough} of {n_steps} steps {'is' if early.enough == 1 else 'are'} nearly enough",
            gain=f"Reading the answer then costs at most 0.5 pp{saved}; a student trained for it may lose nothing.",
            command=_sweep(evidence, f"student.n_steps={early.enough},{n_steps}"),
        )
    ]


def _of_layer(evidence: Evidence, layer: Layer, silent: Collection[str]) -> Iterator[Opportunity]:
    why = _why(evidence, layer)
    dead, always, damage = layer.n_dead.value, layer.n_always.value, layer.damage.value
    if dead is not None and dead / layer.n_neurons > 0.1 and layer.name not in silent:
        yield Opportunity(
            id=f"prune-{layer.name}",
            title=f"{layer.name}: {100 * dead / layer.n_neurons:.0f} % of the neurons never fired",
            gain=f"Up to {dead:,} of {layer.n_neurons:,} neurons can go without a change in these "
            f"{layer.n_dead.n:,} samples; confirm on the whole test set.",
            command=why,
        )
    sends_always = evidence.program.population(layer.name).neuron.sends_always
    if always is not None and always / layer.n_neurons > 0.05 and not sends_always:
        yield Opportunity(
            id=f"calm-{layer.name}",
            title=f"{layer.name}: {always:,} {'neuron fires' if always == 1 else 'neurons fire'} at every step",
            gain="That carries no information; a higher threshold saves spikes and synaptic operations.",
            command=why,
        )
    if layer.n_overflows:
        yield Opportunity(
            id=f"overflow-{layer.name}",
            title=f"{layer.name}: values left their range {count(layer.n_overflows)} times",
            gain=f"Each wrapped value is an arbitrary error. {_keep_in_range(evidence, layer.name)}",
            command=why,
        )
    if damage is not None and damage > 5:
        yield Opportunity(
            id=f"diverge-{layer.name}",
            title=f"{layer.name}: {damage:.1f} % of the spikes have no partner in the {evidence.reference}",
            gain="Names which effect does it: weight rounding, decay grid, threshold or saturation.",
            command=why,
        )


def _keep_in_range(evidence: Evidence, name: str) -> str:
    """Who chose the scale of this layer can choose a smaller one."""
    if evidence.trained:
        return (
            "Choose scales by more samples (quant.calibration_samples), or train longer in integers (quant.epochs)."
        )
    if evidence.program.population(name).neuron.message not in (SPIKES, SIGNED_SPIKES):
        return (
            "An ANN is converted again, with frames in its training part whose activations are as large as in these "
            "samples; integers of a .net file stay as they are."
        )
    return (
        "Compile with real inputs to round for (--calibrate x.npz), or with a smaller scale (--set "
        f"scale.{name}=..., `seamount compile --explain {name}` shows the one it has); integers of a .net file stay "
        "as they are."
    )


def _of_energy(evidence: Evidence, energy: Energy) -> list[Opportunity]:
    """Static power is paid by the step: where it prevails, shorter steps are what saves most."""
    mid = next((s for s in energy.sets if s.name == energy.mid), None)
    stated = energy.stated_period_s.value
    if mid is None or stated is None or not mid.dynamic_j.value or not mid.total_j.value:
        return []
    static = mid.total_j.value - mid.dynamic_j.value
    shortest = max((t.time_s.value or 0 for t in energy.step_time), default=0)
    if static <= mid.dynamic_j.value or not 0 < shortest < stated:
        return []
    share = 100 * static / mid.total_j.value
    saved = static * (1 - shortest / stated)
    return [
        Opportunity(
            id="step-period",
            title=f"Static power is {share:.0f} % of the total at {si(stated, 's')} a step",
            gain=f"Up to {si(saved, 'J')}{energy.mark} per inference less at the modelled step of "
            f"{si(shortest, 's')} (derived).",
            command=_sweep(evidence, f"target.step_period_s={stated:g},{shortest:.1e}"),
        )
    ]
