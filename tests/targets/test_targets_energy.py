"""Energies: the worked example, hand-made counts, boundaries, step time, comparisons, what is refused."""

import json
from dataclasses import replace

import numpy as np
import pytest

from seamount.compile.arithmetic.definition import run_definition
from seamount.compile.fit.place import Assignment, Placement, Tile, place, validate_placement
from seamount.compile.neurons.delta import Delta
from seamount.compile.neurons.lif import Lif
from seamount.compile.neurons.sigma import Sigma
from seamount.compile.neurons.sigma_delta import SigmaDelta
from seamount.compile.numbers import ints
from seamount.compile.program.activity import Activity, Events
from seamount.compile.program.program import Input, Population, Program, Readout
from seamount.compile.synapses.kinds import Conv, Dense, OneToOne, Synapses, Wire
from seamount.errors import ConfigError, InputError
from seamount.hardware_targets.energy import Counts, Encoding, estimate_energy, price
from seamount.hardware_targets.literature import band_verdicts, literature
from seamount.hardware_targets.neurobench import neurobench_metrics
from seamount.hardware_targets.simulator import simulate
from seamount.hardware_targets.target import load_target
from seamount.windows import Window

LIF = Lif(du=ints(4096), dv=ints(1024), v_th_mant=ints(64))
LOIHI1, LOIHI2 = load_target("loihi1"), load_target("loihi2")
MICRO = 1e-6


def example(encoding: Encoding, active: float) -> Counts:
    """2e6 synaptic operations, 2e4 neurons x 8 steps, 2e4 spikes of one message and two hops each."""
    return Counts({encoding: 2e6}, 2e6, 1.6e5, active, 2e4, messages=2e4, hops_ew=2e4, hops_ns=2e4)


@pytest.mark.parametrize(
    ("constants", "encoding", "active", "expected_uj"),
    [
        # Davies: 47.2 + 2e4 x 81 pJ + 1.4e5 x 52 pJ + 0.034 + 0.14: the neurons that spike are active
        ("davies2018", "dense", 2e4, 56),
        # SANA-FE: every update priced as access and update
        ("sana_fe", "conv", 1.6e5, 63),
        ("sana_fe", "dense", 1.6e5, 86),
        ("sana_fe_dense", "conv", 0, 86),
        ("keras_spiking", "conv", 0, 67),
    ],
)
def test_the_worked_example(constants: str, encoding: Encoding, active: float, expected_uj: int) -> None:
    assert LOIHI1.energy is not None
    terms = price(example(encoding, active), LOIHI1.energy.sets[constants])
    assert round(sum(terms.values()) / MICRO) == expected_uj


def test_the_worked_example_in_additions_alone() -> None:
    assert LOIHI1.energy is not None
    terms = price(example("dense", 0), LOIHI1.energy.sets["davies2018"])
    assert round(terms["sops"] / MICRO) == 47
    operations = literature().operations
    assert 2e6 * operations.ac_int8.value == pytest.approx(0.06 * MICRO)
    assert 2e6 * operations.ac_fp32.value == pytest.approx(1.8 * MICRO)


@pytest.mark.parametrize(("period_s", "chip_uj", "processors_uj"), [(1e-5, 8.3, 5.2), (1e-3, 832, 520)])
def test_the_worked_example_with_static_power(period_s: float, chip_uj: float, processors_uj: float) -> None:
    program, activity = two_layers()
    eight = replace(activity, n_steps=8)
    report = estimate_energy(program, eight, None, LOIHI1, period_s)
    assert report.static_terms == {
        "chips": pytest.approx(chip_uj * MICRO, rel=0.005),
        "embedded processors": pytest.approx(processors_uj * MICRO, rel=0.005),
    }


def two_layers() -> tuple[Program, Activity]:
    """in (4) -> a (3) -> b (2), a run of 2 samples and 4 steps whose counts are made up by hand."""
    program = Program(
        "two",
        (Input("in", (4,)),),
        (Population("a", (3,), LIF), Population("b", (2,), LIF)),
        (
            Synapses("in>a", "in", "a", Dense(ints(np.full((3, 4), 2)))),
            Synapses("a>b", "a", "b", Dense(ints(np.full((2, 3), 2)))),
        ),
        Readout("b", "count"),
        3,
    )
    events = {
        "a": Events(np.array([0, 2, 1, 1]), 24, 10, np.array([12, 6, 6, 0]), np.array([12, 6, 6, 0])),
        "b": Events(np.array([0, 0, 1, 1]), 16, 4, np.array([0, 4, 2, 2]), np.array([0, 4, 2, 2])),
    }
    counts = {"a": np.array([[2, 1, 0], [1, 0, 0]]), "b": np.array([[1, 0], [1, 0]])}
    return program, Activity(4, 2, spike_counts=counts, events=events)


