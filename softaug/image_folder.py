"""Folders of image files, a folder per class: found, looked at and counted before the first epoch.

Every file is opened, several at a time: a JPEG's header says its height and width, and its last two bytes must be the
end-of-image marker. Where this cheap look leaves a doubt (another format, an unusual header, bytes after the end)
Pillow decodes the file, and its word counts: the PNG among ImageNet's JPEGs is no error, a truncated file is one.

NOT checked are the pixels between an intact header and an intact end: that takes decoding all files, hours for
ImageNet. Damage there, and files that change later, are found when the image is used: DamagedData then names the file,
unless libjpeg passes over it, as it does with most flipped bits. Hidden files are passed over.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from softaug.datasets import DamagedData, class_folders, dataset, first_few
from softaug.readers import Labels

THREADS = 16  # more than processors: most of the time is waiting for the disk
JPEG_START, JPEG_END = b"\xff\xd8", b"\xff\xd9"
JPEG_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # segments that hold height and width

Size = tuple[int, int]  # height, width in pixels


@dataclass(frozen=True)
class FolderIndex:
    """The images of a folder, as arrays, which Ray's object store shares between trials.

    `paths` (N,): names below `folder`, an absolute path, as bytes; `labels` (N,) int64; `sizes` (N, 2) int64: height
    and width in px; `lengths` (N,) int64: of the files, in bytes. On a cluster every node must see the folder.
    """

    folder: str
    paths: NDArray[np.bytes_]
    labels: Labels
    sizes: NDArray[np.int64]
    lengths: NDArray[np.int64]

    def take(self, positions: NDArray[np.int64]) -> "FolderIndex":
        """Return the images at these positions, in this order."""
        return FolderIndex(
            self.folder,
            self.paths[positions],
            self.labels[positions],
            self.sizes[positions],
            self.lengths[positions],
        )

    def path(self, position: int) -> str:
        """Return the path of one image."""
        return os.path.join(self.folder, os.fsdecode(bytes(self.paths[position])))


@dataclass(frozen=True)
class Folders:
    """A data set of image files: those to train on, none if it only has images to test on, and those to test on."""

    train: FolderIndex
    test: FolderIndex


def load_folders(name: str, folder: Path) -> Folders:
    """Look at all files of a data set that lies in `folder`. Raises DamagedData, one for all that is wrong in it."""
    known = dataset(name)
    classes = class_folders(known, folder)
    if len(classes) != known.classes:
        raise DamagedData(
            f"{folder}: {len(classes)} class folders, expected {known.classes}; see `softaug fetch {name}`"
        )
    counts = (known.official_train, known.official_test)[-len(known.image_folders) :]
    parts, damaged = [], []
    for part, count in zip(known.image_folders, counts, strict=True):
        try:
            parts.append(scan(folder / part, classes, images=count))
        except DamagedData as error:
            damaged.append(str(error))
    if damaged:
        raise DamagedData("\n".join([*damaged, f"restore them; `softaug fetch {name}` says from where"]))
    return Folders(parts[0] if len(parts) > 1 else parts[-1].take(np.empty(0, np.int64)), parts[-1])


def scan(folder: Path, classes: Sequence[str], *, images: int) -> FolderIndex:
    """Look at every file in a folder's class folders. Labels are in the order of `classes`, images in that of names.

    Raises DamagedData, one for all that is wrong: missing, empty or unexpected class folders, files that are no image,
    and a number of files other than `images`.
    """
    folder = folder.absolute()
    with ThreadPoolExecutor(THREADS) as pool:
        looked_at = list(pool.map(partial(_look_into, folder), classes))
    problems = [*_wrong_folders(folder, classes, looked_at), *_wrong_files(looked_at, images)]
    if problems:
        raise DamagedData("\n  ".join([f"{folder} is not whole:", *problems]))
    measures = np.concatenate([each.measures for each in looked_at])
    return FolderIndex(
        str(folder),
        np.array([path for each in looked_at for path in each.paths], dtype=np.bytes_),
        np.repeat(np.arange(len(classes)), [len(each.paths) for each in looked_at]),
        np.ascontiguousarray(measures[:, :2]),
        np.ascontiguousarray(measures[:, 2]),
    )


@dataclass(frozen=True)
class _ClassFolder:
    """What a class folder holds: names of intact files, height, width and bytes of each, and what is wrong, by file."""

    paths: list[bytes]
    measures: NDArray[np.int64]
    refused: list[str]
    missing: bool = False


def _look_into(folder: Path, name: str) -> _ClassFolder:
    """Look at all files of one class folder."""
    paths: list[bytes] = []
    measures: list[tuple[int, int, int]] = []
    refused: list[str] = []
    nothing = np.empty((0, 3), np.int64)
    if not (folder / name).is_dir():
        return _ClassFolder(paths, nothing, refused, missing=True)
    try:
        files = sorted(os.listdir(folder / name))
    except OSError as error:
        return _ClassFolder(paths, nothing, [f"{name} ({_in_short(error)})"])
    for file in files:
        path = os.path.join(name, file)
        if file.startswith("."):
            continue
        try:
            measures.append(measure(os.path.join(folder, path)))
            paths.append(os.fsencode(path))
        except Exception as error:  # Pillow raises whatever it meets in a damaged file
            refused.append(f"{path} ({_in_short(error)})")
    return _ClassFolder(paths, np.array(measures, np.int64) if measures else nothing, refused)


def measure(path: str) -> tuple[int, int, int]:
    """Return height and width in px, and bytes, of an image file. Raises what it meets if it is not whole."""
    with open(path, "rb") as file:
        size = _jpeg_size(file)
        length = file.seek(0, os.SEEK_END)
        if length == 0:
            raise ValueError("empty")
        if size is not None and _ends(file, length):
            return (*size, length)
        file.seek(0)
        with Image.open(file) as image:
            image.load()
            return image.height, image.width, length


def _jpeg_size(file: BinaryIO) -> Size | None:
    """Return the height and width in a JPEG's header, None if it is no JPEG or an unusual one."""
    if file.read(2) != JPEG_START:
        return None
    while True:
        segment = file.read(4)
        if len(segment) < 4 or segment[0] != 0xFF:
            return None
        if segment[1] in JPEG_FRAMES:
            frame = file.read(5)
            height, width = int.from_bytes(frame[1:3], "big"), int.from_bytes(frame[3:5], "big")
            return (height, width) if height and width else None
        file.seek(int.from_bytes(segment[2:], "big") - 2, os.SEEK_CUR)


