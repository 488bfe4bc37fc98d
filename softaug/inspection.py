"""What a recipe does to images and labels, before any training: its own draws, without a network.

Over the N training images as the first epochs augment and label them, by the very functions that training calls:

    visibility v, confidence p of the target, entropy of the target in nats, weight w as it enters the loss
    effective fraction = (sum w)^2 / (n sum w^2)      1 for equal weights, 1/n if one image has all the weight

One epoch if it has 10,000 images, else as many as that takes; never more than the recipe trains, and none of its final
phase. So n = N * epochs, and the standard error of the mean p is at most 0.005 unless the training itself is shorter.
Mixup is not applied: what is shown are the images and targets that it mixes; see `left_out` for what else is not.
Numbers without training have closed forms (method §1.2), which the tests compare with.
"""

import json
from dataclasses import dataclass, fields
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softaug.augment import Augmentation, Augmented, draw, to_pixels
from softaug.batches import epoch_order, label
from softaug.data import Images
from softaug.datasets import dataset
from softaug.loss import effective_weights, entropy
from softaug.noise import noise_pixels
from softaug.recipe import Recipe
from softaug.schedule import in_final_phase

ENOUGH_IMAGES = 10_000
BINS = 20
CURVE_POINTS = 101
SAMPLE_IMAGES = 16
BLOCK_VALUES = 2**20  # augmented and labelled at once: 4 MB of pixels
# What changes nothing about the images. A field that is not listed is taken to change them.
AFTER_AUGMENTATION = {
    "model", "mixup", "softening", "label_smoothing", "online_label_smoothing", "loss", "optim", "precision",
    "test_every_epochs",
}  # fmt: skip


@dataclass(frozen=True)
class Histogram:
    """Counts between neighbouring edges, one edge more than counts; the last bin holds its upper edge, too."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]


@dataclass(frozen=True)
class Curve:
    """Confidence p and weight w of an image over its visibility 0..1, without noise; w as it enters the loss."""

    visibility: tuple[float, ...]
    confidence: tuple[float, ...]
    weight: tuple[float, ...]


@dataclass(frozen=True)
class Sample:
    """One augmented image, pixels (C, H, W) uint8, and what became of its label."""

    pixels: NDArray[np.uint8]
    class_name: str
    visibility: float
    confidence: float
    weight: float


@dataclass(frozen=True)
class Inspection:
    """A recipe's augmentation and labels over its `images` training images in `epochs`, and the first 16 images."""

    images: int
    epochs: int
    mean_visibility: float
    mean_confidence: float
    se_confidence: float | None  # standard error of that mean; None for a single image in a single epoch
    mean_entropy_nats: float
    mean_weight: float
    effective_fraction: float
    visibility: Histogram
    confidence: Histogram
    curve: Curve
    samples: tuple[Sample, ...]

    def numbers(self) -> dict[str, float | None]:
        """Return what is one number, by name with its unit, as CSV and JSON have it."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in values.items() if value is None or isinstance(value, int | float)}


@dataclass(frozen=True)
class Seen:
    """What E epochs' augmentation leaves of N images: visibility and kept signal (E, N).

    `pixels` (16, C, H, W) uint8 are the first images as the first epoch makes them.
    """

    visibility: Tensor
    kept_signal: Tensor
    pixels: Tensor


def inspect(recipe: Recipe, train: Images, seen: Seen | None = None) -> Inspection:
    """Inspect what a recipe makes of its training images, on their device.

    `seen`: from `augment`, of these images and a recipe with the same `augmentation_key`.
    """
    seen = augment(recipe, train) if seen is None else seen
    epochs = [_labelled(recipe, train, *both) for both in zip(seen.visibility, seen.kept_signal, strict=True)]
    confidence, raw_weight, entropies = (torch.stack(values) for values in zip(*epochs, strict=True))
    weight = _in_the_loss(recipe, raw_weight)
    return Inspection(
        images=len(train.labels),
        epochs=len(epochs),
        mean_visibility=_mean(seen.visibility),
        mean_confidence=_mean(confidence),
        se_confidence=_standard_error(confidence),
        mean_entropy_nats=_mean(entropies),
        mean_weight=_mean(weight),
        effective_fraction=_mean(weight) ** 2 / _mean(weight.double() ** 2),
        visibility=_histogram(seen.visibility),
        confidence=_histogram(confidence),
        curve=_curve(recipe, _mean(raw_weight)),
        samples=_samples(recipe, train, seen, confidence[0], weight[0]),
    )


def augment(recipe: Recipe, train: Images) -> Seen:
    """Augment all training images as the first epochs do, a block at a time."""
    augmentation = Augmentation.of(recipe, train.pixels.device)
    epochs = [_augment_epoch(augmentation, train, number + 1) for number in range(epochs_looked_at(recipe, train))]
    visibility, kept_signal = (torch.stack([epoch[part] for epoch in epochs]) for part in (0, 1))
    return Seen(visibility, kept_signal, epochs[0][2])


def epochs_looked_at(recipe: Recipe, train: Images) -> int:
    """Return how many epochs it takes to see enough images, at most those before the final phase."""
    epochs, phase = recipe.optim.epochs, recipe.final_phase
    wanted = min(-(-ENOUGH_IMAGES // len(train.labels)), epochs)
    return sum(phase is None or not in_final_phase(done, epochs, phase.start) for done in range(wanted))


def augmentation_key(recipe: Recipe) -> str:
    """Return a text that recipes share if they make the same images, whatever their labels, loss and network."""
    images = recipe.model_dump(mode="json", exclude=AFTER_AUGMENTATION)
    return json.dumps({**images, "epochs": recipe.optim.epochs}, sort_keys=True)


def left_out(recipe: Recipe) -> tuple[str, ...]:
    """Return what of a recipe an inspection does not show, a sentence without a full stop each."""
    notes = []
    if recipe.mixup is not None:
        notes.append("Mixup is not applied: images and targets are those it mixes")
    if recipe.online_label_smoothing:
        notes.append("Online label smoothing learns its targets in training: the labels it starts from are shown")
    if recipe.loss.focal_gamma > 0:
        notes.append("Focal loss weighs by what the network says: not in the weights shown")
    phase, epochs = recipe.final_phase, recipe.optim.epochs
    if phase is not None and in_final_phase(epochs - 1, epochs, phase.start):
        notes.append(f"The final phase, from {100 * phase.start:.3g} % of training on, is not shown")
    return tuple(notes)


def _augment_epoch(augmentation: Augmentation, train: Images, epoch: int) -> tuple[Tensor, Tensor, Tensor]:
    """Return visibility and kept signal of every image in an epoch, (N,) each, and the first images' pixels."""
    recipe, device, n = augmentation.recipe, train.pixels.device, len(train.labels)
    draws = draw(recipe, n, epoch=epoch).to(device)
    visibility, kept_signal, first = [], [], train.pixels[:0]
    for number, part in enumerate(_blocks(n, train.pixels[0].numel())):
        pixels, noise = train.pixels[part], None
        if recipe.noise is not None:
            std = recipe.noise.pixel_std
            noise = noise_pixels(pixels, std=std, seed=recipe.seed, epoch=epoch, step=number)
        augmented = augmentation.apply(pixels, draws.take(part), noise)
        visibility.append(augmented.visibility)
        kept_signal.append(augmented.kept_signal)
        if number == 0:
            first = to_pixels(augmented.images[:SAMPLE_IMAGES], augmentation.normalisation)
    return torch.cat(visibility), torch.cat(kept_signal), first


