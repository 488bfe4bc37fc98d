"""Residual networks for small images: 3x3 stem, no max pooling, post-activation blocks, global average pooling.

Conv-BN-ReLU order and 1x1-convolution shortcuts follow the released code (D24); initialisation is torch's default.
Any side of 8 px or more works. resnet18 has stages of 1, 2, 4, 8 times its width, two blocks each; resnet8 and
resnet20 have stages of 1, 2, 4 times, one and three blocks each.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn


class Block(nn.Module):
    """Two 3x3 convolutions and a shortcut, ReLU after the sum."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm1 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.shortcut = nn.Sequential()
        if stride != 1 or in_channels != channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, channels, 1, stride, bias=False), nn.BatchNorm2d(channels)
            )

    def forward(self, images: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H / stride, W / stride)."""
        inner = torch.relu(self.norm1(self.conv1(images)))
        return torch.relu(self.norm2(self.conv2(inner)) + self.shortcut(images))


class ResNet(nn.Module):
    """A stem, stages of blocks, each but the first halving the side, and a linear classifier."""

    def __init__(self, stages: Sequence[int], *, blocks: int, in_channels: int, classes: int) -> None:
        super().__init__()
        self.stem = nn.Conv2d(in_channels, stages[0], 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(stages[0])
        inputs = (stages[0], *stages[:-1])
        self.blocks = nn.Sequential(
            *(
                Block(before if number == 0 else channels, channels, stride=2 if stage and number == 0 else 1)
                for stage, (before, channels) in enumerate(zip(inputs, stages, strict=True))
                for number in range(blocks)
            )
        )
        self.classifier = nn.Linear(stages[-1], classes)

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
    return ResNet((width, 2 * width, 4 * width), blocks=1, in_channels=in_channels, classes=classes)


def resnet20(width: int, *, in_channels: int, classes: int) -> ResNet:
    """Three stages of three blocks."""
    return ResNet((width, 2 * width, 4 * width), blocks=3, in_channels=in_channels, classes=classes)


def resnet18(width: int, *, in_channels: int, classes: int) -> ResNet:
    """Four stages of two blocks; 11,173,962 parameters at width 64 for 3 channels and 10 classes."""
    stages = (width, 2 * width, 4 * width, 8 * width)
    return ResNet(stages, blocks=2, in_channels=in_channels, classes=classes)
