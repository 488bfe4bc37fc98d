"""Crops resized to one size, bilinear with antialiasing, each image with its own box, all at once.

    out = fill + R (x - fill) C^T          R (out_height, H) and C (out_width, W), one pair per image

Row i of R is a triangle around the centre of output pixel i, mapped into the box of height h: with scale = h / out and
support = max(scale, 1), pixel j of the box has the weight

    max(0, 1 - |j + 0.5 - scale (i + 0.5)| / support),   divided by the sum of these over the box's own pixels

as PIL and torch define it; pixels beyond the box weigh nothing, as if the box had been cut out first. Pixels of the box
that lie outside the image are canvas: they count in the sum, but x - fill is zero there, so that R and C need no
columns for them. The sum is an arithmetic series on either side of the centre: no shape depends on how far a box goes.

Two batched matrix products in float32, whose cost does not depend on the boxes. Temporaries: the batch, its
half-resized form and its result as float32, and the two sets of matrices, B (out_height H + out_width W) numbers; on
a CPU a few images at a time are faster. Run it outside autocast: bfloat16 products would err by a grey level (TF32's by
less than a tenth).

Known differences from torchvision's crop, pad and resize: uint8 is rounded once, at the end, not between the two
directions (a difference of at most 1); the canvas keeps its colour unrounded until then.
"""

import torch
from torch import Tensor

from softaug.boxes import check_boxes, sizes_of_images
from softaug.crop import Size


def resized_crop(
    images: Tensor, boxes: Tensor, size: Size, *, fill: float | Tensor, sizes: Tensor | None = None
) -> Tensor:
    """Cut from each image (B, C, H, W), uint8 or float32, its box (B, 4) and resize it: (B, C, *size), same dtype.

    `boxes` int64: top, left, height, width; sides of at least 1, anywhere. Beyond the image the canvas has the colour
    `fill`: a number, one per channel (C,), or one per sample and channel (B, C), in the images' units. `sizes` (B, 2)
    int64: the real height and width of each image when the batch is padded at the bottom and right; beyond is canvas.
    Raises TypeError for another dtype, ValueError for another shape.
    """
    _check_images(images, size)
    batch, channels, height, width = images.shape
    check_boxes(boxes, batch)
    real = sizes_of_images((height, width) if sizes is None else sizes, batch, boxes.device)
    rows = _triangles(boxes[:, 0], boxes[:, 2], real[:, 0], pixels=height, out=size[0])
    columns = _triangles(boxes[:, 1], boxes[:, 3], real[:, 1], pixels=width, out=size[1])
    colour = _colour(fill, images)
    # Rows come before channels, so that both products are plain ones: (H C, W) by (W, w), then (h, H) by (H, C w).
    pixels = images.transpose(1, 2).to(torch.float32, copy=True, memory_format=torch.contiguous_format)
    narrow = torch.bmm(pixels.sub_(colour).view(batch, height * channels, width), columns.mT)
    small = torch.bmm(rows, narrow.view(batch, height, channels * size[1]))
    cut = small.view(batch, size[0], channels, size[1]).add_(colour)
    if images.dtype == torch.uint8:
        cut = cut.round_().clamp_(0, 255)
    return cut.transpose(1, 2).to(images.dtype, copy=True, memory_format=torch.contiguous_format)


def _triangles(start: Tensor, length: Tensor, end: Tensor, *, pixels: int, out: int) -> Tensor:
    """Return the matrices (B, out, pixels) that resize the pixels start..start + length - 1; 0 from `end` on."""
    start, length, end = (values.unsqueeze(1) for values in (start, length, end))
    scale = length / out
    support = scale.clamp(min=1)
    centres = scale * (torch.arange(out, device=start.device) + 0.5)  # (B, out), from the box's start on
    share = 1 / _sum_of_taps(centres, support, length)
    index = torch.arange(pixels, device=start.device)
    taps = (index >= start) & (index < start + length) & (index < end)
    places = torch.where(taps, index - start + 0.5, torch.inf)  # infinitely far away: no weight
    distances = (places.unsqueeze(1) - centres.unsqueeze(2)).abs_()
    return distances.mul_(-(share / support).unsqueeze(2)).add_(share.unsqueeze(2)).relu_()


def _sum_of_taps(centres: Tensor, support: Tensor, length: Tensor) -> Tensor:
    """Return the sum of the triangle around each centre (B, out) over the pixels 0..length - 1."""
    last = (centres - 0.5).floor()  # the last pixel whose middle is not beyond the centre; -1 if there is none
    gap = centres - 0.5 - last
    return _half(gap, last + 1, support) + _half(1 - gap, length - 1 - last, support)


def _half(gap: Tensor, available: Tensor, support: Tensor) -> Tensor:
    """Return the sum of 1 - d / support over the distances d = gap, gap + 1, ..., below support, if available."""
    taps = torch.minimum(available, (support - gap).floor() + 1)
    return taps * (1 - (gap + (taps - 1) / 2) / support)


def _colour(fill: float | Tensor, images: Tensor) -> Tensor:
    """Return the canvas' colour, float32, of a shape that fits (B, H, C, W)."""
    if not isinstance(fill, Tensor):
        return torch.full((1, 1, 1, 1), fill, device=images.device)
    batch, channels = images.shape[:2]
    if fill.shape not in ((channels,), (batch, channels)):
        raise ValueError(f"fill {tuple(fill.shape)}: allowed are a number, ({channels},) and ({batch}, {channels})")
    return fill.float().view(-1, 1, channels, 1)


def _check_images(images: Tensor, size: Size) -> None:
    if images.dtype not in (torch.uint8, torch.float32):
        raise TypeError(f"images of {images.dtype}: allowed are torch.uint8 and torch.float32")
    if images.ndim != 4:
        raise ValueError(f"images {tuple(images.shape)}: allowed is (B, C, H, W)")
    if min(size) < 1:
        raise ValueError(f"size {size}: height and width must be at least 1 px")
