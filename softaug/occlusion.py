"""Occlusion (§4.3.3 of the paper, D54): one square patch per image, fully inside, that covers a part of its area.

    side = round(side of the image * sqrt(part)), its first pixel uniform on the integers 0..image side - side

Fill, number of patches, whether they may leave the image, and the seed are not stated in the paper. Where a patch lies
follows from seed, percentage and the image's place in the test set alone: all of a percentage's uniforms come from one
stream, two per image in their order. So every network sees the same patches, whatever the batch size or the device.
The side is whole pixels: report `occluded_area`, the part that is truly covered.
"""

from math import sqrt
from typing import Literal, NamedTuple, Self

import torch
from torch import Tensor

from softaug.datasets import Dataset
from softaug.randomness import generator, uniforms

Fill = Literal["mean", "black", "noise"]


class Occlusion(NamedTuple):
    """A patch for each of N images. `corners`: (N, 2) int64, row and column of its first pixel; the side in pixels.

    `fill`: (1, 1, 1), (C, 1, 1) or (C, H, W) float32, in normalised space.
    """

    corners: Tensor
    side_px: int
    fill: Tensor

    def take(self, index: slice) -> "Occlusion":
        """Return the patches of the images at these positions."""
        return Occlusion(self.corners[index], self.side_px, self.fill)

    def to(self, device: torch.device) -> Self:
        """Return the patches on a device."""
        return self._replace(corners=self.corners.to(device), fill=self.fill.to(device))


def occlusion_side(image_px: int, percent: int) -> int:
    """Return the side in pixels of the patch that covers this percentage, 0..99, of an image `image_px` wide."""
    if not 0 <= percent < 100:
        raise ValueError(f"percent must be in 0..99, got {percent}: 100 would leave nothing to see")
    return round(image_px * sqrt(percent / 100))


def occluded_area(image_px: int, percent: int) -> float:
    """Return the percentage of the area that the patch for this percentage truly covers."""
    return 100 * (occlusion_side(image_px, percent) / image_px) ** 2


def draw_occlusion(n: int, known: Dataset, percent: int, *, fill: Fill = "mean", seed: int) -> Occlusion:
    """Draw on the CPU a patch for each of n images of a data set, in their order."""
    side_px = occlusion_side(known.side_px, percent)
    corners = draw_corners(n, known.side_px, side_px, generator=generator(seed, f"occlusion {percent}", 0))
    return Occlusion(corners, side_px, _fill(fill, known, seed))


def draw_corners(n: int, image_px: int, side_px: int, *, generator: torch.Generator) -> Tensor:
    """Draw the first pixel of n patches, (n, 2) int64: row and column, each uniform on 0..image_px - side_px."""
    return (uniforms(n, 2, generator=generator) * (image_px - side_px + 1)).floor().long()


def occlude(images: Tensor, occlusion: Occlusion) -> Tensor:
    """Cover a patch of every normalised image (B, C, H, W); same shape, not in place."""
    height, width = images.shape[2:]
    rows = _covered(occlusion.corners[:, 0], occlusion.side_px, height)
    columns = _covered(occlusion.corners[:, 1], occlusion.side_px, width)
    patch = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(patch, occlusion.fill, images)


def _covered(first: Tensor, side_px: int, length: int) -> Tensor:
    """Return which of `length` rows or columns the patches that begin at `first` (B,) cover, (B, length) bool."""
    distance = torch.arange(length, device=first.device) - first[:, None]
    return (distance >= 0) & (distance < side_px)


def _fill(fill: Fill, known: Dataset, seed: int) -> Tensor:
    """Return what shows in place of the image: the mean colour, black, or noise of the pixels' mean and variance.

    The noise is one picture per seed, of which every patch shows the part it lies on.
    """
    if fill == "mean":
        return torch.zeros(1, 1, 1)
    if fill == "black":
        return -(torch.tensor(known.mean) / torch.tensor(known.std)).view(-1, 1, 1)
    noise = generator(seed, "occlusion noise", 0)
    return torch.randn(known.channels, known.side_px, known.side_px, generator=noise)
