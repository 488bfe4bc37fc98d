"""Occlusion: the geometry of §1.11, patches against a literal loop, the same for every network, device and batch."""

import pickle
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softaug.augment import Normalisation, normalise
from softaug.datasets import dataset
from softaug.occlusion import (
    Fill,
    Occlusion,
    draw_corners,
    draw_occlusion,
    occlude,
    occluded_area,
    occlusion_side,
)
from softaug.randomness import generator, uniforms

KNOWN = dataset("cifar10")
PERCENTS = (0, 20, 40, 60, 80)
IMAGES = torch.randn(12, 3, 32, 32, generator=torch.Generator().manual_seed(0))


def by_hand(images: Tensor, occlusion: Occlusion) -> Tensor:
    """Cover image by image and pixel by pixel."""
    covered = images.clone()
    fill = occlusion.fill.expand(images.shape[1:])
    for image, (row, column) in zip(covered, occlusion.corners.tolist(), strict=True):
        for y in range(row, row + occlusion.side_px):
            for x in range(column, column + occlusion.side_px):
                image[:, y, x] = fill[:, y, x]
    return covered


@pytest.mark.parametrize(
    ("image_px", "sides", "areas"),
    [
        (224, [0, 100, 142, 174, 200], [0, 19.93, 40.19, 60.34, 79.72]),
        (32, [0, 14, 20, 25, 29], [0, 19.14, 39.06, 61.04, 82.13]),
    ],
)
def test_sides_and_true_areas(image_px: int, sides: list[int], areas: list[float]) -> None:
    assert [occlusion_side(image_px, percent) for percent in PERCENTS] == sides
    assert [occluded_area(image_px, percent) for percent in PERCENTS] == pytest.approx(areas, abs=0.005)


@pytest.mark.parametrize("percent", [-1, 100])
def test_a_percentage_that_leaves_nothing_or_less_is_refused(percent: int) -> None:
    with pytest.raises(ValueError, match=rf"percent must be in 0\.\.99, got {percent}"):
        occlusion_side(32, percent)


@pytest.mark.parametrize("fill", ["mean", "black", "noise"])
@pytest.mark.parametrize("percent", [0, 40, 80])
def test_it_is_the_loop(percent: int, fill: Fill) -> None:
    occlusion = draw_occlusion(len(IMAGES), KNOWN, percent, fill=fill, seed=3)
    assert torch.equal(occlude(IMAGES, occlusion), by_hand(IMAGES, occlusion))


@given(st.integers(1, 40), st.integers(0, 99), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=50)
def test_any_square_patch_lies_inside_and_covers_what_is_told(image_px: int, percent: int, seed: int) -> None:
    known = replace(KNOWN, side_px=image_px)
    occlusion = draw_occlusion(5, known, percent, seed=seed)
    assert ((occlusion.corners >= 0) & (occlusion.corners <= image_px - occlusion.side_px)).all()
    covered = occlude(torch.ones(5, 1, image_px, image_px), occlusion) == 0
    assert covered.flatten(1).double().mean(dim=1).tolist() == pytest.approx(
        [occluded_area(image_px, percent) / 100] * 5
    )


@pytest.mark.parametrize("fill", ["mean", "black", "noise"])
def test_the_contract(fill: Fill) -> None:
    before = IMAGES.clone()
    occlusion = draw_occlusion(len(IMAGES), KNOWN, 40, fill=fill, seed=0)
    images = occlude(IMAGES, occlusion)
    assert torch.equal(IMAGES, before)
    assert (images.shape, images.dtype) == (IMAGES.shape, torch.float32)
    again = occlude(IMAGES, pickle.loads(pickle.dumps(draw_occlusion(len(IMAGES), KNOWN, 40, fill=fill, seed=0))))
    assert torch.equal(images, again)
    assert not torch.equal(images, occlude(IMAGES, draw_occlusion(len(IMAGES), KNOWN, 40, fill=fill, seed=1)))
    parts = [occlude(IMAGES[part], occlusion.take(part)) for part in (slice(0, 5), slice(5, 12))]
    assert torch.equal(images, torch.cat(parts)), "whatever the batch"


def test_a_patch_follows_from_seed_percentage_and_place_alone() -> None:
    few, many = (draw_occlusion(n, KNOWN, 40, seed=7).corners for n in (5, 1_000))
    assert torch.equal(few, many[:5])
    assert not torch.equal(many, draw_occlusion(1_000, KNOWN, 40, seed=8).corners)
    u = [uniforms(1_000, 2, generator=generator(7, f"occlusion {percent}", 0)) for percent in (20, 40)]
    assert not torch.equal(*u), "a patch of 40 % is not the one of 20 %, grown"
    assert torch.equal(many, (u[1] * 13).floor().long())


def test_every_place_is_equally_likely() -> None:
    corners = draw_corners(40_000, 32, 29, generator=generator(0, "test", 0))
    counts = torch.bincount(corners[:, 0] * 4 + corners[:, 1], minlength=16)
    assert len(counts) == 16
    assert ((counts - 2_500).abs() < 5 * 2_500**0.5).all()


def test_fills_are_what_they_are_called() -> None:
    whole = Occlusion(torch.zeros(12, 2, dtype=torch.int64), 32, torch.zeros(1, 1, 1))
    normalisation = Normalisation.of(KNOWN, torch.device("cpu"))
    black = normalise(torch.zeros(12, 3, 32, 32, dtype=torch.uint8), normalisation)
    fills = {fill: draw_occlusion(12, KNOWN, 20, fill=fill, seed=0).fill for fill in ("mean", "black", "noise")}
    torch.testing.assert_close(occlude(IMAGES, whole._replace(fill=fills["black"])), black)
    mean = occlude(IMAGES, whole._replace(fill=fills["mean"]))
    assert (mean == 0).all()
    assert fills["noise"].shape == (3, 32, 32)
    assert fills["noise"].mean().abs() < 0.1
    assert fills["noise"].std().item() == pytest.approx(1, abs=0.05)


def test_known_corners() -> None:
    # Golden: other corners are other numbers; raise softaug.versions.EVALUATION with them.
    assert draw_occlusion(3, KNOWN, 40, seed=0).corners.tolist() == [[11, 1], [3, 6], [2, 2]]
