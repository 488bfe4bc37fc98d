"""Wrong input to the method's functions is refused with its value and what is allowed; empty batches pass."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from softaug.crop import crop, gaussian_offsets, visibility
from softaug.cutout import cutout
from softaug.loss import weighted_losses
from softaug.mixup import draw_mixing, mix
from softaug.noise import add_noise, amplitudes
from softaug.softening import soft_target, soften

IMAGES = torch.zeros(2, 3, 8, 8)
TWO = torch.zeros(2, 2, dtype=torch.int64)
ONES = torch.ones(2)
LABELS = torch.tensor([0, 1])
TARGET = torch.full((2, 4), 0.25)
NAN = float("nan")


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda: crop(IMAGES[0], TWO, fill=0.0), ValueError, r"images: shape \(3, 8, 8\); expected \(B, C, H, W\)"),
        (lambda: crop(IMAGES.int(), TWO, fill=0.0), TypeError, "images: torch.int32; allowed: uint8 or floating"),
        (lambda: crop(IMAGES, TWO[:1], fill=0.0), ValueError, r"offsets: shape \(1, 2\); expected \(2, 2\)"),
        (lambda: crop(IMAGES, TWO.float(), fill=0.0), TypeError, "offsets: torch.float32; allowed: int64"),
        (lambda: crop(IMAGES, TWO.to("meta"), fill=0.0), ValueError, "offsets: on meta; expected on cpu"),
        (lambda: visibility(torch.zeros(4, dtype=torch.int64), (8, 8)), ValueError, r"shape \(4,\); expected \(B, 2\)"),
        (lambda: gaussian_offsets(torch.rand(2, 2), (8, 8), sigma=NAN), ValueError, "sigma: nan; allowed: a finite"),
        (lambda: gaussian_offsets(torch.rand(2, 2), (8, 8), sigma=0.0), ValueError, "sigma: 0.0; allowed: .* above 0"),
        (lambda: gaussian_offsets(torch.rand(2), (8, 8), sigma=0.3), ValueError, r"u: shape \(2,\); expected \(B, 2\)"),
        (lambda: soften(1.0, ONES, k=-1.0, classes=4), ValueError, "k: -1.0; allowed: a finite number above 0"),
        (lambda: soften(1.0, ONES, k=2.0, classes=1), ValueError, "classes: 1; allowed: a finite number at least 2"),
        (lambda: soften(1.0, LABELS, k=2.0, classes=4), TypeError, "visibility: torch.int64; allowed: floating point"),
        (lambda: soft_target(LABELS, ONES[:1], classes=4), ValueError, r"confidence: shape \(1,\); expected \(2,\)"),
        (lambda: soft_target(LABELS.int(), ONES, classes=4), TypeError, "labels: torch.int32; allowed: int64, 0 to 3"),
        (lambda: cutout(IMAGES, TWO, side_px=0), ValueError, "side_px: 0; allowed: a finite number at least 2"),
        (lambda: cutout(IMAGES, TWO[:1], side_px=2), ValueError, "centres: shape"),
        (lambda: amplitudes(torch.rand(2), sigma=NAN), ValueError, "sigma: nan"),
        (lambda: add_noise(IMAGES, ONES, IMAGES[:1], form="add"), ValueError, "noise: shape"),
        (lambda: mix(IMAGES, TARGET, ONES[:1], torch.tensor(0.5), ONES), ValueError, "weight: shape"),
        (lambda: draw_mixing(0, 1, 10, batch_size=5, alpha=0.0), ValueError, "alpha: 0.0; allowed"),
        (lambda: weighted_losses(TARGET[0], TARGET, ONES), ValueError, r"logits: shape \(4,\); expected \(B, C\)"),
        (
            lambda: weighted_losses(TARGET, TARGET[:, :3], ONES),
            ValueError,
            r"target: shape \(2, 3\); expected \(2, 4\)",
        ),
        (lambda: weighted_losses(TARGET, TARGET, ONES.to("meta")), ValueError, "weight: on meta; expected on cpu"),
        (lambda: weighted_losses(TARGET, TARGET, ONES, focal_gamma=NAN), ValueError, "focal_gamma: nan"),
    ],
)
def test_wrong_input_is_refused(call: Callable[[], Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_empty_batches_pass() -> None:
    images, none, zero = IMAGES[:0], ONES[:0], TWO[:0]
    assert crop(images, zero, fill=0.0).shape == (0, 3, 8, 8)
    assert cutout(images, zero, side_px=2).shape == (0, 3, 8, 8)
    assert add_noise(images, none, images, form="add").shape == (0, 3, 8, 8)
    assert visibility(zero, (8, 8)).shape == soften(1.0, none, k=2.0, classes=4).shape == (0,)
    assert soft_target(LABELS[:0], none, classes=4).shape == (0, 4)
    assert [part.shape for part in mix(images, TARGET[:0], none, torch.tensor(0.5), none)][1:] == [(0, 4), (0,)]
