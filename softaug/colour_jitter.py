"""Colour jitter and random grayscale, each image with its own factors and its own order of the four operations.

    brightness   x <- f x
    contrast     x <- f x + (1 - f) mean(grey(x))                   grey = 0.2989 R + 0.587 G + 0.114 B
    saturation   x <- f x + (1 - f) grey(x)
    hue          the hue turned by f of a full turn, HSV's saturation and value kept

each clamped to [0, 1]; f uniform in 1 +- 0.4 (hue: +-0.1); all four with probability 0.8, in a random order, then grey
with probability 0.2: SimSiam's, method 1.9 (the paper does not say). Definitions as in torchvision's tensor kernels.

Images are float32 in [0, 1], before normalising: hue is a fraction, and four operations in a row on uint8 would round
four times. Known difference: upstream SimSiam runs PIL, which rounds after every operation (contrast's mean, too), has
grey weights summing to 1 and turns the hue by 1/256 steps.

Three of the operations are one blend with another `f` and other end, neutral at f = 1. So no image waits for another's
order: up to three blends before the hue's turn for all images, the hue, up to three after, neutral where not drawn.
"""

from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor

BRIGHTNESS, CONTRAST, SATURATION, HUE = range(4)
ORDERS = tuple(permutations(range(4)))
GREY = (0.2989, 0.587, 0.114)  # torchvision's


class Jitter(NamedTuple):
    """What happens to the colours of B images."""

    factors: Tensor  # (B, 4) float32: brightness, contrast, saturation (1: unchanged), turn of the hue (0: unchanged)
    order: Tensor  # (B, 4) int64: which of the four comes first, second, third, last
    grey: Tensor  # (B,) bool: grey at the end


def random_jitter(
    u: Tensor,
    *,
    brightness: float = 0.4,
    contrast: float = 0.4,
    saturation: float = 0.4,
    hue: float = 0.1,
    jittered: float = 0.8,
    grey: float = 0.2,
) -> Jitter:
    """Turn uniforms (B, 7) float64 in [0, 1) into what happens to B images; on the uniforms' device.

    A sample's uniforms are jittered or not, order, brightness, contrast, saturation, hue, grey or not. The first three
    strengths are in [0, 1], the hue's in [0, 0.5]; `jittered` and `grey` are probabilities.
    """
    if u.dtype != torch.float64:
        raise TypeError(f"uniforms of {u.dtype}: allowed is torch.float64, as softaug.randomness.uniforms draws them")
    if u.ndim != 2 or u.shape[1] != 7:
        raise ValueError(f"uniforms {tuple(u.shape)}: allowed is (B, 7)")
    for value, most in ((brightness, 1), (contrast, 1), (saturation, 1), (hue, 0.5), (jittered, 1), (grey, 1)):
        if not 0 <= value <= most:
            raise ValueError(f"{value}: strengths and probabilities are in [0, 1], the hue's strength in [0, 0.5]")
    neutral, strengths = u.new_tensor([1, 1, 1, 0]), u.new_tensor([brightness, contrast, saturation, hue])
    factors = neutral + torch.where(u[:, :1] < jittered, strengths * (2 * u[:, 2:6] - 1), 0)
    order = torch.tensor(ORDERS, device=u.device)[(u[:, 1] * len(ORDERS)).long()]
    return Jitter(factors.float(), order, u[:, 6] < grey)


def colour_jitter(images: Tensor, jitter: Jitter) -> Tensor:
    """Change the colours of images (B, C, H, W) float32 in [0, 1], C 1 or 3, as drawn; same shape and range.

    Images of one channel have no hue and no saturation to change. Raises TypeError for another dtype, ValueError for
    another shape.
    """
    _check(images, jitter)
    turn_at = (jitter.order == HUE).int().argmax(dim=1)
    for position in range(3):
        images = _blend(images, jitter, position, position < turn_at)
    images = _turn_hue(images, jitter.factors[:, HUE])
    for position in range(1, 4):
        images = _blend(images, jitter, position, position > turn_at)
    return torch.where(_per_image(jitter.grey), _grey(images), images)


def _blend(images: Tensor, jitter: Jitter, position: int, active: Tensor) -> Tensor:
    """Do each image's operation at this position of its order where `active` (B,); the hue's turn is not one."""
    operation = jitter.order[:, position]
    factor = torch.where(active, jitter.factors.gather(1, operation.unsqueeze(1)).squeeze(1), 1)
    grey = _grey(images)
    flat = torch.where(_per_image(operation == CONTRAST), grey.mean(dim=(1, 2, 3), keepdim=True), 0)
    end = torch.where(_per_image(operation == SATURATION), grey, flat)
    return torch.lerp(end, images, _per_image(factor)).clamp_(0, 1)  # exactly the image where the factor is 1


def _turn_hue(images: Tensor, turn: Tensor) -> Tensor:
    """Turn the hue of each image by its fraction of a full turn, (B,) in [-0.5, 0.5]; unchanged where 0.

    With hue h in sixths of a turn, a colour is low + (high - low) w, where w is a trapezoid in h: for red
    |h - 3| - 1, for green 2 - |h - 2|, for blue 2 - |h - 4|, each clamped to [0, 1].
    """
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    low, high = images.amin(dim=1), images.amax(dim=1)
    spread = high - low
    divisor = torch.where(spread > 0, spread, 1)  # grey has no hue: any will do
    from_red, from_green, from_blue = green - blue, blue - red, red - green
    sixths = torch.where(high == green, 2 + from_green / divisor, 4 + from_blue / divisor)
    sixths = torch.where(high == red, from_red / divisor, sixths) + 6 * turn.view(-1, 1, 1)
    sixths.sub_((sixths / 6).floor_().mul_(6))
    trapezoids = torch.stack(((sixths - 3).abs() - 1, 2 - (sixths - 2).abs(), 2 - (sixths - 4).abs()), dim=1)
    turned = trapezoids.clamp_(0, 1).mul_(spread.unsqueeze(1)).add_(low.unsqueeze(1))
    return torch.where(_per_image(turn == 0), images, turned)


def _grey(images: Tensor) -> Tensor:
    """Return the grey of images (B, 1 or 3, H, W), (B, 1, H, W)."""
    if images.shape[1] == 1:
        return images
    red, green, blue = images.unbind(dim=1)
    return (GREY[0] * red).add_(green, alpha=GREY[1]).add_(blue, alpha=GREY[2]).unsqueeze(1)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _check(images: Tensor, jitter: Jitter) -> None:
    if images.dtype != torch.float32:
        raise TypeError(f"images of {images.dtype}: allowed is torch.float32 in [0, 1]")
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"images {tuple(images.shape)}: allowed is (B, C, H, W) with C 1 or 3")
    if len(jitter.factors) != len(images):
        raise ValueError(f"what was drawn is for {len(jitter.factors)} images, not for {len(images)}")
