from collections.abc import Callable, Iterator
from typing import Any

import pytest
import safetensors.torch
import torch

from softaug import network as network_module
from softaug import supervised
from softaug.arrays import Arrays
from softaug.augment import Augmentation
from softaug.batches import batches
from softaug.data import Splits, split
from softaug.fit import Epoch, fit
from softaug.loss import weighted_losses
from softaug.models.registry import build
from softaug.network import predict
from softaug.randomness import forked
from softaug.recipe import Recipe
from softaug.schedule import learning_rate
from softaug.training import Diverged, State

CPU = torch.device("cpu")
SOFT: dict[str, Any] = {
    "data": {"name": "digits", "train_images": 100, "validation_images": 20},
    "flip": 0.5,
    "crop": {"kind": "gaussian", "sigma": 0.3, "fill": "const_noise"},
    "softening": {"apply_to": "both"},
    "label_smoothing": 0.1,
    "final_phase": {"start": 0.6},
}
EVERYTHING = SOFT | {
    "policy": {"kind": "rand-augment"},
    "noise": {"sigma": 0.2},
    "cutout": {"side_px": 4},
    "mixup": {"alpha": 0.5},
    "softening": {"apply_to": "both", "noise_k": 1.0},
    "final_phase": {"start": 0.6, "turns_off": "all"},
    "test_every_epochs": 1,
}
ONLINE: dict[str, Any] = {"online_label_smoothing": True, "policy": {"kind": "trivial-augment"}}
TEST_METRICS = {"test/top1_error", "test/ece", "test/nll", "test/brier"}


def train(recipe: Recipe, digits: Arrays, **options: Any) -> Iterator[Epoch]:
    return fit(recipe, split(digits, recipe.data), device=CPU, **options)


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_epochs_count_up_and_the_last_one_carries_the_results(make_recipe: Any, digits: Arrays) -> None:
    epochs = list(train(make_recipe(**SOFT), digits))
    assert [(epoch.number, epoch.done, epoch.final is None) for epoch in epochs] == [
        (1, False, True), (2, False, True), (3, True, False),
    ]  # fmt: skip
    names = {"train/kl", "train/cross_entropy", "train/lr", "train/confidence"}
    names |= {"val/top1_error", "val/ece", "val/nll", "val/brier"}
    assert all(set(epoch.metrics) == names for epoch in epochs)
    final = epochs[-1].final
    assert final is not None
    assert set(final.metrics) == TEST_METRICS
    assert sum(final.reliability["count"]) == 1_697
    samples = final.samples
    assert samples.images.shape == (16, 1, 8, 8)
    assert samples.images.dtype == torch.uint8
    assert samples.labels.shape == samples.visibilities.shape == samples.confidences.shape == (16,)
    assert samples.confidences.max() <= 0.9
    assert epochs[-1].metrics["train/confidence"] == pytest.approx(0.9)  # the final phase: no crop, the ceiling stays
    assert epochs[0].metrics["train/confidence"] < 0.85


def test_without_a_validation_split_there_are_no_val_metrics(make_recipe: Any, digits: Arrays) -> None:
    assert all(name.startswith("train/") for epoch in train(make_recipe(), digits) for name in epoch.metrics)


