"""How fast are images of an ImageNet folder made ready?   python benchmarks/image_folder.py

Question: images per second on one CPU thread, from JPEGs of 500x375 px to normalised batches of 64 at 224 px: what one
worker of softaug hands over (decoded, for the soft crop also resized to the canvas; the rest is batched, on the GPU if
there is one), and the whole pipeline with the rest on the same thread, against torchvision's transforms image by image,
as a worker of a data loader runs them; in one process, alternating. The soft crop's peer pads, crops and resizes with
softaug's own boxes. Expected: a worker hands over at least 1.5 times as many. On one thread alone the batched resize,
two dense matrix products, is slower than Pillow's, which goes through the few pixels that count. Also files per second
of the look at a folder before training, beside `PIL.Image.open`. Cost: two minutes.
"""

import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images
from torch import Tensor
from torchvision import transforms
from torchvision.transforms import functional

from softaug.augment import Augmentation, draw
from softaug.batches import label
from softaug.boxes import boxes_inside
from softaug.data import FolderImages
from softaug.datasets import dataset
from softaug.decoding import decoded
from softaug.image_folder import FolderIndex, scan
from softaug.recipe import Recipe

IMAGES, BATCH, ROUNDS = 192, 64, 5
KNOWN = dataset("imagenet")
CPU = torch.device("cpu")
HARD: dict[str, Any] = {"crop": {"kind": "random-resized"}}
SOFT: dict[str, Any] = {"crop": {"kind": "gaussian-resized", "sigma": 0.3}, "softening": {"apply_to": "both"}}
RAND_AUGMENT: dict[str, Any] = {"policy": {"kind": "rand-augment"}}
PIPELINES = {
    "random resized crop": HARD,
    "random resized crop + RandAugment": HARD | RAND_AUGMENT,
    "soft crop": SOFT,
    "soft crop + RandAugment": SOFT | RAND_AUGMENT,
}


def photographs(folder: Path) -> FolderIndex:
    """Write JPEGs of scikit-learn's two photographs, wide and high ones, and look at them."""
    (folder / "n01440764").mkdir()
    pictures = [Image.fromarray(picture) for picture in load_sample_images().images]
    for number in range(IMAGES):
        size = (500, 375) if number % 4 else (375, 500)
        picture = pictures[number % 2].resize(size, box=(number % 60, number % 40, 570, 380))
        picture.save(folder / "n01440764" / f"{number:04}.JPEG", quality=90)
    return scan(folder, ["n01440764"], images=IMAGES)


def recipe_of(parts: dict[str, Any]) -> Recipe:
    """Return a recipe with these augmentations."""
    base = {"data": {"name": "imagenet"}, "model": {"name": "torchvision-resnet50"}, "seed": 0}
    return Recipe.model_validate(base | parts)


def batched(augmentation: Augmentation, images: FolderImages, epoch: int) -> None:
    """Make an epoch of batches as training does, draws, targets and weights included."""
    draws = draw(augmentation.recipe, IMAGES, epoch=epoch, sizes=images.sizes)
    for number, part in enumerate(images.stream(torch.arange(IMAGES), BATCH, draws.cuts)):
        some = slice(number * BATCH, (number + 1) * BATCH)
        label(augmentation.recipe, augmentation.apply(part.pixels, draws.take(some)), part.labels)


def worker_alone(recipe: Recipe, images: FolderImages, epoch: int) -> None:
    """Decode the same as a worker does."""
    cuts = draw(recipe, IMAGES, epoch=epoch, sizes=images.sizes).cuts
    assert cuts is not None
    regions = boxes_inside(cuts[:, 2:], cuts[:, :2])
    for _ in decoded(images.requests(torch.arange(IMAGES), cuts, regions), workers=0):
        pass


def soft_crop(image: Image.Image, cut: list[int]) -> Image.Image:
    """Resize the short edge to 224, then pad, crop and resize with torchvision."""
    height, width, top, left, box_height, box_width = cut
    canvas = functional.resize(image, 224)
    margins = [max(-left, 0), max(-top, 0), max(left + box_width - width, 0), max(top + box_height - height, 0)]
    padded = functional.pad(canvas, margins, fill=(124, 116, 104))
    cropped: Image.Image = functional.resized_crop(padded, max(top, 0), max(left, 0), box_height, box_width, [224, 224])
    return cropped


