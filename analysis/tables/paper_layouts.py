"""Tables 1 to 9 as the paper lays them out: which of its numbers stands where. Every row of published.json has a place.

Columns and rows are in the paper's order; None is a place that it leaves empty.
"""

from dataclasses import dataclass
from functools import cache

from analysis.published import PublishedNumber, published

DATA = {"cifar100": "CIFAR-100", "cifar10": "CIFAR-10", "imagenet1k": "ImageNet-1K", "imagenetv2": "ImageNet-V2"}
MODELS = {
    "efficientnet_b0": "EfficientNet-B0",
    "resnet18": "ResNet-18",
    "resnet50": "ResNet-50",
    "resnet101": "ResNet-101",
    "wideresnet28_10": "WideResNet-28",
    "pyramidnet272_a200_shakedrop": "PyramidNet + ShakeDrop",
}
CIFAR_MODELS = ("efficientnet_b0", "resnet18", "resnet50", "wideresnet28_10", "pyramidnet272_a200_shakedrop")
ERROR, ECE = "top1_error_pct", "ece_pct"


@dataclass(frozen=True)
class Place:
    """A place in a table of the paper: the fields that say which published number it holds."""

    table: str
    dataset: str
    model: str
    method: str
    metric: str = ERROR
    lr: float | None = None
    k: float | None = None
    quoted_from: str | None = None

    @property
    def published(self) -> PublishedNumber:
        """The number printed there. Raises KeyError if the paper has none."""
        return _by_place()[self]


@dataclass(frozen=True)
class Line:
    """A row of a table: what it is called, one text per head, and what stands in its columns."""

    names: tuple[str, ...]
    places: tuple[Place | None, ...]

    @property
    def name(self) -> str:
        return " ".join(self.names)


@dataclass(frozen=True)
class Layout:
    """A table of the paper."""

    number: str
    title: str
    heads: tuple[str, ...]
    columns: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def places(self) -> list[tuple[str, Place]]:
        """Every place with its name, row by row."""
        alone = len(self.columns) == 1
        return [
            (line.name if alone else f"{line.name}, {column}", place)
            for line in self.lines
            for column, place in zip(self.columns, line.places, strict=True)
            if place is not None
        ]


@cache
def _by_place() -> dict[Place, PublishedNumber]:
    return {
        Place(row.table, row.dataset, row.model, row.method, row.metric, row.lr, row.k, row.quoted_from): row
        for row in published()
    }


def _methods(table: str, *rows: tuple[str, str, str] | tuple[str, str, str, str]) -> tuple[Line, ...]:
    """Return lines of ResNet-18's error on CIFAR-100: two names, the method, and whom it is quoted from."""
    return tuple(
        Line(
            (first, second), (Place(table, "cifar100", "resnet18", method, quoted_from=quoted[0] if quoted else None),)
        )
        for first, second, method, *quoted in rows
    )


TABLE_1 = Layout(
    "1", "Soft Augmentation and related methods: top-1 error (%) of ResNet-18 on CIFAR-100",
    ("Method", "By"), ("top-1 error (%)",),
    _methods(
        "1",
        ("Baseline", "Zhang et al. [53]", "baseline", "[53]"),
        ("Baseline", "DeVries and Taylor [10]", "baseline", "[10]"),
        ("Baseline", "Kim et al. [20]", "baseline", "[20]"),
        ("Baseline", "the authors", "baseline"),
        ("Mixup", "Zhang et al. [53]", "mixup", "[53]"),
        ("Mixup", "Kim et al. [20]", "mixup", "[20]"),
        ("Mixup", "the authors", "mixup"),
        ("Cutout", "DeVries and Taylor [10]", "cutout", "[10]"),
        ("Cutout", "the authors", "cutout"),
        ("Label Smoothing", "the authors", "label_smoothing"),
        ("Online Label Smoothing", "the authors", "online_label_smoothing"),
        ("Focal Loss (α = 1)", "the authors", "focal_loss_alpha1"),
        ("Focal Loss (α = 2)", "the authors", "focal_loss_alpha2"),
        ("Focal Loss (α = 5)", "the authors", "focal_loss_alpha5"),
        ("RandAugment", "the authors", "randaugment"),
        ("Soft Augmentation", "the authors", "soft_augmentation"),
    ),
)  # fmt: skip

