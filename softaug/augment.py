"""From stored pixels to what the network sees: draw for the whole data set, then apply to a batch.

    uniform crop    crop (black canvas) -> flip -> normalise                              D14, D15
    Gaussian crop   flip -> normalise -> crop (canvas 0, or a constant colour per sample)

The released code puts the Gaussian crop last and draws its colour as 0.01 randn per channel; List. 1 fills zeros
without saying in which space; here both are in normalised space (D14).
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from softaug.crop import crop, gaussian_offsets, uniform_offsets, visibility
from softaug.datasets import Dataset, dataset
from softaug.flip import flip
from softaug.randomness import generator, uniforms
from softaug.recipe import GaussianCrop, Recipe, UniformCrop

COLOUR_STD = 0.01  # of the constant canvas colour, in normalised space


class Draws(NamedTuple):
    """What happens to each of N images. None: nothing of that kind happens to any of them."""

    mirrored: Tensor | None  # (N,) bool
    offsets: Tensor | None  # (N, 2) int64: rows, columns
    colour: Tensor | None  # (N, C) float32: the Gaussian crop's canvas; None for zeros

    def take(self, index: Tensor | slice) -> "Draws":
        """Return what happens to the images at these positions."""
        return Draws(*(None if part is None else part[index] for part in self))

    def to(self, device: torch.device) -> "Draws":
        """Return the draws on a device."""
        return Draws(*(None if part is None else part.to(device) for part in self))


@dataclass(frozen=True)
class Normalisation:
    """Mean and standard deviation per channel, (C, 1, 1) float32, in units of the pixel range 0..1."""

    mean: Tensor
    std: Tensor

    @classmethod
    def of(cls, known: Dataset, device: torch.device) -> Self:
        """Return a data set's normalisation on a device."""
        mean, std = (torch.tensor(values, device=device).view(-1, 1, 1) for values in (known.mean, known.std))
        return cls(mean, std)


class Augmented(NamedTuple):
    """Normalised images (B, C, H, W) float32 and their visibilities (B,) in [0, 1]."""

    images: Tensor
    visibility: Tensor


def draw(recipe: Recipe, n: int, *, epoch: int, crops: bool = True) -> Draws:
    """Draw on the CPU what happens in an epoch to n images, in their order. `crops`: False in the final phase."""
    known = dataset(recipe.data.name)
    mirrored = uniforms(n, generator=generator(recipe.seed, "flip", epoch)) < recipe.flip if recipe.flip > 0 else None
    if recipe.crop is None or not crops:
        return Draws(mirrored, None, None)
    u = uniforms(n, 2, generator=generator(recipe.seed, "crop", epoch))
    if isinstance(recipe.crop, UniformCrop):
        return Draws(mirrored, uniform_offsets(u, radius_px=recipe.crop.radius_px), None)
    size = (known.side_px, known.side_px)
    offsets = gaussian_offsets(u, size, sigma=recipe.crop.sigma, rounding=recipe.crop.rounding)
    if recipe.crop.fill == "zero_norm":
        return Draws(mirrored, offsets, None)
    return Draws(mirrored, offsets, _colours(n, known.channels, generator(recipe.seed, "colour", epoch)))


def augment(
    pixels: Tensor, draws: Draws, *, kind: UniformCrop | GaussianCrop | None, normalisation: Normalisation
) -> Augmented:
    """Apply to pixels (B, C, H, W) uint8 what was drawn for them, in the order that the kind of crop asks for."""
    offsets = draws.offsets
    if offsets is not None and isinstance(kind, UniformCrop):
        pixels = crop(pixels, offsets, fill=0)
    if draws.mirrored is not None:
        pixels = flip(pixels, draws.mirrored)
    images = normalise(pixels, normalisation)
    if offsets is None:
        return Augmented(images, images.new_ones(len(images)))
    if isinstance(kind, GaussianCrop):
        images = crop(images, offsets, fill=0.0 if draws.colour is None else draws.colour)
    return Augmented(images, visibility(offsets, (images.shape[2], images.shape[3])))


def normalise(pixels: Tensor, normalisation: Normalisation) -> Tensor:
    """Turn uint8 pixels into float32 with mean 0 and std 1, bit for bit as ToTensor and Normalize do."""
    return pixels.float().div_(255).sub_(normalisation.mean).div_(normalisation.std)


def to_pixels(images: Tensor, normalisation: Normalisation) -> Tensor:
    """Turn normalised images back into uint8 pixels, clamped to 0..255."""
    return (images * normalisation.std + normalisation.mean).mul(255).round().clamp(0, 255).to(torch.uint8)


def _colours(n: int, channels: int, generator: torch.Generator) -> Tensor:
    u = uniforms(n, channels, generator=generator).clamp(min=2**-54)
    normal: Tensor = torch.special.ndtri(u)
    return COLOUR_STD * normal.float()
