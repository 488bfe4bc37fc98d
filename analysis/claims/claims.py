"""The paper's sentences as checks: each says of sums of cells that they are above nothing, or above a number.

"SA doubles RA's error reduction" is, of every row of Table 2, (baseline - SA) - 2 (baseline - RA) >= 0. So a claim can
be evaluated on the printed numbers and, seed by seed, on runs: see `analysis.claims.checks`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from analysis.tables.paper_layouts import DATA, ECE, ERROR, MODELS, TABLE_2, Place
from analysis.tables.paper_results import INCREASE, OCCLUDED, REDUCTION

Terms = tuple[tuple[float, Place], ...]


@dataclass(frozen=True)
class Part:
    """One row of which a claim speaks: the sum of factor x number over `terms` is above `above`, points or percent.

    `equal_counts`: a sum equal to it is enough, as for "doubles".
    """

    row: str
    terms: Terms
    above: float = 0.0
    equal_counts: bool = False


@dataclass(frozen=True)
class Claim:
    """A sentence of the paper, where it stands, what of it is checked, and in which rows."""

    name: str
    sentence: str
    where: str
    checked: str
    parts: tuple[Part, ...]


def less(better: Place, worse: Place, row: str) -> Part:
    """Return the claim that one number is smaller than another."""
    return Part(row, ((1.0, worse), (-1.0, better)))


def _rows_of_table_2() -> Iterator[tuple[str, dict[str, Place]]]:
    for line in TABLE_2.lines:
        yield line.name, {place.method: place for place in line.places if place is not None}


def _twice(method: str) -> tuple[Part, ...]:
    """Return that a method's error reduction is at least twice RandAugment's, in every row of Table 2."""
    return tuple(
        Part(row, ((-1.0, at["baseline"]), (-1.0, at[method]), (2.0, at["ra"])), equal_counts=True)
        for row, at in _rows_of_table_2()
    )


def _at_1(method: str, quoted_from: str | None = None) -> Place:
    return Place("1", "cifar100", "resnet18", method, quoted_from=quoted_from)


def _at_2(data: str, model: str, method: str) -> Place:
    return Place("2", data, model, method)


def _at_3(data: str, method: str, metric: str, quoted_from: str | None = None) -> Place:
    return Place("3", data, "wideresnet28_10", method, metric, quoted_from=quoted_from)


def _at_4(data: str, method: str, lr: float, k: float | None = None) -> Place:
    return Place("4", data, "simsiam_resnet18", method, lr=lr, k=k)


def _at_6(method: str) -> Place:
    return Place("6", "cifar100", "resnet18", method)


def _half(better: Place, worse: Place, row: str) -> Part:
    return Part(row, ((1.0, worse), (-2.0, better)))


OTHERS = {
    "Mixup": "mixup", "Cutout": "cutout", "Label Smoothing": "label_smoothing",
    "Online Label Smoothing": "online_label_smoothing", "Focal Loss (α = 1)": "focal_loss_alpha1",
    "Focal Loss (α = 2)": "focal_loss_alpha2", "Focal Loss (α = 5)": "focal_loss_alpha5", "RandAugment": "randaugment",
}  # fmt: skip
QUOTED = (("[53]", "Zhang et al."), ("[10]", "DeVries and Taylor"), ("[20]", "Kim et al."))
COVERED = replace(Place("text", "imagenet1k", "resnet50", "baseline"), metric=OCCLUDED)
CIFARS = ("cifar100", "cifar10")
ECE_ON_IMAGENET = {
    data: {method: Place("7", data, "resnet50", method, ECE) for method in ("baseline", "ra", "sa", "sa+ra")}
    for data in ("imagenet1k", "imagenetv2")
}

FIGURE_1 = (
    ("U(−16, 16) increases the error", "hard_crop_uniform_16", INCREASE),
    ("Gaussian crops alone reduce it", "hard_crop_gaussian", REDUCTION),
    ("softened Gaussian crops reduce it", "sa_target_and_weight", REDUCTION),
)

CLAIMS = (
    Claim(
        "wide-crops",
        "Naively increasing the augmentation range without reducing target confidence increases error, but softening "
        "the target label by reducing the target confidence for extreme augmentations reduces the error.",
        "Figure 1, caption; section 4.1",
        "against crops of U(−4, 4): error up for U(−16, 16), down for Gaussian crops, softened or not",
        tuple(
            Part(row, ((1.0, Place("text", "cifar100", "resnet18", method, metric)),))
            for row, method, metric in FIGURE_1
        ),
    ),
    Claim(
        "doubles-ra",
        "Soft Augmentation (SA) with a fixed softening curve of k=2 doubles the top-1 error reduction of RandAugment "
        "(RA) across datasets and models.",
        "Table 2, caption",
        "read literally: SA's reduction of the baseline's error, without RA, is at least twice RA's",
        _twice("sa"),
    ),
    Claim(
        "doubles-ra-together",
        "Soft Augmentation complements RandAugment by doubling its top-1 error reduction across tasks and models.",
        "section 4.3.2; abstract",
        "SA+RA's reduction of the baseline's error is at least twice RA's",
        _twice("sa+ra"),
    ),
    Claim(
        "beats-ra",
        "Comparing single methods, Soft Augmentation with crop only consistently outperforms the more sophisticated "
        "RandAugment with 14 transforms.",
        "section 4.3.2",
        "SA's error is below RA's",
        tuple(less(at["sa"], at["ra"], row) for row, at in _rows_of_table_2()),
    ),
    Claim(
        "beats-single-methods",
        "Table 1 shows that Soft Augmentation outperforms all other single methods.",
        "section 4.3.1",
        "Soft Augmentation's error is below that of each method the authors ran",
        tuple(less(_at_1("soft_augmentation"), _at_1(method), name) for name, method in OTHERS.items()),
    ),
    Claim(
        "small-beats-large",
        "The ResNet-18 models trained with SA on Cifar-10/100 even outperform larger baseline ResNet-50 and "
        "WideResNet-28 models.",
        "Table 2, caption",
        "ResNet-18's error with SA is below the larger network's without",
        tuple(
            less(_at_2(data, "resnet18", "sa"), _at_2(data, model, "baseline"), f"{DATA[data]} {MODELS[model]}")
            for data in CIFARS
            for model in ("resnet50", "wideresnet28_10")
        ),
    ),
    Claim(
        "ra-hurts-resnet18",
        "For the small ResNet-18 model trained on Cifar-100, the fixed RandAugment method slightly degrades its "
        "performance.",
        "section 4.3.2",
        "RA's error is above the baseline's",
        (less(_at_2("cifar100", "resnet18", "baseline"), _at_2("cifar100", "resnet18", "ra"), "CIFAR-100 ResNet-18"),),
    ),
    Claim(
        "strong-baseline",
        "Our baseline model (20.80%) not only outperforms other published baseline models by 1.5% to 4.8%, but also "
        "beat various implementations of Mixup and Cutout.",
        "Table 1, caption",
        "the baseline's error is at least 1.5 points below the quoted baselines', and below quoted Mixup and Cutout",
        (
            *(
                replace(less(_at_1("baseline"), _at_1("baseline", by), f"Baseline, {who} {by}"), above=1.5,
                        equal_counts=True)
                for by, who in QUOTED
            ),
            *(
                less(_at_1("baseline"), _at_1(method, by), f"{method.title()}, {who} {by}")
                for method, by, who in (("mixup", "[53]", "Zhang et al."), ("mixup", "[20]", "Kim et al."),
                                        ("cutout", "[10]", "DeVries and Taylor"))
            ),
        ),
    ),
    Claim(
        "halves-ece",
        "Combined with existing aggressive augmentation strategies, soft targets … 3) half the expected calibration "
        "error (ECE).",
        "abstract; section 4.3.4",
        "the combination's ECE is below half the baseline's",
        (
            *(_half(_at_3(data, "sa+ta", ECE), _at_3(data, "baseline", ECE), f"{DATA[data]} WideResNet-28, SA+TA")
              for data in CIFARS),
            *(_half(at["sa+ra"], at["baseline"], f"{DATA[data]} ResNet-50, SA+RA")
              for data, at in ECE_ON_IMAGENET.items()),
        ),
    ),
    Claim(
        "lowers-ece-on-imagenet",
        "Soft Augmentation reduces expected calibration error (ECE) of ResNet-50 on ImageNet.",
        "Table 7, caption",
        "SA's ECE is below the baseline's, and SA+RA's below RA's",
        tuple(
            less(at[better], at[worse], f"{DATA[data]} {better.upper()}")
            for data, at in ECE_ON_IMAGENET.items()
            for better, worse in (("sa", "baseline"), ("sa+ra", "ra"))
        ),
    ),
    Claim(
        "beats-ensemble",
        "SA+TA reduces top-1 error by 4.36% and reduces ECE by more than half on Cifar-100, outperforming the 4x more "
        "computationally expensive 5-ensemble model.",
        "section 4.3.4",
        "SA+TA's error and ECE are below those quoted for the ensemble",
        tuple(
            less(_at_3(data, "sa+ta", metric), _at_3(data, "5_ensemble", metric, "[25]"), f"{DATA[data]} {name}")
            for data in CIFARS
            for metric, name in ((ERROR, "top-1 error"), (ECE, "ECE"))
        ),
    ),
    Claim(
        "occlusion-4x",
        "At 80% occlusion level, SA+RA achieves more than 4x accuracy improvement over the baseline (18.98% vs 3.42%).",
        "section 4.3.3",
        "SA+RA's accuracy with 80 % of every image covered is above four times the baseline's",
        (Part("ImageNet-1K ResNet-50", ((1.0, replace(COVERED, method="sa+ra")), (-4.0, COVERED))),),
    ),
    Claim(
        "simsiam",
        "Table 4 shows that SA#1 outperforms both baseline and SA#2; models trained with the same SA#1 configuration "
        "also generalize to Cifar-10.",
        "section 4.4",
        "SA#1's error is below the baseline's and SA#2's, each at its best learning rate",
        (
            less(_at_4("cifar100", "sa#1", 0.2, 4), _at_4("cifar100", "baseline", 0.2), "CIFAR-100, baseline"),
            less(_at_4("cifar100", "sa#1", 0.2, 4), _at_4("cifar100", "sa#2", 0.1), "CIFAR-100, SA#2"),
            less(_at_4("cifar10", "sa#1", 0.2, 4), _at_4("cifar10", "baseline", 0.2), "CIFAR-10, baseline"),
        ),
    ),
    Claim(
        "noise-softens-too",
        "Applying Soft Augmentation to additive noise boosts performance over baseline as well as Soft Augmentation "
        "Crop + RandAugment.",
        "Table 6, caption",
        "the error with soft noise is below that without, alone and on top of SA-Crop + RA",
        (
            less(_at_6("sa_noise"), _at_6("baseline"), "alone"),
            less(_at_6("sa_noise+sa_crop+ra"), _at_6("sa_crop+ra"), "with SA-Crop + RA"),
        ),
    ),
)  # fmt: skip
