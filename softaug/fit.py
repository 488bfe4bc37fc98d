"""Training as a generator: `for epoch in fit(...)` yields one value per epoch; the caller decides where it goes.

What changes during a run is a pure function of progress and every draw is seeded by its epoch, so weights, momentum,
the number of completed epochs and the labels that online label smoothing learned are all that a later call needs to go
on bit for bit (same torch, CPU type and thread count). Nothing is read back from the device within an epoch.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from softaug.augment import Augmentation, Normalisation, draw, normalise, to_pixels
from softaug.batches import Batch, batches, label
from softaug.data import AnyImages, Splits
from softaug.datasets import dataset
from softaug.loss import Losses, weighted_losses
from softaug.metrics import evaluate_logits, reliability
from softaug.models.registry import build
from softaug.noise import noise_pixels
from softaug.online_labels import OnlineLabels
from softaug.randomness import forked
from softaug.recipe import Recipe
from softaug.samples import Samples
from softaug.schedule import in_final_phase, learning_rate

State = dict[str, Tensor]  # "model.<name>", "momentum.<name>", "epoch": completed epochs, and what a recipe adds

EVALUATION_BATCH = 512
SAMPLE_IMAGES = 16


class Diverged(Exception):
    """Training left the finite numbers."""


@dataclass(frozen=True)
class Final:
    """What a finished run leaves: test metrics, weights and reliability diagram, and 16 images as it saw them."""

    metrics: dict[str, float]
    weights: dict[str, Tensor]
    reliability: dict[str, list[float]]
    samples: Samples


@dataclass(frozen=True)
class Epoch:
    """An epoch boundary. `number` counts completed epochs; `metrics` are train/... and, if there is a split, val/..."""

    number: int
    metrics: dict[str, float]
    done: bool
    final: Final | None
    snapshot: State

    def state(self) -> State:
        """Return what `resume` needs to go on from this boundary; training on does not change it."""
        return self.snapshot


def never() -> bool:
    """Say not to stop."""
    return False


def fit(
    recipe: Recipe,
    splits: Splits,
    *,
    device: torch.device,
    resume: State | None = None,
    stop: Callable[[], bool] = never,
) -> Iterator[Epoch]:
    """Train as the recipe says and yield after every epoch; the last one carries test metrics and weights.

    `resume`: the state of an earlier boundary of the same recipe; if that was the last, one Epoch without metrics
    comes. `stop` is polled before every step; once true, fit ends without another Epoch. Raises Diverged when an
    epoch's loss or an evaluation is not finite.
    """
    run = _start(recipe, splits.to(device), device)
    epochs = recipe.optim.epochs
    done = 0 if resume is None else _restore(run, resume)
    if done == epochs:
        yield Epoch(done, {}, True, _finish(run), _snapshot(run, done))
    for number in range(done + 1, epochs + 1):
        with forked(recipe.seed, "layers", number, device):  # dropout and its like draw from torch's own generators
            metrics = _train(run, number, stop)
        if metrics is None:
            return
        if run.splits.validation is not None:
            metrics |= _evaluate(run, run.splits.validation, "val")[0]
        if recipe.test_every_epochs and (number - 1) % recipe.test_every_epochs == 0:
            run.best_of_evals.clamp_(max=_evaluate(run, run.splits.test, "test")[0]["test/top1_error"])
        last = number == epochs
        yield Epoch(number, metrics, last, _finish(run) if last else None, _snapshot(run, number))


@dataclass(frozen=True)
class _Run:
    recipe: Recipe
    splits: Splits
    device: torch.device
    augmentation: Augmentation
    model: nn.Module
    parameters: dict[str, nn.Parameter]
    momentum: dict[str, Tensor]
    online_labels: OnlineLabels | None
    best_of_evals: Tensor  # (), float64: least test/top1_error so far, in percent


def _start(recipe: Recipe, splits: Splits, device: torch.device) -> _Run:
    known = dataset(recipe.data.name)
    with forked(recipe.seed, "init", 0):
        model = build(recipe.model.name, recipe.model.width, in_channels=known.channels, classes=known.classes)
    model = model.to(device=device, memory_format=_layout(recipe))  # type: ignore[call-overload]
    parameters = dict(model.named_parameters())
    momentum = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    online_labels = OnlineLabels.start(known.classes, device) if recipe.online_label_smoothing else None
    augmentation = Augmentation.of(recipe, device)
    best = torch.tensor(torch.inf, dtype=torch.float64)
    return _Run(recipe, splits, device, augmentation, model, parameters, momentum, online_labels, best)


def _train(run: _Run, number: int, stop: Callable[[], bool]) -> dict[str, float] | None:
    """Train epoch `number`, counted from 1, and return its metrics, None if stopped in it."""
    optim, train = run.recipe.optim, run.splits.train
    steps_per_epoch = -(-len(train.labels) // optim.batch_size)
    step = (number - 1) * steps_per_epoch
    steps, warmup_steps = optim.epochs * steps_per_epoch, optim.warmup_epochs * steps_per_epoch
    phase = run.recipe.final_phase
    final_phase = phase is not None and in_final_phase(number - 1, optim.epochs, phase.start)
    losses, confidences = [], []
    run.model.train()
    lr = 0.0
    for batch in batches(run.augmentation, train, epoch=number, final_phase=final_phase):
        if stop():
            return None
        lr = learning_rate(step, steps, lr=optim.lr, first_step=optim.first_lr_step, warmup_steps=warmup_steps)
        losses.append(_step(run, batch, lr))
        confidences.append(batch.confidence)
        step += 1
    if run.online_labels is not None:
        run.online_labels.end_epoch()
    return _summarise(losses, confidences, lr, number)


def _step(run: _Run, batch: Batch, lr: float) -> Losses:
    """Update the weights on one batch and return its losses, detached."""
    images = batch.images.contiguous(memory_format=_layout(run.recipe))
    with _autocast(run):
        logits = run.model(images)
    loss, target = run.recipe.loss, batch.target
    if run.online_labels is not None:
        run.online_labels.observe(logits, batch.target)
        target = run.online_labels.target(batch.target)
    kl, cross_entropy = weighted_losses(
        logits,
        target,
        batch.weight,
        weighting=loss.weighting,
        weight_norm=loss.weight_norm,
        focal_gamma=loss.focal_gamma,
    )
    run.model.zero_grad(set_to_none=True)
    torch.autograd.backward(kl)
    _update(run, lr)
    return Losses(kl.detach(), cross_entropy.detach())


def _update(run: _Run, lr: float) -> None:
    """Take one SGD step on all parameters (D23): torch's, without the optimizer object, whose state this is."""
    optim = run.recipe.optim
    gradients = [cast(Tensor, parameter.grad) for parameter in run.parameters.values()]
    with torch.no_grad():
        sgd(
            list(run.parameters.values()),
            gradients,
            list(run.momentum.values()),
            fused=True,
            lr=lr,
            momentum=optim.momentum,
            nesterov=optim.nesterov,
            weight_decay=optim.weight_decay,
            dampening=0.0,
            maximize=False,
        )


