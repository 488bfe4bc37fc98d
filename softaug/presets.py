"""Presets: what a sweep file may leave out. They are expanded before a recipe exists and are no part of its key.

`paper` follows the paper's mathematics, `authors` the released code where the two differ (D1, D7, D14, D17, D18, D20,
D22, D28). A preset fills in fields of the parts that are there and never changes one that is; what it adds is

    final_phase          `paper`: for a Gaussian crop on CIFAR-100 (D17); `authors`: for a Gaussian crop, noise, Cutout
                         or Mixup, the last two being off in it, too (D18). An explicit null keeps it off.
    test_every_epochs    `authors`: 5, for test/best_of_evals (D28)

For `simsiam`, of which no code was released, both give the optimiser of appendix B.4: 500 epochs, batches of 512, the
learning rate 0.2 that was best for the baseline and SA#1.

On ImageNet, of which no code was released, both fill in the paper's training (method §1.9, D44), and neither a final
phase (D43).
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

PresetName = Literal["paper", "authors"]
NAMES: tuple[str, ...] = get_args(PresetName)

_OPTIM: Mapping[str, Mapping[str, Any]] = {
    "paper": {"epochs": 500, "first_lr_step": 0},
    "authors": {"epochs": 501, "first_lr_step": 1},
}
_SIMSIAM_OPTIM = {"batch_size": 512, "lr": 0.2, "nesterov": False}
_IMAGENET_OPTIM = {
    "epochs": 270,
    "batch_size": 256,
    "lr": 0.1,
    "warmup_epochs": 5,
    "momentum": 0.9,
    "nesterov": False,
    "weight_decay": 1e-4,
}
_GAUSSIAN_CROP = {
    "paper": {"sigma": 0.3, "rounding": "trunc", "fill": "zero_norm"},
    "authors": {"sigma": 0.375, "rounding": "trunc", "fill": "const_noise"},
}
_GAUSSIAN_RESIZED_CROP = {"sigma": 0.3}
_WEIGHTING = {"paper": "per_sample", "authors": "batch_mean"}
_NOISE = {"paper": {"form": "add"}, "authors": {"form": "blend"}}
_TEST_EVERY_EPOCHS: Mapping[str, Mapping[str, int]] = {"paper": {}, "authors": {"test_every_epochs": 5}}
_FINAL_PHASE: Mapping[str, Mapping[str, Any]] = {"paper": {"start": 0.96}, "authors": {"start": 480 / 501}}


def expand(preset: PresetName, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return recipe fields with those that `preset` knows and `values` leaves out filled in.

    `values` need not be valid yet: what is no mapping is passed on as it is, for the recipe to refuse.
    """
    filled = {**({} if values.get("simsiam") is not None else _TEST_EVERY_EPOCHS[preset]), **values}
    filled["optim"] = _fill(values.get("optim", {}), _optim(preset, values))
    crop = values.get("crop")
    if isinstance(crop, Mapping) and crop.get("kind") == "gaussian-resized":
        filled["crop"] = _fill(crop, _GAUSSIAN_RESIZED_CROP)
    if isinstance(crop, Mapping) and crop.get("kind") == "gaussian":
        filled["crop"] = _fill(crop, _GAUSSIAN_CROP[preset])
    if isinstance(values.get("noise"), Mapping):
        filled["noise"] = _fill(values["noise"], _NOISE[preset])
    softening = values.get("softening")
    if isinstance(softening, Mapping) and softening.get("apply_to") in ("weight", "both"):
        filled["loss"] = _fill(values.get("loss", {}), {"weighting": _WEIGHTING[preset]})
    phase = _final_phase(preset, values)
    if phase and "final_phase" not in values:
        filled["final_phase"] = phase
    return filled


def _optim(preset: PresetName, values: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return an optimiser's defaults; what was never released is the paper's for either preset."""
    if _is(values, "imagenet"):
        return _IMAGENET_OPTIM
    return {**_OPTIM["paper"], **_SIMSIAM_OPTIM} if values.get("simsiam") is not None else _OPTIM[preset]


def _final_phase(preset: PresetName, values: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """Return the final phase that a preset adds, None if it adds none."""
    if _is(values, "imagenet"):
        return None
    crop = values.get("crop")
    gaussian = isinstance(crop, Mapping) and crop.get("kind") == "gaussian"
    if preset == "paper":
        return _FINAL_PHASE[preset] if gaussian and _is(values, "cifar100") else None
    more = values.get("cutout") is not None or values.get("mixup") is not None
    if more:
        return {**_FINAL_PHASE[preset], "turns_off": "all"}
    return _FINAL_PHASE[preset] if gaussian or values.get("noise") is not None else None


def _fill(part: Any, defaults: Mapping[str, Any]) -> Any:
    return {**defaults, **part} if isinstance(part, Mapping) else part


def _is(values: Mapping[str, Any], name: str) -> bool:
    data = values.get("data")
    return isinstance(data, Mapping) and data.get("name") == name
