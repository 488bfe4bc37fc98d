"""torchvision's own policies, one image at a time, and images that bring out their corners."""

from collections.abc import Iterable
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torchvision.transforms import InterpolationMode, autoaugment

from softaug.policies.settings import Flavour, Setting


def pictures(channels: int, height: int, width: int, *, n: int = 8, seed: int = 0) -> Tensor:
    """Return n images of noise, among them constant ones, one of low contrast, a ramp, and one with a black channel."""
    images = torch.randint(
        0, 256, (n, channels, height, width), dtype=torch.uint8, generator=torch.Generator().manual_seed(seed)
    )
    images[0], images[1], images[2] = 0, 255, 77
    images[3] = images[3] // 8 + 100
    images[4, 0] = 0
    images[5] = (torch.arange(width) * 255 // width).to(torch.uint8)
    return images


def apply_each(images: Tensor, settings: Iterable[Setting], flavour: Flavour) -> Tensor:
    """Apply to each image its own setting, as torchvision does it to a PIL image or a tensor."""
    return torch.stack([_apply(image, setting, flavour) for image, setting in zip(images, settings, strict=True)])


def _apply(image: Tensor, setting: Setting, flavour: Flavour) -> Tensor:
    if flavour == "tensor":
        return _torchvision(image, setting)
    picture = Image.fromarray(image.permute(1, 2, 0).squeeze(2).numpy())
    array = torch.from_numpy(np.array(_torchvision(picture, setting)))
    return array.view(*image.shape[1:], -1).permute(2, 0, 1)


def _torchvision(image: Any, setting: Setting) -> Any:
    return autoaugment._apply_op(image, setting.op, setting.magnitude, InterpolationMode.NEAREST, None)
