"""Crops by whole pixels: draw offsets, then apply them; visibility is the part of the image left in view.

An image (C, H, W) lies in the middle of an endless canvas; the crop with offset (rows, columns) is the window of the
image's own size moved down by `rows` and right by `columns`, so the content moves up and left (Listing 1).

    visibility = (H - |rows|) (W - |columns|) / (H W)

Gaussian offsets follow Listing 1's redraw law, a normal of std sigma * side truncated to +-side per axis (D9, D13),
through the inverse distribution function in float64: no loop, and no fallback after 100 misses (D11). int() truncates
toward zero (D10); `round` is the other choice. Listing 1 reads `self.sigma_crop`, which nothing sets (D8): here sigma.
The paper calls tx horizontal, its code shifts rows by it (D12): offsets are (rows, columns).
"""

from math import erf, sqrt
from typing import Literal

import torch
from torch import Tensor

from softaug.checks import check_images, check_number, check_per_image
from softaug.randomness import uniforms

Rounding = Literal["trunc", "round"]
Size = tuple[int, int]  # height, width in pixels


def draw_offsets(n: int, size: Size, *, sigma: float, generator: torch.Generator) -> Tensor:
    """Draw Gaussian crop offsets, (n, 2) int64: rows, columns. `sigma`: their std as a fraction of the side."""
    return gaussian_offsets(uniforms(n, 2, generator=generator), size, sigma=sigma)


def gaussian_offsets(u: Tensor, size: Size, *, sigma: float, rounding: Rounding = "trunc") -> Tensor:
    """Turn uniforms (B, 2) float64 in [0, 1) into truncated normal offsets (B, 2) int64, at most the side (D9-D11)."""
    check_number("sigma", sigma, above=0)
    if u.ndim != 2 or u.shape[1] != 2:
        raise ValueError(f"u: shape {tuple(u.shape)}; expected (B, 2), a uniform for rows and one for columns")
    side = torch.tensor(size, dtype=torch.float64)
    inside = erf(1 / (sigma * sqrt(2)))  # probability of |x| <= side, the same on both axes
    normal = sqrt(2) * torch.erfinv(inside * (2 * u - 1))
    pixels = (sigma * side * normal).clamp(-side, side)
    return (pixels.trunc() if rounding == "trunc" else pixels.round()).long()


def uniform_offsets(u: Tensor, *, radius_px: int) -> Tensor:
    """Turn uniforms (B, 2) in [0, 1) into offsets (B, 2) int64, each of -radius_px..radius_px equally likely."""
    return (u * (2 * radius_px + 1)).floor().long() - radius_px


def crop(images: Tensor, offsets: Tensor, *, fill: float | Tensor) -> Tensor:
    """Crop every image of a batch (B, C, H, W), uint8 or float, by its own offset (B, 2) int64; same shape.

    `fill` is the canvas' colour: a number, one per channel (C,), or one per sample and channel (B, C).
    """
    check_images(images)
    check_per_image("offsets", offsets, (len(images), 2), images.device)
    if offsets.dtype != torch.int64:
        raise TypeError(f"offsets: {offsets.dtype}; allowed: int64, whole pixels")
    return sample_pixels(images, _source_pixels(offsets, (images.shape[2], images.shape[3])), fill=fill)


def sample_pixels(images: Tensor, source: Tensor, *, fill: float | Tensor) -> Tensor:
    """Make images (B, C, H, W) whose pixels are those of the given ones that `source` (B, H W) int64 names.

    H W, one past the last, is a pixel of the colour `fill`: a number, one per channel, or one per sample and channel.
    """
    batch, channels, height, width = images.shape
    colour = fill.to(images.dtype) if isinstance(fill, Tensor) else images.new_full((1,), fill)
    fill_pixel = colour.expand(batch, channels).unsqueeze(2)
    flat = torch.cat((images.flatten(2), fill_pixel), dim=2)
    return flat.gather(2, source.unsqueeze(1).expand(-1, channels, -1)).view(batch, channels, height, width)


def _source_pixels(offsets: Tensor, size: Size) -> Tensor:
    """Return which pixel each pixel of the crop shows, (B, H W) int64; H W, one past the last, outside the image."""
    height, width = size
    outside = height * width
    rows = offsets[:, 0, None] + torch.arange(height, device=offsets.device)
    columns = offsets[:, 1, None] + torch.arange(width, device=offsets.device)
    first = torch.where(_within(rows, height), rows * width, outside).unsqueeze(2)
    second = torch.where(_within(columns, width), columns, outside).unsqueeze(1)
    return (first + second).clamp_(max=outside).flatten(1)


def _within(index: Tensor, length: int) -> Tensor:
    return (index >= 0) & (index < length)


def visibility(offsets: Tensor, size: Size) -> Tensor:
    """Return the part of each image that its crop still shows, (B,) float32 in [0, 1]. Nothing else counts (D16)."""
    if offsets.ndim != 2 or offsets.shape[1] != 2:
        raise ValueError(f"offsets: shape {tuple(offsets.shape)}; expected (B, 2): rows, columns")
    height, width = size
    rows, columns = offsets.abs().unbind(dim=1)
    return (height - rows).clamp(min=0) * (width - columns).clamp(min=0) / (height * width)
