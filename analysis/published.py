"""Numbers the paper prints, as data (published.json). They are shown beside ours and marked, never mixed with them."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from analysis.paper_setting import departures

# Our arms of Figure 3 and the paper's names for them. Its text gives no number for soft weight alone.
FIGURE_3 = {
    "hard Gaussian crop": "hard_crop_gaussian",
    "label smoothing": "label_smoothing",
    "soft target": "sa_target_only",
    "soft target & weight": "sa_target_and_weight",
}


@dataclass(frozen=True)
class PublishedNumber:
    """A number as printed: in percent unless its metric says else, with `decimals` digits after the point, SE too.

    `mean` is None where the paper prints "Diverged"; `se` where it prints none. `quoted_from`: the work it is from,
    None for the paper's own. `lr`, `k`: for methods that a table has with several.
    """

    table: str
    dataset: str
    model: str
    method: str
    metric: str
    mean: float | None
    se: float | None
    source: Literal["ours", "quoted"]
    notes: str
    n_runs: int | None = None
    delta_reported: float | None = None
    lr: float | None = None
    k: float | None = None
    quoted_from: str | None = None
    se_upper_bound: float | None = None
    diverged: bool = False
    approx: bool = False
    decimals: int = 2

    @property
    def rounding(self) -> float:
        """Half a unit of the last digit printed: how far the number may lie from what was rounded."""
        return 0.5 * 10.0**-self.decimals

    @property
    def largest_se(self) -> float | None:
        """The printed SE, or what it is printed to be below: "< 0.01"."""
        return self.se if self.se is not None else self.se_upper_bound


@dataclass(frozen=True)
class PublishedReduction:
    """An approximate error reduction over the baseline, in points of top-1 error, read in the paper's text."""

    arm: str
    points: float
    notes: str


@cache
def published() -> tuple[PublishedNumber, ...]:
    """Return every published number, with its table and its notes."""
    text = (Path(__file__).parent / "published.json").read_text(encoding="utf-8")
    return tuple(PublishedNumber(**row) for row in json.loads(text))


def figure_3() -> list[PublishedReduction]:
    """Return what the paper's text says about its Figure 3 (ResNet-18, CIFAR-100, 500 epochs)."""
    by_method = {row.method: row for row in published() if row.metric == "top1_error_reduction_pp"}
    rows = [(arm, by_method[method]) for arm, method in FIGURE_3.items()]
    return [PublishedReduction(arm, row.mean, row.notes) for arm, row in rows if row.mean is not None]


def is_figure_3_setting(recipe: Mapping[str, Any]) -> bool:
    """Tell whether a cell's recipe has the data, the network and the epochs of the paper's Figure 3."""
    return not departures(recipe, "cifar100", "resnet18")


@dataclass(frozen=True)
class PublishedError:
    """A top-1 error, percent, that the paper's text gives for a crop whose strength is the recipe's `field`."""

    name: str
    field: str
    error: float


def crop_errors() -> list[PublishedError]:
    """Return what the text says of crops in §4.1, 4.2 and Figure 1 (ResNet-18, CIFAR-100, 500 epochs)."""
    text = {(row.method, row.metric): row.mean for row in published() if row.table == "text" and row.mean is not None}
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
    rows = [(row.method, row.mean) for row in published() if row.metric == metric]
    return [OccludedError(method, 80, 100 - mean) for method, mean in rows if mean is not None]
