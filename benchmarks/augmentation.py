"""How fast is the batched pipeline?   python benchmarks/augmentation.py

Question: images per second on one CPU thread, 32x32x3 in batches of 512, of softaug's batched pipelines (PIL flavour)
against the same image by image as a data loader's worker makes them (PIL -> flip -> policy -> ToTensor -> Normalize ->
the paper's Listing 1 as written -> collate), in one process, alternating. Expected: at least 10 times as fast with the
Gaussian crop (sigma 0.3, k 2) and RandAugment (2 operations, magnitude 9). Also the peak memory of the same at 224x224,
batch 256: under 2 GB. Cost: a minute.
"""

import resource
import statistics
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from PIL import Image
from plain_pytorch import GaussianCrop
from torch import Tensor
from torchvision import transforms

from softaug.augment import Augmentation, draw
from softaug.batches import label
from softaug.datasets import DATASETS, dataset
from softaug.recipe import Recipe

IMAGES, BATCH, ROUNDS = 1_024, 512, 7
LARGE_SIDE_PX, LARGE_BATCH = 224, 256
KNOWN = dataset("cifar100")
CPU = torch.device("cpu")
SOFT: dict[str, Any] = {"crop": {"kind": "gaussian", "sigma": 0.3}, "softening": {"apply_to": "both"}}
HARD: dict[str, Any] = {"crop": {"kind": "uniform", "radius_px": 4}}
RAND_AUGMENT, TRIVIAL_AUGMENT = {"policy": {"kind": "rand-augment"}}, {"policy": {"kind": "trivial-augment"}}
PIPELINES: dict[str, dict[str, Any]] = {
    "standard crop": HARD,
    "standard crop + RandAugment": HARD | RAND_AUGMENT,
    "Gaussian crop": SOFT,
    "Gaussian crop + RandAugment": SOFT | RAND_AUGMENT,
    "Gaussian crop + TrivialAugment": SOFT | TRIVIAL_AUGMENT,
}


def recipe_of(parts: dict[str, Any]) -> Recipe:
    """Return a recipe with these augmentations."""
    base = {"data": {"name": "cifar100"}, "model": {"name": "resnet18"}, "seed": 0}
    return Recipe.model_validate(base | parts)


def batched(augmentation: Augmentation, pixels: Tensor, labels: Tensor, epoch: int) -> None:
    """Make an epoch of batches as training does, draws, targets and weights included."""
    draws = draw(augmentation.recipe, len(pixels), epoch=epoch)
    for start in range(0, len(pixels), BATCH):
        part = slice(start, start + BATCH)
        label(augmentation.recipe, augmentation.apply(pixels[part], draws.take(part)), labels[part])


def soften(crop: tuple[Tensor, float]) -> tuple[Tensor, float]:
    """Return a crop and its confidence (Eq. 3)."""
    seen, visible = crop
    return seen, 1 - (1 - 1 / KNOWN.classes) * (1 - visible) ** 2


def per_sample_pipeline(recipe: Recipe) -> Callable[[Image.Image], object]:
    """Return torchvision's transforms for a recipe, for one image."""
    policies = {"rand-augment": transforms.RandAugment, "trivial-augment": transforms.TrivialAugmentWide}
    soft = recipe.softening is not None
    pipeline: Callable[[Image.Image], object] = transforms.Compose(
        ([] if soft else [transforms.RandomCrop(32, padding=4)])
        + [transforms.RandomHorizontalFlip()]
        + ([policies[recipe.policy.kind]()] if recipe.policy is not None else [])
        + [transforms.ToTensor(), transforms.Normalize(KNOWN.mean, KNOWN.std)]
        + ([GaussianCrop(0.3), soften] if soft else [])
    )
    return pipeline


def per_sample(pipeline: Callable[[Image.Image], object], pictures: list[Image.Image], labels: Tensor) -> None:
    """Make the same batches image by image."""
    for start in range(0, len(pictures), BATCH):
        part = slice(start, start + BATCH)
        samples = [(pipeline(picture), y) for picture, y in zip(pictures[part], labels[part].tolist(), strict=True)]
        torch.utils.data.default_collate(samples)


def images_per_second(make_batches: Callable[[], None]) -> float:
    """Time one pass over all images."""
    started = time.perf_counter()
    make_batches()
    return IMAGES / (time.perf_counter() - started)


def compare(name: str, pixels: Tensor, labels: Tensor, pictures: list[Image.Image]) -> None:
    """Print the medians over rounds of both sides, and their ratio."""
    recipe = recipe_of(PIPELINES[name])
    augmentation, pipeline = Augmentation.of(recipe, CPU), per_sample_pipeline(recipe)
    batched(augmentation, pixels, labels, epoch=1)
    ours, peer = [], []
    for number in range(1, ROUNDS + 1):
        ours.append(images_per_second(partial(batched, augmentation, pixels, labels, number)))
        peer.append(images_per_second(lambda: per_sample(pipeline, pictures, labels)))
    rate, peer_rate = statistics.median(ours), statistics.median(peer)
    print(f"{name:<32}{rate:10,.0f}{peer_rate:10,.0f}{rate / peer_rate:8.1f}")


def peak_memory_gb() -> tuple[float, float]:
    """Return the process' peak memory before and after a batch at 224x224, in GB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    known = replace(KNOWN, side_px=LARGE_SIDE_PX)
    DATASETS["cifar100"] = known
    recipe = recipe_of(SOFT | RAND_AUGMENT)
    pixels = torch.zeros(LARGE_BATCH, 3, LARGE_SIDE_PX, LARGE_SIDE_PX, dtype=torch.uint8).random_()
    Augmentation.of(recipe, CPU).apply(pixels, draw(recipe, LARGE_BATCH, epoch=1))
    DATASETS["cifar100"] = KNOWN
    return before / 2**20, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def main() -> None:
    """Print a line per pipeline, then the memory."""
    torch.set_num_threads(1)
    pixels = torch.randint(0, 256, (IMAGES, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    labels = torch.randint(0, KNOWN.classes, (IMAGES,), generator=torch.Generator().manual_seed(1))
    pictures = [Image.fromarray(image.permute(1, 2, 0).numpy()) for image in pixels]
    print(f"{'images/s, one thread':<32}{'softaug':>10}{'per image':>10}{'ratio':>8}   (with both: at least 10)")
    for name in PIPELINES:
        compare(name, pixels, labels, pictures)
    before, after = peak_memory_gb()
    print(f"{LARGE_BATCH} images of {LARGE_SIDE_PX} px: {after:.2f} GB at most, {before:.2f} before  (target: under 2)")


if __name__ == "__main__":
    main()