TABLE_2 = Layout(
    "2", "Soft Augmentation (SA, k = 2) and RandAugment (RA): top-1 error (%)",
    ("Data", "Network"), ("Baseline", "SA", "RA", "SA+RA"),
    tuple(
        Line(
            (DATA[data], MODELS[model]),
            tuple(Place("2", data, model, method) for method in ("baseline", "sa", "ra", "sa+ra")),
        )
        for data, models in (
            ("cifar100", CIFAR_MODELS), ("cifar10", CIFAR_MODELS),
            ("imagenet1k", ("resnet50", "resnet101")), ("imagenetv2", ("resnet50", "resnet101")),
        )
        for model in models
    ),
)  # fmt: skip

TABLE_3 = Layout(
    "3", "Accuracy and calibration of WideResNet-28: top-1 error (%) and ECE (%)",
    ("Method",), ("CIFAR-100 top-1 error", "CIFAR-100 ECE", "CIFAR-10 top-1 error", "CIFAR-10 ECE"),
    tuple(
        Line(
            (name,),
            tuple(
                Place("3", data, "wideresnet28_10", method, metric, quoted_from=quoted)
                if (data, method) != ("cifar100", "duq") else None
                for data in ("cifar100", "cifar10") for metric in (ERROR, ECE)
            ),
        )
        for name, method, quoted in (
            ("Energy-based [31]", "energy_based", "[31]"), ("DUQ [45]", "duq", "[45]"), ("SNGP [30]", "sngp", "[30]"),
            ("DDU [35]", "ddu", "[35]"), ("5-Ensemble [25]", "5_ensemble", "[25]"),
            ("Baseline", "baseline", None), ("SA + TrivialAugment", "sa+ta", None),
        )
    ),
)  # fmt: skip


def _simsiam(table: str, data: str, method: str, lr: float, k: float | None = None) -> Place:
    return Place(table, data, "simsiam_resnet18", method, lr=lr, k=k)


TABLE_4 = Layout(
    "4", "Soft Augmentation in SimSiam (ResNet-18), each at its best learning rate: top-1 error (%)",
    ("Data",), ("Baseline (lr 0.2)", "SA#1 (lr 0.2)", "SA#2 (lr 0.1)"),
    (
        Line(("CIFAR-100",), (_simsiam("4", "cifar100", "baseline", 0.2), _simsiam("4", "cifar100", "sa#1", 0.2, 4),
                              _simsiam("4", "cifar100", "sa#2", 0.1))),
        Line(("CIFAR-10",), (_simsiam("4", "cifar10", "baseline", 0.2), _simsiam("4", "cifar10", "sa#1", 0.2, 4),
                             None)),
    ),
)  # fmt: skip

