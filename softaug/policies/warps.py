"""Shear, translation and rotation as tables of source pixels, made by torchvision itself.

Sampling is by nearest neighbour, so a warp only moves pixels. torchvision warps, once for every magnitude in use, an
image whose pixels are their own numbers: what arrives where is the table, exact for this version (method §3.2).
Computing the grids batched instead would round differently and take a neighbour where a coordinate ends in .5.
"""

from functools import cache
from math import atan, degrees
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

if TYPE_CHECKING:
    from softaug.policies.settings import Flavour, Size

Warp = Literal["ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate"]


@cache
def source_pixels(op: Warp, magnitude: float, size: "Size", flavour: "Flavour") -> Tensor:
    """Return which pixel each pixel of the warped image shows, (H W,) int32; H W where it lies outside the image."""
    height, width = size
    numbers = torch.arange(1, height * width + 1, dtype=torch.float32).view(1, height, width)  # 0 is outside
    if flavour == "tensor":
        seen = _warp(numbers, op, magnitude).flatten().int()
    else:
        seen = torch.from_numpy(np.array(_warp(Image.fromarray(numbers[0].int().numpy()), op, magnitude))).flatten()
    return torch.where(seen == 0, height * width, seen - 1).int()


def _warp(image: Any, op: Warp, magnitude: float) -> Any:
    """Warp a PIL image or a tensor with the parameters that RandAugment gives (method §1.6)."""
    from torchvision.transforms import functional

    if op == "Rotate":
        return functional.rotate(image, magnitude)
    angle = degrees(atan(magnitude))
    if op == "ShearX":
        return functional.affine(image, 0.0, [0, 0], 1.0, [angle, 0.0], center=[0, 0])
    if op == "ShearY":
        return functional.affine(image, 0.0, [0, 0], 1.0, [0.0, angle], center=[0, 0])
    pixels = int(magnitude)
    return functional.affine(image, 0.0, [pixels, 0] if op == "TranslateX" else [0, pixels], 1.0, [0.0, 0.0])
