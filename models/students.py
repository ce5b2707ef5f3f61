"""The spiking students, each a function from options to a ``SpikingNet``; sizes as docs/students.md lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from torch import nn

from .cells import SASTC, SEAL, Neurons, Surrogate, li, li_box, lif, lif_box
from .choices import StudentOptions, image_shape
from .spiking_net import INPUT, READOUT, AnySpike, Population, SpikingNet, Stream, Sum, Synapse

SURROGATES = {"seal": SEAL, "sastc": SASTC, "super": Surrogate("super")}


def neurons(options: StudentOptions) -> Neurons:
    return lif_box(options.decay, surrogate=SURROGATES[options.surrogate])


class Graph:
    """Populations and synapses while a student is put together."""

    def __init__(self, options: StudentOptions) -> None:
        self.options = options
        self.populations: dict[str, Population] = {}
        self.synapses: list[Synapse] = []

    def add(self, name: str, population: Population, **synapses: tuple[str, nn.Module]) -> str:
        """A population and what drives it: synapse name -> (source, module)."""
        self.populations[name] = population
        self.synapses += [Synapse(synapse, source, name, module) for synapse, (source, module) in synapses.items()]
        return name

    def spiking(self, name: str, source: str, module: nn.Module) -> str:
        return self.add(name, neurons(self.options), **{f"{name}_in": (source, module)})

    def finish(
        self,
        name: str,
        source: str,
        module: nn.Sequential,
        *,
        input_shape: Sequence[int],
        n_steps: int,
        features: Sequence[str] = (),
    ) -> SpikingNet:
        """Adds the readout, driven by ``module``, a chain that ends in a linear layer."""
        o = self.options
        readout: Population = Sum()
        if o.readout != "sum":
            readout = li_box(o.decay) if o.readout == "libox" else li(o.decay, o.decay_syn)
        # no bias, because through a current it would start as a transient, and the chip's acts at once
        if o.readout == "li":
            module[-1].register_parameter("bias", None)
        self.add(READOUT, readout, classifier=(source, module))
        return SpikingNet(
            name,
            input_shape=input_shape,
            n_steps=n_steps,
            populations=self.populations,
            synapses=self.synapses,
            features=features,
            input_bits=o.input_bits,
            input_scale=o.input_scale,
        )


def conv_norm(c_in: int, c_out: int, kernel: int = 3, stride: int = 1, *, bias: bool = False) -> list[nn.Module]:
    return [nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=bias), nn.BatchNorm2d(c_out)]


def chain(*modules: nn.Module | Sequence[nn.Module]) -> nn.Sequential:
    flat = [m for part in modules for m in (part if isinstance(part, Sequence) else (part,))]
    return nn.Sequential(*flat)


# ------------------------------------------------------------------------------------------------ small, VGG


def small(name: str, n_classes: int, input_shape: Sequence[int], n_steps: int, o: StudentOptions) -> SpikingNet:
    """Two to four convolutions (16, 32, 64 ... channels, the later ones of stride 2), then a classifier."""
    c_in, height, width = image_shape(name, input_shape, 4)
    g = Graph(o)
    c = o.channels(16)
    x = g.spiking("conv1", INPUT, chain(conv_norm(c_in, c)))
    i = 1
    while min(height, width) > 4 or i < 3:
        i += 1
        x = g.spiking(f"conv{i}", x, chain(conv_norm(c, o.channels(16 << min(i - 1, 3)), stride=2)))
        c = o.channels(16 << min(i - 1, 3))
        height, width = -(-height // 2), -(-width // 2)
    features = [f"conv{k}" for k in range(1, i + 1)]
    head = chain(nn.Flatten(), nn.Linear(c * height * width, n_classes))
    return g.finish(name, x, head, input_shape=input_shape, n_steps=n_steps, features=features)


VGG9 = (64, 64, "pool", 128, 128, "pool", 256, 256, "pool", 256)
VGG8 = (48, 64, "pool", 64, 224, "pool", 224, 224, "pool", 224)
"""Few maps where they are large, many where they are small, as the fast teacher has them: cheaper to train."""
VGG11 = (64, "pool", 128, "pool", 256, 256, "pool", 512, 512, "pool", 512, 512)


def vgg(
    name: str,
    n_classes: int,
    input_shape: Sequence[int],
    n_steps: int,
    o: StudentOptions,
    *,
    plan: Sequence[int | str],
    hidden: Sequence[int],
    bias: bool = False,
    plain_head: bool = False,
) -> SpikingNet:
    """Convolutions by plan; ``plain_head``: nothing between the last linear layers, as in SASTC's VGG-11."""
    c_in, height, width = image_shape(name, input_shape, 1 << plan.count("pool"))
    g = Graph(o)
    x, pooled, i = INPUT, False, 0
    features: dict[tuple[int, int], str] = {}
    for entry in plan:
        if entry == "pool":
            pooled = True  # with the convolution behind it, so that no population stands for pooling alone
            continue
        if pooled:
            height, width = (-(-n // 2) if o.pooling == "stride" else n // 2 for n in (height, width))
        i += 1
        c_out = o.channels(int(entry))
        stride = 2 if pooled and o.pooling == "stride" else 1
        before = [nn.AvgPool2d(2)] if pooled and o.pooling == "average" else []
        if pooled and o.pooling == "max":
            x = g.add(f"pool{i}", AnySpike(), **{f"pool{i}_in": (x, nn.MaxPool2d(2))})
        x = g.spiking(f"conv{i}", x, chain(before, conv_norm(c_in, c_out, stride=stride, bias=bias)))
        features[height, width] = x
        c_in, pooled = c_out, False
    units = [c_in * height * width, *(o.channels(n) for n in hidden)]
    x, head = _head(g, x, units, n_classes, plain=plain_head)
    return g.finish(name, x, head, input_shape=input_shape, n_steps=n_steps, features=list(features.values()))


def _head(g: Graph, x: str, units: Sequence[int], n_classes: int, *, plain: bool) -> tuple[str, nn.Sequential]:
    """The last population that spikes and what stands behind it; ``plain``: no neurons between linear layers."""
    layers: list[nn.Module] = [nn.Flatten()]
    for k, (n_in, n_out) in enumerate(pairwise(units), 1):
        layers.append(nn.Linear(n_in, n_out))
        if not plain:
            x = g.spiking(f"linear{k}", x, chain(layers))
            layers = []
    return x, chain(layers, nn.Linear(units[-1], n_classes))


# --------------------------------------------------------------------------------------------------- residual


@dataclass(frozen=True)
class ResNetPlan:
    """A residual net of post-activation blocks.

    Attributes:
        stem: channels of the first convolution.
        channels, blocks, strides: per stage.
        head: units of a spiking linear layer before the classifier, 0 for none.
        expansion: 0 for basic blocks (two 3x3), else bottlenecks (1x1, 3x3, 1x1) whose output has so many times
            the channels.
    """

    stem: int
    channels: tuple[int, ...]
    blocks: tuple[int, ...]
    strides: tuple[int, ...]
    head: int = 0
    expansion: int = 0


RESNET18 = ResNetPlan(64, (64, 128, 256, 512), (2, 2, 2, 2), (1, 2, 2, 2))
RESNET19 = ResNetPlan(128, (128, 256, 512), (3, 3, 2), (1, 2, 2), head=256)
RESNET19_SASTC = ResNetPlan(64, (128, 256, 512), (3, 3, 2), (1, 2, 2), head=256)
WRN16_2 = ResNetPlan(16, (32, 64, 128), (2, 2, 2), (1, 2, 2))
WRN16_2_SASTC = ResNetPlan(64, (256, 512, 1024), (2, 1, 1), (1, 2, 2), head=256, expansion=2)


def resnet(
    name: str, n_classes: int, input_shape: Sequence[int], n_steps: int, o: StudentOptions, *, plan: ResNetPlan
) -> SpikingNet:
    """3x3 stem, stages of residual blocks with the neurons behind the addition, global average pool, classifier."""
    c_in, height, width = image_shape(name, input_shape)
    g = Graph(o)
    x = g.spiking("stem", INPUT, chain(conv_norm(c_in, o.channels(plan.stem))))
    c_in = o.channels(plan.stem)
    features = []
    for stage, (c, n, stride) in enumerate(zip(plan.channels, plan.blocks, plan.strides, strict=True), 1):
        for block in range(n):
            c_out = o.channels(c) * max(plan.expansion, 1)
            x = _block(g, f"layer{stage}_{block}", x, c_in, o.channels(c), c_out, stride if block == 0 else 1)
            c_in = c_out
        height, width = (-(-size // stride) for size in (height, width))
        features.append(x)
    pool: list[nn.Module] = [nn.AvgPool2d((height, width))] if height * width > 1 else []
    layers = [*pool, nn.Flatten()]
    if plan.head:
        x = g.spiking("head", x, chain(layers, nn.Linear(c_in, o.channels(plan.head))))
        layers, c_in = [], o.channels(plan.head)
    head = chain(layers, nn.Linear(c_in, n_classes))
    return g.finish(name, x, head, input_shape=input_shape, n_steps=n_steps, features=features)


def _block(g: Graph, name: str, source: str, c_in: int, c_mid: int, c_out: int, stride: int) -> str:
    if c_mid == c_out:
        inner = g.spiking(f"{name}_a", source, chain(conv_norm(c_in, c_mid, stride=stride)))
    else:
        first = g.spiking(f"{name}_a", source, chain(conv_norm(c_in, c_mid, kernel=1)))
        inner = g.spiking(f"{name}_b", first, chain(conv_norm(c_mid, c_mid, stride=stride)))
    last = chain(conv_norm(c_mid, c_out, kernel=3 if c_mid == c_out else 1))
    plain = c_in == c_out and stride == 1
    skip = nn.Identity() if plain else chain(conv_norm(c_in, c_out, kernel=1, stride=stride))
    return g.add(name, neurons(g.options), **{f"{name}_in": (inner, last), f"{name}_skip": (source, skip)})


def preact_resnet34(
    name: str, n_classes: int, input_shape: Sequence[int], n_steps: int, o: StudentOptions
) -> SpikingNet:
    """SeAl's ImageNet student: neurons before the convolutions, the residual stream between blocks real-valued."""
    c_in, height, width = image_shape(name, input_shape, 32)
    g = Graph(o)
    c = o.channels(64)
    stem = chain(nn.Conv2d(c_in, c, 7, 2, 3), nn.BatchNorm2d(c), nn.MaxPool2d(3, 2, 1))
    x = g.add("stem", Stream(), stem_in=(INPUT, stem))
    height, width = (-(-n // 4) for n in (height, width))
    features = []
    c_in = c
    for stage, (c, n) in enumerate(zip((64, 128, 256, 512), (3, 4, 6, 3), strict=True), 1):
        c = o.channels(c)
        for block in range(n):
            x = _preact_block(g, f"layer{stage}_{block}", x, c_in, c, 2 if block == 0 and stage > 1 else 1)
            c_in = c
        if stage > 1:
            height, width = -(-height // 2), -(-width // 2)
        features.append(x)
    pool = nn.AvgPool2d((height, width))
    head = chain(pool, nn.Flatten(), nn.Linear(c_in, n_classes))
    return g.finish(name, x, head, input_shape=input_shape, n_steps=n_steps, features=features)


def _preact_block(g: Graph, name: str, source: str, c_in: int, c: int, stride: int) -> str:
    first = g.spiking(f"{name}_a", source, nn.Identity())
    inner = g.spiking(f"{name}_b", first, chain(conv_norm(c_in, c, stride=stride, bias=True)))
    plain = stride == 1 and c_in == c
    skip = nn.Identity() if plain else chain(conv_norm(c_in, c, kernel=1, stride=stride, bias=True))
    last = chain(conv_norm(c, c, bias=True))
    return g.add(name, Stream(), **{f"{name}_in": (inner, last), f"{name}_skip": (source, skip)})


# -------------------------------------------------------------------------------------------------- sequences


def recurrent(name: str, n_classes: int, input_shape: Sequence[int], n_steps: int, o: StudentOptions) -> SpikingNet:
    """One population of CUBA LIF neurons that feeds back into itself, for sequences (touch, sound, small events)."""
    n = 1
    for size in input_shape:
        n *= size
    g = Graph(o)
    flat: list[nn.Module] = [nn.Flatten()] if len(input_shape) > 1 else []
    neurons = lif(o.decay, o.decay_syn, surrogate=SURROGATES[o.surrogate])
    loop = nn.Linear(o.hidden, o.hidden, bias=False)
    g.add(
        "hidden",
        neurons,
        hidden_in=(INPUT, chain(flat, nn.Linear(n, o.hidden, bias=False))),
        hidden_loop=("hidden", loop),
    )
    nn.init.normal_(loop.weight, std=0.5 / o.hidden**0.5)
    return g.finish(
        name, "hidden", chain(nn.Linear(o.hidden, n_classes, bias=False)), input_shape=input_shape, n_steps=n_steps
    )
