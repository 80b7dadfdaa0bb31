"""ResNets for small images: He et al. 2015, section 4.2 (https://arxiv.org/abs/1512.03385).

A 3x3 convolution with 16 channels, three stages of n basic blocks with 16, 32 and 64 channels, the
later two halving the resolution, global average pooling, one linear layer: depth 6n + 2.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ffdwv_fast.errors import InputError

STAGE_CHANNELS = (16, 32, 64)


class BatchNorm2d(nn.BatchNorm2d):
    """torch's, without counting the batches, which takes a kernel of its own in every step.

    The count serves a cumulative average alone, which `momentum=None` asks for; here it stays at 0.
    State dicts have it as ever and go from one kind to the other.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.batch_norm(
            x,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training,
            self.momentum,
            self.eps,
        )


Norm = Callable[[int], nn.Module]


class ZeroPadShortcut(nn.Module):
    """Option A: every second pixel, new channels filled with zeros; no parameters."""

    def __init__(self, in_channels: int, out_channels: int, _norm: Norm):
        super().__init__()
        new = out_channels - in_channels
        self.channel_padding = (new // 2, new - new // 2)

    def forward(self, x: Tensor) -> Tensor:
        return F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, *self.channel_padding))


def projection_shortcut(in_channels: int, out_channels: int, norm: Norm) -> nn.Module:
    """Option B: a strided 1x1 convolution with batch normalisation."""
    return nn.Sequential(
        nn.Conv2d(in_channels, out_channels, 1, stride=2, bias=False),
        norm(out_channels),
    )


