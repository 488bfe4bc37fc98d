"""One epoch as batches on the device: augmented images with their softened targets and weights."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from softaug.augment import Augmentation, Augmented, augmentations_on, draw
from softaug.data import AnyImages
from softaug.datasets import dataset
from softaug.mixup import MixingDraws, draw_mixing, mix
from softaug.noise import noise_pixels
from softaug.randomness import generator
from softaug.ranks import ALONE, Ranks
from softaug.recipe import Recipe
from softaug.softening import soft_target, soften

# Small images are augmented several batches at a time, since the cost then is that of the calls, not of the values.
BLOCK_VALUES = 2**21


class Batch(NamedTuple):
    """Images (B, C, H, W) float32, targets (B, classes), weights (B,), and p of the targets (B,), before any mixing."""

    images: Tensor
    target: Tensor
    weight: Tensor
    confidence: Tensor


def batches(
    augmentation: Augmentation, train: AnyImages, *, epoch: int, final_phase: bool = False, ranks: Ranks = ALONE
) -> Iterator[Batch]:
    """Yield the batches of an epoch (counted from 1) in its own order, of several ranks this one's share of each.

    The last one may be smaller. All random numbers but the pixels of noise are drawn on the CPU and moved at once.
    Mixup finds partners within the share.
    """
    recipe, device, known = augmentation.recipe, train.device, dataset(augmentation.recipe.data.name)
    n, size = len(train.labels), recipe.optim.batch_size // ranks.size
    order = ranks.rows(epoch_order(recipe, n, epoch=epoch), recipe.optim.batch_size)
    draws = draw(recipe, n, epoch=epoch, final_phase=final_phase, sizes=train.sizes).take(order)
    mixing = _mixing(recipe, n, epoch, final_phase, device)
    block = size * max(1, BLOCK_VALUES // (size * known.channels * known.side_px**2))
    stream, draws = train.stream(order, block, draws.cuts), draws.to(device)
    for start, images in zip(range(0, len(order), block), stream, strict=True):
        part = slice(start, start + block)
        first_step = start // size
        noise = _noise(recipe, torch.split(images.pixels, size), epoch=epoch, first_step=first_step, rank=ranks.rank)
        augmented = augmentation.apply(images.pixels, draws.take(part), noise)
        softened = label(recipe, augmented, images.labels)
        parts = zip(*(torch.split(values, size) for values in softened), strict=True)
        for step, values in enumerate(parts, first_step):
            yield Batch(*values) if mixing is None else _mixed(Batch(*values), mixing, step, size)


def epoch_order(recipe: Recipe, n: int, *, epoch: int) -> Tensor:
    """Return the order of n images in an epoch, (n,) int64: a permutation, the same in every run of a seed."""
    return torch.randperm(n, generator=generator(recipe.seed, "order", epoch))


def label(recipe: Recipe, augmented: Augmented, labels: Tensor) -> Batch:
    """Soften by what noise and crop took: the target below label smoothing's ceiling, the weight below 1 (D21)."""
    classes = dataset(recipe.data.name).classes
    ones = torch.ones_like(augmented.visibility)
    confidence, weight = (1 - recipe.label_smoothing) * ones, ones
    if recipe.softening is not None:
        softeners = ((augmented.kept_signal, recipe.softening.noise_k), (augmented.visibility, recipe.softening.k))
        for kept, k in softeners:
            if k is not None and recipe.softening.apply_to in ("target", "both"):
                confidence = soften(confidence, kept, k=k, classes=classes)
            if k is not None and recipe.softening.apply_to in ("weight", "both"):
                weight = soften(weight, kept, k=k, classes=classes)
    return Batch(augmented.images, soft_target(labels, confidence, classes=classes), weight, confidence)


def _noise(recipe: Recipe, batches: Sequence[Tensor], *, epoch: int, first_step: int, rank: int) -> Tensor | None:
    """Draw the noise of consecutive batches of pixels, each from its step's own generator."""
    if recipe.noise is None:
        return None
    std, seed = recipe.noise.pixel_std, recipe.seed
    steps = enumerate(batches, first_step)
    return torch.cat(
        [noise_pixels(each, std=std, seed=seed, epoch=epoch, step=step, rank=rank) for step, each in steps]
    )


def _mixing(recipe: Recipe, n: int, epoch: int, final_phase: bool, device: torch.device) -> MixingDraws | None:
    if recipe.mixup is None or not augmentations_on(recipe, final_phase)[1]:
        return None
    return draw_mixing(recipe.seed, epoch, n, batch_size=recipe.optim.batch_size, alpha=recipe.mixup.alpha).to(device)


def _mixed(batch: Batch, mixing: MixingDraws, step: int, size: int) -> Batch:
    places = mixing.places[step * size :][: len(batch.weight)]
    images, target, weight = mix(batch.images, batch.target, batch.weight, mixing.shares[step], places)
    return Batch(images, target, weight, batch.confidence)
