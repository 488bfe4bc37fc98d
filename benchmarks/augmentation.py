"""How fast is the batched soft crop pipeline?   python benchmarks/augmentation.py

Question: flip, normalise, Gaussian crop (sigma 0.3) and confidence (k = 2) of 32x32x3 images on one CPU thread, in
images per second: softaug's batched pipeline against torchvision's per-sample one (PIL -> flip -> ToTensor ->
Normalize -> Listing 1 as written -> collate), in the same process, alternating. Expected: at least 10 times as fast.
Cost: about ten seconds.
"""

import statistics
import time
from collections.abc import Callable

import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms

from softaug.augment import Augmentation, draw
from softaug.batches import label
from softaug.datasets import dataset
from softaug.recipe import Data, Model, Recipe
from softaug.recipe_parts import GaussianCrop, Softening

IMAGES, BATCH, ROUNDS = 2_048, 128, 7
CROP = GaussianCrop(sigma=0.3)
RECIPE = Recipe(
    data=Data(name="cifar100"),
    model=Model(name="resnet18", width=64),
    crop=CROP,
    softening=Softening(apply_to="both"),
    seed=0,
)
KNOWN = dataset("cifar100")
CPU = torch.device("cpu")


def batched(pixels: Tensor, labels: Tensor, epoch: int) -> None:
    """Make an epoch of batches as training does, targets and weights included."""
    augmentation = Augmentation.of(RECIPE, CPU)
    draws = draw(RECIPE, len(pixels), epoch=epoch)
    for start in range(0, len(pixels), BATCH):
        part = slice(start, start + BATCH)
        label(RECIPE, augmentation.apply(pixels[part], draws.take(part)), labels[part])


class ListingOne:
    """The paper's Listing 1, one image at a time, with its missing attribute (D8) mended."""

    def __init__(self, classes: int, sigma: float, k: float) -> None:
        self.chance, self.sigma, self.k = 1 / classes, sigma, k

    def draw_offset(self, limit: int, sigma: float) -> int:
        """Redraw a normal until it lies within the limit, 100 times at most."""
        for _ in range(100):
            x = torch.randn(1) * sigma
            if abs(x) <= limit:
                return int(x)
        return 0

    def __call__(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the crop and its confidence."""
        height, width = image.shape[1:]
        canvas = torch.zeros(3, 3 * height, 3 * width)
        canvas[:, height : 2 * height, width : 2 * width] = image
        rows, columns = self.draw_offset(height, self.sigma * height), self.draw_offset(width, self.sigma * width)
        seen = canvas[:, height + rows : 2 * height + rows, width + columns : 2 * width + columns]
        visible = (height - abs(rows)) * (width - abs(columns)) / (height * width)
        return seen, 1 - (1 - self.chance) * (1 - visible) ** self.k


def per_sample(pictures: list[Image.Image], labels: Tensor) -> None:
    """Make the same batches image by image, as a data loader's worker does."""
    prepare = transforms.Compose(
        [transforms.RandomHorizontalFlip(), transforms.ToTensor(), transforms.Normalize(KNOWN.mean, KNOWN.std)]
    )
    soft_crop = ListingOne(KNOWN.classes, sigma=0.3, k=2)
    for start in range(0, len(pictures), BATCH):
        samples = [
            (*soft_crop(prepare(picture)), int(labels[number]))
            for number, picture in enumerate(pictures[start : start + BATCH], start)
        ]
        torch.utils.data.default_collate(samples)


def images_per_second(make_batches: Callable[[], None]) -> float:
    """Time one pass over all images."""
    started = time.perf_counter()
    make_batches()
    return IMAGES / (time.perf_counter() - started)


def main() -> None:
    """Print the medians over rounds and their ratio."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.randint(0, KNOWN.classes, (IMAGES,), generator=generator)
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels]
    ours, peer = [], []
    for number in range(1, ROUNDS + 1):
        ours.append(images_per_second(lambda epoch=number: batched(pixels, labels, epoch)))
        peer.append(images_per_second(lambda: per_sample(pictures, labels)))
    batched_rate, per_sample_rate = statistics.median(ours), statistics.median(peer)
    print(f"softaug, batches of {BATCH}        {batched_rate:10,.0f} images/s")
    print(f"torchvision, image by image  {per_sample_rate:10,.0f} images/s")
    print(f"ratio                        {batched_rate / per_sample_rate:10.1f}   (target: at least 10)")


if __name__ == "__main__":
    main()
