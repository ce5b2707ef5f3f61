"""Answers as soon as they are sure, and a stream beside samples alone: by hand, and in the report of the fixture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from report_fixture import T, evidence

from seamount.report.evidence import Answers
from seamount.report.parts.early import Early, candidates, choose, early, exits
from seamount.report.parts.energy import energy
from seamount.report.parts.streaming import Streaming, streaming
from seamount.report.schema.values import Missing

MARGINS = np.array([[5, 1, 9, 0], [7, 3, 2, 0], [9, 9, 9, 0]])


def test_a_sample_is_answered_at_its_first_sure_step_and_else_at_the_last() -> None:
    assert exits(MARGINS, 5).tolist() == [0, 2, 0, 2]
    assert exits(MARGINS, 0).tolist() == [0, 0, 0, 0]
    assert exits(MARGINS, None).tolist() == [2, 2, 2, 2]


def test_the_threshold_is_the_lowest_that_costs_half_a_point_at_most() -> None:
    # after step 1 sample 1 is wrong, and it leads by 1 there: thresholds above 1 wait for it
    per_step = np.array([[0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]])
    answers = Answers("deployed", per_step[-1], np.zeros(4, int), per_step, margins=MARGINS)
    thresholds = candidates(MARGINS)
    assert thresholds.tolist() == [0, 1, 2, 3, 5, 7, 9, 10]
    assert choose(answers, thresholds) == 2
    assert choose(replace(answers, labels=np.ones(4, int)), thresholds) == 0


def test_an_early_answer_costs_less_in_the_report_and_all_steps_cost_what_the_run_does() -> None:
    given = evidence()
    found = early(given)
    assert isinstance(found, Early)
    assert found.chosen.steps.value < T == found.full.steps.value
    assert found.chosen.operations.value < found.full.operations.value
    assert (found.chosen.operations.status, found.full.operations.status) == ("derived", "counted")
    assert found.chosen.energy_j.value < found.full.energy_j.value
    assert given.single_energy is not None
    assert np.isclose(found.full.operations.value, given.single_energy.counts.n_sops, rtol=1e-5)
    steps = [point.steps.value for point in found.curve]
    assert steps == sorted(steps)


def test_without_a_validation_part_or_a_second_step_there_is_no_rule() -> None:
    given = evidence()
    assert isinstance(early(replace(given, validation=None)), Missing)
    short = [replace(a, margins=None if a.margins is None else a.margins[:1]) for a in given.answers]
    assert early(replace(given, answers=short)) == Missing(missing="one step is all there is")


def test_a_stream_stands_before_samples_alone_and_the_budget_is_judged_by_it() -> None:
    given = evidence()
    found = streaming(given, energy(given))
    assert isinstance(found, Streaming)
    stream, alone = found.costs
    assert [stream.mode, alone.mode] == ["streamed", "single samples"]
    assert stream.operations.value <= alone.operations.value
    assert stream.throughput_hz.value > alone.throughput_hz.value
    assert stream.latency_s.value == alone.latency_s.value
    assert found.budget is not None
    assert found.budget.within == (stream.spikes_per_synapse.value <= 2.0)
    kept = streaming(replace(given, energy=given.single_energy, single_energy=None), energy(given))
    assert isinstance(kept, Streaming)
    assert [c.mode for c in kept.costs] == ["single samples"]
    assert kept.alone == "samples would touch each other"
