"""The quickstart as an ordinary Ray Tune user writes it; benchmarks/quickstart.py starts and times it.

A function trainable, PIL images through torchvision's transforms and a crop per sample, a torch DataLoader, SGD and
cosine of torch.optim, tune.report once per epoch, MLflowLoggerCallback on sqlite, a grid. Of softaug it takes the
images and the network, so that both sides train the same thing. Defaults of Ray and MLflow stay as they are.
"""

import argparse
from pathlib import Path
from typing import Any

import ray
import torch
from plain_pytorch import Arrays, Cropped, Pictures, Sample, arrays, softened, top1_error, weighted_kl
from ray import tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from torch import Tensor
from torch.utils.data import DataLoader
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


def training_loader(images: Arrays, arm: str, sigma: float) -> DataLoader[Sample]:
    """Return shuffled batches of an arm; the standard crop is torchvision's."""
    standard = [transforms.RandomCrop(8, padding=1)] if arm == "standard crop" else []
    pictures = Pictures(images, transforms.Compose([*standard, *to_normalised()]))
    return DataLoader(Cropped(pictures, sigma), batch_size=BATCH, shuffle=True, num_workers=0)


def to_normalised() -> list[Any]:
    """Return the transforms from a PIL image to a normalised tensor."""
    known = dataset("digits")
    return [transforms.ToTensor(), transforms.Normalize(known.mean, known.std)]


def confidence_and_weight(arm: str, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Return what an arm makes of the visible parts of a batch's images."""
    soft, ones = softened(visible, classes=CLASSES, k=K), torch.ones_like(visible)
    confidence = (1 - ALPHA) * ones if arm == "label smoothing" else ones
    return soft if arm in SOFT_TARGETS else confidence, soft if arm in SOFT_WEIGHTS else ones


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
        for images, labels, visible in loader:
            loss = weighted_kl(model(images), labels, *confidence_and_weight(config["cell"]["arm"], visible.float()))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        metrics = {"epoch": epoch, "train_loss": total / len(loader)}
        if epoch == epochs:
            metrics["test_top1_error"] = top1_error(model, Pictures(test_set, transforms.Compose(to_normalised())))
        tune.report(metrics)


def load_digits() -> tuple[Arrays, Arrays]:
    """Return the 300 training and 1,497 test images of the quickstart."""
    splits = split(load("digits", None), Data(name="digits", train_images=300))
    return arrays(splits.train), arrays(splits.test)


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
