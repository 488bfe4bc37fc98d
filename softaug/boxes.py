"""Boxes (top, left, height, width) in whole pixels: random resized crops, their overlap, and the ImageNet soft crop.

    iou        = |a ∩ b| / |a ∪ b|             of the boxes two views were cut from, in Eqs. 9, 10
    visibility = |box ∩ image| / (H W)         of the ImageNet soft crop (D42)

Random resized crops follow torchvision's `RandomResizedCrop.get_params`: ten attempts, each with an area (uniform), a
ratio of width to height (its logarithm uniform) and a corner (uniform), sides rounded to whole pixels; the first that
fits is taken, else the largest centred box of an allowed ratio. All attempts come from uniforms of the caller: a sample
has its quantiles, whatever the other samples need. Known differences: the ratio's logarithm is float64 here and float32
there; the centred box of a very narrow image has at least 1 px here and may have none there.

The ImageNet soft crop (appendix B.3; no code was released), on each axis of an image of L = H or W pixels (D39):

    d ~ N(0, sigma (L - L_min)), rectified and clipped to [0, L - L_min];   l = L - d              D40
    t ~ N(0, offset_scale sigma (L + l)), redrawn until |t| < (L + l) / 2: some overlap            D41

`t` lies between the centres of image and crop. `offset_scale` 1.0 is the formula as printed; 0.5 is the decision, the
same as CIFAR's crop and the paper's three-sigma text. Both laws come through the inverse distribution function in
float64, as in `softaug.crop`. Sides and corners are rounded to the nearest pixel. On CIFAR int() truncates since the
released code does (D10); no code says so here, and rounding keeps the law symmetric and its means those of the formula.
Rounding might lose a sliver of overlap: a crop shows at least one row and one column.
"""

from math import erf, log, sqrt

import torch
from torch import Tensor

from softaug.crop import Size

ATTEMPTS = 10  # of torchvision's RandomResizedCrop
Range = tuple[float, float]


def random_resized_boxes(u: Tensor, sizes: Size | Tensor, *, scale: Range, ratio: Range) -> Tensor:
    """Turn uniforms (B, 10, 4) float64 in [0, 1) into random resized crops (B, 4) int64 inside images of `sizes`.

    `sizes`: one (height, width), or (B, 2) int64. `scale`: range of the area as a fraction of the image's; `ratio`: of
    width / height. An attempt's uniforms are area, ratio, top, left.
    """
    _check_uniforms(u, (ATTEMPTS, 4))
    for name, (low, high) in (("scale", scale), ("ratio", ratio)):
        if not 0 < low <= high:
            raise ValueError(f"{name} {(low, high)}: allowed is 0 < low <= high")
    real = sizes_of_images(sizes, len(u), u.device)
    limits = real.unsqueeze(1)  # (B, 1, 2), beside (B, 10, 2) attempts
    area = limits.prod(dim=2) * (scale[0] + (scale[1] - scale[0]) * u[..., 0])
    aspect = (log(ratio[0]) + (log(ratio[1]) - log(ratio[0])) * u[..., 1]).exp()
    sides = torch.stack((area / aspect, area * aspect), dim=2).sqrt().round().long()
    corners = (u[..., 2:] * (limits - sides + 1)).floor().long()
    fits = ((sides > 0) & (sides <= limits)).all(dim=2)
    first = fits.int().argmax(dim=1).view(-1, 1, 1).expand(-1, 1, 4)
    boxes = torch.cat((corners, sides), dim=2).gather(1, first).squeeze(1)
    return torch.where(fits.any(dim=1, keepdim=True), boxes, _central_boxes(real, ratio))