@pytest.mark.parametrize("parts", [{}, {"optim": {"epochs": 2, "batch_size": 32, "nesterov": False, "momentum": 0.0}}])
def test_it_is_torchs_sgd_on_our_loss_and_batches(parts: dict[str, Any], make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(**SOFT | {"data": {"name": "digits", "train_images": 100}} | parts)
    optim, train_images = recipe.optim, split(digits, recipe.data).train
    with forked(recipe.seed, "init", 0):
        model = build(recipe.model.name, recipe.model.width, in_channels=1, classes=10)
    sgd = torch.optim.SGD(
        model.parameters(), lr=1.0, momentum=optim.momentum, nesterov=optim.nesterov, weight_decay=optim.weight_decay
    )
    step, steps = 0, optim.epochs * 4
    for number in range(1, optim.epochs + 1):
        final_phase = (number - 1) / optim.epochs >= 0.6
        for batch in batches(Augmentation.of(recipe, CPU), train_images, epoch=number, final_phase=final_phase):
            sgd.zero_grad()
            weighted_losses(model(batch.images), batch.target, batch.weight).kl.backward()
            sgd.param_groups[0]["lr"] = learning_rate(step, steps, lr=optim.lr)
            sgd.step()
            step += 1
    *_, last = train(recipe, digits)
    assert last.final is not None
    for name, expected in model.state_dict().items():
        torch.testing.assert_close(last.final.weights[name], expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "parts", [SOFT, EVERYTHING, ONLINE, {"precision": {"channels_last": True, "autocast": "bfloat16"}}]
)
@pytest.mark.parametrize("boundary", [1, 2, 3])
def test_resumed_is_uninterrupted_bit_for_bit(
    parts: dict[str, Any], boundary: int, make_recipe: Any, digits: Arrays
) -> None:
    recipe = make_recipe(**parts)
    whole = list(train(recipe, digits))
    stored = safetensors.torch.load(safetensors.torch.save(whole[boundary - 1].state()))
    torch.rand(7)  # the global generator is no part of the state
    resumed = list(train(recipe, digits, resume=stored))
    assert [epoch.number for epoch in resumed] == (list(range(boundary + 1, 4)) or [3])
    assert same(resumed[-1].state(), whole[-1].state())
    assert resumed[-1].final is not None
    assert whole[-1].final is not None
    assert resumed[-1].final.metrics == whole[-1].final.metrics
    assert resumed[-1].metrics == (whole[-1].metrics if boundary < 3 else {})


class Drawing(torch.nn.Module):
    """A network that draws while it trains, and remembers what."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = torch.nn.Linear(64, 10)
        self.drawn: list[float] = []

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        if self.training:
            self.drawn.append(torch.rand(()).item())
        logits: torch.Tensor = self.classifier(images.flatten(1))
        return logits


def test_layers_draw_from_a_stream_of_the_seed_and_the_epoch(
    make_recipe: Any, digits: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, recipe = Drawing(), make_recipe(seed=3)
    monkeypatch.setattr(network_module, "build", lambda *_args, **_options: model)
    before = torch.get_rng_state()
    list(train(recipe, digits))
    assert torch.equal(torch.get_rng_state(), before)
    expected = []
    for number in (1, 2, 3):
        with forked(3, "layers", number):
            expected += torch.rand(4).tolist()  # four steps per epoch
    assert model.drawn == pytest.approx(expected)
    assert len(set(model.drawn)) == 12


def test_a_network_that_draws_goes_on_bit_for_bit(make_recipe: Any, digits: Arrays) -> None:
    model = {"name": "pyramidnet272", "width": 1}
    recipe = make_recipe(
        data={"name": "digits", "train_images": 30}, model=model, optim={"epochs": 2, "batch_size": 30, "lr": 0.01}
    )
    whole = split(digits, recipe.data)
    splits = Splits(whole.train, None, whole.test.take(torch.arange(10)))
    first, last = fit(recipe, splits, device=CPU)
    torch.rand(7)
    (resumed,) = fit(recipe, splits, device=CPU, resume=first.state())
    assert same(resumed.state(), last.state())
    assert resumed.metrics == last.metrics


def test_two_runs_have_the_same_bits_and_another_seed_has_not(make_recipe: Any, digits: Arrays) -> None:
    one, again, other = (list(train(make_recipe(**SOFT, seed=seed), digits))[-1].state() for seed in (0, 0, 1))
    assert same(one, again)
    assert not same(one, other)


def test_a_state_stays_what_it_was_while_training_goes_on(make_recipe: Any, digits: Arrays) -> None:
    run = train(make_recipe(), digits)
    state = next(run).state()
    before = {name: tensor.clone() for name, tensor in state.items()}
    after = next(run).state()
    assert same(state, before)
    assert not same(state, after)
    assert state["epoch"].item() == 1


def stop_after(polls: int) -> Callable[[], bool]:
    left = iter(range(polls))
    return lambda: next(left, None) is None


@pytest.mark.parametrize(("polls", "boundaries"), [(0, 0), (3, 0), (4, 1), (7, 1), (8, 2)])
def test_stop_is_polled_before_every_step_and_leaves_the_last_boundary(
    polls: int, boundaries: int, make_recipe: Any, digits: Arrays
) -> None:
    recipe = make_recipe()  # four steps per epoch
    epochs = list(train(recipe, digits, stop=stop_after(polls)))
    assert [epoch.number for epoch in epochs] == list(range(1, boundaries + 1))
    resume = epochs[-1].state() if epochs else None
    resumed, whole = list(train(recipe, digits, resume=resume)), list(train(recipe, digits))
    assert same(resumed[-1].state(), whole[-1].state())


def test_a_run_that_leaves_the_finite_numbers_has_diverged(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(optim={"epochs": 40, "batch_size": 32, "lr": 10.0, "weight_decay": 1.0})
    with pytest.raises(Diverged, match=r"epoch \d+: the training loss is (nan|inf); lower optim\.lr"):
        list(train(recipe, digits))


def test_an_infinite_weight_is_seen_at_the_epochs_end(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe()
    state = next(train(recipe, digits)).state()
    state["model.classifier.weight"].fill_(float("inf"))
    with pytest.raises(Diverged, match="epoch 2: the training loss is nan"):
        list(train(recipe, digits, resume=state))


def test_weights_that_cannot_be_evaluated_are_never_reported(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe()
    *_, last = train(recipe, digits)
    last.state()["model.classifier.bias"].fill_(float("nan"))
    with pytest.raises(Diverged, match="logits on the test images are not finite"):
        list(train(recipe, digits, resume=last.state()))


def test_a_state_with_more_epochs_than_the_recipe_is_refused(make_recipe: Any, digits: Arrays) -> None:
    *_, last = train(make_recipe(), digits)
    shorter = make_recipe(optim={"epochs": 2, "batch_size": 32})
    with pytest.raises(ValueError, match="the state has 3 epochs, the recipe 2"):
        next(train(shorter, digits, resume=last.state()))


def test_losses_are_means_over_samples_of_what_is_minimised(
    make_recipe: Any, digits: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[float, float, int]] = []

    def spy(logits: torch.Tensor, *rest: Any, **options: Any) -> Any:
        losses = weighted_losses(logits, *rest, **options)
        seen.append((losses.kl.item(), losses.cross_entropy.item(), len(logits)))
        return losses

    monkeypatch.setattr(supervised, "weighted_losses", spy)
    metrics = next(train(make_recipe(**SOFT), digits)).metrics
    assert sum(n for *_, n in seen) == 80
    assert metrics["train/kl"] == pytest.approx(sum(kl * n for kl, _, n in seen) / 80, rel=1e-5)
    assert metrics["train/cross_entropy"] == pytest.approx(sum(ce * n for _, ce, n in seen) / 80, rel=1e-5)
    assert metrics["train/lr"] == pytest.approx(learning_rate(2, 9, lr=0.1))


def test_nothing_is_read_from_the_device_between_two_steps(
    make_recipe: Any, digits: Arrays, monkeypatch: pytest.MonkeyPatch
) -> None:
    reads: list[str] = []
    for name in ("item", "tolist", "__bool__", "__float__", "__int__"):
        method = getattr(torch.Tensor, name)
        monkeypatch.setattr(torch.Tensor, name, lambda self, m=method, n=name: (reads.append(n), m(self))[1])
    recipe = make_recipe(**SOFT | {"data": {"name": "digits", "train_images": 100}})
    splits: Splits = split(digits, recipe.data)
    reads.clear()
    counts = []
    next(fit(recipe, splits, device=CPU, stop=lambda: bool(counts.append(len(reads)))))
    assert counts == [0, 0, 0, 0]
    assert reads == ["tolist"]


def test_online_label_smoothing_trains_on_the_labels_of_the_epoch_before(make_recipe: Any, digits: Arrays) -> None:
    first, second, *_ = train(make_recipe(**ONLINE, optim={"epochs": 3, "batch_size": 32, "lr": 0.05}), digits)
    labels = second.state()["online_labels"]
    torch.testing.assert_close(labels.sum(1), torch.ones(10))
    assert labels.diagonal().mean() > 0.11
    # Half of the first epoch's loss is zero, so it is less than half of chance's; the second has both halves.
    assert first.metrics["train/cross_entropy"] < 0.5 * 2.6
    assert second.metrics["train/cross_entropy"] > first.metrics["train/cross_entropy"]


def test_the_best_of_the_test_evaluations_is_reported_only_where_asked_for(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(test_every_epochs=2, optim={"epochs": 4, "batch_size": 32})
    *_, last = train(recipe, digits)
    assert last.final is not None
    assert set(last.final.metrics) == TEST_METRICS | {"test/best_of_evals"}
    errors = []
    for epochs in (1, 3):  # of 1, 2, 3, 4: the first and every second after it
        model = build("resnet8", 4, in_channels=1, classes=10)
        state = list(train(recipe, digits))[epochs - 1].state()
        model.load_state_dict({name[6:]: tensor for name, tensor in state.items() if name.startswith("model.")})
        test = split(digits, recipe.data).test
        logits = predict(model, test, Augmentation.of(recipe, CPU).normalisation)
        errors.append(100 * (logits.argmax(1) != test.labels).double().mean().item())
    assert last.final.metrics["test/best_of_evals"] == pytest.approx(min(errors))


def test_it_learns(make_recipe: Any, digits: Arrays) -> None:
    recipe = make_recipe(
        data={"name": "digits", "train_images": 300},
        model={"name": "resnet8", "width": 8},
        crop={"kind": "gaussian", "sigma": 0.2},
        softening={"apply_to": "target"},
        optim={"epochs": 15, "batch_size": 60},
    )
    *_, last = train(recipe, digits)
    assert last.final is not None
    assert last.final.metrics["test/top1_error"] < 10
