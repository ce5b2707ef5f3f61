"""The networks to learn from: torchvision's where it has them, with a stem for small images, and a few of our own.

Any other ``nn.Module`` that gives logits (B, K) is a teacher too: its inner maps are read by module name.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from seamount.errors import ConfigError
from seamount.own import is_own

from .choices import check_classes, check_teacher
from .fast import fast
from .own import own_teacher

SMALL_IMAGE = 64
"""Up to this side, stems keep the size of the image (3x3, stride 1, no pooling)."""


class SmallCnn(nn.Module):
    """Three convolutions and two linear layers, for digits and letters."""

    def __init__(self, n_classes: int, input_shape: tuple[int, int, int]) -> None:
        super().__init__()
        channels, *size = input_shape
        self.layer1 = _conv(channels, 32)
        self.layer2 = _conv(32, 64, stride=2)
        self.layer3 = _conv(64, 128, stride=2)
        height, width = ((n + 3) // 4 for n in size)  # two strides of 2, each rounding up
        self.head = nn.Sequential(
            nn.Flatten(), nn.Linear(128 * height * width, 256), nn.ReLU(), nn.Dropout(0.3), nn.Linear(256, n_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer3(self.layer2(self.layer1(x))))
        return out


class SmallMlp(nn.Module):
    """Two hidden layers, for inputs that are no maps."""

    def __init__(self, n_classes: int, input_shape: Sequence[int]) -> None:
        super().__init__()
        n = math.prod(input_shape)
        self.layers = nn.Sequential(
            nn.Flatten(), nn.Linear(n, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(), nn.Linear(256, n_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.layers(x)
        return out


def _conv(c_in: int, c_out: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False), nn.BatchNorm2d(c_out), nn.ReLU())


class BasicBlock(nn.Module):
    """conv-norm-relu-conv-norm plus a shortcut, relu behind the sum."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.first = _conv(c_in, c_out, stride)
        self.second = nn.Sequential(nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False), nn.BatchNorm2d(c_out))
        plain = c_in == c_out and stride == 1
        self.shortcut = (
            nn.Identity()
            if plain
            else nn.Sequential(nn.Conv2d(c_in, c_out, 1, stride, bias=False), nn.BatchNorm2d(c_out))
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.second(self.first(x)) + self.shortcut(x)
        return out.relu()


class ResNet19(nn.Module):
    """128-128-256-512, blocks 3, 3, 2, head of 256 units: the layout of SeAl's spiking ResNet-19."""

    def __init__(self, n_classes: int, channels: int) -> None:
        super().__init__()
        self.stem = _conv(channels, 128)
        self.layer1 = nn.Sequential(*(BasicBlock(128, 128, 1) for _ in range(3)))
        self.layer2 = nn.Sequential(BasicBlock(128, 256, 2), BasicBlock(256, 256, 1), BasicBlock(256, 256, 1))
        self.layer3 = nn.Sequential(BasicBlock(256, 512, 2), BasicBlock(512, 512, 1))
        self.head = nn.Sequential(
            nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(512, 256), nn.ReLU(), nn.Linear(256, n_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return out


class WideBlock(nn.Module):
    """norm-relu-conv-norm-relu-conv plus a shortcut (pre-activation)."""

    def __init__(self, c_in: int, c_out: int, stride: int) -> None:
        super().__init__()
        self.norm1, self.conv1 = nn.BatchNorm2d(c_in), nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.norm2, self.conv2 = nn.BatchNorm2d(c_out), nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        self.shortcut = None if c_in == c_out else nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        active = self.norm1(x).relu()
        kept = x if self.shortcut is None else self.shortcut(active)
        out: Tensor = self.conv2(self.norm2(self.conv1(active)).relu()) + kept
        return out


class Wrn28x4(nn.Module):
    """WRN-28-4: 16, then 64, 128, 256 channels, four pre-activation blocks each."""

    def __init__(self, n_classes: int, channels: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(channels, 16, 3, 1, 1, bias=False)
        c_in = 16
        stages = []
        for c, stride in ((64, 1), (128, 2), (256, 2)):
            blocks = [WideBlock(c_in if k == 0 else c, c, stride if k == 0 else 1) for k in range(4)]
            stages.append(nn.Sequential(*blocks))
            c_in = c
        self.layer1, self.layer2, self.layer3 = stages
        self.head = nn.Sequential(
            nn.BatchNorm2d(256), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(256, n_classes)
        )

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.head(self.layer3(self.layer2(self.layer1(self.stem(x)))))
        return out


def torchvision_resnet(name: str, n_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """torchvision's module, so that its state dicts load; for small images its stem is 3x3 without pooling."""
    network = _by_torchvision(name, n_classes)
    small = max(input_shape[1:]) <= SMALL_IMAGE
    if small:
        network.conv1 = nn.Conv2d(input_shape[0], 64, 3, 1, 1, bias=False)
        network.maxpool = nn.Identity()
    elif input_shape[0] != 3:
        network.conv1 = nn.Conv2d(input_shape[0], 64, 7, 2, 3, bias=False)
    made: nn.Module = network
    return made


def torchvision_vgg(name: str, n_classes: int, input_shape: tuple[int, int, int]) -> nn.Module:
    """torchvision's module; for small images its classifier is one linear layer behind a global average."""
    if min(input_shape[1:]) < 32:
        raise ConfigError(f"input {tuple(input_shape)}; it halves the image five times: at least 32 x 32", where=name)
    network = _by_torchvision(f"{name}_bn", n_classes)
    if input_shape[0] != 3:
        network.features[0] = nn.Conv2d(input_shape[0], 64, 3, padding=1)
    if max(input_shape[1:]) <= SMALL_IMAGE:
        network.avgpool = nn.AdaptiveAvgPool2d(1)
        network.classifier = nn.Linear(512, n_classes)
    made: nn.Module = network
    return made


def _by_torchvision(name: str, n_classes: int) -> Any:
    from torchvision import models  # here, because it loads dynamo, which takes longer than all the rest of a check

    return getattr(models, name)(num_classes=n_classes)


Maker = Callable[..., nn.Module]
"""The name for messages, K and the shape of a sample (and options by name) -> a module that gives logits (B, K)."""


def maps(name: str, input_shape: Sequence[int]) -> tuple[int, int, int]:
    if len(input_shape) != 3:
        raise ConfigError(f"input {tuple(input_shape)}; needs (C, H, W)", where=f"teacher {name}")
    channels, height, width = input_shape
    return channels, height, width


TEACHERS: Mapping[str, Maker] = {
    "small-cnn": lambda name, k, shape: SmallCnn(k, maps(name, shape)),
    "small-mlp": lambda name, k, shape: SmallMlp(k, shape),
    "fast": fast,
    "resnet18": lambda name, k, shape: torchvision_resnet(name, k, maps(name, shape)),
    "resnet19": lambda name, k, shape: ResNet19(k, maps(name, shape)[0]),
    "resnet34": lambda name, k, shape: torchvision_resnet(name, k, maps(name, shape)),
    "wrn28-4": lambda name, k, shape: Wrn28x4(k, maps(name, shape)[0]),
    "vgg11": lambda name, k, shape: torchvision_vgg(name, k, maps(name, shape)),
    "vgg16": lambda name, k, shape: torchvision_vgg(name, k, maps(name, shape)),
}


def build_teacher(name: str, *, n_classes: int | None, input_shape: Sequence[int], **options: Any) -> nn.Module:
    """A teacher: gives logits (B, K) for images (B, C, H, W), such as the mean of T frames.

    Args:
        n_classes: None: not known, for one's own that does not ask.
        options: ``choices.FastOptions`` of "fast", or of one's own, as mine.py:make_teacher; the others have none.
    """
    if is_own(name):
        return own_teacher(name, n_classes=n_classes, input_shape=input_shape, options=options)
    check_teacher(name, options)
    check_classes(name, n_classes)
    return TEACHERS[name](name, n_classes, input_shape, **options)
