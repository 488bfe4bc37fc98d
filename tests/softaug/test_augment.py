import pickle
from typing import Any

import pytest
import torch
from PIL import Image
from torchvision import transforms

from softaug.augment import Augmentation, Augmented, Draws, Normalisation, draw, normalise, to_pixels
from softaug.crop import crop
from softaug.cutout import cutout
from softaug.datasets import dataset
from softaug.noise import add_noise, noise_pixels
from softaug.policies.policy import RandAugment
from softaug.recipe import Recipe

CPU = torch.device("cpu")
KNOWN = dataset("cifar100")
NORMALISATION = Normalisation.of(KNOWN, CPU)
PIXELS = torch.randint(0, 256, (12, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
UNIFORM: dict[str, Any] = {"kind": "uniform", "radius_px": 4}
GAUSSIAN: dict[str, Any] = {"kind": "gaussian", "sigma": 0.3}
COLOURED = GAUSSIAN | {"rounding": "round", "fill": "const_noise"}
PARTS: list[dict[str, Any]] = [
    {},
    {"crop": UNIFORM},
    {"crop": GAUSSIAN},
    {"crop": COLOURED},
    {"policy": {"kind": "rand-augment"}},
    {"policy": {"kind": "trivial-augment", "flavour": "tensor"}, "crop": GAUSSIAN},
    {"noise": {}},
    {"noise": {"form": "blend"}, "cutout": {"side_px": 16}, "crop": GAUSSIAN},
    {"cutout": {}, "crop": UNIFORM, "policy": {"kind": "rand-augment", "num_ops": 1}},
]


def make(crop: dict[str, Any] | None = None, **parts: Any) -> Recipe:
    return Recipe.model_validate(
        {"data": {"name": "cifar100"}, "model": {"name": "resnet18"}, "crop": crop, "seed": 0} | parts
    )


def apply(recipe: Recipe, draws: Draws) -> Augmented:
    noise = noise_pixels(PIXELS, std=0.1, seed=0, epoch=1, step=0)
    return Augmentation.of(recipe, CPU).apply(PIXELS, draws, noise)


@pytest.mark.parametrize("parts", PARTS)
def test_every_augmentation_keeps_the_contract(parts: dict[str, Any]) -> None:
    recipe, before = make(**parts), PIXELS.clone()
    draws = draw(recipe, len(PIXELS), epoch=1)
    augmented = apply(recipe, draws)
    assert augmented.images.shape == PIXELS.shape
    assert augmented.images.dtype == augmented.visibility.dtype == torch.float32
    assert augmented.images.isfinite().all()
    for kept in augmented[1:]:
        assert ((kept > 0) & (kept <= 1)).all()
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
    draws = Draws(offsets=offsets)
    black = apply(make(UNIFORM | {"radius_px": 32}), draws)
    assert torch.equal(black.images, normalise(torch.zeros_like(PIXELS), NORMALISATION))
    grey = apply(make(GAUSSIAN), draws)
    assert (grey.images == 0).all()
    assert (grey.visibility == 0).all()


def test_the_hard_crop_comes_before_the_flip_and_the_gaussian_one_after() -> None:
    mirrored = torch.ones(12, dtype=torch.bool)
    draws = Draws(mirrored, torch.tensor([[0, 1]]).expand(12, 2))
    hard, soft = apply(make(UNIFORM), draws).images, apply(make(GAUSSIAN), draws).images
    plain = normalise(PIXELS, NORMALISATION)
    assert torch.equal(hard[..., 1:], plain.flip(3)[..., :-1])  # cropped to the left, then mirrored
    assert torch.equal(soft[..., :-1], plain.flip(3)[..., 1:])


def test_the_canvas_colour_is_constant_small_noise_per_sample_and_channel() -> None:
    colour = draw(make(COLOURED), 20_000, epoch=1).colour
    assert colour is not None
    assert colour.shape == (20_000, 3)
    assert colour.std().item() == pytest.approx(0.01, rel=0.02)
    assert colour.mean().abs().item() < 2e-4
    images = apply(make(GAUSSIAN), Draws(offsets=torch.tensor([[0, 32]]).expand(12, 2), colour=colour[:12])).images
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
        mirrored = draw(make(flip=flip), 20_000, epoch=1).mirrored
        assert mirrored is not None
        assert mirrored.double().mean().item() == pytest.approx(flip, abs=0.01)
    assert draw(make(flip=0.0), 9, epoch=1) == Draws()


FINAL: list[tuple[dict[str, Any], set[str]]] = [
    ({"crop": GAUSSIAN}, set()),
    ({"crop": COLOURED, "noise": {}, "cutout": {}, "policy": {"kind": "rand-augment"}}, {"holes", "settings"}),
    ({"crop": UNIFORM, "noise": {}}, {"offsets"}),
]


@pytest.mark.parametrize(("parts", "stay"), FINAL)
def test_the_final_phase_has_no_soft_augmentation(parts: dict[str, Any], stay: set[str]) -> None:
    recipe = make(**parts, final_phase={"start": 0.5})
    draws = draw(recipe, 12, epoch=1, final_phase=True)
    assert {name for name, part in draws._asdict().items() if part is not None} == stay | {"mirrored"}
    augmented = apply(recipe, draws)
    assert (augmented.kept_signal == 1).all()
    assert (augmented.visibility == 1).all() or "offsets" in stay
    assert draw(recipe, 12, epoch=1).offsets is not None


def test_the_released_codes_final_phase_has_no_cutout_either() -> None:
    recipe = make(cutout={}, final_phase={"start": 0.5, "turns_off": "all"})
    assert draw(recipe, 12, epoch=1).holes is not None
    assert draw(recipe, 12, epoch=1, final_phase=True).holes is None


def test_the_order_is_policy_normalise_noise_cutout_crop() -> None:
    recipe = make(GAUSSIAN, policy={"kind": "rand-augment"}, noise={}, cutout={"side_px": 16}, flip=1.0)
    draws = draw(recipe, len(PIXELS), epoch=1)
    found = apply(recipe, draws)
    assert draws.settings is not None
    assert draws.amplitude is not None
    assert draws.holes is not None
    assert draws.offsets is not None
    expected = normalise(RandAugment().apply(PIXELS.flip(3), draws.settings), NORMALISATION)
    noise = noise_pixels(PIXELS, std=0.1, seed=0, epoch=1, step=0)
    expected = cutout(add_noise(expected, draws.amplitude, noise, form="add"), draws.holes, side_px=16)
    assert torch.equal(found.images, crop(expected, draws.offsets, fill=0.0))
    assert torch.equal(found.kept_signal, 1 - draws.amplitude.abs())


@pytest.mark.parametrize("parts", PARTS)
def test_it_is_one_graph_without_a_look_at_a_value(parts: dict[str, Any]) -> None:
    recipe = make(**parts)
    augmentation, draws = Augmentation.of(recipe, CPU), draw(recipe, len(PIXELS), epoch=1)
    noise = noise_pixels(PIXELS, std=0.1, seed=0, epoch=1, step=0)
    torch.compiler.reset()  # as in a process that trains one recipe
    compiled = torch.compile(augmentation.apply, fullgraph=True, backend="eager")
    for ours, eager in zip(compiled(PIXELS, draws, noise), augmentation.apply(PIXELS, draws, noise), strict=True):
        assert torch.equal(ours, eager)