def on_two_cores(program: Program, activity: Activity) -> Placement:
    """a on core 0 (router 0, 0), b on core 4 (router 1, 0)."""
    assignment = [Assignment(0, 0, (Tile("a", ((0, 3),)),)), Assignment(0, 4, (Tile("b", ((0, 2),)),))]
    return validate_placement(program, assignment, LOIHI1, activity=activity)


def test_every_count_of_a_run_by_hand() -> None:
    program, activity = two_layers()
    report = estimate_energy(program, activity, on_two_cores(program, activity), LOIHI1, 1e-3)
    # per sample: half of everything; every spike of a is a message one router to the east
    assert report.counts == Counts({"dense": 16.0}, 16.0, 20.0, 7.0, 3.0, 2.0, 2.0, 0.0)
    assert [(layer.population, layer.counts.n_sops, layer.counts.messages) for layer in report.layers] == [
        ("a", 12.0, 2.0),
        ("b", 4.0, 0.0),
    ]
    davies = next(s for s in report.sets if s.name == "davies2018")
    pico = 1e-12
    assert davies.terms == {
        "sops": pytest.approx(16 * 23.6 * pico),
        "updates": pytest.approx((7 * 81 + 13 * 52) * pico),
        "spikes": pytest.approx(3 * 1.7 * pico),
        "messages": 0.0,
        "hops": pytest.approx(2 * 3.0 * pico),
    }
    assert davies.compute_only_j == pytest.approx((16 * 23.6 + 7 * 81 + 13 * 52) * pico)
    assert davies.on_chip_dynamic_j == pytest.approx(sum(davies.terms.values()))
    assert davies.with_static_j == pytest.approx(davies.on_chip_dynamic_j + 4e-3 * (0.104 + 0.065))
    assert report.static_terms["cores in use"] == pytest.approx(4e-3 * 0.104 * 2 / 128)
    # 12 + 6 synapses
    assert report.n_synapses == 18
    assert report.spikes_per_synapse == pytest.approx(16 / 18)
    assert report.spike_rate == pytest.approx(3 / 20)
    assert report.state_reset_j == pytest.approx(5.94e-6)


def test_low_mid_and_high_are_published_sets_not_a_made_up_range() -> None:
    program, activity = two_layers()
    report = estimate_energy(program, activity, None, LOIHI1, 1e-3)
    by_name = {s.name: s.on_chip_dynamic_j for s in report.sets}
    span = report.boundaries["on_chip_dynamic"]
    assert (span.low, span.mid, span.high) == (by_name[report.low], by_name[report.mid], by_name[report.high])
    assert span.low == min(by_name.values())
    assert span.high == max(by_name.values())
    assert sorted(by_name.values())[1] == span.mid
    for name in ("compute_only", "with_static"):
        assert report.boundaries[name].low <= report.boundaries[name].mid <= report.boundaries[name].high


def test_the_step_takes_as_long_as_the_slowest_of_core_link_and_barrier() -> None:
    program, activity = two_layers()
    report = estimate_energy(program, activity, on_two_cores(program, activity), LOIHI1)
    model = report.step_model
    assert model is not None
    # core of a, busiest step: 6 operations; 3 neurons, 10 of 24 updates active; 2 spikes in 4 steps
    updates = 3 * (10 / 24 * 8.4 + 14 / 24 * 5.3)
    assert model.core_s == pytest.approx((6 * 3.5 + updates + 2 / 4 * 2.1) * 1e-9)
    assert model.busiest_core == (0, 0)
    assert model.link_s == pytest.approx(2 / 4 * 0.29e-9)
    # two of 32 routers in use
    assert model.barrier_s == pytest.approx((113 + (465 - 113) / 31) * 1e-9)
    assert (model.bound, model.step_s) == ("barrier", model.barrier_s)
    assert report.step_s == model.step_s
    assert report.sample_s == pytest.approx(4 * model.barrier_s)
    assert estimate_energy(program, activity, on_two_cores(program, activity), LOIHI1, 1e-3).step_s == 1e-3


def test_static_power_decides_at_a_millisecond() -> None:
    program, activity = two_layers()
    report = estimate_energy(program, activity, on_two_cores(program, activity), LOIHI1, 1e-3)
    periods = {period: mid for period, _, mid, _ in report.sensitivity}
    assert periods[1e-3] == pytest.approx(report.boundaries["with_static"].mid)
    assert periods[1e-3] > 90 * periods[1e-5] > 800 * report.boundaries["on_chip_dynamic"].mid


