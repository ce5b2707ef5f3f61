"""A population whose drives stand whole: relays, everything on CUDA, and models without compiled loops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch

from seamount.compile.arithmetic.definition import is_reset
from seamount.compile.arithmetic.neurons import Scanned
from seamount.compile.arithmetic.scan import lif_scan, reset_steps
from seamount.compile.arithmetic.synapses import FLOAT32_EXACT, wrap
from seamount.compile.arithmetic.tensor_steps import Stepper

from .plan import EventPart
from .products import Summed
from .running import Running, Span
from .sources import Source
from .tiles import scatter_part


def whole_drive(
    run: Running,
    sources: Mapping[str, Source],
    span: Span,
    summed: Summed | None,
    scattered: Sequence[EventPart],
) -> torch.Tensor:
    """All that arrives in these steps, (steps, B, n) in the population's layout, whole numbers within 32 bits."""
    n = run.plan.layout.size
    shape = (span.n_steps, run.batch, n)
    nothing = torch.zeros(shape, dtype=torch.int64, device=run.device)
    total, bound = Summed(nothing, 0) if summed is None else summed
    for part in scattered:
        tile = np.zeros((span.n_steps, run.batch, run.plan.width), np.int32)
        scatter_part(run, part, sources[part.source], tile, (0, run.batch, span.first, span.last), span.start)
        bound += part.product.lowered.drive_bound
        total = (total if bound < FLOAT32_EXACT else total.to(torch.float64)) + torch.from_numpy(tile[:, :, :n])
    if bound < 1 << 31:
        return total
    held = wrap(total.to(torch.int64), 32)
    run.n_drive_wraps += int((held != total).sum())
    return held


def advance_whole(run: Running, out: Source, span: Span, drives: Sequence[torch.Tensor]) -> None:
    """All steps of ``span``, from the drives in the order of the model's."""
    if run.drives is not None:
        # each before they meet, because the floats of one would round the other
        whole = [drive.to(torch.int32) for drive in drives]
        run.drives[span.first : span.last] = whole[0] if len(whole) == 1 else torch.stack(whole, dim=2)
    neuron = run.plan.population.neuron
    if neuron.passes_on:
        sent = _passed_on(run, span, drives[0])
    elif run.plan.table is not None:
        assert isinstance(neuron, Scanned), "only these have tables"
        sent = _scanned(run, neuron, span, drives[0])
    elif run.plan.stepper is not None:
        sent = _stepped_on_tensors(run, run.plan.stepper, span, drives)
    else:
        sent = _stepped(run, span, drives)
    rows = slice(out.history + span.first, out.history + span.last)
    if out.values is not None:
        out.values[rows] = sent
        sent = sent != 0
    elif sent.dtype == torch.int32:
        sent = sent.to(torch.int8)
    out.spikes[rows, :, : run.plan.layout.size] = sent.view(torch.uint8)


def _passed_on(run: Running, span: Span, drive: torch.Tensor) -> torch.Tensor:
    sent = drive.to(torch.int32)
    fired = sent != 0
    run.spike_counts += fired.sum(dim=0, dtype=torch.int32)
    run.n_spikes[span.in_run] += fired.sum(dim=(1, 2)).cpu().numpy()
    run.totals[0] += int(fired.sum())
    return sent


def _scanned(run: Running, neuron: Scanned, span: Span, drive: torch.Tensor) -> torch.Tensor:
    plan = run.plan
    assert plan.table is not None, "asked by the caller"
    result = lif_scan(
        drive,
        neuron,
        (plan.layout.size,),
        reset_at=reset_steps(plan.population.reset, span.n_steps, span.start + span.first),
        u=run.u,
        v=run.v,
        rest=run.rest if plan.table.refractory_steps else None,
        want=run.want,
        drive_limit=plan.drive_bound,
        table=plan.table,
    )
    run.u, run.v, run.rest = result.final_u, result.final_v, result.final_rest
    run.spike_counts += result.spike_counts
    run.n_spikes[span.in_run] += result.n_spikes.cpu().numpy()
    run.totals += (result.n_active_updates, result.n_u_wraps, result.n_v_saturations)
    for name, trace in (("v", result.v), ("u", result.u)):
        if trace is not None:
            run.traces[name][span.first : span.last] = trace
    return result.spikes


def _stepped_on_tensors(run: Running, step: Stepper, span: Span, drives: Sequence[torch.Tensor]) -> torch.Tensor:
    arriving = [x.to(torch.int32) for x in drives]
    reset = reset_steps(run.plan.population.reset, span.n_steps, span.start + span.first)
    sent = torch.empty(arriving[0].shape, dtype=torch.int32, device=run.device)
    counted = torch.zeros((span.n_steps, 4), dtype=torch.int64, device=run.device)
    for k in range(span.n_steps):
        before, now = run.held, [x[k] for x in arriving]
        done = step({name: torch.zeros_like(x) for name, x in before.items()} if k in reset else before, now)
        active = now[0] != 0
        for x in now[1:]:
            active |= x != 0
        for name, x in done.compared.items():
            active |= x != before[name]
        for i, what in enumerate((active, done.wraps, done.saturates, done.sent)):
            if what is not None:
                counted[k, i] = torch.count_nonzero(what)
        run.held, sent[k] = done.state, done.sent
        for name in run.want:
            run.traces[name][span.first + k] = done.state[name]
    run.spike_counts += torch.count_nonzero(sent, dim=0).int()
    per_step = counted.cpu().numpy()
    run.totals += per_step[:, :3].sum(0)
    run.n_spikes[span.in_run] += per_step[:, 3]
    return sent


def _stepped(run: Running, span: Span, drives: Sequence[torch.Tensor]) -> torch.Tensor:
    """By the model's own definition, step by step: right for every model, and slow."""
    population = run.plan.population
    neuron, shape = population.neuron, (run.batch, *population.shape)
    arriving = [x.cpu().numpy().astype(np.int64).reshape(-1, *shape) for x in drives]
    dtype = np.int32 if run.plan.sends_values else np.int8
    sent = np.zeros((span.n_steps, run.batch, run.plan.layout.size), dtype)
    for k in range(span.n_steps):
        before, now = run.state, [x[k] for x in arriving]
        at = span.start + span.first + k
        done = neuron.step(neuron.cleared(before) if is_reset(population.reset, at) else before, now)
        run.state = done.state
        changed = [x != 0 for x in now] + [x != before[name] for name, x in done.compared.items()]
        run.totals += [np.count_nonzero(x) for x in (np.any(changed, axis=0), done.wraps, done.saturates)]
        run.n_spikes[at] += np.count_nonzero(done.sent)
        sent[k] = done.sent.reshape(run.batch, -1)
        for name in run.want:
            run.traces[name][span.first + k] = run.last(name).to(run.device)
    fired = torch.from_numpy(np.count_nonzero(sent, axis=0).astype(np.int32))
    run.spike_counts += fired.to(run.device)
    return torch.from_numpy(sent).to(run.device)
