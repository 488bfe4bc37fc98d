"""What does augmentation add to a training step on a CPU?   python benchmarks/training_step.py

Question: seconds of an epoch's steps with the Gaussian crop, RandAugment and softened targets and weights, over those
without any augmentation, on one thread, fashion-mnist, batches of 128, float32: for resnet8 of width 16 and resnet18.
Expected: at most 1.1 times and 1.02 times. Short epochs of both take turns, since a machine's speed drifts; the median
of the pairs' ratios counts. Cost: nine minutes.
"""

import statistics
import time
from pathlib import Path
from typing import Any

import torch

from softaug.arrays import load
from softaug.data import Images, Splits, split
from softaug.recipe import Recipe
from softaug.supervised import Supervised

BATCH = 128
SOFT: dict[str, Any] = {
    "crop": {"kind": "gaussian", "sigma": 0.3},
    "policy": {"kind": "rand-augment"},
    "softening": {"apply_to": "both"},
}
NETWORKS = {"resnet8": (16, 40, 1.1), "resnet18": (64, 10, 1.02)}  # width, steps, target


def training(name: str, parts: dict[str, Any], splits: Splits) -> Supervised:
    """Return the training of a network with these augmentations."""
    recipe = {
        "data": {"name": "fashion-mnist"},
        "model": {"name": name, "width": NETWORKS[name][0]},
        "flip": 0.0,
        "optim": {"epochs": 2, "batch_size": BATCH, "lr": 0.01},
        "seed": 0,
    }
    return Supervised(Recipe.model_validate(recipe | parts), splits, torch.device("cpu"))


def seconds_of_an_epoch(each: Supervised) -> float:
    """Train an epoch and return its seconds, the making of its batches included."""
    started = time.perf_counter()
    each.train(1, lambda: False)
    return time.perf_counter() - started


def main() -> None:
    """Print the ratios."""
    torch.set_num_threads(1)
    recipe = Recipe.model_validate({"data": {"name": "fashion-mnist"}, "model": {"name": "resnet8"}, "seed": 0})
    images = split(load("fashion-mnist", Path("data")), recipe.data).train
    assert isinstance(images, Images)
    for name, (_, steps, target) in NETWORKS.items():
        few = Images(images.pixels[: steps * BATCH], images.labels[: steps * BATCH])
        splits = Splits(few, None, Images(few.pixels[:BATCH], few.labels[:BATCH]))
        pairs = []
        for _ in range(5):
            plain, soft = (seconds_of_an_epoch(training(name, parts, splits)) for parts in ({}, SOFT))
            pairs.append((plain / steps, soft / steps, soft / plain))
        plain, soft, ratio = (statistics.median(values) for values in zip(*pairs, strict=True))
        shown = ", ".join(f"{pair[2]:.3f}" for pair in pairs)
        print(f"{name}: {1000 * plain:.1f} ms a step, augmented {1000 * soft:.1f} ms: ratio {ratio:.3f} ({shown})")
        print(f"{'':{len(name)}}  target: at most {target}")


if __name__ == "__main__":
    main()
