"""A data set as numpy arrays, read once and shared by all trials of a node. No torch here: a launch needs none.

Of a data set in image files they are the index; the images are decoded when they are used.
"""

import hashlib
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np

from softaug.datasets import DamagedData, Dataset, dataset, find_file, locate
from softaug.image_folder import Folders, load_folders
from softaug.readers import Labels, Pixels, read_cifar, read_idx


@dataclass(frozen=True)
class Arrays:
    """A data set as read: images (N, C, H, W) uint8, labels (N,) int64, contiguous. The digits have no test set."""

    train_images: Pixels
    train_labels: Labels
    test_images: Pixels
    test_labels: Labels


def load(name: str, data: Path | None) -> Arrays | Folders:
    """Read a data set from the folder `data`, None for ./data; the digits come with scikit-learn.

    Raises MissingData, naming the folders looked in, and DamagedData, naming the file or the set.
    """
    if dataset(name).image_folders:
        return load_folders(name, locate(name, data))
    return _load_arrays(name, data)


def _load_arrays(name: str, data: Path | None) -> Arrays:
    """Read a data set that is not in image files, as `load` does."""
    if name == "digits":
        arrays = _digits(locate(name, data))
    elif name == "fashion-mnist":
        arrays = _fashion_mnist(locate(name, data))
    else:
        arrays = _cifar(name, locate(name, data))
    _check(arrays, name)
    return arrays


def fingerprint(loaded: Arrays | Folders) -> str:
    """Return 16 hexadecimal digits that identify the images and labels.

    Of image files they cover names, labels, heights, widths and lengths in bytes, not the pixels, nor where they lie.
    """
    digest = hashlib.sha256()
    parts = [loaded] if isinstance(loaded, Arrays) else [loaded.train, loaded.test]
    for part in parts:
        for field in fields(part):
            array = getattr(part, field.name)
            if isinstance(array, np.ndarray):
                digest.update(f"{field.name} {array.dtype} {array.shape}\n".encode())
                digest.update(array.data)
    return digest.hexdigest()[:16]


def _digits(sklearn: Path) -> Arrays:
    # The file that scikit-learn's load_digits reads; importing scikit-learn for it takes seconds.
    rows = np.loadtxt(sklearn / "datasets" / "data" / "digits.csv.gz", delimiter=",")
    images = np.rint(rows[:, :-1].reshape(-1, 1, 8, 8) * (255 / 16)).astype(np.uint8)
    labels = rows[:, -1].astype(np.int64)
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