def _central_boxes(sizes: Tensor, ratio: Range) -> Tensor:
    """Return the largest centred boxes of an allowed ratio in images of `sizes` (B, 2); at least 1 px."""
    height, width = sizes.double().unbind(dim=1)
    tall = torch.where(width / height < ratio[0], (width / ratio[0]).round(), height)
    wide = torch.where(width / height > ratio[1], (height * ratio[1]).round(), width)
    sides = torch.stack((tall, wide), dim=1).long().clamp(min=1)
    return torch.cat(((sizes - sides) // 2, sides), dim=1)


def shrunk_boxes(
    u: Tensor, sizes: Size | Tensor, *, sigma: float, smallest_px: int = 112, offset_scale: float = 0.5
) -> Tensor:
    """Turn uniforms (B, 4) float64 in [0, 1) into ImageNet's soft crops (B, 4) int64, which may reach outside (B.3).

    A sample's uniforms are the shrinkage of height and width, then the offset of rows and columns. `sizes`: one
    (height, width), or (B, 2) int64. `sigma` as in D40, D41; `smallest_px` is L_min: a shorter side is not shrunk.
    """
    _check_uniforms(u, (4,))
    if sigma <= 0 or offset_scale <= 0:
        raise ValueError(f"sigma {sigma}, offset_scale {offset_scale}: both must be positive")
    real = sizes_of_images(sizes, len(u), u.device).double()
    room = (real - smallest_px).clamp(min=0)
    half_normal = sqrt(2) * torch.erfinv((2 * u[:, :2] - 1).clamp(min=0))
    sides = real - torch.minimum(sigma * room * half_normal, room).round()
    std = offset_scale * sigma
    inside = erf(1 / (2 * std * sqrt(2)))  # probability of some overlap, the same on both axes
    offsets = std * (real + sides) * sqrt(2) * torch.erfinv(inside * (2 * u[:, 2:] - 1))
    corners = torch.clamp(((real - sides) / 2 + offsets).round(), min=1 - sides, max=real - 1)
    return torch.cat((corners, sides), dim=1).long()


def iou(a: Tensor, b: Tensor) -> Tensor:
    """Return intersection over union of boxes (B, 4) int64 and (B, 4) int64, (B,) float32 in [0, 1]."""
    check_boxes(a, len(a))
    check_boxes(b, len(a))
    both = _overlap_px(a, b)
    union = a[:, 2:].prod(dim=1) + b[:, 2:].prod(dim=1) - both
    return both.float() / union.float()


def visibility_of_boxes(boxes: Tensor, sizes: Size | Tensor) -> Tensor:
    """Return the part of each image that its box (B, 4) int64 shows, (B,) float32 in [0, 1] (D42)."""
    check_boxes(boxes, len(boxes))
    real = sizes_of_images(sizes, len(boxes), boxes.device)
    images = torch.cat((torch.zeros_like(real), real), dim=1)
    return _overlap_px(boxes, images).float() / real.prod(dim=1).float()


def boxes_inside(boxes: Tensor, sizes: Tensor) -> Tensor:
    """Return the part of each box (B, 4) int64 that lies inside its image of `sizes` (B, 2) int64, as a box (B, 4)."""
    low = boxes[:, :2].clamp(min=0)
    high = torch.minimum(boxes[:, :2] + boxes[:, 2:], sizes)
    return torch.cat((low, (high - low).clamp(min=0)), dim=1)


def _overlap_px(a: Tensor, b: Tensor) -> Tensor:
    low = torch.maximum(a[:, :2], b[:, :2])
    high = torch.minimum(a[:, :2] + a[:, 2:], b[:, :2] + b[:, 2:])
    return (high - low).clamp(min=0).prod(dim=1)


def sizes_of_images(sizes: Size | Tensor, batch: int, device: torch.device) -> Tensor:
    """Return heights and widths (B, 2) int64, given as such or as one size; no copy from the host waits for it."""
    if not isinstance(sizes, Tensor):
        return torch.stack([torch.full((batch,), side, device=device) for side in sizes], dim=1)
    if sizes.dtype != torch.int64:
        raise TypeError(f"sizes of {sizes.dtype}: allowed is torch.int64")
    if sizes.shape != (batch, 2):
        raise ValueError(f"sizes {tuple(sizes.shape)}: allowed is ({batch}, 2), height and width of each image")
    return sizes


def check_boxes(boxes: Tensor, batch: int) -> None:
    """Refuse boxes other than (batch, 4) int64."""
    if boxes.dtype != torch.int64:
        raise TypeError(f"boxes of {boxes.dtype}: allowed is torch.int64, whole pixels")
    if boxes.shape != (batch, 4):
        raise ValueError(f"boxes {tuple(boxes.shape)}: allowed is ({batch}, 4): top, left, height, width")


def _check_uniforms(u: Tensor, per_sample: tuple[int, ...]) -> None:
    if u.dtype != torch.float64:
        raise TypeError(f"uniforms of {u.dtype}: allowed is torch.float64, as softaug.randomness.uniforms draws them")
    if u.shape[1:] != per_sample:
        raise ValueError(f"uniforms {tuple(u.shape)}: allowed is (B, {', '.join(map(str, per_sample))})")
