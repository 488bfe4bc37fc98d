"""Images as tensors, split into those to train on, to select on and to report on.

Splits are fixed permutations, the same for every seed: what varies over seeds is training. Every subset is balanced
over the classes and smaller ones lie in larger ones. Validation images are held out of the training images, so the
test set never depends on them.
"""

import warnings
from dataclasses import dataclass
from typing import Any, NamedTuple, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from softaug.arrays import Arrays
from softaug.datasets import check_sizes, dataset
from softaug.randomness import generator
from softaug.recipe import Data


class Images(NamedTuple):
    """Labelled images: pixels (N, C, H, W) uint8, labels (N,) int64."""

    pixels: Tensor
    labels: Tensor

    def take(self, index: Tensor) -> "Images":
        """Return a copy of the images at these positions, in this order."""
        return Images(self.pixels[index], self.labels[index])

    def to(self, device: torch.device) -> "Images":
        """Return the images on a device, the same ones if they are there already."""
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class Splits:
    """Images to train on, to select on (None unless the recipe holds some out), and to report on."""

    train: Images
    validation: Images | None
    test: Images

    def to(self, device: torch.device) -> Self:
        """Return the splits on a device."""
        validation = None if self.validation is None else self.validation.to(device)
        return type(self)(self.train.to(device), validation, self.test.to(device))


def split(arrays: Arrays, data: Data) -> Splits:
    """Split a data set as a recipe says; no copy of the images if all of them are used.

    Raises ValueError if the recipe asks for more images than there are.
    """
    known = dataset(data.name)
    pool = Images(_view(arrays.train_images), _view(arrays.train_labels))
    smallest_class = int(torch.bincount(pool.labels, minlength=known.classes).min())
    check_sizes(data, largest_train=smallest_class * known.classes)
    train_images = data.train_images or known.default_train
    order = stratified_order(pool.labels)
    training, rest = order[:train_images], order[train_images:]
    test = Images(_view(arrays.test_images), _view(arrays.test_labels)) if known.official_test else pool.take(rest)
    if data.validation_images == 0:
        return Splits(pool if len(rest) == 0 else pool.take(training), None, test)
    kept = train_images - data.validation_images
    return Splits(pool.take(training[:kept]), pool.take(training[kept:]), test)


def stratified_order(labels: Tensor) -> Tensor:
    """Return a fixed permutation (N,) of which every beginning is balanced over the classes to within one image.

    It holds as far as the smallest class reaches.
    """
    shuffled = torch.randperm(len(labels), generator=generator(0, "split", 0))
    by_class = torch.argsort(labels[shuffled], stable=True)
    counts = torch.bincount(labels)
    first_of_class = (counts.cumsum(0) - counts).repeat_interleave(counts)
    rank_in_class = torch.empty_like(by_class)
    rank_in_class[by_class] = torch.arange(len(labels)) - first_of_class
    return shuffled[torch.argsort(rank_in_class, stable=True)]


def _view(array: NDArray[Any]) -> Tensor:
    """Return a tensor on the array's own memory. Nothing in softaug writes to it, so it may be read-only."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="The given NumPy array is not writable")
        return torch.from_numpy(array)