def _layout(recipe: Recipe) -> torch.memory_format:
    return torch.channels_last if recipe.precision.channels_last else torch.contiguous_format


def _autocast(run: _Run) -> "torch.autocast | nullcontext[None]":
    bfloat16 = run.recipe.precision.autocast == "bfloat16"
    return torch.autocast(run.device.type, torch.bfloat16) if bfloat16 else nullcontext()


def _summarise(losses: list[Losses], confidences: list[Tensor], lr: float, number: int) -> dict[str, float]:
    """Read the epoch's means over samples, once from the device. `lr` is that of its last step."""
    confidence = torch.cat(confidences)
    sizes = torch.tensor([len(part) for part in confidences], device=confidence.device)
    kl, cross_entropy = (torch.stack(values) @ sizes.float() / len(confidence) for values in zip(*losses, strict=True))
    means = torch.stack((kl, cross_entropy, confidence.mean())).tolist()
    if not isfinite(means[0]):
        raise Diverged(f"epoch {number}: the training loss is {means[0]}; lower optim.lr")
    return dict(zip(("train/kl", "train/cross_entropy", "train/confidence"), means, strict=True)) | {"train/lr": lr}


def _evaluate(run: _Run, images: AnyImages, prefix: str) -> tuple[dict[str, float], Tensor]:
    """Return metrics named prefix/... and the logits (N, classes) on the CPU."""
    logits = predict(run.model, images, run.augmentation.normalisation)
    if not logits.isfinite().all():
        raise Diverged(f"logits on the {prefix} images are not finite; lower optim.lr")
    metrics = evaluate_logits(logits, images.labels.cpu())
    return {f"{prefix}/{name}": value for name, value in metrics.items()}, logits


