"""PyramidNet of depth 272 with ShakeDrop for small images (method §1.8, D25, D27).

    inner channels of block l = 1..90:  round(width + alpha l / 90), halves to even;  alpha = 12.5 width

Width 16 has alpha 200 and ends in 864 channels; a smaller one is a smaller network of the same depth. The released
code adds alpha / 90 block by block; here every block's channels come from one division: the same for width 16.
Blocks are pre-activation bottlenecks of four times their inner channels; where the shortcut lacks channels it is
filled up with zeros, where the side is halved it is the mean of 2x2 pixels. The stem's batch norm has no ReLU.
The paper does not state initial weights: convolutions are drawn as in wide_resnet.py, which is the usual choice for
this family; all else is torch's default. Any side works; batch norm wants more than one value per channel.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from softaug.models.initialise import he_fan_out
from softaug.models.shakedrop import ShakeDrop, drop_probability

ALPHA_PER_WIDTH = 200 / 16
BLOCKS_PER_STAGE = 30  # depth 272 = 9 * 30 + 2
BLOCKS = 3 * BLOCKS_PER_STAGE
EXPANSION = 4


class Bottleneck(nn.Module):
    """BN, 1x1, BN, ReLU, 3x3, BN, ReLU, 1x1, BN, ShakeDrop, and a shortcut without weights; nothing follows the sum."""

    def __init__(self, in_channels: int, channels: int, *, stride: int, p_drop: float) -> None:
        super().__init__()
        out_channels = EXPANSION * channels
        self.branch = nn.Sequential(
            nn.BatchNorm2d(in_channels),
            nn.Conv2d(in_channels, channels, 1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
            nn.BatchNorm2d(channels),
            nn.ReLU(),
            nn.Conv2d(channels, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
            ShakeDrop(p_drop),
        )
        self.shortcut = nn.AvgPool2d(stride, ceil_mode=True) if stride > 1 else nn.Identity()
        self.missing = out_channels - in_channels

    def forward(self, features: Tensor) -> Tensor:
        """Map (B, in_channels, H, W) to (B, 4 channels, H / stride, W / stride), rounded up."""
        shaken: Tensor = self.branch(features)
        return shaken + pad(self.shortcut(features), (0, 0, 0, 0, 0, self.missing))


class PyramidNet(nn.Module):
    """A stem, 90 blocks that widen steadily, the 31st and the 61st halving the side, and a linear classifier."""

    def __init__(self, width: int, *, in_channels: int, classes: int) -> None:
        super().__init__()
        inner = block_channels(width)
        inputs = (width, *(EXPANSION * channels for channels in inner))
        self.stem = nn.Conv2d(in_channels, width, 3, padding=1, bias=False)
        self.stem_norm = nn.BatchNorm2d(width)
        self.blocks = nn.Sequential(
            *(
                Bottleneck(
                    before,
                    channels,
                    stride=2 if number in (BLOCKS_PER_STAGE + 1, 2 * BLOCKS_PER_STAGE + 1) else 1,
                    p_drop=drop_probability(number, BLOCKS),
                )
                for number, (before, channels) in enumerate(zip(inputs[:-1], inner, strict=True), start=1)
            )
        )
        self.norm = nn.BatchNorm2d(inputs[-1])
        self.classifier = nn.Linear(inputs[-1], classes)
        he_fan_out(self)

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits (B, classes) of images (B, in_channels, H, W)."""
        features = self.blocks(self.stem_norm(self.stem(images)))
        logits: Tensor = self.classifier(torch.relu(self.norm(features)).mean(dim=(2, 3)))
        return logits


def block_channels(width: int) -> tuple[int, ...]:
    """Return the inner channels of the 90 blocks."""
    return tuple(round(width + ALPHA_PER_WIDTH * width * number / BLOCKS) for number in range(1, BLOCKS + 1))


def pyramidnet272(width: int, *, in_channels: int, classes: int) -> PyramidNet:
    """PyramidNet-272 with ShakeDrop; 26,210,842 parameters at width 16 for 3 channels and 10 classes."""
    return PyramidNet(width, in_channels=in_channels, classes=classes)
