"""From stored pixels to what the network sees: draw for the whole data set, then apply to a batch.

    uniform crop    crop (black canvas) -> flip -> policy -> normalise -> noise -> cutout      D14, D15
    Gaussian crop   flip -> policy -> normalise -> noise -> cutout -> crop (canvas 0, or a constant colour per sample)
    resized crops   crop and resize (canvas of the mean colour) -> flip -> policy -> normalise -> noise -> cutout   D43

The released code puts the Gaussian crop last and draws its colour as 0.01 randn per channel; List. 1 fills zeros
without saying in which space; here both are in normalised space (D14). TrivialAugment takes RandAugment's place (D38).
Resized crops are those of images of many sizes; `softaug.data` applies them, since they give a batch its shape.
"""

from dataclasses import dataclass
from typing import NamedTuple, Self

import torch
from torch import Tensor

from softaug.boxes import visibility_of_boxes
from softaug.crop import crop, gaussian_offsets, uniform_offsets, visibility
from softaug.cutout import cutout, hole_centres
from softaug.cuts import draw_cuts
from softaug.datasets import Dataset, dataset
from softaug.flip import flip
from softaug.noise import add_noise, amplitudes, kept_signal
from softaug.policies.kernels import apply_rounds
from softaug.policies.policy import Policy, RandAugment, TrivialAugmentWide
from softaug.policies.settings import Tables
from softaug.randomness import generator, uniforms
from softaug.recipe import Recipe
from softaug.recipe_parts import GaussianResizedCrop, RandomResizedCrop, UniformCrop
from softaug.recipe_parts import RandAugment as RandAugmentPart
from softaug.recipe_parts import TrivialAugment as TrivialAugmentPart

COLOUR_STD = 0.01  # of the constant canvas colour, in normalised space


class Draws(NamedTuple):
    """What happens to each of N images. None: nothing of that kind happens to any of them."""

    mirrored: Tensor | None = None  # (N,) bool
    offsets: Tensor | None = None  # (N, 2) int64: rows, columns
    colour: Tensor | None = None  # (N, C) float32: the Gaussian crop's canvas; None for zeros
    settings: Tensor | None = None  # (N, rounds) int64: the policy's
    amplitude: Tensor | None = None  # (N,) float32: of the noise
    holes: Tensor | None = None  # (N, 2) int64: centres of Cutout's, rows, columns
    cuts: Tensor | None = None  # (N, 6) int64: canvas and box of a resized crop, see softaug.cuts

    def take(self, index: Tensor | slice) -> "Draws":
        """Return what happens to the images at these positions."""
        return Draws(*(None if part is None else part[index] for part in self))

    def to(self, device: torch.device) -> "Draws":
        """Return the draws on a device."""
        return Draws(*(None if part is None else part.to(device) for part in self))


class Augmented(NamedTuple):
    """Normalised images (B, C, H, W) float32; per image what the crop shows of it and the noise leaves, in [0, 1]."""

    images: Tensor
    visibility: Tensor
    kept_signal: Tensor


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


