from typing import Any

import pytest
import torch

from softaug import batches as batches_module
from softaug.arrays import Arrays
from softaug.augment import Augmentation, Normalisation, draw, normalise
from softaug.batches import Batch, batches
from softaug.crop import visibility
from softaug.data import split
from softaug.datasets import dataset
from softaug.mixup import draw_mixing, mix
from softaug.randomness import generator
from softaug.recipe import Recipe
from softaug.softening import soften

CPU = torch.device("cpu")
NORMALISATION = Normalisation.of(dataset("digits"), CPU)
GAUSSIAN = {"kind": "gaussian", "sigma": 0.3}


def epoch_of(recipe: Recipe, digits: Arrays, epoch: int = 1, final_phase: bool = False) -> list[Batch]:
    augmentation = Augmentation.of(recipe, CPU)
    return list(batches(augmentation, split(digits, recipe.data).train, epoch=epoch, final_phase=final_phase))


def joined(parts: list[Batch]) -> Batch:
    return Batch(*(torch.cat(values) for values in zip(*parts, strict=True)))


def test_every_image_comes_once_and_the_last_batch_is_smaller(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe()
    parts = epoch_of(recipe, digits)
    assert [len(part.images) for part in parts] == [32, 32, 32, 4]
    train = split(digits, recipe.data).train
    seen = sorted(image.numpy().tobytes() for part in parts for image in part.images)
    plain = (train.pixels / 255 - NORMALISATION.mean) / NORMALISATION.std
    assert seen == sorted(image.numpy().tobytes() for image in plain)
    assert torch.equal(joined(parts).target.sum(0), torch.bincount(train.labels).float())


@pytest.mark.parametrize("values", [1, 2**12, 2**30])
def test_augmenting_several_batches_at_once_changes_nothing(
    values: int, make_recipe: Any, digits: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(crop=GAUSSIAN, softening={"apply_to": "both"}, flip=0.5)
    expected = epoch_of(recipe, digits)
    monkeypatch.setattr(batches_module, "BLOCK_VALUES", values)
    for ours, theirs in zip(epoch_of(recipe, digits), expected, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_batch_size_changes_neither_order_nor_augmentation(make_recipe: Any, digits: Arrays) -> None:
    soft: dict[str, Any] = {"crop": GAUSSIAN, "softening": {"apply_to": "both"}}
    one, other = (joined(epoch_of(make_recipe(**soft, optim={"batch_size": size}), digits)) for size in (7, 64))
    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


def test_the_order_depends_on_seed_and_epoch_alone(make_recipe: Any, digits: Arrays) -> None:
    plain, soft = make_recipe(), make_recipe(crop=GAUSSIAN)
    targets = [
        joined(epoch_of(recipe, digits, epoch)).target.argmax(1)
        for recipe, epoch in ((plain, 1), (soft, 1), (plain, 2), (make_recipe(seed=1), 1))
    ]
    assert torch.equal(targets[0], targets[1])
    assert not torch.equal(targets[0], targets[2])
    assert not torch.equal(targets[0], targets[3])


def test_what_happens_to_a_sample_was_drawn_for_it_in_sample_order(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(crop=GAUSSIAN, softening={"apply_to": "weight", "k": 1.0})
    train = split(digits, recipe.data).train
    position = {image.numpy().tobytes(): i for i, image in enumerate(normalise(train.pixels, NORMALISATION))}
    order = [position[image.numpy().tobytes()] for image in joined(epoch_of(make_recipe(), digits)).images]
    offsets = draw(recipe, len(train.labels), epoch=1).offsets
    assert offsets is not None
    expected = soften(1.0, visibility(offsets, (8, 8)), k=1.0, classes=10)[order]
    assert torch.equal(joined(epoch_of(recipe, digits)).weight, expected)


@pytest.mark.parametrize(
    ("apply_to", "softens_target", "softens_weight"),
    [("target", True, False), ("weight", False, True), ("both", True, True)],
)
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_softening_goes_where_the_recipe_says(
    apply_to: str, softens_target: bool, softens_weight: bool, smoothing: float, make_recipe: Any, digits: Arrays
) -> None:
    soft = make_recipe(crop=GAUSSIAN, softening={"apply_to": apply_to, "k": 2.0}, label_smoothing=smoothing)
    batch = joined(epoch_of(soft, digits))
    weight_only = make_recipe(crop=GAUSSIAN, softening={"apply_to": "weight", "k": 1.0})
    visible = (joined(epoch_of(weight_only, digits)).weight - 0.1) / 0.9  # Eq. 7 at k = 1, solved for visibility
    ceiling = torch.full_like(visible, 1 - smoothing)
    p = soften(ceiling, visible, k=2.0, classes=10) if softens_target else ceiling
    torch.testing.assert_close(batch.confidence, p)
    torch.testing.assert_close(batch.target.max(dim=1).values[p > 0.2], p[p > 0.2])
    weight = soften(1.0, visible, k=2.0, classes=10) if softens_weight else torch.ones_like(visible)
    torch.testing.assert_close(batch.weight, weight)


def test_in_the_final_phase_nothing_is_softened(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(crop=GAUSSIAN, softening={"apply_to": "both"}, final_phase={"start": 0.5})
    batch = joined(epoch_of(recipe, digits, final_phase=True))
    assert (batch.weight == 1).all()
    assert (batch.confidence == 1).all()


NOISY: dict[str, Any] = {"noise": {"sigma": 0.3}, "softening": {"apply_to": "both", "k": None, "noise_k": 1.0}}


def test_noise_softens_by_its_amplitude(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(**NOISY)
    order = torch.randperm(100, generator=generator(0, "order", 1))
    amplitude = draw(recipe, 100, epoch=1).take(order).amplitude
    assert amplitude is not None
    batch = joined(epoch_of(recipe, digits))
    torch.testing.assert_close(batch.confidence, 1 - 0.9 * amplitude.abs())
    assert torch.equal(batch.confidence, batch.weight)
    plain = joined(epoch_of(make_recipe(), digits)).images
    assert ((batch.images - plain).flatten(1).std(1) / amplitude.abs()).sub(0.1).abs().max() < 0.04  # 64 pixels each


@pytest.mark.parametrize("values", [1, 2**30])
def test_noise_and_mixup_come_per_step_however_many_batches_are_augmented_at_once(
    values: int, make_recipe: Any, digits: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = make_recipe(**NOISY, mixup={})
    expected = epoch_of(recipe, digits)
    monkeypatch.setattr(batches_module, "BLOCK_VALUES", values)
    for ours, theirs in zip(epoch_of(recipe, digits), expected, strict=True):
        assert all(torch.equal(one, other) for one, other in zip(ours, theirs, strict=True))


def test_mixup_mixes_within_the_batch_and_not_in_the_released_codes_final_phase(
    make_recipe: Any, digits: Arrays
) -> None:
    phase = {"start": 0.5, "turns_off": "all"}
    mixing, plain = make_recipe(mixup={}, final_phase=phase), make_recipe()
    draws = draw_mixing(0, 1, 100, batch_size=32, alpha=1.0)
    pairs = zip(epoch_of(mixing, digits), epoch_of(plain, digits), strict=True)
    for step, (mixed, batch) in enumerate(pairs):
        share, places = draws.shares[step], draws.places[32 * step : 32 * step + len(batch.weight)]
        assert torch.equal(mixed.images, mix(*batch[:3], share, places)[0])
        assert torch.equal(mixed.target, mix(*batch[:3], share, places)[1])
    last = joined(epoch_of(mixing, digits, final_phase=True))
    assert torch.equal(last.images, joined(epoch_of(plain, digits)).images)
