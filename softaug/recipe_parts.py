"""The parts of a recipe besides its data and its model: frozen values with bounds on every number. No torch here."""

from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator


def _without_negative_zero(value: float) -> float:
    return value + 0.0


Count = Annotated[int, Field(gt=0, le=10**7)]
Number = Annotated[float, AfterValidator(_without_negative_zero)]


class Part(BaseModel):
    """Base of every part of a recipe: frozen, no unknown fields, no silent conversions, finite numbers."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)


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


class RandomResizedCrop(Part):
    """Hard crop of an image of any size: torchvision's `RandomResizedCrop`, an area of at least `scale_min` of the
    image's, a ratio of the sides of at most `ratio_max`.
    """

    kind: Literal["random-resized"] = "random-resized"
    scale_min: Annotated[Number, Field(gt=0, le=1)] = 0.08
    ratio_max: Annotated[Number, Field(ge=1, le=16)] = 4 / 3


class GaussianResizedCrop(Part):
    """ImageNet's soft crop (appendix B.3): sides shrunk to `smallest_px` at least, offsets truncated normal.

    `sigma` and `offset_scale` are those of D40 and D41; 1.0 is the formula as printed.
    """

    kind: Literal["gaussian-resized"] = "gaussian-resized"
    sigma: Annotated[Number, Field(gt=0, le=2)]
    smallest_px: Annotated[int, Field(ge=1, le=224)] = 112
    offset_scale: Annotated[Number, Field(gt=0, le=2)] = 0.5


class RandAugment(Part):
    """RandAugment in torchvision's form, per image: `magnitude` is its bin of 0..30 (method §1.6)."""

    kind: Literal["rand-augment"] = "rand-augment"
    num_ops: Annotated[int, Field(ge=1, le=14)] = 2
    magnitude: Annotated[int, Field(ge=0, le=30)] = 9
    flavour: Literal["pil", "tensor"] = "pil"


class TrivialAugment(Part):
    """TrivialAugmentWide in torchvision's form, per image (D38)."""

    kind: Literal["trivial-augment"] = "trivial-augment"
    flavour: Literal["pil", "tensor"] = "pil"


class Noise(Part):
    """Noise of std `pixel_std` per pixel, in normalised space, with a random amplitude of at most `sigma` (D20).

    `add` is the paper's form, `blend` that of the released byte code. `pixel_std`: 0.1 for add, 1 for blend.
    """

    form: Literal["add", "blend"] = "add"
    sigma: Annotated[Number, Field(gt=0, le=1)] = 0.1
    pixel_std: Annotated[Number, Field(gt=0, le=10)]

    @model_validator(mode="before")
    @classmethod
    def _default_pixel_std(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {"pixel_std": 1.0 if values.get("form") == "blend" else 0.1, **values}


class Cutout(Part):
    """One square hole of `side_px` per image, clipped at the border (D35): 8 for CIFAR-100, 16 for CIFAR-10."""

    side_px: Annotated[int, Field(ge=2, le=224, multiple_of=2)] = 8


class Mixup(Part):
    """Mixup with one lam ~ Beta(alpha, alpha) per batch (method §1.5)."""

    alpha: Annotated[Number, Field(gt=0, le=100)] = 1.0


class Softening(Part):
    """What softens a label (Eqs. 4-6), and how fast: `k`, exponent of Eq. 7, for what a crop hides, `noise_k` for the
    amplitude of noise. None: that does not soften. Both together: D21.
    """

    apply_to: Literal["target", "weight", "both"]
    k: Annotated[Number, Field(gt=0, le=16)] | None = 2.0
    noise_k: Annotated[Number, Field(gt=0, le=16)] | None = None

    @model_validator(mode="after")
    def _something_softens(self) -> Self:
        if self.k is None and self.noise_k is None:
            raise ValueError("nothing softens: set k, noise_k, or both")
        return self


class Loss(Part):
    """How sample weights enter the batch loss (D1), whether they are rescaled to mean 1 (D4), and focal loss (D33)."""

    weighting: Literal["per_sample", "batch_mean"] = "per_sample"
    weight_norm: Literal["none", "mean1"] = "none"
    focal_gamma: Annotated[Number, Field(ge=0, le=10)] = 0.0


class Optim(Part):
    """SGD with a cosine learning rate per iteration (D22, D23), after `warmup_epochs` of a linear one."""

    epochs: Annotated[int, Field(gt=0, le=10_000)] = 500
    batch_size: Annotated[int, Field(gt=0, le=65_536)] = 128
    lr: Annotated[Number, Field(gt=0, le=10)] = 0.1
    momentum: Annotated[Number, Field(ge=0, lt=1)] = 0.9
    nesterov: bool = True
    weight_decay: Annotated[Number, Field(ge=0, le=1)] = 5e-4
    first_lr_step: Annotated[int, Field(ge=0, le=1)] = 0
    warmup_epochs: Annotated[int, Field(ge=0, le=1_000)] = 0

    @model_validator(mode="after")
    def _nesterov_needs_momentum(self) -> Self:
        if self.nesterov and self.momentum == 0:
            raise ValueError("nesterov: needs momentum > 0; set nesterov: false or raise momentum")
        return self

    @model_validator(mode="after")
    def _warmup_ends(self) -> Self:
        if self.warmup_epochs >= self.epochs:
            raise ValueError(
                f"warmup_epochs: {self.warmup_epochs} of {self.epochs} epochs leave none for the cosine; "
                f"at most {self.epochs - 1}"
            )
        return self


class FinalPhase(Part):
    """From this fraction of training on, the soft augmentations are off: Gaussian crop and noise (D17).

    `all` turns Cutout and Mixup off, too, as the released code does (D18); the policy stays on.
    """

    start: Annotated[Number, Field(gt=0, lt=1)]
    turns_off: Literal["soft", "all"] = "soft"


class Precision(Part):
    """Numeric format of the training step; evaluation is always float32."""

    autocast: Literal["float32", "bfloat16"] = "float32"
    channels_last: bool = False


class PairWeight(Part):
    """How the overlap of two crops weighs their pair: Eq. 9 (sa1, little overlap, little weight) or Eq. 10 (sa2)."""

    form: Literal["sa1", "sa2"]
    k: Annotated[Number, Field(gt=0, le=16)] = 4.0


class Probe(Part):
    """The linear probe after self-supervised training (App. B.4)."""

    epochs: Annotated[int, Field(gt=0, le=10_000)] = 100
    batch_size: Annotated[int, Field(gt=0, le=65_536)] = 256
    lr: Annotated[Number, Field(gt=0, le=1000)] = 10.0


class SimSiam(Part):
    """Self-supervised training on pairs of crops of at least `scale_min` of the image's area, then a linear probe.

    `pair_weight` None: every pair weighs the same, the baseline. `optim` is that of the self-supervised epochs.
    """

    scale_min: Annotated[Number, Field(gt=0, le=1)] = 0.2
    pair_weight: PairWeight | None = None
    probe: Probe = Probe()