@dataclass(frozen=True)
class Augmentation:
    """A recipe's augmentation, ready on a device. `policy_tables`: what the policy looks up, None without one."""

    recipe: Recipe
    normalisation: Normalisation
    policy_tables: Tables | None

    @classmethod
    def of(cls, recipe: Recipe, device: torch.device) -> Self:
        """Prepare a recipe's augmentation on a device."""
        known = dataset(recipe.data.name)
        policy = policy_of(recipe)
        tables = None if policy is None else policy.tables((known.side_px, known.side_px), device)
        return cls(recipe, Normalisation.of(known, device), tables)

    def apply(self, pixels: Tensor, draws: Draws, noise: Tensor | None = None) -> Augmented:
        """Apply to pixels (B, C, H, W) uint8 what was drawn for them, in the order that the kind of crop asks for.

        Pixels of a resized crop are cut already. `noise`: its pixels, from `softaug.noise.noise_pixels`, if the recipe
        has noise.
        """
        hard = isinstance(self.recipe.crop, UniformCrop)
        if draws.offsets is not None and hard:
            pixels = crop(pixels, draws.offsets, fill=0)
        if draws.mirrored is not None:
            pixels = flip(pixels, draws.mirrored)
        if draws.settings is not None and self.policy_tables is not None:
            pixels = apply_rounds(pixels, draws.settings, self.policy_tables)
        images = normalise(pixels, self.normalisation)
        images, signal = self._disturb(images, draws, noise)
        if draws.cuts is not None:
            return Augmented(images, visibility_of_boxes(draws.cuts[:, 2:], draws.cuts[:, :2]), signal)
        if draws.offsets is None:
            return Augmented(images, images.new_ones(len(images)), signal)
        if not hard:
            images = crop(images, draws.offsets, fill=0.0 if draws.colour is None else draws.colour)
        return Augmented(images, visibility(draws.offsets, (images.shape[2], images.shape[3])), signal)

    def _disturb(self, images: Tensor, draws: Draws, noise: Tensor | None) -> tuple[Tensor, Tensor]:
        """Add noise and cut holes; return the images and what the noise leaves of each, (B,)."""
        signal = images.new_ones(len(images))
        if self.recipe.noise is not None and draws.amplitude is not None and noise is not None:
            form = self.recipe.noise.form
            images, signal = (
                add_noise(images, draws.amplitude, noise, form=form),
                kept_signal(draws.amplitude, form=form),
            )
        if self.recipe.cutout is not None and draws.holes is not None:
            images = cutout(images, draws.holes, side_px=self.recipe.cutout.side_px)
        return images, signal


def draw(recipe: Recipe, n: int, *, epoch: int, final_phase: bool = False, sizes: Tensor | None = None) -> Draws:
    """Draw on the CPU what happens in an epoch to n images, in their order; less in the final phase (D17, D18).

    `sizes`: heights and widths of the images (n, 2) int64, for resized crops.
    """
    policy, size = policy_of(recipe), (dataset(recipe.data.name).side_px,) * 2
    soft, all_else = augmentations_on(recipe, final_phase)

    def stream(name: str) -> torch.Generator:
        return generator(recipe.seed, name, epoch)

    draws = Draws()
    if recipe.flip > 0:
        draws = draws._replace(mirrored=uniforms(n, generator=stream("flip")) < recipe.flip)
    if policy is not None:
        draws = draws._replace(settings=policy.draw(policy.uniforms(n, generator=stream("policy"))))
    if recipe.noise is not None and soft:
        draws = draws._replace(amplitude=amplitudes(uniforms(n, generator=stream("noise")), sigma=recipe.noise.sigma))
    if recipe.cutout is not None and all_else:
        draws = draws._replace(holes=hole_centres(uniforms(n, 2, generator=stream("cutout")), size))
    if isinstance(recipe.crop, RandomResizedCrop | GaussianResizedCrop):
        if sizes is None:
            raise ValueError(f"crop {recipe.crop.kind}: it depends on the images' sizes, which are not given")
        return draws._replace(cuts=draw_cuts(recipe.crop, sizes, side_px=size[0], generator=stream("crop")))
    if isinstance(recipe.crop, UniformCrop):
        u = uniforms(n, 2, generator=stream("crop"))
        return draws._replace(offsets=uniform_offsets(u, radius_px=recipe.crop.radius_px))
    if recipe.crop is None or not soft:
        return draws
    u = uniforms(n, 2, generator=stream("crop"))
    offsets = gaussian_offsets(u, size, sigma=recipe.crop.sigma, rounding=recipe.crop.rounding)
    noisy = recipe.crop.fill == "const_noise"
    colour = _colours(n, dataset(recipe.data.name).channels, stream("colour")) if noisy else None
    return draws._replace(offsets=offsets, colour=colour)


def augmentations_on(recipe: Recipe, final_phase: bool) -> tuple[bool, bool]:
    """Say whether the soft augmentations, and whether Cutout and Mixup are on."""
    if not final_phase or recipe.final_phase is None:
        return True, True
    return False, recipe.final_phase.turns_off == "soft"


def policy_of(recipe: Recipe) -> Policy | None:
    """Return the policy that a recipe describes."""
    match recipe.policy:
        case RandAugmentPart(num_ops=num_ops, magnitude=magnitude, flavour=flavour):
            return RandAugment(num_ops=num_ops, magnitude=magnitude, flavour=flavour)
        case TrivialAugmentPart(flavour=flavour):
            return TrivialAugmentWide(flavour=flavour)
    return None


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
