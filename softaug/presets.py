"""Presets: what a sweep file may leave out. They are expanded before a recipe exists and are no part of its key.

`paper` follows the paper's mathematics, `authors` the released code where the two differ (D1, D7, D14, D17, D22).
A preset fills in fields of the parts that are there and never changes one that is; the only part it adds is the
final phase, where D17 has one: `paper` for a Gaussian crop on CIFAR-100, `authors` for any Gaussian crop.
An explicit `final_phase: null` keeps it off.
"""

from collections.abc import Mapping
from typing import Any, Literal, get_args

PresetName = Literal["paper", "authors"]
NAMES: tuple[str, ...] = get_args(PresetName)

_OPTIM = {
    "paper": {"epochs": 500, "first_lr_step": 0},
    "authors": {"epochs": 501, "first_lr_step": 1},
}
_GAUSSIAN_CROP = {
    "paper": {"sigma": 0.3, "rounding": "trunc", "fill": "zero_norm"},
    "authors": {"sigma": 0.375, "rounding": "trunc", "fill": "const_noise"},
}
_WEIGHTING = {"paper": "per_sample", "authors": "batch_mean"}
_FINAL_PHASE = {"paper": {"start": 0.96}, "authors": {"start": 480 / 501}}


def expand(preset: PresetName, values: Mapping[str, Any]) -> dict[str, Any]:
    """Return recipe fields with those that `preset` knows and `values` leaves out filled in.

    `values` need not be valid yet: what is no mapping is passed on as it is, for the recipe to refuse.
    """
    filled = dict(values)
    filled["optim"] = _fill(values.get("optim", {}), _OPTIM[preset])
    crop = values.get("crop")
    if isinstance(crop, Mapping) and crop.get("kind") == "gaussian":
        filled["crop"] = _fill(crop, _GAUSSIAN_CROP[preset])
        if "final_phase" not in values and (preset == "authors" or _is_cifar100(values)):
            filled["final_phase"] = _FINAL_PHASE[preset]
    softening = values.get("softening")
    if isinstance(softening, Mapping) and softening.get("apply_to") in ("weight", "both"):
        filled["loss"] = _fill(values.get("loss", {}), {"weighting": _WEIGHTING[preset]})
    return filled


def _fill(part: Any, defaults: Mapping[str, Any]) -> Any:
    return {**defaults, **part} if isinstance(part, Mapping) else part


def _is_cifar100(values: Mapping[str, Any]) -> bool:
    data = values.get("data")
    return isinstance(data, Mapping) and data.get("name") == "cifar100"
