"""Refusals shared by the method's functions: a wrong value is named, with what is allowed.

Only what the host knows is looked at, numbers, shapes, dtypes and devices: looking at a tensor's values would wait for
the device.
"""

from math import isfinite

import torch
from torch import Tensor


def check_number(name: str, value: float, *, above: float | None = None, least: float = 0) -> None:
    """Refuse a number that is not finite and above `above` if that is given, else at least `least`."""
    small = value < least if above is None else value <= above
    if small or not isfinite(value):
        bound = f"at least {least:g}" if above is None else f"above {above:g}"
        raise ValueError(f"{name}: {value}; allowed: a finite number {bound}")


def check_images(images: Tensor) -> None:
    """Refuse what is not a batch (B, C, H, W) of uint8 or floating point."""
    if images.ndim != 4:
        raise ValueError(f"images: shape {tuple(images.shape)}; expected (B, C, H, W)")
    if images.dtype != torch.uint8 and not images.is_floating_point():
        raise TypeError(f"images: {images.dtype}; allowed: uint8 or floating point")


def check_per_image(name: str, values: Tensor, shape: tuple[int, ...], device: torch.device) -> None:
    """Refuse values of another shape than one entry per image, or on another device than the images."""
    if tuple(values.shape) != shape:
        raise ValueError(f"{name}: shape {tuple(values.shape)}; expected {shape}")
    if values.device != device:
        raise ValueError(f"{name}: on {values.device}; expected on {device}, where the images are")
