"""How fast does a whole training go?   python benchmarks/end_to_end.py

Question: images per second of a resnet18's training on 10,000 images of fashion-mnist, Gaussian crop, RandAugment,
softened targets and weights, batches of 128, one thread, in float32 and in bfloat16 autocast, both channels-last,
against the plain PyTorch recipe: float32, NCHW, torchvision's transforms image by image in a DataLoader, torch.optim.
Expected: at least twice as many, in bfloat16 on a CPU that has instructions for it. Steps of all three take turns; the
medians count. Cost: eight minutes.

`--accuracy`: both sides train three epochs with three seeds, and their mean test errors are compared. `--precision`
chooses that of ours; cost: half an hour for each, more in bfloat16 where a CPU emulates it.
"""

import argparse
import statistics
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import torch
from plain_pytorch import Cropped, Pictures, arrays, softened, top1_error, weighted_kl
from scipy import stats
from torch.utils.data import DataLoader
from torchvision import transforms

from softaug.arrays import load
from softaug.data import AnyImages, Images, Splits, split
from softaug.datasets import dataset
from softaug.fit import fit
from softaug.models.resnet import resnet18
from softaug.recipe import Recipe
from softaug.supervised import Supervised

KNOWN = dataset("fashion-mnist")
IMAGES, BATCH, STEPS, ROUNDS, EPOCHS, SEEDS, LR = 10_000, 128, 6, 7, 3, (0, 1, 2), 0.05
SIGMA, K = 0.3, 2


def recipe_of(autocast: str, seed: int) -> Recipe:
    """Return softaug's side."""
    return Recipe.model_validate(
        {
            "data": {"name": "fashion-mnist", "train_images": IMAGES},
            "model": {"name": "resnet18"},
            "crop": {"kind": "gaussian", "sigma": SIGMA},
            "policy": {"kind": "rand-augment"},
            "softening": {"apply_to": "both", "k": float(K)},
            "flip": 0.5,
            "optim": {"epochs": EPOCHS, "batch_size": BATCH, "lr": LR},
            "precision": {"autocast": autocast, "channels_last": True},
            "seed": seed,
        }
    )


def _to_normalised() -> list[Any]:
    return [transforms.ToTensor(), transforms.Normalize(KNOWN.mean, KNOWN.std)]


class Peer:
    """The plain recipe."""

    def __init__(self, train: AnyImages, steps: int) -> None:
        pipeline = [transforms.RandomHorizontalFlip(), transforms.RandAugment(), *_to_normalised()]
        pictures = Pictures(arrays(train), transforms.Compose(pipeline))
        self.loader = DataLoader(Cropped(pictures, SIGMA), batch_size=BATCH, shuffle=True)
        self.model = resnet18(64, in_channels=1, classes=KNOWN.classes)
        self.optimizer = torch.optim.SGD(self.model.parameters(), LR, momentum=0.9, nesterov=True, weight_decay=5e-4)
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, T_max=steps)

    def train_an_epoch(self) -> None:
        """Train on every image once."""
        self.model.train()
        for images, labels, visible in self.loader:
            soft = softened(visible.float(), classes=KNOWN.classes, k=K)
            loss = weighted_kl(self.model(images), labels, soft, soft)
            self.optimizer.zero_grad()
            loss.backward()
            self.optimizer.step()
            self.schedule.step()


def throughput(splits: Splits) -> None:
    """Print the medians of images per second, and the ratios."""
    assert isinstance(splits.train, Images)
    few = Images(splits.train.pixels[: STEPS * BATCH], splits.train.labels[: STEPS * BATCH])
    short = Splits(few, None, Images(few.pixels[:BATCH], few.labels[:BATCH]))
    peer = Peer(few, STEPS * ROUNDS)
    sides: dict[str, Callable[[], object]] = {"plain PyTorch": peer.train_an_epoch}
    for autocast in ("float32", "bfloat16"):
        ours = Supervised(recipe_of(autocast, 0), short, torch.device("cpu"))
        sides[f"softaug, {autocast}"] = partial(ours.train, 1, lambda: False)
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, train in sides.items():
            started = time.perf_counter()
            train()
            rates[name].append(len(few.labels) / (time.perf_counter() - started))
    plain = statistics.median(rates["plain PyTorch"])
    for name, each in rates.items():
        median = statistics.median(each)
        print(f"{name:<20}{median:8.1f} images/s ({min(each):.1f} to {max(each):.1f}), ratio {median / plain:.2f}")
    print("target: at least 2")


def accuracy(splits: Splits, autocast: str) -> None:
    """Print the mean test errors of both sides and the interval of their difference."""
    test = Pictures(arrays(splits.test), transforms.Compose(_to_normalised()))
    ours, peer = [], []
    for seed in SEEDS:
        *_, last = fit(recipe_of(autocast, seed), splits, device=torch.device("cpu"))
        assert last.final is not None
        ours.append(last.final.metrics["test/top1_error"])
        torch.manual_seed(seed)
        plain = Peer(splits.train, EPOCHS * -(-IMAGES // BATCH))
        for _ in range(EPOCHS):
            plain.train_an_epoch()
        peer.append(top1_error(plain.model, test))
        print(f"seed {seed}: test error {ours[-1]:.2f} % (softaug, {autocast}), {peer[-1]:.2f} % (plain)", flush=True)
    difference = stats.ttest_ind(ours, peer, equal_var=False)
    low, high = difference.confidence_interval(0.95)
    means = f"{statistics.mean(ours):.2f} % and {statistics.mean(peer):.2f} %"
    print(f"mean {means}; 95 % interval of the difference {low:.2f} to {high:.2f}")


def main() -> None:
    """Measure the speed, or the accuracy."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--accuracy", action="store_true")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32")
    options = parser.parse_args()
    torch.set_num_threads(1)
    splits = split(load("fashion-mnist", Path("data")), recipe_of("float32", 0).data)
    if options.accuracy:
        accuracy(splits, options.precision)
    else:
        throughput(splits)


if __name__ == "__main__":
    main()
