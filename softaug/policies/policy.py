"""RandAugment and TrivialAugmentWide, drawn per image and applied to a whole batch on its device.

    RandAugment           num_ops operations of 14, all at one magnitude bin of 31, signs with p = 1/2
    TrivialAugmentWide    one operation of 14, its bin uniform over 31, sign likewise

Laws and pixels are torchvision 0.29's (method §1.6): operations with replacement, nearest neighbour, black fill, uint8
in and out. The random stream is ours: a draw is the number of a setting per image and round, from uniforms.
The authors ran torchvision on PIL images: flavour `pil` (D37). The flavour `tensor` equals torchvision on tensors.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cache
from math import isfinite
from typing import get_args

import torch
from torch import Tensor

from softaug.policies.kernels import apply_rounds
from softaug.policies.settings import (
    BINS,
    ENHANCERS,
    OPS,
    Flavour,
    OpName,
    Setting,
    Size,
    Tables,
    rand_augment_settings,
    tabulate,
    trivial_augment_settings,
)
from softaug.randomness import uniforms

FLAVOURS: tuple[str, ...] = get_args(Flavour)
CHANNELS = (1, 3)


class Policy(ABC):
    """What the two policies share: a draw per image and round, then its application."""

    flavour: Flavour
    num_ops: int

    @abstractmethod
    def settings(self, size: Size) -> tuple[Setting, ...]:
        """Return all that can be drawn for images of a size."""

    @abstractmethod
    def draw(self, u: Tensor) -> Tensor:
        """Turn uniforms (n, num_ops, 3) into settings (n, num_ops) int64."""

    def uniforms(self, n: int, *, generator: torch.Generator) -> Tensor:
        """Return the uniforms of n images: for each round one for operation, bin and sign, (n, num_ops, 3) float64."""
        return uniforms(n, self.num_ops, 3, generator=generator)

    def apply(self, images: Tensor, settings: Tensor) -> Tensor:
        """Apply settings (B, num_ops) to images (B, C, H, W) uint8, round after round; same shape and dtype."""
        _check(images)
        if settings.shape != (len(images), self.num_ops) or settings.device != images.device:
            raise ValueError(
                f"settings: shape {tuple(settings.shape)} on {settings.device}; expected "
                f"{(len(images), self.num_ops)} on {images.device}, where the images are"
            )
        return apply_rounds(images, settings, self.tables((images.shape[2], images.shape[3]), images.device))

    def tables(self, size: Size, device: torch.device) -> Tables:
        """Return what `apply_rounds` needs besides images and settings. Made once per size and device, then kept."""
        return _tables(self, size, device)

    def __call__(self, images: Tensor, *, generator: torch.Generator) -> Tensor:
        """Draw for images (B, C, H, W) uint8 of 1 or 3 channels and apply it. The generator is one of the CPU."""
        _check(images)
        return self.apply(images, self.draw(self.uniforms(len(images), generator=generator)).to(images.device))


@dataclass(frozen=True)
class RandAugment(Policy):
    """`num_ops` operations per image, all at the magnitude bin `magnitude` of 0..30 (Cubuk et al. 2020)."""

    num_ops: int = 2
    magnitude: int = 9
    flavour: Flavour = "pil"

    def __post_init__(self) -> None:
        _check_flavour(self.flavour)
        if not 0 <= self.magnitude < BINS:
            raise ValueError(f"magnitude: {self.magnitude} is no bin; allowed: 0 to {BINS - 1}")
        if self.num_ops < 1:
            raise ValueError(f"num_ops: {self.num_ops}; allowed: 1 or more")

    def settings(self, size: Size) -> tuple[Setting, ...]:
        """Return each operation at the policy's magnitude, with + and with -."""
        return rand_augment_settings(self.magnitude, size)

    def draw(self, u: Tensor) -> Tensor:
        """Turn uniforms (n, num_ops, 3) into settings (n, num_ops) int64. The one for the bin stays unused."""
        return 2 * _index(u[..., 0], len(OPS)) + _index(u[..., 2], 2)


@dataclass(frozen=True)
class TrivialAugmentWide(Policy):
    """One operation per image at a uniform magnitude bin (Müller and Hutter 2021), as torchvision has it (D38)."""

    flavour: Flavour = "pil"
    num_ops = 1

    def __post_init__(self) -> None:
        _check_flavour(self.flavour)

    def settings(self, _size: Size) -> tuple[Setting, ...]:
        """Return each operation at each bin, with + and with -, whatever the size."""
        return trivial_augment_settings()

    def draw(self, u: Tensor) -> Tensor:
        """Turn uniforms (n, 1, 3) into settings (n, 1) int64."""
        return 2 * (BINS * _index(u[..., 0], len(OPS)) + _index(u[..., 1], BINS)) + _index(u[..., 2], 2)


def apply_op(images: Tensor, op_name: OpName, magnitude: float, *, flavour: Flavour) -> Tensor:
    """Apply one operation to all images (B, C, H, W) uint8: torchvision's `_apply_op`, nearest neighbour, black fill.

    Posterize takes the bits to keep, Solarize a threshold; the others are as in method §1.6. Raises ValueError.
    """
    _check(images)
    _check_flavour(flavour)
    _check_magnitude(op_name, magnitude)
    tables = tabulate([Setting(op_name, magnitude)], (images.shape[2], images.shape[3]), flavour).to(images.device)
    return apply_rounds(images, torch.zeros(len(images), 1, dtype=torch.int64, device=images.device), tables)


@cache
def _tables(policy: Policy, size: Size, device: torch.device) -> Tables:
    return tabulate(policy.settings(size), size, policy.flavour).to(device)


def _index(u: Tensor, choices: int) -> Tensor:
    """Turn uniforms in [0, 1) into numbers 0..choices - 1, int64."""
    return (u * choices).long()


def _check(images: Tensor) -> None:
    if images.dtype != torch.uint8:
        raise TypeError(f"images: {images.dtype}; policies work on uint8 pixels, before normalising")
    if images.ndim != 4 or images.shape[1] not in CHANNELS:
        raise ValueError(f"images: shape {tuple(images.shape)}; expected (B, C, H, W) with 1 or 3 channels")


def _check_flavour(flavour: str) -> None:
    if flavour not in FLAVOURS:
        raise ValueError(f"flavour: {flavour!r}; allowed: {', '.join(FLAVOURS)}")


def _check_magnitude(op_name: str, magnitude: float) -> None:
    if op_name not in OPS:
        raise ValueError(f"op_name: {op_name!r} is no operation; allowed: {', '.join(OPS)}")
    if not isfinite(magnitude):
        raise ValueError(f"magnitude: {magnitude}; it must be finite")
    lowest, highest = _allowed(op_name)
    if not lowest <= magnitude <= highest:
        raise ValueError(f"magnitude: {magnitude} for {op_name}; allowed: {lowest:g} to {highest:g}")


def _allowed(op_name: str) -> tuple[float, float]:
    if op_name in ENHANCERS:
        return -1.0, float("inf")
    return {"Posterize": (1, 8), "Solarize": (0, 255)}.get(op_name, (float("-inf"), float("inf")))
