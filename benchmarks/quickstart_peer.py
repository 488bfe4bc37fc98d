"""The quickstart as an ordinary Ray Tune user writes it; benchmarks/quickstart.py starts and times it.

A function trainable, PIL images through torchvision's transforms and a crop per sample, a torch DataLoader, SGD and
cosine of torch.optim, tune.report once per epoch, MLflowLoggerCallback on sqlite, a grid. Of softaug it takes the
images and the network, so that both sides train the same thing. Defaults of Ray and MLflow stay as they are.
"""

import argparse
from pathlib import Path
from typing import Any

import numpy as np
import ray
import torch
from numpy.typing import NDArray
from PIL import Image
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from softaug.arrays import load
from softaug.data import split
from softaug.datasets import dataset
from softaug.models.resnet import resnet8
from softaug.recipe import Data

CLASSES, BATCH, ALPHA, K = 10, 60, 0.1, 2
SIGMAS = (0.1, 0.2, 0.3)
CELLS = [
    {"arm": "standard crop", "sigma": 0.0},
    *({"arm": "hard Gaussian crop", "sigma": sigma} for sigma in SIGMAS),
    {"arm": "label smoothing", "sigma": 0.3},
    *({"arm": "soft target", "sigma": sigma} for sigma in SIGMAS),
    {"arm": "soft weight", "sigma": 0.3},
    *({"arm": "soft target & weight", "sigma": sigma} for sigma in SIGMAS),
]
SOFT_TARGETS = ("soft target", "soft target & weight")
SOFT_WEIGHTS = ("soft weight", "soft target & weight")

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images (N, 8, 8), labels (N,)
Sample = tuple[Tensor, int, float, float]  # image, label, confidence, weight


class Digits(Dataset[tuple[Tensor, int]]):
    """Images and labels as torchvision's data sets hold them: a PIL image is made and transformed on access."""

    def __init__(self, arrays: Arrays, transform: transforms.Compose) -> None:
        self.images, self.labels = arrays
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class GaussianCrop:
    """The paper's Listing 1: crop one image by a truncated normal offset and say how much of it is still seen."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def __call__(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the crop of an image (C, H, W), zeros outside it, and the visible part in [0, 1]."""
        channels, height, width = image.shape
        canvas = torch.zeros(channels, 3 * height, 3 * width)
        canvas[:, height : 2 * height, width : 2 * width] = image
        down, right = self.draw_offset(height), self.draw_offset(width)
        seen = canvas[:, height + down : 2 * height + down, width + right : 2 * width + right]
        return seen, (height - abs(down)) * (width - abs(right)) / (height * width)

    def draw_offset(self, side: int) -> int:
        """Draw a normal until it lies within the side; truncate it to whole pixels."""
        while True:
            offset = float(torch.randn(1)) * self.sigma * side
            if abs(offset) <= side:
                return int(offset)


class SoftDigits(Dataset[Sample]):
    """Training images cropped for an arm, with the confidence of the label and the weight of the sample."""

    def __init__(self, digits: Digits, arm: str, sigma: float) -> None:
        self.digits = digits
        self.arm = arm
        self.crop = GaussianCrop(sigma) if sigma > 0 else None

    def __len__(self) -> int:
        return len(self.digits)

    def __getitem__(self, index: int) -> Sample:
        image, label = self.digits[index]
        visible = 1.0
        if self.crop is not None:
            image, visible = self.crop(image)
        softened = 1 - (1 - 1 / CLASSES) * (1 - visible) ** K
        confidence = 1 - ALPHA if self.arm == "label smoothing" else 1.0
        if self.arm in SOFT_TARGETS:
            confidence = softened
        return image, label, confidence, softened if self.arm in SOFT_WEIGHTS else 1.0


