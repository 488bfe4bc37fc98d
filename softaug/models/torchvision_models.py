"""torchvision's networks, built by its own functions: EfficientNet-B0, and ResNet-50 and -101 with the ImageNet stem.

Strides are unmodified (D26): the side shrinks 32 times, so 32 px end in one pixel. Dropout and stochastic depth are
torchvision's defaults. Each has one width. For other than three channels the first convolution gets weights of that
shape, drawn as torchvision draws its own. Batch norm wants more than one value per channel: with images of up to 32 px
a batch of one cannot be trained on.
"""

from torch import nn
from torchvision import models

from softaug.models.initialise import he_fan_out


def efficientnet_b0(width: int, *, in_channels: int, classes: int) -> nn.Module:
    """EfficientNet-B0, width 32; 5,288,548 parameters for 3 channels and 1,000 classes."""
    _check(width, 32)
    return _with_channels(models.efficientnet_b0(weights=None, num_classes=classes), in_channels)


def resnet50(width: int, *, in_channels: int, classes: int) -> nn.Module:
    """ResNet-50, width 64; 25,557,032 parameters for 3 channels and 1,000 classes."""
    _check(width, 64)
    return _with_channels(models.resnet50(weights=None, num_classes=classes), in_channels)


def resnet101(width: int, *, in_channels: int, classes: int) -> nn.Module:
    """ResNet-101, width 64; 44,549,160 parameters for 3 channels and 1,000 classes."""
    _check(width, 64)
    return _with_channels(models.resnet101(weights=None, num_classes=classes), in_channels)


def _check(width: int, only: int) -> None:
    if width != only:
        raise ValueError(f"width: {width}, but this network of torchvision has one only, {only}; leave width out")


def _with_channels(model: nn.Module, in_channels: int) -> nn.Module:
    """Give a network's first convolution weights for these input channels, unless it has them, and return it."""
    first = next(part for part in model.modules() if isinstance(part, nn.Conv2d))
    if first.in_channels != in_channels:
        first.in_channels = in_channels
        first.weight = nn.Parameter(first.weight.new_empty(first.out_channels, in_channels, *first.kernel_size))
        he_fan_out(first)
    return model
