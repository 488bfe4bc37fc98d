"""The inspector: closed forms and the method's table, a literal loop over images, and what training itself sees."""

from collections.abc import Callable
from itertools import pairwise, product
from math import erf, log, sqrt
from typing import Any

import pytest
import torch

from softaug import inspection
from softaug.arrays import Arrays
from softaug.augment import Augmentation, draw
from softaug.batches import batches
from softaug.data import Images, split
from softaug.datasets import dataset
from softaug.fit import fit
from softaug.inspection import augment, augmentation_key, epochs_looked_at, inspect, left_out
from softaug.loss import effective_weights, entropy
from softaug.recipe import Recipe

CPU = torch.device("cpu")
GAUSSIAN: dict[str, Any] = {"kind": "gaussian", "sigma": 0.3}
BOTH = {"apply_to": "both", "k": 2.0}
# Method §1.2, 400,000 draws: sigma -> E[v], P(v < .25), E[p], E[p^2] at 32 px, 100 classes, k = 2
TABLE = {
    0.1: (0.8744, 0.0000, 0.9781, 0.9574),
    0.2: (0.7317, 0.0012, 0.9073, 0.8317),
    0.3: (0.6032, 0.0478, 0.8048, 0.6779),
    0.375: (0.5226, 0.1322, 0.7245, 0.5748),
    0.5: (0.4273, 0.2739, 0.6182, 0.4530),
    1.0: (0.3085, 0.4902, 0.4718, 0.3056),
}
OF_VISIBILITY: tuple[Callable[[float], float], ...] = (
    lambda v: v,
    lambda v: float(v < 0.25),
    lambda v: 1 - 0.99 * (1 - v) ** 2,
    lambda v: (1 - 0.99 * (1 - v) ** 2) ** 2,
)


def closed_form(sigma: float) -> list[tuple[float, float]]:
    """Return mean and standard deviation of each quantity of the table: offsets truncated normal, cut toward zero."""
    below = [erf(t / (32 * sigma * sqrt(2))) / erf(1 / (sigma * sqrt(2))) for t in range(33)]
    axis = [(t, high - low) for t, (low, high) in enumerate(pairwise(below))]
    cases = [((32 - r) * (32 - c) / 1024, pr * pc) for (r, pr), (c, pc) in product(axis, axis)]
    moments = []
    for quantity in OF_VISIBILITY:
        mean, square = (sum(chance * quantity(v) ** power for v, chance in cases) for power in (1, 2))
        moments.append((mean, sqrt(max(square - mean**2, 0))))
    return moments


