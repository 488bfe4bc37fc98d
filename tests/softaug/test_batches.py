from typing import Any

import pytest
import torch

from softaug import batches as batches_module
from softaug.arrays import Arrays
from softaug.augment import Normalisation, draw, normalise
from softaug.batches import Batch, batches
from softaug.crop import visibility
from softaug.data import split
from softaug.datasets import dataset
from softaug.recipe import Recipe
from softaug.softening import soften

CPU = torch.device("cpu")
NORMALISATION = Normalisation.of(dataset("digits"), CPU)
GAUSSIAN = {"kind": "gaussian", "sigma": 0.3}


def epoch_of(recipe: Recipe, digits: Arrays, epoch: int = 1, crops: bool = True) -> list[Batch]:
    return list(batches(recipe, split(digits, recipe.data).train, NORMALISATION, epoch=epoch, crops=crops))


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
    batch = joined(epoch_of(make_recipe(crop=GAUSSIAN, softening={"apply_to": "both"}), digits, crops=False))
    assert (batch.weight == 1).all()
    assert (batch.confidence == 1).all()