def test_without_a_placement_the_missing_terms_are_named() -> None:
    program, activity = two_layers()
    report = estimate_energy(program, activity, None, LOIHI1, 1e-3)
    assert (report.counts.messages, report.n_cores, report.n_chips) == (None, None, 1)
    assert set(report.sets[0].terms) == {"sops", "updates", "spikes"}
    assert report.notes[0].startswith("mapping not run: no messages, hops, cores in use")


def test_loihi2_is_a_placeholder_everywhere() -> None:
    program, activity = two_layers()
    report = estimate_energy(program, activity, place(program, LOIHI2, activity=activity), LOIHI2, 1e-3)
    assert report.placeholder == (
        "Loihi 2: per-operation energy unpublished; shown with Loihi 1 constants as a placeholder."
    )
    assert report.notes[0] == report.placeholder
    assert {status for s in report.sets for status in s.statuses} == {"assumed"}
    assert {c.status for c in report.constants if c.key.startswith("energy")} == {"assumed"}
    assert report.step_model is None
    assert any(note.startswith("number of cores under an assumed layout") for note in report.notes)


def test_loihi2_has_no_step_time_of_its_own() -> None:
    program, activity = two_layers()
    with pytest.raises(ConfigError) as caught:
        estimate_energy(program, activity, place(program, LOIHI2, activity=activity), LOIHI2)
    assert str(caught.value) == (
        "loihi2: no step period given, and none can be computed (the target has no times per event); "
        "state one, e.g. 1e-3"
    )


def test_what_cannot_be_estimated_is_refused() -> None:
    program, activity = two_layers()
    with pytest.raises(ConfigError, match="loihi1: no energy constants"):
        estimate_energy(program, activity, None, LOIHI1.model_copy(update={"energy": None}), 1e-3)
    with pytest.raises(ConfigError, match="step period -1 s: it must be above 0"):
        estimate_energy(program, activity, None, LOIHI1, -1)
    other = program.with_(name="other")
    with pytest.raises(InputError, match="other: the placement is of two"):
        estimate_energy(other, activity, on_two_cores(program, activity), LOIHI1, 1e-3)


@pytest.mark.parametrize(("value", "verdict"), [(0.1, "below"), (1.0, "inside"), (2.0, "above")])
def test_break_even_bands_are_all_told(value: float, verdict: str) -> None:
    bands = {band.name: band for band in band_verdicts(value, 0.06)}
    assert set(bands) == {"dampfhoffer2023", "davidson2021", "yan2024"}
    assert bands["dampfhoffer2023"].verdict == verdict
    assert (bands["dampfhoffer2023"].low, bands["dampfhoffer2023"].high) == (0.15, 1.38)
    assert bands["davidson2021"].verdict == ("above" if value > 1.72 else "below")
    assert bands["yan2024"].verdict == "inside"


def test_the_ann_in_fp32_and_as_a_quantised_network() -> None:
    program, activity = two_layers()
    compared = estimate_energy(program, activity, None, LOIHI1, 1e-3).comparison
    assert compared.macs == 18
    assert compared.ann_fp32_j == pytest.approx(18 * 4.6e-12)
    # T = 3: ceil(log2(4)) = 2 bits
    assert (compared.qnn_bits, compared.qnn_j) == (2, pytest.approx(18 * 0.23e-12))
    assert compared.snn_ac_fp32_j == pytest.approx(16 * 0.9e-12)
    long = program.with_(n_steps=600)
    assert estimate_energy(long, activity, None, LOIHI1, 1e-3).comparison.qnn_j is None


def test_a_sequence_takes_the_ann_a_pass_a_frame() -> None:
    program, activity = two_layers()
    report = estimate_energy(program, activity, None, LOIHI1, 1e-3, passes=3)
    once = estimate_energy(program, activity, None, LOIHI1, 1e-3)
    assert (report.comparison.macs, report.comparison.passes) == (3 * 18, 3)
    assert report.comparison.qnn_bits == 1
    assert report.spikes_per_synapse == once.spikes_per_synapse
    values = [{band.quantity: band.value for band in r.bands} for r in (report, once)]
    assert values[0]["spikes_per_synapse"] == pytest.approx(values[1]["spikes_per_synapse"] / 3)
    assert values[0]["spike_rate"] == values[1]["spike_rate"]
    assert report.boundaries == once.boundaries