@pytest.mark.parametrize(("sigma", "printed"), TABLE.items())
def test_the_methods_table_is_the_closed_form_and_what_an_inspection_finds(
    sigma: float, printed: tuple[float, ...]
) -> None:
    n, exact = 5000, closed_form(sigma)
    parts = {"crop": GAUSSIAN | {"sigma": sigma}, "softening": BOTH, "optim": {"epochs": 1}}
    recipe = Recipe.model_validate({"data": {"name": "cifar100"}, "model": {"name": "resnet18"}, "seed": 0} | parts)
    pixels = torch.randint(0, 256, (100, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = inspect(recipe, Images(pixels.repeat(n // 100, 1, 1, 1), torch.arange(n) % 100))
    measured = (
        found.mean_visibility,
        sum(found.visibility.counts[:5]) / n,
        found.mean_confidence,
        found.mean_weight**2 / found.effective_fraction,
    )
    for (mean, std), rounded, value in zip(exact, printed, measured, strict=True):
        assert rounded == pytest.approx(mean, abs=4 * std / sqrt(400_000) + 5e-5)
        assert value == pytest.approx(mean, abs=4 * std / sqrt(n))
    assert found.mean_weight == pytest.approx(found.mean_confidence)
    assert found.se_confidence == pytest.approx(exact[2][1] / sqrt(n), rel=0.1)


LABELS: list[dict[str, Any]] = [
    {},
    {"label_smoothing": 0.1},
    {"softening": {"apply_to": "target", "k": 1.0}, "label_smoothing": 0.17},
    {"softening": {"apply_to": "weight", "k": 3.0}},
    {"softening": BOTH},
]


@pytest.mark.parametrize("parts", LABELS)
def test_the_numbers_are_those_of_a_loop_over_images(parts: dict[str, Any], make_recipe: Any, digits: Arrays) -> None:
    recipe: Recipe = make_recipe(crop=GAUSSIAN, **parts)
    applied = recipe.softening.apply_to if recipe.softening else "nothing"
    rows = []
    for epoch in (1, 2, 3):
        offsets = draw(recipe, 100, epoch=epoch).offsets
        assert offsets is not None
        for down, right in offsets.tolist():
            v = (8 - abs(down)) * (8 - abs(right)) / 64
            lost = (1 - v) ** recipe.softening.k if recipe.softening and recipe.softening.k else 0
            p = 1 - recipe.label_smoothing
            p -= (p - 0.1) * lost if applied in ("target", "both") else 0
            nats = -sum(q * log(q) for q in (p, *[(1 - p) / 9] * 9) if q > 0)
            rows.append((v, p, nats, 1 - 0.9 * lost if applied in ("weight", "both") else 1))
    v, p, nats, w = zip(*rows, strict=True)
    found = inspect(recipe, split(digits, recipe.data).train)
    assert (found.images, found.epochs) == (100, 3)
    assert found.mean_visibility == pytest.approx(sum(v) / 300)
    assert found.mean_confidence == pytest.approx(sum(p) / 300)
    assert found.mean_entropy_nats == pytest.approx(sum(nats) / 300, rel=1e-5)
    assert found.mean_weight == pytest.approx(sum(w) / 300)
    assert found.effective_fraction == pytest.approx(sum(w) ** 2 / (300 * sum(x * x for x in w)))
    for histogram, values in ((found.visibility, v), (found.confidence, p)):
        assert histogram.edges == pytest.approx([number / 20 for number in range(21)])
        inside = [sum(low <= x < high for x in map(round_off, values)) for low, high in pairwise(histogram.edges)]
        inside[-1] += sum(round_off(x) == 1 for x in values)
        assert list(histogram.counts) == inside


def round_off(value: float) -> float:
    """Return a number as float32 has it, which decides on which side of an edge it lies."""
    return torch.tensor(value, dtype=torch.float32).item()


TRAININGS: list[dict[str, Any]] = [
    {"softening": BOTH, "label_smoothing": 0.1},
    {"softening": BOTH, "loss": {"weight_norm": "mean1"}},
    {"softening": {"apply_to": "weight"}, "loss": {"weighting": "batch_mean"}},
    {"softening": BOTH | {"noise_k": 1.0}, "noise": {"sigma": 0.5}, "cutout": {"side_px": 2}, "flip": 0.5},
]


@pytest.mark.parametrize("parts", TRAININGS)
def test_it_finds_what_training_sees(parts: dict[str, Any], make_recipe: Any, digits: Arrays) -> None:
    recipe: Recipe = make_recipe(crop=GAUSSIAN, **parts)
    train, augmentation = split(digits, recipe.data).train, Augmentation.of(recipe, CPU)
    confidence, entropies, weights = [], [], []
    for batch in (batch for epoch in (1, 2, 3) for batch in batches(augmentation, train, epoch=epoch)):
        loss = recipe.loss
        in_loss = effective_weights(batch.weight, weighting=loss.weighting, weight_norm=loss.weight_norm)
        weights.append(in_loss.expand(len(batch.weight)))
        confidence.append(batch.confidence)
        entropies.append(entropy(batch.target))
    w = torch.cat(weights)
    found = inspect(recipe, train)
    assert found.mean_confidence == pytest.approx(torch.cat(confidence).mean().item())
    assert found.mean_entropy_nats == pytest.approx(torch.cat(entropies).mean().item(), rel=1e-5)
    assert found.mean_weight == pytest.approx(w.mean().item())
    assert found.effective_fraction == pytest.approx((w.sum() ** 2 / (300 * (w**2).sum())).item())
    if recipe.loss.weight_norm == "mean1":
        assert found.mean_weight == pytest.approx(1)
        assert 0.5 < found.effective_fraction < 1


def test_the_samples_are_the_picture_that_training_leaves(make_recipe: Any, digits: Arrays) -> None:
    noisy: dict[str, Any] = {"noise": {}, "softening": BOTH | {"noise_k": 1.0}, "optim": {"epochs": 2}}
    recipe: Recipe = make_recipe(crop=GAUSSIAN, **noisy)
    splits = split(digits, recipe.data)
    *_, epoch = fit(recipe, splits, device=CPU)
    assert epoch.final is not None
    left, samples = epoch.final.samples, inspect(recipe, splits.train).samples
    names = dataset("digits").class_names
    assert [sample.class_name for sample in samples] == [names[label] for label in left.labels.tolist()]
    assert [sample.visibility for sample in samples] == left.visibilities.tolist()
    assert [sample.confidence for sample in samples] == left.confidences.tolist()
    assert [sample.weight for sample in samples] == left.confidences.tolist()  # softened by the same
    assert all((sample.pixels == image.numpy()).all() for sample, image in zip(samples, left.images, strict=True))


def test_blocks_change_nothing(make_recipe: Any, digits: Arrays, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe: Recipe = make_recipe(crop=GAUSSIAN, noise={}, softening=BOTH, flip=0.5)
    train = split(digits, recipe.data).train
    whole = inspect(recipe, train)
    monkeypatch.setattr(inspection, "BLOCK_VALUES", 1)
    parts = inspect(recipe, train)
    assert parts.mean_entropy_nats == whole.mean_entropy_nats
    assert parts.visibility == whole.visibility
    assert all((a.pixels == b.pixels).all() for a, b in zip(parts.samples, whole.samples, strict=True))


def test_enough_epochs_before_the_final_phase(make_recipe: Any, digits: Arrays) -> None:
    train = split(digits, make_recipe().data).train
    optim = {"epochs": 500, "batch_size": 32}
    assert epochs_looked_at(make_recipe(), train) == 3
    assert epochs_looked_at(make_recipe(optim=optim), train) == 100
    phase = {"crop": GAUSSIAN, "final_phase": {"start": 0.1}}
    assert epochs_looked_at(make_recipe(optim=optim, **phase), train) == 50
    assert epochs_looked_at(make_recipe(**phase), train) == 1
    assert (
        epochs_looked_at(make_recipe(), Images(train.pixels[:1].expand(20_000, -1, -1, -1), torch.zeros(20_000))) == 1
    )


def test_one_image_has_no_standard_error(make_recipe: Any, digits: Arrays) -> None:
    train = split(digits, make_recipe().data).train
    one = Images(train.pixels[:1], train.labels[:1])
    assert inspect(make_recipe(crop=GAUSSIAN, optim={"epochs": 1}), one).se_confidence is None
    assert inspect(make_recipe(crop=GAUSSIAN, softening=BOTH), one).se_confidence is not None


AFTERWARDS: list[dict[str, Any]] = [
    {"model": {"name": "resnet20", "width": 8}},
    {"optim": {"epochs": 3, "batch_size": 7, "lr": 0.01}},
    {"mixup": {}},
    {"label_smoothing": 0.3},
    {"online_label_smoothing": True, "softening": None},
    {"softening": {"apply_to": "weight", "k": 1.0}, "loss": {"weight_norm": "mean1"}},
    {"softening": None, "loss": {"focal_gamma": 2.0}},
    {"precision": {"channels_last": True}, "test_every_epochs": 1},
]
BEFORE: list[dict[str, Any]] = [
    {"crop": GAUSSIAN | {"sigma": 0.2}},
    {"noise": {"sigma": 0.2}},
    {"cutout": {"side_px": 2}},
    {"flip": 0.5},
    {"policy": {"kind": "rand-augment"}},
    {"seed": 1},
    {"data": {"name": "digits", "train_images": 90}},
    {"optim": {"epochs": 4}},
    {"final_phase": {"start": 0.2}},
]


@pytest.mark.parametrize("parts", AFTERWARDS)
def test_recipes_of_one_augmentation_share_it(parts: dict[str, Any], make_recipe: Any, digits: Arrays) -> None:
    one: Recipe = make_recipe(crop=GAUSSIAN, noise={}, softening=BOTH)
    other: Recipe = make_recipe(**({"crop": GAUSSIAN, "noise": {}, "softening": BOTH} | parts))
    train = split(digits, one.data).train
    assert augmentation_key(one) == augmentation_key(other)
    seen, own = augment(one, train), augment(other, train)
    for name in ("visibility", "kept_signal", "pixels"):
        assert torch.equal(getattr(seen, name), getattr(own, name))
    assert inspect(other, train, seen).mean_entropy_nats == inspect(other, train).mean_entropy_nats


@pytest.mark.parametrize("parts", BEFORE)
def test_recipes_of_another_augmentation_do_not(parts: dict[str, Any], make_recipe: Any) -> None:
    assert augmentation_key(make_recipe(crop=GAUSSIAN)) != augmentation_key(make_recipe(**({"crop": GAUSSIAN} | parts)))


def test_the_curve_runs_from_chance_to_the_ceiling(make_recipe: Any, digits: Arrays) -> None:
    train = split(digits, make_recipe().data).train
    curve = inspect(make_recipe(crop=GAUSSIAN, softening=BOTH, label_smoothing=0.2), train).curve
    assert curve.visibility[::50] == pytest.approx((0, 0.5, 1))
    assert curve.confidence[::50] == pytest.approx((0.1, 0.8 - 0.7 / 4, 0.8))
    assert curve.weight[::50] == pytest.approx((0.1, 0.775, 1))
    plain: Recipe = make_recipe(crop=GAUSSIAN, softening={"apply_to": "weight"})
    mean = inspect(plain, train).mean_weight
    for loss, expected in (
        ({"weight_norm": "mean1"}, (0.1 / mean, 0.775 / mean, 1 / mean)),
        ({"weighting": "batch_mean"}, (mean, mean, mean)),
    ):
        curve = inspect(make_recipe(crop=GAUSSIAN, softening={"apply_to": "weight"}, loss=loss), train).curve
        assert curve.weight[::50] == pytest.approx(expected)
        assert set(curve.confidence) == {1.0}


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({}, []),
        ({"mixup": {}}, ["Mixup"]),
        ({"online_label_smoothing": True}, ["Online label smoothing"]),
        ({"loss": {"focal_gamma": 2.0}}, ["Focal loss"]),
        ({"optim": {"epochs": 50}, "crop": GAUSSIAN, "final_phase": {"start": 0.96}}, ["from 96 %"]),
        ({"optim": {"epochs": 20}, "crop": GAUSSIAN, "final_phase": {"start": 0.96}}, []),  # it never begins
    ],
)
def test_what_is_not_shown_is_said(parts: dict[str, Any], said: list[str], make_recipe: Any) -> None:
    notes = left_out(make_recipe(**parts))
    assert len(notes) == len(said)
    assert all(part in note for part, note in zip(said, notes, strict=True))
