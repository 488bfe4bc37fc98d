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

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from softaug.datasets import DATASETS, check_sizes
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
# value is left out of the canonical form, so that older results keep their keys: {"optim.warmup_epochs": 0}.
ADDED_LATER: Mapping[str, Any] = {}


def _without_negative_zero(value: float) -> float:
    return value + 0.0


Count = Annotated[int, Field(gt=0, le=10**7)]
Number = Annotated[float, AfterValidator(_without_negative_zero)]


class Part(BaseModel):
    """Base of every part of a recipe: frozen, no unknown fields, no silent conversions, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


class Data(Part):
    """Images to learn from. `train_images`: size of a fixed stratified subset, None for all of them.

    `validation_images` are held out of those training images, so the test set never depends on them.
    """

    name: Literal["digits", "fashion-mnist", "cifar10", "cifar100"]
    train_images: Count | None = None
    validation_images: Annotated[int, Field(ge=0, le=10**7)] = 0

    @model_validator(mode="before")
    @classmethod
    def _all_is_none(cls, values: Any) -> Any:
        """Write the number of all images as None: one training has one key."""
        name = values.get("name") if isinstance(values, dict) else None
        if isinstance(name, str) and name in DATASETS and values.get("train_images") == DATASETS[name].default_train:
            return {**values, "train_images": None}
        return values

    @model_validator(mode="after")
    def _has_that_many_images(self) -> Self:
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


class UniformCrop(Part):
    """Hard crop: offsets uniform on the integers -radius_px..radius_px, black outside the image (D14)."""

    kind: Literal["uniform"] = "uniform"
    radius_px: Annotated[int, Field(ge=1, le=112)]


class GaussianCrop(Part):
    """Crop with truncated normal offsets; `sigma` is their std as a fraction of the side (D7-D16)."""

    kind: Literal["gaussian"] = "gaussian"
    sigma: Annotated[Number, Field(gt=0, le=2)]
    rounding: Literal["trunc", "round"] = "trunc"
    fill: Literal["zero_norm", "const_noise"] = "zero_norm"


class Softening(Part):
    """What the visibility of a cropped image softens (Eqs. 4-6), and how fast: exponent `k` of Eq. 7."""

    apply_to: Literal["target", "weight", "both"]
    k: Annotated[Number, Field(gt=0, le=16)] = 2.0


class Loss(Part):
    """How sample weights enter the batch loss (D1) and whether they are rescaled to mean 1 (D4)."""

    weighting: Literal["per_sample", "batch_mean"] = "per_sample"
    weight_norm: Literal["none", "mean1"] = "none"


class Optim(Part):
    """SGD with a cosine learning rate per iteration (D22, D23)."""

    epochs: Annotated[int, Field(gt=0, le=10_000)] = 500
    batch_size: Annotated[int, Field(gt=0, le=65_536)] = 128
    lr: Annotated[Number, Field(gt=0, le=10)] = 0.1
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    weight_decay: Annotated[Number, Field(ge=0, le=1)] = 5e-4
    first_lr_step: Annotated[int, Field(ge=0, le=1)] = 0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: needs momentum > 0; set nesterov: false or raise momentum")
        return self


class FinalPhase(Part):
    """From this fraction of training on, the Gaussian crop and its softening are off (D17)."""

    start: Annotated[Number, Field(gt=0, lt=1)]


class Precision(Part):
    """Numeric format of the training step; evaluation is always float32."""

    autocast: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False


class Recipe(Part):
    """One training run. The target takes label smoothing's ceiling, the weight only visibility (D21)."""

    data: Data
    model: Model
    flip: Annotated[Number, Field(ge=0, le=1)] = 0.5
    crop: Annotated[UniformCrop | GaussianCrop, Field(discriminator="kind")] | None = None
    softening: Softening | None = None
    label_smoothing: Annotated[Number, Field(ge=0, lt=1)] = 0.0
    loss: Loss = Loss()
    optim: Optim = Optim()
    final_phase: FinalPhase | None = None
    precision: Precision = Precision()
    seed: Annotated[int, Field(ge=0, lt=2**32)]

    @model_validator(mode="after")
    def _every_part_has_an_effect(self) -> Self:
        weighted = self.softening is not None and self.softening.apply_to in ("weight", "both")
        if self.softening is not None and self.crop is None:
            raise ValueError("softening: there is no crop, so visibility is always 1; set crop or remove softening")
        if self.loss != Loss() and not weighted:
            raise ValueError("loss: no effect unless softening.apply_to is weight or both; remove loss")
        if self.loss == Loss(weighting="batch_mean", weight_norm="mean1"):
            raise ValueError("loss: a batch mean of weights rescaled to mean 1 is always 1; choose one of the two")
        if self.final_phase is not None and not isinstance(self.crop, GaussianCrop):
            raise ValueError("final_phase: it switches a Gaussian crop off and there is none; set it to null")
        return self

    @model_validator(mode="after")
    def _suits_the_images(self) -> Self:
        known = DATASETS[self.data.name]
        if isinstance(self.crop, UniformCrop) and self.crop.radius_px > known.side_px:
            raise ValueError(
                f"crop.radius_px: {self.crop.radius_px} px leaves the images of {self.data.name}, "
                f"{known.side_px} px wide; at most {known.side_px}"
            )
        if self.label_smoothing > 1 - 1 / known.classes:
            raise ValueError(
                f"label_smoothing: {self.label_smoothing} puts the true one of {known.classes} classes below chance; "
                f"at most {1 - 1 / known.classes:g}"
            )
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