def predict(model: nn.Module, images: AnyImages, normalisation: Normalisation) -> Tensor:
    """Return the logits (N, classes) of images on the CPU: float32, batch by batch."""
    model.eval()
    with torch.no_grad():
        parts = [model(normalise(part, normalisation)) for part in images.parts(EVALUATION_BATCH)]
        return torch.cat(parts).cpu()


def _finish(run: _Run) -> Final:
    metrics, logits = _evaluate(run, run.splits.test, "test")
    if run.recipe.test_every_epochs:
        metrics["test/best_of_evals"] = run.best_of_evals.item()
    weights = {name: _copy(tensor).cpu() for name, tensor in run.model.state_dict().items()}
    return Final(metrics, weights, reliability(logits, run.splits.test.labels.cpu()), _samples(run))


def _samples(run: _Run) -> Samples:
    """Show the first training images as the first epoch augments them."""
    recipe, train = run.recipe, run.splits.train
    index = torch.arange(min(SAMPLE_IMAGES, len(train.labels)))
    draws = draw(recipe, len(train.labels), epoch=1, sizes=train.sizes).take(index)
    images, draws = next(train.stream(index, SAMPLE_IMAGES, draws.cuts)), draws.to(run.device)
    noise = None
    if recipe.noise is not None:
        noise = noise_pixels(images.pixels, std=recipe.noise.pixel_std, seed=recipe.seed, epoch=1, step=0)
    augmented = run.augmentation.apply(images.pixels, draws, noise)
    confidence = label(recipe, augmented, images.labels).confidence
    pixels = to_pixels(augmented.images, run.augmentation.normalisation)
    return Samples(pixels.cpu(), images.labels.cpu(), augmented.visibility.cpu(), confidence.cpu())


def _snapshot(run: _Run, epochs_done: int) -> State:
    state = {f"model.{name}": _copy(tensor) for name, tensor in run.model.state_dict().items()}
    state |= {f"momentum.{name}": _copy(tensor) for name, tensor in run.momentum.items()}
    if run.online_labels is not None:
        state["online_labels"] = _copy(run.online_labels.soft)
    if run.recipe.test_every_epochs:
        state["best_of_evals"] = _copy(run.best_of_evals)
    return state | {"epoch": torch.tensor(epochs_done)}


def _copy(tensor: Tensor) -> Tensor:
    """Return a detached, contiguous copy: safetensors stores no other."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _restore(run: _Run, state: State) -> int:
    """Put a snapshot back and return its completed epochs. Raises ValueError if it is not of this recipe."""
    epochs_done = int(state["epoch"])
    if epochs_done > run.recipe.optim.epochs:
        raise ValueError(f"resume: the state has {epochs_done} epochs, the recipe {run.recipe.optim.epochs}")
    model = {name.removeprefix("model."): tensor for name, tensor in state.items() if name.startswith("model.")}
    run.model.load_state_dict(model)
    for name, tensor in run.momentum.items():
        tensor.copy_(state[f"momentum.{name}"])
    if run.online_labels is not None:
        run.online_labels.soft.copy_(state["online_labels"])
    if run.recipe.test_every_epochs:
        run.best_of_evals.copy_(state["best_of_evals"])
    return epochs_done
