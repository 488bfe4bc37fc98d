"""Wide residual networks of depth 28 for small images (method §1.8): pre-activation, no dropout.

The first stage has `width` channels, 160 in WRN-28-10; those after it two and four times as many, the stem always 16.
A block that changes side or channels takes its shortcut from the activated input, every other from the input itself.
Convolutions are drawn from N(0, sqrt(2 / (k k out_channels))), the classifier's bias is 0, all else is torch's default.
Any side of 4 px or more works.
"""

import torch
from torch import Tensor, nn

from softaug.models.initialise import he_fan_out

STEM_CHANNELS = 16
BLOCKS_PER_STAGE = 4  # depth 28 = 6 * 4 + 4


class Block(nn.Module):
    """BN, ReLU, 3x3, BN, ReLU, 3x3, and a shortcut; nothing follows the sum."""

    def __init__(self, in_channels: int, channels: int, stride: int) -> None:
        super().__init__()
        self.norm1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, channels, 3, stride, padding=1, bias=False)
        self.norm2 = nn.BatchNorm2d(channels)
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        changes = stride != 1 or in_channels != channels
        self.shortcut = nn.Conv2d(in_channels, channels, 1, stride, bias=False) if changes else None

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, channels, H / stride, W / stride), rounded up."""
        activated = torch.relu(self.norm1(features))
        inner: Tensor = self.conv2(torch.relu(self.norm2(self.conv1(activated))))
        return inner + (features if self.shortcut is None else self.shortcut(activated))


class WideResNet(nn.Module):
    """A stem, three stages of four blocks, the second and third halving the side, and a linear classifier."""

    def __init__(self, width: int, *, in_channels: int, classes: int) -> None:
        super().__init__()
        stages = (width, 2 * width, 4 * width)
        self.stem = nn.Conv2d(in_channels, STEM_CHANNELS, 3, padding=1, bias=False)
        self.blocks = nn.Sequential(
            *(
                Block(before if number == 0 else channels, channels, stride=2 if stage and number == 0 else 1)
                for stage, (before, channels) in enumerate(zip((STEM_CHANNELS, *stages[:-1]), stages, strict=True))
                for number in range(BLOCKS_PER_STAGE)
            )
        )
        self.norm = nn.BatchNorm2d(stages[-1])
        self.classifier = nn.Linear(stages[-1], classes)
        he_fan_out(self)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, classes) of images (B, in_channels, H, W)."""
        features = torch.relu(self.norm(self.blocks(self.stem(images))))
        logits: Tensor = self.classifier(features.mean(dim=(2, 3)))
        return logits


def wide_resnet28_10(width: int, *, in_channels: int, classes: int) -> WideResNet:
    """WRN-28-(width / 16); 36,479,194 parameters at width 160 for 3 channels and 10 classes."""
    return WideResNet(width, in_channels=in_channels, classes=classes)