TABLE_5 = Layout(
    "5", "Soft Augmentation and other methods, published results beside the authors' own: top-1 error (%) of ResNet-18 "
    "on CIFAR-100",
    ("By", "Method"), ("top-1 error (%)",),
    _methods(
        "5",
        ("Zhang et al. [53]", "Baseline", "baseline", "[53]"),
        ("Zhang et al. [53]", "Mixup", "mixup", "[53]"),
        ("Kim et al. [21]", "Baseline", "baseline", "[21]"),
        ("Kim et al. [21]", "Mixup", "mixup", "[21]"),
        ("Kim et al. [21]", "Manifold Mixup", "manifold_mixup", "[21]"),
        ("Kim et al. [21]", "Puzzle Mix", "puzzle_mix", "[21]"),
        ("Kim et al. [20]", "Baseline", "baseline", "[20]"),
        ("Kim et al. [20]", "Mixup", "mixup", "[20]"),
        ("Kim et al. [20]", "Manifold Mixup", "manifold_mixup", "[20]"),
        ("Kim et al. [20]", "Puzzle Mix", "puzzle_mix", "[20]"),
        ("Kim et al. [20]", "Co-Mixup", "co_mixup", "[20]"),
        ("The authors", "Baseline", "baseline"),
        ("The authors", "Label Smoothing", "label_smoothing"),
        ("The authors", "Online Label Smoothing", "online_label_smoothing"),
        ("The authors", "Focal Loss (α = 1)", "focal_loss_alpha1"),
        ("The authors", "Focal Loss (α = 2)", "focal_loss_alpha2"),
        ("The authors", "Focal Loss (α = 5)", "focal_loss_alpha5"),
        ("The authors", "Mixup (α = 1.0)", "mixup"),
        ("The authors", "Cutout (L = 8)", "cutout"),
        ("The authors", "SA", "sa"),
        ("The authors", "RA", "ra"),
        ("The authors", "SA + RA", "sa+ra"),
    ),
)  # fmt: skip

TABLE_6 = Layout(
    "6", "Soft Augmentation with additive noise: top-1 error (%) of ResNet-18 on CIFAR-100",
    ("Method",), ("top-1 error (%)",),
    tuple(
        Line((name,), (Place("6", "cifar100", "resnet18", method),))
        for name, method in (
            ("Baseline", "baseline"), ("RA", "ra"), ("Hard Crop", "hard_crop"), ("SA-Crop (k = 2)", "sa_crop"),
            ("Hard Noise", "hard_noise"), ("SA-Noise (k = 1)", "sa_noise"),
            ("SA-Crop (k = 2) + RA", "sa_crop+ra"),
            ("SA-Noise (k = 1) + SA-Crop (k = 2) + RA", "sa_noise+sa_crop+ra"),
        )
    ),
)  # fmt: skip

TABLE_7 = Layout(
    "7", "Calibration of ResNet-50 on ImageNet: ECE (%)",
    ("Data",), ("Baseline", "RA", "SA", "RA+SA"),
    tuple(
        Line(
            (DATA[data],),
            tuple(Place("7", data, "resnet50", method, ECE) for method in ("baseline", "ra", "sa", "sa+ra")),
        )
        for data in ("imagenet1k", "imagenetv2")
    ),
)  # fmt: skip

TABLE_8 = Layout(
    "8", "Soft Augmentation in SimSiam (ResNet-18) over the learning rate: top-1 error (%)",
    ("Data", "Learning rate"), ("Baseline", "SA#1", "SA#2"),
    tuple(
        Line(
            (DATA[data], f"lr {lr:g}"),
            (_simsiam("8", data, "baseline", lr), _simsiam("8", data, "sa#1", lr, 4),
             _simsiam("8", data, "sa#2", lr) if data == "cifar100" else None),
        )
        for data, lr in (("cifar100", 0.1), ("cifar100", 0.2), ("cifar100", 0.4), ("cifar100", 0.5), ("cifar100", 0.8),
                         ("cifar10", 0.2))
    ),
)  # fmt: skip

TABLE_9 = Layout(
    "9", "k of SA#1 in SimSiam (ResNet-18) on CIFAR-100, lr 0.2, single runs: top-1 error (%)",
    ("Softening",), ("top-1 error (%)",),
    tuple(Line((f"k = {k}",), (_simsiam("9", "cifar100", "sa#1", 0.2, k),)) for k in (1, 2, 3, 4)),
)  # fmt: skip

LAYOUTS = {
    each.number: each
    for each in (TABLE_1, TABLE_2, TABLE_3, TABLE_4, TABLE_5, TABLE_6, TABLE_7, TABLE_8, TABLE_9)
}  # fmt: skip
