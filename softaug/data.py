"""Images in memory: read once as numpy arrays, split into training, validation and test tensors.

Splits are fixed permutations, the same for every seed: what varies over seeds is training. Every subset is balanced
over the classes and smaller ones lie in larger ones. Validation images are held out of the training images, so the
test set never depends on them.
"""

import hashlib
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from softaug.datasets import DamagedData, Dataset, check_sizes, dataset, find_file, locate
from softaug.randomness import generator
from softaug.readers import Labels, Pixels, read_cifar, read_idx
from softaug.recipe import Data


@dataclass(frozen=True)
class Arrays:
    """A data set as read: images (N, C, H, W) uint8, labels (N,) int64, contiguous. The digits have no test set."""

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels


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


def load(name: str, data: Path | None) -> Arrays:
    """Read a data set from the folder `data`, None for ./data; the digits come with scikit-learn.

    Raises MissingData, naming the folders looked in, and DamagedData, naming the file or the set.
    """
    if name == "digits":
        arrays = _digits()
    elif name == "fashion-mnist":
        arrays = _fashion_mnist(locate(name, data))
    else:
        arrays = _cifar(name, locate(name, data))
    _check(arrays, name)
    return arrays


def fingerprint(arrays: Arrays) -> str:
    """Return 16 hexadecimal digits that identify the images and labels."""
    digest = hashlib.sha256()
    for field in fields(arrays):
        array = getattr(arrays, field.name)
        digest.update(f"{field.name} {array.dtype} {array.shape}\n".encode())
        digest.update(array.data)
    return digest.hexdigest()[:16]


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


def _digits() -> Arrays:
    from sklearn.datasets import load_digits

    bundled = load_digits()
    images = np.rint(bundled.images * (255 / 16)).astype(np.uint8)[:, None]
    labels = bundled.target.astype(np.int64)
    return Arrays(images, labels, images[:0], labels[:0])


def _fashion_mnist(folder: Path) -> Arrays:
    files = dataset("fashion-mnist").files
    train_images, train_labels, test_images, test_labels = (read_idx(_path(folder, file)) for file in files)
    return Arrays(
        train_images[:, None], train_labels.astype(np.int64), test_images[:, None], test_labels.astype(np.int64)
    )


def _cifar(name: str, folder: Path) -> Arrays:
    *train_files, test_file = dataset(name).files
    batches = [read_cifar(_path(folder, file)) for file in train_files]
    test_images, test_labels = read_cifar(_path(folder, test_file))
    train_images = np.concatenate([images for images, _ in batches])
    return Arrays(train_images, np.concatenate([labels for _, labels in batches]), test_images, test_labels)


def _path(folder: Path, file: str) -> Path:
    path = find_file(folder, file)
    if path is None:
        raise DamagedData(f"{folder / file}: it was there a moment ago and is gone")
    return path


def _check(arrays: Arrays, name: str) -> None:
    known = dataset(name)
    _check_part(f"{name}, training images", arrays.train_images, arrays.train_labels, known, known.official_train)
    _check_part(f"{name}, test images", arrays.test_images, arrays.test_labels, known, known.official_test)


def _check_part(part: str, images: Pixels, labels: Labels, known: Dataset, count: int) -> None:
    expected = (count, known.channels, known.side_px, known.side_px)
    if images.shape != expected or labels.shape != (count,):
        raise DamagedData(f"{part}: shape {images.shape} with {len(labels)} labels, expected {expected}; fetch again")
    if count and not (labels.min() == 0 and labels.max() == known.classes - 1):
        raise DamagedData(
            f"{part}: labels from {labels.min()} to {labels.max()}, expected 0 to {known.classes - 1}; fetch again"
        )
