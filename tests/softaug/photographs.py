"""Small data sets of real image files: pieces of the two photographs that scikit-learn brings, of many sizes.

Among the JPEGs are a grey one, one of four colours (CMYK), a progressive one, one with bytes after its end, and, as in
ImageNet, a PNG with a JPEG's name.
"""

import io
from dataclasses import replace
from pathlib import Path
from typing import Any

from PIL import Image
from sklearn.datasets import load_sample_images

from softaug.datasets import DATASETS, Dataset

WNIDS = ("n01443537", "n02085620", "n03000684")
TRAIN, TEST = 8, 4  # per class
V2_CLASSES = 12  # two digits, so that numbers and texts sort differently
SIDE_PX = 32
BASE: dict[str, Any] = {
    "data": {"name": "imagenet"},
    "model": {"name": "resnet8", "width": 4},
    "optim": {"epochs": 2, "batch_size": 10, "lr": 0.05},
    "seed": 0,
}
HARD: dict[str, Any] = {"kind": "random-resized"}
SOFT: dict[str, Any] = {"kind": "gaussian-resized", "sigma": 0.3, "smallest_px": 16}


def known(name: str) -> Dataset:
    """Return what is to be known of the small data set in the place of the large one."""
    if name == "imagenet-v2":
        names = tuple(str(number) for number in range(V2_CLASSES))
        return replace(DATASETS[name], class_names=names, side_px=SIDE_PX, official_test=V2_CLASSES)
    train = TRAIN * len(WNIDS)
    return replace(
        DATASETS[name],
        class_names=tuple(str(number) for number in range(len(WNIDS))),
        side_px=SIDE_PX,
        official_train=train,
        official_test=TEST * len(WNIDS),
        default_train=train,
        largest_train=train,
    )


def write_imagenet(root: Path) -> None:
    """Write train/ and val/ with a folder per class."""
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    for part, count in (("train", TRAIN), ("val", TEST)):
        for label, wnid in enumerate(WNIDS):
            (root / part / wnid).mkdir(parents=True)
            for number in range(count):
                path = root / part / wnid / f"{wnid}_{97 * number}.JPEG"
                path.write_bytes(photograph(pictures[label % 2], 10 * label + number + (part == "val") * 40))


def write_v2(root: Path, classes: int = V2_CLASSES) -> None:
    """Write folders "0" to "11" with an image each, whose size says its class: 40 + label px high."""
    picture = Image.fromarray(load_sample_images().images[0])
    for label in range(classes):
        (root / str(label)).mkdir(parents=True)
        picture.resize((50, 40 + label)).save(root / str(label) / "0af3f1b55de791c4144e2fb6d7dfe96dfc22d3fc.jpeg")


def photograph(picture: Image.Image, number: int) -> bytes:
    """Return an image file: another piece, size and format for every number."""
    height, width = 34 + 17 * number % 61, 33 + 29 * number % 83
    top, left = 37 * number % 300, 53 * number % 500
    piece = picture.crop((left, top, left + width, top + height))
    modes, options = {3: "L", 4: "CMYK"}, {"progressive": True} if number % 10 == 2 else {}
    content = io.BytesIO()
    piece.convert(modes.get(number % 10, "RGB")).save(content, "PNG" if number == 15 else "JPEG", **options)
    return content.getvalue() + (b"\0\0\0" if number % 10 == 6 else b"")
