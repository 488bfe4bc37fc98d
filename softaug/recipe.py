"""A recipe: one training run, described completely, as a frozen value with an identity.

`recipe.key` identifies the run, seed included; `recipe.cell_key` leaves the seed out. Both are the SHA-256 of the
canonical JSON of the whole recipe, defaults filled in, and of the versions of the factors it uses
(`softaug.versions`). So 2 and 2.0, any key order, and a default spelled out or not give the same key.
Combinations without effect or meaning are refused with the reason: one training has one key.
This module imports no torch.
"""

import hashlib
import json
from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from softaug.datasets import DATASETS, check_sizes
from softaug.recipe_parts import (
    Count,
    Cutout,
    FinalPhase,
    GaussianCrop,
    GaussianResizedCrop,
    Loss,
    Mixup,
    Noise,
    Number,
    Optim,
    Part,
    Precision,
    RandAugment,
    RandomResizedCrop,
    SimSiam,
    Softening,
    TrivialAugment,
    UniformCrop,
)
from softaug.recipe_rules import check_effects, check_images
from softaug.versions import versions_in_use

DEFAULT_WIDTH = {
    "resnet8": 16,
    "resnet20": 16,
    "resnet18": 64,
    "resnet50": 64,
    "resnet101": 64,
    "wide-resnet28-10": 160,
    "pyramidnet272": 16,
    "efficientnet-b0": 32,
    "torchvision-resnet50": 64,
    "torchvision-resnet101": 64,
}
ONE_WIDTH = frozenset({"efficientnet-b0", "torchvision-resnet50", "torchvision-resnet101"})
MODEL_ALIASES = {"pyramid272": "pyramidnet272"}  # the released code knows one spelling, its README the other (D25)

# Fields added after keys were first written, with the value that means "as before". A field that still holds this
# value is left out of the canonical form, so that older results keep their keys.
ADDED_LATER: Mapping[str, Any] = {
    "policy": None,
    "noise": None,
    "cutout": None,
    "mixup": None,
    "online_label_smoothing": False,
    "test_every_epochs": 0,
    "simsiam": None,
    "softening.noise_k": None,
    "loss.focal_gamma": 0.0,
    "final_phase.turns_off": "soft",
    "optim.warmup_epochs": 0,
    "data.evaluation_px": None,
}


class Data(Part):
    """Images to learn from. `train_images`: size of a fixed stratified subset, None for all of them.

    `validation_images` are held out of those training images, so the test set never depends on them. `evaluation_px`,
    for images of many sizes: their short edge when they are evaluated, before the central crop; None: its side (D45).
    """

    name: Literal["digits", "fashion-mnist", "cifar10", "cifar100", "imagenet"]
    train_images: Count | None = None
    validation_images: Annotated[int, Field(ge=0, le=10**7)] = 0
    evaluation_px: Annotated[int, Field(gt=0, le=1024)] | None = None

    @model_validator(mode="before")
    @classmethod
    def _defaults_are_none(cls, values: Any) -> Any:
        """Write the number of all images and the usual size of evaluation as None: one training has one key."""
        name = values.get("name") if isinstance(values, dict) else None
        if not isinstance(name, str) or name not in DATASETS:
            return values
        known = DATASETS[name]
        if known.official_train == 0:
            raise ValueError(f"name: {name} only has images to test on; train on another data set")
        defaults = {"train_images": known.default_train, "evaluation_px": known.side_px}
        return {**values, **{field: None for field, default in defaults.items() if values.get(field) == default}}

    @model_validator(mode="after")
    def _has_such_images(self) -> Self:
        check_sizes(self)
        return self


