"""Residual networks for small images: 3x3 stem, no max pooling, post-activation blocks, global average pooling.

Conv-BN-ReLU order and 1x1-convolution shortcuts follow the released code (D24); initialisation is torch's default.
Any side of 8 px or more works. resnet18 has stages of 1, 2, 4, 8 times its width, two blocks each; resnet8 and
resnet20 have stages of 1, 2, 4 times, one and three blocks each. resnet50 and resnet101 have resnet18's stages of
bottlenecks, whose outputs are four times as wide; the 3x3 convolution has the stride.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, ReLU after the sum."""

    expansion = 1

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = _shortcut(in_channels, channels, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        inner = torch.relu(self.norm1(self.conv1(images)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(images))


class Bottleneck(nn.Module):
    """A 1x1, a 3x3, and a 1x1 convolution to four times the channels, and a shortcut, ReLU after the sum."""

    expansion = 4

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        out_channels = self.expansion * channels
        self.conv1 = nn.Conv2d(in_channels, channels, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv3 = nn.Conv2d(channels, out_channels, 1, bias=False)
        self.norm3 = nn.BatchNorm2d(out_channels)
        self.shortcut = _shortcut(in_channels, out_channels, stride)

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, 4 channels, H / stride, W / stride)."""
        inner = torch.relu(self.norm1(self.conv1(images)))
        inner = torch.relu(self.norm2(self.conv2(inner)))
        return torch.relu(self.norm3(self.conv3(inner)) + self.shortcut(images))


def _shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Sequential:
    """Return the identity where a block changes neither side nor channels, else a 1x1 convolution with batch norm."""
    if stride == 1 and in_channels == out_channels:
        return nn.Sequential()
    return nn.Sequential(nn.Conv2d(in_channels, out_channels, 1, stride, bias=False), nn.BatchNorm2d(out_channels))


class ResNet(nn.Module):
    """A stem, stages of blocks, each but the first halving the side, and a linear classifier."""

    def __init__(
        self,
        block: type[Block] | type[Bottleneck],
        stages: Sequence[int],
        *,
        blocks: Sequence[int],
        in_channels: int,
        classes: int,
    ) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, stages[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(stages[0])
        outputs = [block.expansion * channels for channels in stages]
        sizes = zip((stages[0], *outputs[:-1]), stages, outputs, blocks, strict=True)
        self.blocks = nn.Sequential(
            *(
                block(after if number else before, channels, stride=2 if stage and number == 0 else 1)
                for stage, (before, channels, after, count) in enumerate(sizes)
                for number in range(count)
            )
        )
        self.classifier = nn.Linear(outputs[-1], classes)

    def features(self, images: Tensor) -> Tensor:
        """Return what the classifier sees of images (B, in_channels, H, W): (B, last stage)."""
        maps: Tensor = self.blocks(torch.relu(self.norm(self.stem(images))))
        return maps.mean(dim=(2, 3))

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, classes) of images (B, in_channels, H, W)."""
        logits: Tensor = self.classifier(self.features(images))
        return logits


def resnet8(width: int, *, in_channels: int, classes: int) -> ResNet:
    """Three stages of one block; 78,042 parameters at width 16 for 3 channels and 10 classes."""
    return ResNet(Block, _stages(width, 3), blocks=(1, 1, 1), in_channels=in_channels, classes=classes)


def resnet20(width: int, *, in_channels: int, classes: int) -> ResNet:
    """Three stages of three blocks."""
    return ResNet(Block, _stages(width, 3), blocks=(3, 3, 3), in_channels=in_channels, classes=classes)


def resnet18(width: int, *, in_channels: int, classes: int) -> ResNet:
    """Four stages of two blocks; 11,173,962 parameters at width 64 for 3 channels and 10 classes."""
    return ResNet(Block, _stages(width, 4), blocks=(2, 2, 2, 2), in_channels=in_channels, classes=classes)


def resnet50(width: int, *, in_channels: int, classes: int) -> ResNet:
    """Sixteen bottlenecks; 23,520,842 parameters at width 64 for 3 channels and 10 classes."""
    return ResNet(Bottleneck, _stages(width, 4), blocks=(3, 4, 6, 3), in_channels=in_channels, classes=classes)


def resnet101(width: int, *, in_channels: int, classes: int) -> ResNet:
    """Thirty-three bottlenecks; 42,512,970 parameters at width 64 for 3 channels and 10 classes."""
    return ResNet(Bottleneck, _stages(width, 4), blocks=(3, 4, 23, 3), in_channels=in_channels, classes=classes)


def _stages(width: int, number: int) -> list[int]:
    return [width * 2**stage for stage in range(number)]