SHORTCUTS: dict[str, Callable[[int, int, Norm], nn.Module]] = {
    "A": ZeroPadShortcut,
    "B": projection_shortcut,
}


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation, and a shortcut around them."""

    def __init__(self, in_channels: int, out_channels: int, shortcut: str, norm: Norm):
        super().__init__()
        halves = in_channels != out_channels
        self.conv1 = _conv3x3(in_channels, out_channels, stride=2 if halves else 1)
        self.bn1 = norm(out_channels)
        self.conv2 = _conv3x3(out_channels, out_channels)
        self.bn2 = norm(out_channels)
        self.shortcut = nn.Identity()
        if halves:
            self.shortcut = SHORTCUTS[shortcut](in_channels, out_channels, norm)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        y = self.bn2(self.conv2(y))
        return F.relu(y + self.shortcut(x))


class ResNet(nn.Module):
    """The network.

    Args:
        blocks_per_stage: n; the depth is 6n + 2.
        num_classes: C, 1 or more.
        in_channels: channels of the images.
        shortcut: "A" (zero padding, no parameters; the paper's lineage) or "B" (projection).
        channels_last: whether weights and activations are channels-last, from the input to the
            pooling; otherwise they are as torch makes them.
        skip_counters: whether batch normalisation leaves its batches uncounted, see `BatchNorm2d`.

    Raises:
        InputError: an argument is out of its range.
    """

    def __init__(
        self,
        blocks_per_stage: int,
        num_classes: int = 10,
        in_channels: int = 3,
        shortcut: str = "A",
        channels_last: bool = True,
        skip_counters: bool = True,
    ):
        super().__init__()
        if shortcut not in SHORTCUTS:
            raise InputError(f"shortcut is {shortcut!r}; use one of {', '.join(SHORTCUTS)}")
        for name, value in (("num_classes", num_classes), ("in_channels", in_channels)):
            if not isinstance(value, int) or value < 1:
                raise InputError(f"{name} is {value!r}; it must be an int of 1 or more")
        norm = BatchNorm2d if skip_counters else nn.BatchNorm2d
        self._format = torch.channels_last if channels_last else torch.contiguous_format
        channels = STAGE_CHANNELS[0]
        self.conv1 = _conv3x3(in_channels, channels)
        self.bn1 = norm(channels)
        stages = []
        for out_channels in STAGE_CHANNELS:
            blocks = []
            for _ in range(blocks_per_stage):
                blocks.append(BasicBlock(channels, out_channels, shortcut, norm))
                channels = out_channels
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.Sequential(*stages)
        self.fc = nn.Linear(channels, num_classes)
        self.apply(_initialise)
        self.to(memory_format=self._format)

    def forward(self, images: Tensor) -> Tensor:
        """Logits [N, C] of images [N, in_channels, H, W]."""
        x = images.contiguous(memory_format=self._format)
        x = F.relu(self.bn1(self.conv1(x)))
        x = self.stages(x)
        return self.fc(x.mean(dim=(2, 3)))


def _conv3x3(in_channels: int, out_channels: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(in_channels, out_channels, 3, stride=stride, padding=1, bias=False)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, (nn.Conv2d, nn.Linear)):
        nn.init.kaiming_normal_(module.weight)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


def resnet8(num_classes: int = 10, **kwargs) -> ResNet:
    """ResNet-8 (n = 1).

    Args:
        num_classes: C, 1 or more.
        kwargs: in_channels, shortcut, channels_last, skip_counters: as `ffdwv_fast.models.ResNet`.

    Returns:
        The network: images [N, in_channels, H, W] -> logits [N, C].

    Raises:
        InputError: an argument is out of its range.
    """
    return ResNet(1, num_classes, **kwargs)


def resnet20(num_classes: int = 10, **kwargs) -> ResNet:
    """ResNet-20 (n = 3).

    Args:
        num_classes: C, 1 or more.
        kwargs: in_channels, shortcut, channels_last, skip_counters: as `ffdwv_fast.models.ResNet`.

    Returns:
        The network: images [N, in_channels, H, W] -> logits [N, C].

    Raises:
        InputError: an argument is out of its range.
    """
    return ResNet(3, num_classes, **kwargs)


def resnet32(num_classes: int = 10, **kwargs) -> ResNet:
    """ResNet-32 (n = 5), 464,154 parameters with 10 classes.

    Args:
        num_classes: C, 1 or more.
        kwargs: in_channels, shortcut, channels_last, skip_counters: as `ffdwv_fast.models.ResNet`.

    Returns:
        The network: images [N, in_channels, H, W] -> logits [N, C].

    Raises:
        InputError: an argument is out of its range.
    """
    return ResNet(5, num_classes, **kwargs)


def resnet44(num_classes: int = 10, **kwargs) -> ResNet:
    """ResNet-44 (n = 7).

    Args:
        num_classes: C, 1 or more.
        kwargs: in_channels, shortcut, channels_last, skip_counters: as `ffdwv_fast.models.ResNet`.

    Returns:
        The network: images [N, in_channels, H, W] -> logits [N, C].

    Raises:
        InputError: an argument is out of its range.
    """
    return ResNet(7, num_classes, **kwargs)


def resnet56(num_classes: int = 10, **kwargs) -> ResNet:
    """ResNet-56 (n = 9).

    Args:
        num_classes: C, 1 or more.
        kwargs: in_channels, shortcut, channels_last, skip_counters: as `ffdwv_fast.models.ResNet`.

    Returns:
        The network: images [N, in_channels, H, W] -> logits [N, C].

    Raises:
        InputError: an argument is out of its range.
    """
    return ResNet(9, num_classes, **kwargs)


def resnet110(num_classes: int = 10, **kwargs) -> ResNet:
    """ResNet-110 (n = 18), 1,727,962 parameters with 10 classes.

    Args:
        num_classes: C, 1 or more.
        kwargs: in_channels, shortcut, channels_last, skip_counters: as `ffdwv_fast.models.ResNet`.

    Returns:
        The network: images [N, in_channels, H, W] -> logits [N, C].

    Raises:
        InputError: an argument is out of its range.
    """
    return ResNet(18, num_classes, **kwargs)
