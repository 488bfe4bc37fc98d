"""The two views that SimSiam compares: hard random resized crops with their overlap, flip, colour jitter, grey.

    view    box (scale_min..1 of the area, ratio 3/4..4/3) -> resize -> flip -> colour jitter -> grey -> normalise

Crop as in appendix B.4; flip and colours as upstream SimSiam has them on CIFAR (method §1.9; the paper does not say).
A flip does not change the overlap, which is that of the boxes in the image's own pixels (D51).
"""

from typing import NamedTuple

import torch
from torch import Tensor

from softaug.augment import Normalisation
from softaug.boxes import ATTEMPTS, Range, random_resized_boxes
from softaug.colour_jitter import Jitter, colour_jitter, random_jitter
from softaug.crop import Size
from softaug.flip import flip
from softaug.randomness import generator, uniforms
from softaug.resized_crop import resized_crop

RATIO: Range = (3 / 4, 4 / 3)


class ViewDraws(NamedTuple):
    """What happens to each of N images in one view: boxes (N, 4), mirrored (N,) bool, colours."""

    boxes: Tensor
    mirrored: Tensor
    jitter: Jitter

    def take(self, index: Tensor | slice) -> "ViewDraws":
        """Return what happens to the images at these positions."""
        return ViewDraws(self.boxes[index], self.mirrored[index], Jitter(*(each[index] for each in self.jitter)))

    def to(self, device: torch.device) -> "ViewDraws":
        """Return the draws on a device."""
        jitter = Jitter(*(each.to(device) for each in self.jitter))
        return ViewDraws(self.boxes.to(device), self.mirrored.to(device), jitter)


def draw_view(
    number: int, n: int, size: Size, *, scale_min: float, flip_share: float, seed: int, epoch: int
) -> ViewDraws:
    """Draw view 1 or 2 of n images of a size, in their order, on the CPU."""

    def stream(name: str) -> torch.Generator:
        return generator(seed, f"view {number} {name}", epoch)

    boxes = random_resized_boxes(
        uniforms(n, ATTEMPTS, 4, generator=stream("box")), size, scale=(scale_min, 1.0), ratio=RATIO
    )
    mirrored = uniforms(n, generator=stream("flip")) < flip_share
    return ViewDraws(boxes, mirrored, random_jitter(uniforms(n, 7, generator=stream("colour"))))


def apply_view(pixels: Tensor, draws: ViewDraws, normalisation: Normalisation) -> Tensor:
    """Return the views (B, C, H, W), normalised, of pixels (B, C, H, W) uint8."""
    cut = resized_crop(pixels, draws.boxes, (pixels.shape[2], pixels.shape[3]), fill=0)
    coloured = colour_jitter(flip(cut, draws.mirrored).float().div_(255), draws.jitter)
    return coloured.sub(normalisation.mean).div_(normalisation.std)