def training_loader(arrays: Arrays, arm: str, sigma: float) -> DataLoader[Sample]:
    """Return shuffled batches of an arm; the standard crop is torchvision's."""
    standard = [transforms.RandomCrop(8, padding=1)] if arm == "standard crop" else []
    digits = Digits(arrays, transforms.Compose([*standard, *to_normalised()]))
    return DataLoader(SoftDigits(digits, arm, sigma), batch_size=BATCH, shuffle=True, num_workers=0)


def to_normalised() -> list[Any]:
    """Return the transforms from a PIL image to a normalised tensor."""
    known = dataset("digits")
    return [transforms.ToTensor(), transforms.Normalize(known.mean, known.std)]


def weighted_kl(logits: Tensor, labels: Tensor, confidence: Tensor, weight: Tensor) -> Tensor:
    """Return the mean over a batch of weight x KL divergence to the softened target (Eqs. 4-6)."""
    others = (1 - confidence) / (CLASSES - 1)
    target = others.unsqueeze(1).repeat(1, CLASSES).scatter(1, labels.unsqueeze(1), confidence.unsqueeze(1))
    divergence = functional.kl_div(functional.log_softmax(logits, dim=1), target, reduction="none").sum(dim=1)
    return (weight * divergence).mean()


def top1_error(model: nn.Module, test: Arrays) -> float:
    """Return the percentage of test images that the model gets wrong."""
    model.eval()
    wrong = 0
    with torch.no_grad():
        for images, labels in DataLoader(Digits(test, transforms.Compose(to_normalised())), batch_size=512):
            wrong += int((model(images).argmax(dim=1) != labels).sum())
    return 100 * wrong / len(test[1])


def train(config: dict[str, Any], train_set: Arrays, test_set: Arrays) -> None:
    """Train one cell with one seed and report every epoch, the last one with the test error."""
    torch.set_num_threads(1)
    torch.manual_seed(config["seed"])
    epochs = config["epochs"]
    loader = training_loader(train_set, **config["cell"])
    model = resnet8(8, in_channels=1, classes=CLASSES)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True, weight_decay=5e-4)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=epochs * len(loader))
    for epoch in range(1, epochs + 1):
        model.train()
        total = 0.0
        for images, labels, confidence, weight in loader:
            loss = weighted_kl(model(images), labels, confidence.float(), weight.float())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        metrics = {"epoch": epoch, "train_loss": total / len(loader)}
        if epoch == epochs:
            metrics["test_top1_error"] = top1_error(model, test_set)
        tune.report(metrics)


def load_digits() -> tuple[Arrays, Arrays]:
    """Return the 300 training and 1,497 test images of the quickstart."""
    splits = split(load("digits", None), Data(name="digits", train_images=300))
    train_set, test_set = ((part.pixels[:, 0].numpy(), part.labels.numpy()) for part in (splits.train, splits.test))
    return train_set, test_set


def main() -> None:
    """Run the grid and write a row per trial to results.csv."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--epochs", type=int, required=True)
    options = parser.parse_args()
    train_set, test_set = load_digits()
    ray.init(address="local")
    trainable = tune.with_parameters(train, train_set=train_set, test_set=test_set)
    tuner = tune.Tuner(
        tune.with_resources(trainable, {"cpu": 1}),
        param_space={
            "cell": tune.grid_search(CELLS),
            "seed": tune.grid_search([0, 1, 2]),
            "epochs": options.epochs,
        },
        tune_config=tune.TuneConfig(max_concurrent_trials=2),
        run_config=tune.RunConfig(
            name="quickstart",
            storage_path=str(options.folder),
            callbacks=[MLflowLoggerCallback(f"sqlite:///{options.folder}/mlflow.db", experiment_name="quickstart")],
        ),
    )
    results = tuner.fit()
    if results.num_errors > 0:
        raise SystemExit(f"{results.num_errors} trials failed: {results.errors[0]}")
    results.get_dataframe().to_csv(options.folder / "results.csv")


if __name__ == "__main__":
    main()
