"""Numbers the paper prints, as data (published.json). They are shown beside ours and marked, never mixed with them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

# Our arms of Figure 3 and the paper's names for them. Its text gives no number for soft weight alone.
FIGURE_3 = {
    "hard Gaussian crop": "hard_crop_gaussian",
    "label smoothing": "label_smoothing",
    "soft target": "sa_target_only",
    "soft target & weight": "sa_target_and_weight",
}


@dataclass(frozen=True)
class PublishedReduction:
    """An approximate error reduction over the baseline, in points of top-1 error, read in the paper's text."""

    arm: str
    points: float
    notes: str


@cache
def published() -> list[dict[str, Any]]:
    """Return every published number, with its table and its notes."""
    text = (Path(__file__).parent / "published.json").read_text(encoding="utf-8")
    return list(json.loads(text))


def figure_3() -> list[PublishedReduction]:
    """Return what the paper's text says about its Figure 3 (ResNet-18, CIFAR-100, 500 epochs)."""
    by_method = {row["method"]: row for row in published() if row["metric"] == "top1_error_reduction_pp"}
    return [
        PublishedReduction(arm, by_method[method]["mean"], by_method[method]["notes"])
        for arm, method in FIGURE_3.items()
    ]


def is_figure_3_setting(recipe: Mapping[str, Any]) -> bool:
    """Tell whether a cell's recipe has the data, the network and the epochs of the paper's Figure 3."""
    data, model = recipe["data"], recipe["model"]
    return (
        data["name"] == "cifar100"
        and data["train_images"] is None
        and (model["name"], model["width"]) == ("resnet18", 64)
        and recipe["optim"]["epochs"] in (500, 501)  # presets paper, authors
    )


@dataclass(frozen=True)
class PublishedError:
    """A top-1 error, percent, that the paper's text gives for a crop whose strength is the recipe's `field`."""

    name: str
    field: str
    error: float


def crop_errors() -> list[PublishedError]:
    """Return what the text says of crops in §4.1, 4.2 and Figure 1 (ResNet-18, CIFAR-100, 500 epochs)."""
    text = {(row["method"], row["metric"]): row["mean"] for row in published() if row["table"] == "text"}
    baseline = text["hard_crop_uniform_4", "top1_error_pct"]
    wide = baseline + text["hard_crop_uniform_16", "top1_error_increase_pp"]
    gaussian = baseline - text["hard_crop_gaussian", "top1_error_reduction_pp"]
    soft = baseline - text["sa_target_and_weight", "top1_error_reduction_pp"]
    return [
        PublishedError("U(−4, 4)", "crop.radius_px", baseline),
        PublishedError("U(−16, 16)", "crop.radius_px", wide),
        PublishedError("hard Gaussian", "crop.sigma", gaussian),
        PublishedError("soft target & weight", "crop.sigma", soft),
    ]


@dataclass(frozen=True)
class OccludedError:
    """A top-1 error, percent, with a percentage of every image covered."""

    name: str
    percent: int
    error: float


def occluded_errors(recipe: Mapping[str, Any]) -> list[OccludedError]:
    """Return what the text says of its Figure 5 if a recipe has its data and network: ResNet-50 on ImageNet."""
    if (recipe["data"]["name"], recipe["model"]["name"]) != ("imagenet", "torchvision-resnet50"):
        return []
    metric = "top1_accuracy_pct_occlusion80"
    return [OccludedError(row["method"], 80, 100 - row["mean"]) for row in published() if row["metric"] == metric]