def test_encodings_are_told_apart_inside_a_layer() -> None:
    """A convolution and a skip into one population: each at its own price, exactly as counted."""
    shape = (2, 4, 4)
    program = Program(
        "mixed",
        (Input("in", shape, 8),),
        (Population("a", shape, LIF), Population("b", shape, LIF)),
        (
            Synapses("in>a", "in", "a", OneToOne(ints(64)), graded=True),
            Synapses("a>b", "a", "b", Conv(ints(np.full((2, 2, 3, 3), 2)), Window(padding=(1, 1)))),
            Synapses("skip", "a", "b", OneToOne(ints(64))),
        ),
        Readout("b", "count"),
        4,
    )
    random = np.random.default_rng(0)
    activity = run_definition(program, random.integers(0, 3, (4, 6, *shape)) * 40)
    placement = place(program, LOIHI1, activity=activity)
    report = estimate_energy(program, activity, placement, LOIHI1, 1e-3)
    b = next(layer for layer in report.layers if layer.population == "b").counts
    spikes = activity.spike_counts["a"].sum() / 6
    assert b.sops["sparse"] == pytest.approx(spikes)
    assert b.n_sops == pytest.approx(activity.events["b"].sops.sum() / 6)
    # graded input on a chip of binary spikes: 7 further bit planes at most
    a = next(layer for layer in report.layers if layer.population == "a").counts
    assert report.bit_planes_at_most_j["davies2018"] == pytest.approx(7 * a.n_sops * 23.6e-12)
    assert any("bit planes" in note for note in report.notes)


def test_the_report_is_plain_json_with_its_provenance() -> None:
    program, activity = two_layers()
    report = estimate_energy(program, activity, on_two_cores(program, activity), LOIHI1, 1e-3)
    plain = json.loads(json.dumps(report.to_dict()))
    assert plain["step_model"]["bound"] == "barrier"
    assert len(plain["target_digest"]) == 64
    assert all(row["source"] and row["url"] and row["status"] and row["conditions"] for row in plain["constants"])
    assert {"host: encoding of the input, decoding of the answer", "DRAM, board, regulators"} <= set(
        plain["not_included"]
    )


def test_changes_of_a_sigma_delta_net_are_counted_and_priced_by_hand() -> None:
    # x        4 0 | 4 0 | 4 2, which stays:  Delta sends  4 0 | - - | - 2 | - - | - -
    # hidden   one step later, from 2 x0 - x1 and 3 x1: 8 0 | - - | -2 6 | - -
    # answer   one step later, the sum: 8 | 8 | 12
    program = Program(
        "changes",
        (Input("x", (2,), 8),),
        (
            Population("delta", (2,), Delta(ints(1))),
            Population("hidden", (2,), SigmaDelta(ints(1))),
            Population("answer", (1,), Sigma()),
        ),
        (
            Synapses("in", "x", "delta", Wire()),
            Synapses("first", "delta", "hidden", Dense(ints([[2, -1], [0, 3]])), graded=True),
            Synapses("second", "hidden", "answer", Dense(ints([[1, 1]])), graded=True),
        ),
        Readout("answer", "v"),
        n_steps=3,
    )
    x = np.array([[[4, 0]], [[4, 0]], [[4, 2]]])
    activity = simulate(program, x, record=("spikes", "states"))
    assert activity.spikes["delta"][:, 0].tolist() == [[4, 0], [0, 0], [0, 2], [0, 0], [0, 0]]
    assert activity.spikes["hidden"][:, 0].tolist() == [[0, 0], [8, 0], [0, 0], [-2, 6], [0, 0]]
    assert activity.spikes["answer"][:, 0].tolist() == [[0], [0], [8], [8], [12]]
    # x0 has one weight other than 0, x1 two; each of hidden's messages one
    counts = estimate_energy(program, activity, None, LOIHI2, 1e-3).counts
    assert (counts.n_sops, counts.sops_with_zeros) == (3 + 3, 4 + 3)
    assert (counts.updates, counts.spikes) == (5 * 5, 2 + 3 + 3)
    # active: something arrives, or an activation moves: of delta where a pixel is not 0, 3 of hidden, 2 of answer
    assert counts.active_updates == (1 + 1 + 2 + 2 + 2) + 3 + 2
    assert LOIHI1.energy is not None
    davies = price(counts, LOIHI1.energy.sets["davies2018"])
    assert davies["sops"] == pytest.approx(6 * 23.6e-12)
    assert davies["updates"] == pytest.approx(13 * 81e-12 + 12 * 52e-12)
    # NeuroBench looks at the frames alone, and a payload that is no 0 or 1 is multiplied: 3 of first, 3 of second
    metrics = neurobench_metrics(program, activity)
    assert (metrics.effective_macs, metrics.effective_acs, metrics.dense) == (6, 0, 3 * (4 + 2))
    assert metrics.activation_sparsity == pytest.approx(1 - (2 + 3 + 3) / 15)
