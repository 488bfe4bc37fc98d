"""The settings of a policy: every operation at every magnitude and sign that it can draw, as tables to look up.

A setting is a number. What it does stands in tables over settings, so that a batch in which every image has its own
setting needs no loop over images. Magnitudes come from float32 `linspace`s as torchvision's do (method §1.6): at bin 15
TrivialAugmentWide translates by 15.999999, which is 15 pixels. Operations are numbered in torchvision's order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from functools import cache
from math import ceil
from typing import Literal, NamedTuple, Self, get_args

import torch
from torch import Tensor

from softaug.policies.warps import Warp, source_pixels

Flavour = Literal["pil", "tensor"]
OpName = Literal[
    "Identity", "ShearX", "ShearY", "TranslateX", "TranslateY", "Rotate", "Brightness", "Color", "Contrast",
    "Sharpness", "Posterize", "Solarize", "AutoContrast", "Equalize",
]  # fmt: skip
OPS: tuple[OpName, ...] = get_args(OpName)
WARPS: tuple[Warp, ...] = get_args(Warp)
ENHANCERS = ("Brightness", "Color", "Contrast", "Sharpness")
SIGNED = (*WARPS, *ENHANCERS)
KERNEL_NAMES = ("Identity", "Warp", *ENHANCERS, "Posterize", "Solarize", "AutoContrast", "Equalize")
BINS = 31
Size = tuple[int, int]  # height, width in pixels


class Setting(NamedTuple):
    """One operation at one magnitude, sign included, as torchvision's `_apply_op` takes them."""

    op: OpName
    magnitude: float


@dataclass(frozen=True)
class Tables:
    """What each of S settings does: `kernel`, its number in KERNEL_NAMES, and in the other columns what that reads.

    `factor` and `rest`: f and 1 - f of a blend, each rounded from float64; `threshold`: the smallest value that
    Solarize inverts; `mask`: the bits that Posterize keeps; `warp`: its row of `warps` (rows, H W), the source pixel
    of every pixel, H W for one outside the image.
    """

    kernel: Tensor
    factor: Tensor
    rest: Tensor
    threshold: Tensor
    mask: Tensor
    warp: Tensor
    warps: Tensor
    flavour: Flavour

    def to(self, device: torch.device) -> Self:
        """Return the tables on a device."""
        columns = {field.name: getattr(self, field.name) for field in fields(self) if field.name != "flavour"}
        return replace(self, **{name: column.to(device) for name, column in columns.items()})


def tabulate(settings: Sequence[Setting], size: Size, flavour: Flavour) -> Tables:
    """Return the tables of these settings for images of one size, on the CPU."""
    distinct = sorted({(each.op, each.magnitude) for each in settings if each.op in WARPS})
    row: dict[tuple[str, float], int] = {warp: number for number, warp in enumerate(distinct)}
    images = [source_pixels(op, magnitude, size, flavour) for op, magnitude in distinct]
    factors = [1.0 + each.magnitude if each.op in ENHANCERS else 1.0 for each in settings]
    return Tables(
        kernel=torch.tensor([KERNEL_NAMES.index(kernel_name(each.op)) for each in settings]),
        factor=torch.tensor(factors, dtype=torch.float64).float(),
        rest=torch.tensor([1.0 - factor for factor in factors], dtype=torch.float64).float(),
        threshold=torch.tensor([_threshold(each, flavour) for each in settings], dtype=torch.uint8),
        mask=torch.tensor([_mask(each) for each in settings], dtype=torch.uint8),
        warp=torch.tensor([row.get((each.op, each.magnitude), 0) for each in settings]),
        warps=torch.stack(images) if images else torch.zeros(1, size[0] * size[1], dtype=torch.int32),
        flavour=flavour,
    )


def kernel_name(op: OpName) -> str:
    """Return the kernel that does an operation: all five warps are one."""
    return "Warp" if op in WARPS else op


def _threshold(setting: Setting, flavour: Flavour) -> int:
    """Return the smallest pixel value that is inverted; a float32 threshold for the tensor flavour."""
    if setting.op != "Solarize":
        return 255
    exact = setting.magnitude if flavour == "pil" else torch.tensor(setting.magnitude, dtype=torch.float32).item()
    return ceil(exact)


def _mask(setting: Setting) -> int:
    return 256 - 2 ** (8 - int(setting.magnitude)) if setting.op == "Posterize" else 255


@cache
def rand_augment_settings(magnitude: int, size: Size) -> tuple[Setting, ...]:
    """Return RandAugment's settings at one magnitude bin of 31, each operation with + and with -."""
    height, width = size
    ranges = {
        "ShearX": 0.3, "ShearY": 0.3, "TranslateX": 150.0 / 331.0 * width, "TranslateY": 150.0 / 331.0 * height,
        "Rotate": 30.0, **dict.fromkeys(ENHANCERS, 0.9),
    }  # fmt: skip
    return tuple(_signed(op, _magnitudes(op, ranges, posterize_bits=4)[magnitude], s) for op in OPS for s in (1, -1))


@cache
def trivial_augment_settings() -> tuple[Setting, ...]:
    """Return TrivialAugmentWide's settings: operations, of each all 31 bins, of each + and -."""
    ranges = {
        "ShearX": 0.99, "ShearY": 0.99, "TranslateX": 32.0, "TranslateY": 32.0, "Rotate": 135.0,
        **dict.fromkeys(ENHANCERS, 0.99),
    }  # fmt: skip
    return tuple(
        _signed(op, magnitude, s)
        for op in OPS
        for magnitude in _magnitudes(op, ranges, posterize_bits=6)
        for s in (1, -1)
    )


def _magnitudes(op: OpName, ranges: dict[str, float], *, posterize_bits: int) -> list[float]:
    """Return an operation's magnitudes over the bins; `posterize_bits`: how many bits the last bin takes away."""
    if op == "Posterize":
        return (8 - (torch.arange(BINS) / ((BINS - 1) / posterize_bits)).round().int()).tolist()
    if op == "Solarize":
        return torch.linspace(255.0, 0.0, BINS).tolist()
    return torch.linspace(0.0, ranges[op], BINS).tolist() if op in ranges else [0.0] * BINS


def _signed(op: OpName, magnitude: float, sign: int) -> Setting:
    return Setting(op, sign * magnitude if op in SIGNED else magnitude)
