"""Images, split into those to train on, to select on and to report on.

Images of one size are tensors, resident on the device; those of image files are decoded as they are needed. Both give
training and evaluation what they need in parts, in the order they ask for, uint8 and all of one size: any order of
positions, so that one process of several may ask for its share of an epoch.

Splits are fixed permutations, the same for every seed: what varies over seeds is training. Every subset is balanced
over the classes and smaller ones lie in larger ones; all of ImageNet, whose classes differ in size, is the exception.
Validation images are held out of the training images, so the test set never depends on them, and are balanced always.
"""

import warnings
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple, Self

import torch
from numpy.typing import NDArray
from torch import Tensor

from softaug.arrays import Arrays
from softaug.boxes import boxes_inside
from softaug.cuts import central_cuts
from softaug.datasets import Dataset, check_sizes, dataset
from softaug.decoding import Request, decoded
from softaug.image_folder import FolderIndex, Folders
from softaug.ragged import ragged_crop
from softaug.randomness import generator
from softaug.recipe import Data

REQUESTS = 256  # made at once


class Images(NamedTuple):
    """Labelled images of one size: pixels (N, C, H, W) uint8, labels (N,) int64."""

    pixels: Tensor
    labels: Tensor

    @property
    def device(self) -> torch.device:
        """Where the images are."""
        return self.pixels.device

    @property
    def sizes(self) -> None:
        """Nothing: no draw depends on the size of images that all have one."""

    def take(self, index: Tensor) -> "Images":
        """Return a copy of the images at these positions, in this order."""
        return Images(self.pixels[index], self.labels[index])

    def stream(self, order: Tensor, size: int, cuts: Tensor | None = None) -> Iterator["Images"]:
        """Yield the images at these positions, so many at a time. Raises ValueError for cuts: these are of files."""
        if cuts is not None:
            raise ValueError("cuts: images of one size are not cut out of larger ones; leave them out")
        for part in torch.split(order.to(self.device), size):
            yield self.take(part)

    def parts(self, size: int) -> Iterator[Tensor]:
        """Yield the pixels to evaluate, so many images at a time."""
        yield from torch.split(self.pixels, size)

    def to(self, device: torch.device) -> "Images":
        """Return the images on a device, the same ones if they are there already."""
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class FolderImages:
    """Labelled images in files, of many sizes. `labels` (N,) int64 are on the device that pixels are wanted on.

    `evaluation_px`: short edge of an image that is evaluated, before the central crop. `workers`: processes that
    decode, 0 for this one; their number changes no bit.
    """

    index: FolderIndex
    labels: Tensor
    known: Dataset
    evaluation_px: int
    workers: int = 0

    @property
    def device(self) -> torch.device:
        """Where pixels are wanted."""
        return self.labels.device

    @property
    def sizes(self) -> Tensor:
        """Heights and widths (N, 2) int64 in px, on the CPU."""
        return _view(self.index.sizes)

    def take(self, index: Tensor) -> "FolderImages":
        """Return the images at these positions, in this order."""
        return replace(self, index=self.index.take(index.cpu().numpy()), labels=self.labels[index.to(self.device)])

    def stream(self, order: Tensor, size: int, cuts: Tensor | None = None) -> Iterator[Images]:
        """Yield the images at these positions (on the CPU), so many at a time, as their cuts (len(order), 6) show them.

        Pixels have the side of the data set. Without cuts they are those to evaluate. Raises DamagedData.
        """
        side_px = self.known.side_px
        if cuts is None:
            cuts = central_cuts(self.sizes[order], side_px=side_px, short_edge_px=self.evaluation_px)
        fill = 255 * torch.tensor(self.known.mean, device=self.device)
        regions = boxes_inside(cuts[:, 2:], cuts[:, :2])
        boxes = torch.cat((cuts[:, 2:4] - regions[:, :2], cuts[:, 4:]), dim=1)
        images = decoded(self.requests(order, cuts, regions), workers=self.workers)
        for places, part in zip(torch.split(boxes, size), torch.split(order, size), strict=True):
            some = list(islice(images, len(part)))
            pixels = ragged_crop(some, places, (side_px, side_px), fill=fill, device=self.device)
            yield Images(pixels, self.labels[part.to(self.device)])

    def parts(self, size: int) -> Iterator[Tensor]:
        """Yield the pixels to evaluate, so many images at a time."""
        for part in self.stream(torch.arange(len(self.labels)), size):
            yield part.pixels

    def to(self, device: torch.device) -> "FolderImages":
        """Return the same images, wanted on a device."""
        return replace(self, labels=self.labels.to(device))

    def requests(self, order: Tensor, cuts: Tensor, regions: Tensor) -> Iterator[Request]:
        """Yield what workers are told: to decode the regions (B, 4) of the images at these positions (B,).

        Made from a few rows at a time, since a whole epoch's would take a gigabyte as Python's numbers.
        """
        few = zip(*(torch.split(rows, REQUESTS) for rows in (order, cuts[:, :2], regions)), strict=True)
        for positions, canvases, wanted in few:
            rows = zip(positions.tolist(), canvases.tolist(), wanted.tolist(), strict=True)
            for position, canvas, region in rows:
                size = tuple(self.index.sizes[position].tolist())
                yield Request(self.index.path(position), size, tuple(canvas), tuple(region))


AnyImages = Images | FolderImages


@dataclass(frozen=True)
class Splits:
    """Images to train on, to select on (None unless the recipe holds some out), and to report on."""

    train: AnyImages
    validation: AnyImages | None
    test: AnyImages

    def to(self, device: torch.device) -> Self:
        """Return the splits on a device."""
        validation = None if self.validation is None else self.validation.to(device)
        return type(self)(self.train.to(device), validation, self.test.to(device))


def split(loaded: Arrays | Folders, data: Data, *, workers: int = 0) -> Splits:
    """Split a data set as a recipe says; no copy of the images if all of them are used.

    `workers`: processes that decode image files, 0 for the one that trains. Raises ValueError if the recipe asks for
    more images than there are.
    """
    known = dataset(data.name)
    pool = _images(loaded, data.name, data.evaluation_px, workers, train=True)
    smallest_class = int(torch.bincount(pool.labels, minlength=known.classes).min())
    check_sizes(data, largest_train=smallest_class * known.classes)
    train_images = data.train_images or known.default_train
    order = stratified_order(pool.labels)
    training, rest = order[:train_images], order[train_images:]
    test = images_to_test_on(loaded, data.name, data.evaluation_px, workers) if known.official_test else pool.take(rest)
    if data.validation_images == 0:
        return Splits(pool if len(rest) == 0 else pool.take(training), None, test)
    balanced = min(train_images, smallest_class * known.classes)
    kept = balanced - data.validation_images
    train = pool.take(torch.cat((training[:kept], training[balanced:])))
    return Splits(train, pool.take(training[kept:balanced]), test)


def images_to_test_on(
    loaded: Arrays | Folders, name: str, evaluation_px: int | None = None, workers: int = 0
) -> AnyImages:
    """Return the images to test on of a data set that has such, also of one that has no others."""
    return _images(loaded, name, evaluation_px, workers, train=False)


def _images(loaded: Arrays | Folders, name: str, evaluation_px: int | None, workers: int, *, train: bool) -> AnyImages:
    if isinstance(loaded, Arrays):
        pixels, labels = (
            (loaded.train_images, loaded.train_labels) if train else (loaded.test_images, loaded.test_labels)
        )
        return Images(_view(pixels), _view(labels))
    index, known = loaded.train if train else loaded.test, dataset(name)
    return FolderImages(index, _view(index.labels), known, evaluation_px or known.side_px, workers)


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
