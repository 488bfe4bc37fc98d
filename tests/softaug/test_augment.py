import pickle
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision import transforms

from softaug.augment import Draws, Normalisation, augment, draw, normalise, to_pixels
from softaug.datasets import dataset
from softaug.recipe import GaussianCrop, Recipe, UniformCrop

CPU = torch.device("cpu")
KNOWN = dataset("cifar100")
NORMALISATION = Normalisation.of(KNOWN, CPU)
PIXELS = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
KINDS: list[dict[str, Any] | None] = [
    None,
    {"kind": "uniform", "radius_px": 4},
    {"kind": "gaussian", "sigma": 0.3},
    {"kind": "gaussian", "sigma": 0.3, "rounding": "round", "fill": "const_noise"},
]


def make(crop: dict[str, Any] | None, **parts: Any) -> Recipe:
    return Recipe.model_validate(
        {"data": {"name": "cifar100"}, "model": {"name": "resnet18"}, "crop": crop, "seed": 0} | parts
    )


def apply(recipe: Recipe, draws: Draws) -> Any:
    return augment(PIXELS, draws, kind=recipe.crop, normalisation=NORMALISATION)


@pytest.mark.parametrize("crop", KINDS)
def test_every_augmentation_keeps_the_contract(crop: dict[str, Any] | None) -> None:
    recipe, before = make(crop), PIXELS.clone()
    draws = draw(recipe, len(PIXELS), epoch=1)
    augmented = apply(recipe, draws)
    assert augmented.images.shape == PIXELS.shape
    assert augmented.images.dtype == augmented.visibility.dtype == torch.float32
    assert augmented.images.isfinite().all()
    assert ((augmented.visibility > 0) & (augmented.visibility <= 1)).all()
    assert torch.equal(PIXELS, before)
    again = apply(recipe, pickle.loads(pickle.dumps(draw(recipe, len(PIXELS), epoch=1))))
    assert torch.equal(augmented.images, again.images)
    other = apply(recipe, draw(recipe, len(PIXELS), epoch=2))
    assert not torch.equal(augmented.images, other.images)


def test_normalising_is_torchvisions_bit_for_bit_and_can_be_undone() -> None:
    peer = transforms.Compose([transforms.ToTensor(), transforms.Normalize(KNOWN.mean, KNOWN.std)])
    expected = torch.stack([peer(Image.fromarray(image.permute(1, 2, 0).numpy())) for image in PIXELS])
    images = normalise(PIXELS, NORMALISATION)
    assert torch.equal(images, expected)
    assert torch.equal(to_pixels(images, NORMALISATION), PIXELS)


def test_the_hard_crop_is_black_before_normalising_and_the_gaussian_one_zero_after() -> None:
    offsets = torch.tensor([[32, 0]]).expand(12, 2)  # nothing of the image left in view
    draws = Draws(None, offsets, None)
    black = augment(PIXELS, draws, kind=UniformCrop(radius_px=32), normalisation=NORMALISATION)
    assert torch.equal(black.images, normalise(torch.zeros_like(PIXELS), NORMALISATION))
    grey = augment(PIXELS, draws, kind=GaussianCrop(sigma=0.3), normalisation=NORMALISATION)
    assert (grey.images == 0).all()
    assert (grey.visibility == 0).all()


def test_the_hard_crop_comes_before_the_flip_and_the_gaussian_one_after() -> None:
    mirrored = torch.ones(12, dtype=torch.bool)
    draws = Draws(mirrored, torch.tensor([[0, 1]]).expand(12, 2), None)
    hard = augment(PIXELS, draws, kind=UniformCrop(radius_px=1), normalisation=NORMALISATION).images
    soft = augment(PIXELS, draws, kind=GaussianCrop(sigma=0.3), normalisation=NORMALISATION).images
    plain = normalise(PIXELS, NORMALISATION)
    assert torch.equal(hard[..., 1:], plain.flip(3)[..., :-1])  # cropped to the left, then mirrored
    assert torch.equal(soft[..., :-1], plain.flip(3)[..., 1:])


def test_the_canvas_colour_is_constant_small_noise_per_sample_and_channel() -> None:
    colour = draw(make(KINDS[3]), 20_000, epoch=1).colour
    assert colour is not None
    assert colour.shape == (20_000, 3)
    assert colour.std().item() == pytest.approx(0.01, rel=0.02)
    assert colour.mean().abs().item() < 2e-4
    draws = Draws(None, torch.tensor([[0, 32]]).expand(12, 2), colour[:12])
    images = augment(PIXELS, draws, kind=GaussianCrop(sigma=0.3), normalisation=NORMALISATION).images
    assert torch.equal(images, colour[:12, :, None, None].expand_as(images))


def test_the_same_sample_gets_the_same_quantile_in_every_cell_of_a_seed() -> None:
    weak, strong = (draw(make({"kind": "gaussian", "sigma": sigma}), 200, epoch=3) for sigma in (0.2, 0.4))
    uniform = draw(make({"kind": "uniform", "radius_px": 4}, optim={"batch_size": 7}), 200, epoch=3)
    assert weak.mirrored is not None
    assert strong.mirrored is not None
    assert uniform.mirrored is not None
    assert torch.equal(weak.mirrored, strong.mirrored)
    assert torch.equal(weak.mirrored, uniform.mirrored)
    assert weak.offsets is not None
    assert strong.offsets is not None
    assert uniform.offsets is not None
    assert (strong.offsets * weak.offsets >= 0).all()
    assert (strong.offsets.abs() >= weak.offsets.abs()).all()
    assert (strong.offsets * uniform.offsets >= 0).all()


def test_flips_come_as_often_as_the_recipe_says() -> None:
    for flip in (0.25, 0.5, 1.0):
        mirrored = draw(make(None, flip=flip), 20_000, epoch=1).mirrored
        assert mirrored is not None
        assert mirrored.double().mean().item() == pytest.approx(flip, abs=0.01)
    assert draw(make(None, flip=0.0), 9, epoch=1) == Draws(None, None, None)


def test_the_final_phase_has_no_crop() -> None:
    draws = draw(make(KINDS[2]), 12, epoch=1, crops=False)
    assert draws.offsets is None
    assert (apply(make(KINDS[2]), draws).visibility == 1).all()
