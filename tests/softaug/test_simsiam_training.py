from itertools import pairwise
from typing import Any

import pytest
import safetensors.torch
import torch
from pydantic import ValidationError
from torch.nn import functional

from softaug.arrays import Arrays
from softaug.augment import Normalisation, normalise
from softaug.boxes import iou
from softaug.data import split
from softaug.datasets import dataset
from softaug.fit import fit
from softaug.network import network, predict
from softaug.presets import expand
from softaug.recipe import Recipe
from softaug.schedule import probe_learning_rate
from softaug.simsiam_training import SimSiamTraining
from softaug.views import apply_view, draw_view

CPU = torch.device("cpu")
BASE: dict[str, Any] = {
    "data": {"name": "digits", "train_images": 100, "validation_images": 20},
    "model": {"name": "resnet8", "width": 4},
    "optim": {"epochs": 2, "batch_size": 32, "lr": 0.05, "nesterov": False},
    "flip": 0.5,
    "simsiam": {"pair_weight": {"form": "sa1"}, "probe": {"epochs": 2, "batch_size": 16, "lr": 1.0}},
    "seed": 0,
}
NORMALISATION = Normalisation.of(dataset("digits"), CPU)


def make(**parts: Any) -> Recipe:
    return Recipe.model_validate(BASE | parts)


def train(recipe: Recipe, digits: Arrays, **options: Any) -> Any:
    return fit(recipe, split(digits, recipe.data), device=CPU, **options)


def test_first_the_pairs_then_the_probe_then_the_test_set(digits: Arrays) -> None:
    epochs = list(train(make(), digits))
    assert [epoch.number for epoch in epochs] == [1, 2, 3, 4]
    pairs, probe = {"train/simsiam_loss", "train/projection_std", "train/lr"}, {"train/cross_entropy", "train/lr"}
    probe |= {"val/top1_error", "val/ece", "val/nll", "val/brier"}
    assert [set(epoch.metrics) for epoch in epochs] == [pairs, pairs, probe, probe]
    assert all(-1 <= epoch.metrics["train/simsiam_loss"] <= 1 for epoch in epochs[:2])
    final = epochs[-1].final
    assert set(final.metrics) == {"test/top1_error", "test/ece", "test/nll", "test/brier"}
    model = network(make(), CPU)
    model.load_state_dict(final.weights)  # a network like any other
    test = split(digits, make().data).test
    error = 100 * (predict(model, test, NORMALISATION).argmax(1) != test.labels).double().mean().item()
    assert final.metrics["test/top1_error"] == pytest.approx(error)
    assert final.samples.images.shape == (16, 1, 8, 8)
    assert torch.equal(final.samples.labels[:8], final.samples.labels[8:])
    assert torch.equal(final.samples.confidences, (1 - (1 - final.samples.visibilities) ** 4))


def test_the_probe_leaves_the_backbone_alone_and_the_pairs_the_classifier(digits: Arrays) -> None:
    states = [epoch.state() for epoch in train(make(), digits)]
    for before, after, moves in zip(states, states[1:], (False, True, True), strict=False):
        for name in before:
            if name.startswith("model.backbone.classifier."):
                assert torch.equal(before[name], after[name]) is not moves, name
            elif name.startswith("model.") and moves:
                assert torch.equal(before[name], after[name]), name
    assert not torch.equal(states[0]["model.backbone.stem.weight"], states[1]["model.backbone.stem.weight"])


@pytest.mark.parametrize("boundary", [1, 2, 3, 4])
def test_resumed_is_uninterrupted_bit_for_bit(boundary: int, digits: Arrays) -> None:
    whole = list(train(make(), digits))
    stored = safetensors.torch.load(safetensors.torch.save(whole[boundary - 1].state()))
    last = list(train(make(), digits, resume=stored))[-1]
    assert last.final.metrics == whole[-1].final.metrics
    ours, theirs = last.state(), whole[-1].state()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)