def _ends(file: BinaryIO, length: int) -> bool:
    file.seek(max(0, length - 2))
    return file.read(2) == JPEG_END


def _in_short(error: Exception) -> str:
    """Return why a file was refused, without the path, which Pillow and the system repeat."""
    if isinstance(error, UnidentifiedImageError):
        return "no image"
    return str(error.strerror if isinstance(error, OSError) and error.strerror else error)


def _wrong_folders(folder: Path, classes: Sequence[str], looked_at: list[_ClassFolder]) -> Iterator[str]:
    missing = [name for name, each in zip(classes, looked_at, strict=True) if each.missing]
    empty = [
        name for name, each in zip(classes, looked_at, strict=True) if not (each.missing or each.paths or each.refused)
    ]
    others = sorted({path.name for path in folder.glob("[!.]*") if path.is_dir()} - set(classes))
    for kind, names in (("missing", missing), ("empty", empty), ("of no known class", others)):
        if names:
            yield f"{len(names):,} class folders are {kind}: {first_few(names)}"


def _wrong_files(looked_at: list[_ClassFolder], images: int) -> Iterator[str]:
    refused = [reason for each in looked_at for reason in each.refused]
    if refused:
        yield f"{len(refused):,} files are no whole images: {first_few(refused)}"
    count = len(refused) + sum(len(each.paths) for each in looked_at)
    if count != images:
        yield f"{count:,} files, expected {images:,}"
