"""One epoch as batches on the device: augmented images with their softened targets and weights."""

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from softaug.augment import Augmented, Normalisation, augment, draw
from softaug.data import Images
from softaug.datasets import dataset
from softaug.randomness import generator
from softaug.recipe import Recipe
from softaug.softening import soft_target, soften

# Small images are augmented several batches at a time, since the cost then is that of the calls, not of the values.
BLOCK_VALUES = 2**17


class Batch(NamedTuple):
    """Images (B, C, H, W) float32, targets (B, classes), weights (B,), and p of the targets (B,)."""

    images: Tensor
    target: Tensor
    weight: Tensor
    confidence: Tensor


def batches(recipe: Recipe, train: Images, normalisation: Normalisation, *, epoch: int, crops: bool) -> Iterator[Batch]:
    """Yield the batches of an epoch (counted from 1) in its own order; the last one may be smaller.

    All random numbers are drawn on the CPU and moved at once.
    """
    n, size = len(train.labels), recipe.optim.batch_size
    order = torch.randperm(n, generator=generator(recipe.seed, "order", epoch))
    draws = draw(recipe, n, epoch=epoch, crops=crops).take(order).to(train.pixels.device)
    order = order.to(train.pixels.device)
    block = size * max(1, BLOCK_VALUES // (size * train.pixels[0].numel()))
    for start in range(0, n, block):
        part = slice(start, start + block)
        images = train.take(order[part])
        augmented = augment(images.pixels, draws.take(part), kind=recipe.crop, normalisation=normalisation)
        softened = label(recipe, augmented, images.labels)
        yield from (Batch(*rows) for rows in zip(*(torch.split(values, size) for values in softened), strict=True))


def label(recipe: Recipe, augmented: Augmented, labels: Tensor) -> Batch:
    """Soften what the recipe says by visibility: the target below label smoothing's ceiling, the weight below 1."""
    classes = dataset(recipe.data.name).classes
    ones = torch.ones_like(augmented.visibility)
    confidence, weight = (1 - recipe.label_smoothing) * ones, ones
    if recipe.softening is not None:
        seen, k = augmented.visibility, recipe.softening.k
        if recipe.softening.apply_to in ("target", "both"):
            confidence = soften(confidence, seen, k=k, classes=classes)
        if recipe.softening.apply_to in ("weight", "both"):
            weight = soften(weight, seen, k=k, classes=classes)
    return Batch(augmented.images, soft_target(labels, confidence, classes=classes), weight, confidence)