def test_a_pretraining_step_is_torchs_sgd_on_the_weighted_symmetric_loss(digits: Arrays) -> None:
    recipe = make(optim={"epochs": 1, "batch_size": 80, "lr": 0.05, "nesterov": False})
    splits = split(digits, recipe.data)
    literal, ours = SimSiamTraining(recipe, splits, CPU), SimSiamTraining(recipe, splits, CPU)
    metrics = ours.train(1, lambda: False)
    from softaug.randomness import generator

    order = torch.randperm(80, generator=generator(0, "order", 1))
    drawn = [draw_view(n, 80, (8, 8), scale_min=0.2, flip_share=0.5, seed=0, epoch=1).take(order) for n in (1, 2)]
    x1, x2 = (apply_view(splits.train.pixels[order], each, NORMALISATION) for each in drawn)
    pairs = literal.pairs.train()
    z1, z2 = (pairs.projector(pairs.backbone.features(x)) for x in (x1, x2))
    p1, p2 = pairs.predictor(z1), pairs.predictor(z2)
    weight = 1 - (1 - iou(drawn[0].boxes, drawn[1].boxes)) ** 4
    cosines = functional.cosine_similarity(p1, z2.detach()) + functional.cosine_similarity(p2, z1.detach())
    loss = -(weight / weight.mean() * cosines / 2).mean()
    trained = [p for name, p in pairs.named_parameters() if not name.startswith("backbone.classifier.")]
    sgd = torch.optim.SGD(trained, lr=0.05, momentum=0.9, weight_decay=5e-4)
    loss.backward()
    sgd.step()
    assert metrics is not None
    assert metrics["train/simsiam_loss"] == pytest.approx(loss.item(), rel=1e-5)
    for (name, expected), (_, found) in zip(pairs.named_parameters(), ours.pairs.named_parameters(), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6, msg=name)


def test_the_first_view_is_the_same_in_every_cell_of_a_seed() -> None:
    one, same = (draw_view(1, 20, (8, 8), scale_min=0.2, flip_share=0.5, seed=0, epoch=1) for _ in range(2))
    assert torch.equal(one.boxes, same.boxes)
    two = draw_view(2, 20, (8, 8), scale_min=0.2, flip_share=0.5, seed=0, epoch=1)
    assert not torch.equal(one.boxes, two.boxes)
    taken = one.take(torch.tensor([3, 4]))
    assert torch.equal(taken.jitter.factors, one.jitter.factors[3:5])


def test_a_view_without_crop_flip_and_colour_is_the_image(digits: Arrays) -> None:
    pixels = split(digits, make().data).train.pixels[:5]
    draws = draw_view(1, 5, (8, 8), scale_min=0.2, flip_share=0.0, seed=0, epoch=1)
    boxes = torch.tensor([[0, 0, 8, 8]]).expand(5, 4)
    neutral = draws.jitter._replace(factors=torch.tensor([[1.0, 1, 1, 0]]).expand(5, 4), grey=torch.zeros(5).bool())
    seen = apply_view(pixels, draws._replace(boxes=boxes, jitter=neutral), NORMALISATION)
    torch.testing.assert_close(seen, normalise(pixels, NORMALISATION), rtol=1e-4, atol=1e-5)


def test_the_probes_learning_rate_falls_twice() -> None:
    rates = [probe_learning_rate(epoch, 100, lr=10.0) for epoch in range(100)]
    drops = [number + 1 for number, (one, other) in enumerate(pairwise(rates)) if other < one]
    assert drops == [60, 80]
    assert rates[::99] == pytest.approx([10.0, 0.1])


def test_it_learns_features_that_a_line_can_tell_apart(digits: Arrays) -> None:
    recipe = make(
        data={"name": "digits", "train_images": 300},
        optim={"epochs": 4, "batch_size": 60, "lr": 0.1, "nesterov": False},
        flip=0.0,
        simsiam={"probe": {"epochs": 10, "batch_size": 30, "lr": 3.0}},
        seed=1,
    )
    *_, last = train(recipe, digits)
    assert last.final.metrics["test/top1_error"] < 80  # 90 by chance, 59 to 78 in so short a training


def test_both_presets_give_the_papers_optimiser() -> None:
    values = {"data": {"name": "cifar100"}, "model": {"name": "resnet18"}, "simsiam": {}, "seed": 0}
    for preset in ("paper", "authors"):
        recipe = Recipe.model_validate(expand(preset, values))
        optim = recipe.optim
        assert (optim.epochs, optim.batch_size, optim.lr, optim.nesterov) == (500, 512, 0.2, False)
        assert recipe.simsiam is not None
        assert recipe.simsiam.probe.model_dump() == {"epochs": 100, "batch_size": 256, "lr": 10.0}


@pytest.mark.parametrize(
    ("parts", "reason"),
    [
        ({"crop": {"kind": "gaussian", "sigma": 0.3}}, "crop: simsiam trains on pairs of views without labels"),
        ({"label_smoothing": 0.1}, "label_smoothing: simsiam"),
        ({"loss": {"focal_gamma": 1.0}}, "loss: simsiam"),
        ({"model": {"name": "efficientnet-b0"}}, "needs the features of a residual network"),
        ({"simsiam": {"pair_weight": {"form": "sa3"}}}, "sa1"),
    ],
)
def test_what_has_no_meaning_is_refused(parts: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        make(**parts)
