"""Cutout: one square hole per image, mean colour, applied after normalising (DeVries and Taylor 2017; D35).

The centre is uniform over the image's pixels; the hole is clipped at the border, so it may be smaller. Its label stays
as it is: visibility counts the crop alone (D16).
"""

import torch
from torch import Tensor

from softaug.checks import check_images, check_number, check_per_image
from softaug.crop import Size


def hole_centres(u: Tensor, size: Size) -> Tensor:
    """Turn uniforms (B, 2) in [0, 1) into the holes' centres (B, 2) int64: rows, columns of images of a size."""
    return (u * torch.tensor(size, dtype=u.dtype)).long()


def cutout(images: Tensor, centres: Tensor, *, side_px: int) -> Tensor:
    """Set a square of `side_px` around each image's centre (B, 2) to 0; images (B, C, H, W), same shape and dtype."""
    check_images(images)
    check_number("side_px", side_px, least=2)
    check_per_image("centres", centres, (len(images), 2), images.device)
    rows, columns = (_covered(centres[:, axis], images.shape[2 + axis], side_px=side_px) for axis in (0, 1))
    hole = rows.unsqueeze(2) & columns.unsqueeze(1)
    return images.masked_fill(hole.unsqueeze(1), 0)


def _covered(centre: Tensor, length: int, *, side_px: int) -> Tensor:
    """Return which positions of an axis the hole covers, (B, length) bool: from centre - side // 2 to side further."""
    distance = torch.arange(length, device=centre.device) - centre.unsqueeze(1) + side_px // 2
    return (distance >= 0) & (distance < 2 * (side_px // 2))
