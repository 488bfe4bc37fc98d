"""What is cut out of images of many sizes: for each a canvas, the size it is resized to first, and a box on it.

    random-resized      the image as it is; a random resized crop of it: the hard baseline
    gaussian-resized    resized so that its short edge is the side (D39); the ImageNet soft crop (D40-D42)
    evaluation          resized so that its short edge is the side (D45), or more; the central square

The box is then resized to the square that the network sees, so both crops of training change an image's proportions,
the soft one to about those of its canvas. The canvas' long edge is rounded down, the central square's corner to the
nearest whole pixel, as by torchvision's `Resize` and `CenterCrop`.

Cuts are one tensor (N, 6) int64: height and width of the canvas, then the box: top, left, height, width; in px.
"""

import torch
from torch import Tensor

from softaug.boxes import ATTEMPTS, random_resized_boxes, shrunk_boxes
from softaug.randomness import uniforms
from softaug.recipe_parts import GaussianResizedCrop, RandomResizedCrop

DRAWN_AT_ONCE = 2**16  # images; bounds the memory that a million images' uniforms take


def draw_cuts(
    crop: RandomResizedCrop | GaussianResizedCrop, sizes: Tensor, *, side_px: int, generator: torch.Generator
) -> Tensor:
    """Draw on the CPU what a crop cuts out of images of these heights and widths (N, 2) int64, in their order."""
    return torch.cat([_draw(crop, part, side_px, generator) for part in torch.split(sizes, DRAWN_AT_ONCE)])


def central_cuts(sizes: Tensor, *, side_px: int, short_edge_px: int) -> Tensor:
    """Cut the central squares of `side_px` out of canvases whose short edge is `short_edge_px`, not less."""
    canvases = canvas_sizes(sizes, short_edge_px)
    corners = ((canvases - side_px) / 2).round().long()  # halves to the even number, as Python's round
    return torch.cat((canvases, corners, torch.full_like(corners, side_px)), dim=1)


def canvas_sizes(sizes: Tensor, short_edge_px: int) -> Tensor:
    """Return heights and widths (N, 2) int64 of the same proportions whose smaller one is `short_edge_px`."""
    return short_edge_px * sizes // sizes.min(dim=1, keepdim=True).values


def _draw(crop: RandomResizedCrop | GaussianResizedCrop, sizes: Tensor, side_px: int, g: torch.Generator) -> Tensor:
    if isinstance(crop, RandomResizedCrop):
        u = uniforms(len(sizes), ATTEMPTS, 4, generator=g)
        ratio = (1 / crop.ratio_max, crop.ratio_max)
        return torch.cat((sizes, random_resized_boxes(u, sizes, scale=(crop.scale_min, 1), ratio=ratio)), dim=1)
    canvases = canvas_sizes(sizes, side_px)
    u = uniforms(len(sizes), 4, generator=g)
    boxes = shrunk_boxes(u, canvases, sigma=crop.sigma, smallest_px=crop.smallest_px, offset_scale=crop.offset_scale)
    return torch.cat((canvases, boxes), dim=1)