def _labelled(recipe: Recipe, train: Images, visibility: Tensor, kept_signal: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return confidence, weight and target entropy of every image in an epoch, (N,) each; weights not normalised."""
    parts = []
    for part in _blocks(len(train.labels), dataset(recipe.data.name).classes):
        augmented = Augmented(train.pixels[part], visibility[part], kept_signal[part])
        batch = label(recipe, augmented, train.labels[part])
        parts.append((batch.confidence, batch.weight, entropy(batch.target)))
    confidence, weight, entropies = (torch.cat(values) for values in zip(*parts, strict=True))
    return confidence, weight, entropies


def _in_the_loss(recipe: Recipe, weights: Tensor) -> Tensor:
    """Return the weights (E, N) as they enter the loss in the batches of their epochs."""
    loss, effective = recipe.loss, torch.empty_like(weights)
    for epoch, weight in enumerate(weights, 1):
        order = epoch_order(recipe, len(weight), epoch=epoch).to(weight.device)
        for batch in torch.split(order, recipe.optim.batch_size):
            normalised = effective_weights(weight[batch], weighting=loss.weighting, weight_norm=loss.weight_norm)
            effective[epoch - 1, batch] = normalised
    return effective


def _curve(recipe: Recipe, mean_weight: float) -> Curve:
    """Return p(v) and w(v); `mean_weight`: of the raw weights, by which a batch's are rescaled or replaced."""
    visibility = torch.linspace(0, 1, CURVE_POINTS, dtype=torch.float64)
    nothing_shown = visibility.view(-1, 1, 1, 1)
    augmented = Augmented(nothing_shown, visibility, torch.ones_like(visibility))
    batch = label(recipe, augmented, torch.zeros(CURVE_POINTS, dtype=torch.int64))
    weight = batch.weight / mean_weight if recipe.loss.weight_norm == "mean1" else batch.weight
    if recipe.loss.weighting == "batch_mean":
        weight = torch.full_like(weight, mean_weight)
    return Curve(*(tuple(values.tolist()) for values in (visibility, batch.confidence, weight)))


def _samples(recipe: Recipe, train: Images, seen: Seen, confidence: Tensor, weight: Tensor) -> tuple[Sample, ...]:
    names = dataset(recipe.data.name).class_names
    values = zip(
        seen.pixels.cpu().numpy(),
        (names[number] for number in train.labels[: len(seen.pixels)].tolist()),
        *(part[: len(seen.pixels)].tolist() for part in (seen.visibility[0], confidence, weight)),
        strict=True,
    )
    return tuple(Sample(*each) for each in values)


def _histogram(values: Tensor) -> Histogram:
    """Count values in 0..1 in equal bins, closed on the left and the last one on both sides."""
    edges = tuple(number / BINS for number in range(BINS + 1))
    inner = torch.tensor(edges[1:-1], dtype=torch.float64)
    index = torch.bucketize(values.double().flatten().cpu(), inner, right=True)
    return Histogram(edges, tuple(torch.bincount(index, minlength=BINS).tolist()))


def _mean(values: Tensor) -> float:
    return values.double().mean().item()


def _standard_error(values: Tensor) -> float | None:
    n = values.numel()
    return values.double().std().item() / sqrt(n) if n > 1 else None


def _blocks(n: int, values_each: int) -> list[slice]:
    size = max(SAMPLE_IMAGES, BLOCK_VALUES // values_each)
    return [slice(start, start + size) for start in range(0, n, size)]