def per_sample(recipe: Recipe, images: FolderImages, epoch: int) -> None:
    """Make the same batches image by image."""
    rest = transforms.Compose(
        [transforms.RandomHorizontalFlip()]
        + ([transforms.RandAugment()] if recipe.policy is not None else [])
        + [transforms.ToTensor(), transforms.Normalize(KNOWN.mean, KNOWN.std)]
    )
    soft = recipe.softening is not None
    cuts = draw(recipe, IMAGES, epoch=epoch, sizes=images.sizes).cuts
    hard = transforms.RandomResizedCrop(224)
    for start in range(0, IMAGES, BATCH):
        samples = []
        for position in range(start, min(start + BATCH, IMAGES)):
            with Image.open(images.index.path(position)) as file:
                image = file.convert("RGB")
            image = soft_crop(image, cuts[position].tolist()) if soft and cuts is not None else hard(image)
            samples.append((rest(image), 0))
        torch.utils.data.default_collate(samples)


def images_per_second(make_batches: Callable[[], object]) -> float:
    """Time one pass over all images."""
    started = time.perf_counter()
    make_batches()
    return IMAGES / (time.perf_counter() - started)


def compare(name: str, images: FolderImages) -> None:
    """Print the medians over rounds of both sides, and their ratio."""
    recipe = recipe_of(PIPELINES[name])
    augmentation = Augmentation.of(recipe, CPU)
    worker, ours, peer = [], [], []
    for number in range(1, ROUNDS + 1):
        worker.append(images_per_second(partial(worker_alone, recipe, images, number)))
        ours.append(images_per_second(partial(batched, augmentation, images, number)))
        peer.append(images_per_second(partial(per_sample, recipe, images, number)))
    handed, rate, peer_rate = (statistics.median(rates) for rates in (worker, ours, peer))
    print(f"{name:<36}{handed:10,.0f}{rate:10,.0f}{peer_rate:12,.0f}{handed / peer_rate:14.2f}{rate / peer_rate:14.2f}")


def decode_alone(index: FolderIndex) -> None:
    """Decode all images as both sides do."""
    for position in range(IMAGES):
        with Image.open(index.path(position)) as file:
            file.convert("RGB")


def look(folder: Path, index: FolderIndex) -> None:
    """Print the speed of the look before training and of Pillow's at the headers alone."""

    def peer() -> None:
        for position in range(IMAGES):
            with Image.open(index.path(position)) as file:
                np.array(file.size)

    ours = [images_per_second(lambda: scan(folder, ["n01440764"], images=IMAGES)) for _ in range(3 * ROUNDS)]
    pillow = [images_per_second(peer) for _ in range(3 * ROUNDS)]
    rate, peer_rate = statistics.median(ours), statistics.median(pillow)
    print(
        f"{'a look at each file, files/s':<36}{'':>10}{rate:10,.0f}{peer_rate:12,.0f}{'':>14}{rate / peer_rate:14.2f}"
    )


def main() -> None:
    """Print a line per pipeline."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        index = photographs(Path(folder))
        labels: Tensor = torch.zeros(IMAGES, dtype=torch.int64)
        images = FolderImages(index, labels, KNOWN, KNOWN.side_px)
        names = f"{'a worker':>10}{'softaug':>10}{'torchvision':>12}{'worker ratio':>14}{'whole ratio':>14}"
        print(f"{'images/s, one thread':<36}{names}   (a worker: at least 1.5)")
        for name in PIPELINES:
            compare(name, images)
        alone = [images_per_second(lambda: decode_alone(index)) for _ in range(ROUNDS)]
        print(f"{'decoding alone':<36}{'':>20}{statistics.median(alone):12,.0f}")
        look(Path(folder), index)


if __name__ == "__main__":
    main()
