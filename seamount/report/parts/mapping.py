"""The placement in the report's terms."""

from __future__ import annotations

from collections.abc import Sequence

from seamount.compile.fit.place.placement import Core as PlacedCore
from seamount.compile.fit.place.placement import LayerUse, Placement, limits
from seamount.errors import plural

from ..evidence import Evidence
from ..schema.quantities import known, tidy, unknown
from ..schema.text import share
from ..schema.values import Item, Missing, Quantity

N_VIOLATIONS = 3
"""Those that a verdict names."""


class Use(Item):
    """How much of one limit is used."""

    resource: str
    used: Quantity
    limit: int | float
    share: float


class Core(Item):
    chip: int
    core: int
    layers: tuple[str, ...]
    worst: Use
    sops: Quantity


class MappedLayer(Item):
    name: str
    n_cores: int
    uses: tuple[Use, ...]
    binding: str
    share: float
    relief: str


class Mapping(Item):
    """``words`` is what a verdict has room for; ``violations`` are all of them."""

    target: str
    fits: bool
    words: str
    violations: tuple[str, ...] = ()
    assumed: str | None
    objective: str
    n_cores: Quantity
    n_chips: Quantity
    cores_per_chip: int
    assumptions: tuple[str, ...]
    cores: tuple[Core, ...]
    layers: tuple[MappedLayer, ...]
    imbalance: Quantity
    crossings: Quantity


def mapping(evidence: Evidence) -> Mapping | Missing:
    placement = evidence.placement
    if placement is not None:
        return _placed(evidence, placement)
    if evidence.does_not_fit is None:
        return Missing(missing=evidence.reason("mapping", "mapping was not run"))
    return _not_placed(evidence, evidence.does_not_fit)


def _not_placed(evidence: Evidence, words: str) -> Mapping:
    reason, violations = "the network does not fit", tuple(words.splitlines())
    return Mapping(
        target=evidence.target.name,
        fits=False,
        words=_first(violations),
        violations=violations,
        assumed=_assumed(evidence),
        objective="none",
        n_cores=unknown("cores", reason),
        n_chips=unknown("chips", reason),
        cores_per_chip=evidence.target.chip.cores_per_chip,
        cores=(),
        layers=(),
        assumptions=(),
        imbalance=unknown("largest / mean", reason),
        crossings=unknown("axons", reason),
    )


def _first(violations: Sequence[str]) -> str:
    """Those that a verdict has room for, and how many more there are."""
    more = len(violations) - N_VIOLATIONS
    return "; ".join([*violations[:N_VIOLATIONS], *([f"and {more} more"] if more > 0 else [])])


def _assumed(evidence: Evidence) -> str | None:
    layout = evidence.target.assumed_layout
    return f"Verdict under an assumed core layout: {layout}." if layout else None


def _placed(evidence: Evidence, placement: Placement) -> Mapping:
    layers = tuple(_layer(evidence, layer, placement) for layer in placement.layers)
    cores = tuple(_core(evidence, core) for core in placement.cores)
    n_cores, n_chips = placement.n_cores, placement.n_chips
    violations = tuple(map(str, placement.violations))
    if placement.fits:
        words = (
            f"{n_cores} {plural(n_cores, 'core')} on {n_chips} {plural(n_chips, 'chip')}; {binding(cores, layers)}."
        )
    else:
        words = _first(violations)
    return Mapping(
        target=placement.target,
        fits=placement.fits,
        words=words,
        violations=violations,
        assumed=_assumed(evidence),
        objective=placement.objective,
        n_cores=known(n_cores, "cores", "counted"),
        n_chips=known(n_chips, "chips", "counted"),
        cores_per_chip=placement.cores_per_chip,
        cores=cores,
        layers=layers,
        assumptions=tuple(placement.assumptions),
        imbalance=known(placement.imbalance, "largest / mean", "derived"),
        crossings=known(placement.chip_crossings, "axons", "counted"),
    )


def binding(cores: tuple[Core, ...], layers: tuple[MappedLayer, ...]) -> str:
    """The fullest core, and of the layers that take several the one nearest to a limit, in words."""
    core = max(cores, key=lambda c: c.worst.share)
    layer = max((m for m in layers if m.n_cores > 1), key=lambda m: m.share, default=None)
    nearest = (
        "each layer fits one core"
        if layer is None
        else f"binding: {layer.name}, {layer.binding} {share(layer.share)}"
    )
    return f"fullest core: {core.worst.resource} {share(core.worst.share)}; {nearest}"


def _words(resource: str) -> str:
    return {"longest_list": "longest synapse list"}.get(resource, resource.replace("_", " "))


def _layer(evidence: Evidence, layer: LayerUse, placement: Placement) -> MappedLayer:
    held = limits(evidence.target.chip)
    cores = {(c.chip, c.core) for c in placement.cores for t in c.tiles if t.population == layer.population}
    return MappedLayer(
        name=layer.population,
        n_cores=len(cores),
        uses=tuple(
            Use(
                resource=_words(name),
                used=known(getattr(layer.use, name), "", "counted"),
                limit=held[name],
                share=float(tidy(float(used))),
            )
            for name, used in sorted(layer.share.items(), key=lambda x: -x[1])
            if used > 0
        ),
        binding=_words(layer.binding),
        share=float(tidy(float(layer.binding_share))),
        relief=layer.relief,
    )


def _core(evidence: Evidence, core: PlacedCore) -> Core:
    chip = evidence.target.chip
    name, nearest = core.use.binding(chip)
    used = getattr(core.use, name)
    return Core(
        chip=core.chip,
        core=core.core,
        layers=tuple(dict.fromkeys(t.population for t in core.tiles)),
        worst=Use(
            resource=_words(name),
            used=known(used, "", "counted"),
            limit=limits(chip)[name],
            share=float(tidy(float(nearest))),
        ),
        sops=unknown("SOP/sample", "placed without a run")
        if core.load is None
        else known(core.load.sops, "SOP/sample", "counted"),
    )