class Model(Part):
    """A network. `width`: channels of its first stage, by default those of `DEFAULT_WIDTH`.

    A bottleneck's are its inner ones. wide-resnet28-10 at width 16 is WRN-28-1; pyramidnet272 has alpha 12.5 width.
    """

    name: Literal[
        "resnet8",
        "resnet20",
        "resnet18",
        "resnet50",
        "resnet101",
        "wide-resnet28-10",
        "pyramidnet272",
        "efficientnet-b0",
        "torchvision-resnet50",
        "torchvision-resnet101",
    ]
    width: Annotated[int, Field(gt=0, le=1024)]

    @model_validator(mode="before")
    @classmethod
    def _full_name_and_width(cls, values: Any) -> Any:
        """Write an alias as the name it stands for and a width left out as the default: one training has one key."""
        name = values.get("name") if isinstance(values, dict) else None
        if not isinstance(name, str):
            return values
        name = MODEL_ALIASES.get(name, name)
        width = {"width": DEFAULT_WIDTH[name]} if name in DEFAULT_WIDTH else {}
        return width | values | {"name": name}

    @model_validator(mode="after")
    def _has_that_width(self) -> Self:
        if self.name in ONE_WIDTH and self.width != DEFAULT_WIDTH[self.name]:
            raise ValueError(
                f"width: {self.width}, but {self.name} is torchvision's and has one width, "
                f"{DEFAULT_WIDTH[self.name]}; leave width out"
            )
        return self


class Recipe(Part):
    """One training run. The target takes label smoothing's ceiling, the weight only what the images lost (D21).

    `test_every_epochs` above 0 also evaluates the test set after epochs 1, 1 + n, ... and keeps the least error as
    test/best_of_evals: the released code's selection (D28), which no table shows.
    `simsiam` is another kind of run: without labels, then a linear probe; of the augmentations it has `flip` alone.
    """

    data: Data
    model: Model
    flip: Annotated[Number, Field(ge=0, le=1)] = 0.5
    crop: (
        Annotated[UniformCrop | GaussianCrop | RandomResizedCrop | GaussianResizedCrop, Field(discriminator="kind")]
        | None
    ) = None
    policy: Annotated[RandAugment | TrivialAugment, Field(discriminator="kind")] | None = None
    noise: Noise | None = None
    cutout: Cutout | None = None
    mixup: Mixup | None = None
    softening: Softening | None = None
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    online_label_smoothing: bool = False
    loss: Loss = Loss()
    optim: Optim = Optim()
    final_phase: FinalPhase | None = None
    precision: Precision = Precision()
    test_every_epochs: Annotated[int, Field(ge=0, le=10_000)] = 0
    simsiam: SimSiam | None = None
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def _makes_sense(self) -> Self:
        check_effects(self)
        check_images(self)
        return self

    @cached_property
    def key(self) -> str:
        """Identity of the run: 64 hexadecimal digits."""
        return identity_key(identity(self))

    @cached_property
    def cell_key(self) -> str:
        """Identity of the run without its seed: 64 hexadecimal digits."""
        whole = identity(self)
        return identity_key({**whole, "recipe": {n: value for n, value in whole["recipe"].items() if n != "seed"}})


def canonical(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain JSON values, defaults filled in, fields of `ADDED_LATER` at their neutral value
    left out."""
    values: dict[str, Any] = recipe.model_dump(mode="json")
    for path, neutral in ADDED_LATER.items():
        *parents, name = path.split(".")
        part: Any = values
        for parent in parents:
            part = part.get(parent) if isinstance(part, dict) else None
        if isinstance(part, dict) and name in part and part[name] == neutral:
            del part[name]
    return values


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, with dotted names: {"crop": {"sigma": 0.3}} -> {"crop.sigma": 0.3}."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = value
    return flat


def identity(recipe: Recipe) -> dict[str, Any]:
    """Return what the key is the digest of: the canonical recipe and the versions of the factors it uses."""
    return {"recipe": canonical(recipe), "versions": versions_in_use(recipe)}


def identity_key(identity: Mapping[str, Any]) -> str:
    """Return the key of an identity, also of one that was written by an earlier version of softaug."""
    text = json.dumps(identity, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()
