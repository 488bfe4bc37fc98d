"""Training as a generator: `for epoch in fit(...)` yields one value per epoch; the caller decides where it goes.

What changes during a run is a pure function of progress and every draw is seeded by its epoch, so weights, momentum
and the number of completed epochs are all that a later call needs to go on bit for bit (same torch, CPU type and
thread count). Nothing is read back from the device within an epoch.
"""

from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass
from math import isfinite
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd

from softaug.augment import Normalisation, augment, draw, normalise, to_pixels
from softaug.batches import Batch, batches, label
from softaug.data import Images, Splits
from softaug.datasets import dataset
from softaug.loss import Losses, weighted_losses
from softaug.metrics import evaluate_logits, reliability
from softaug.models.registry import build
from softaug.occlusion import Occlusion, occlude
from softaug.randomness import forked
from softaug.recipe import Recipe
from softaug.samples import Samples
from softaug.schedule import in_final_phase, learning_rate

State = dict[str, Tensor]  # "model.<name>", "momentum.<name>", and "epoch": completed epochs

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
        metrics = _train(run, number, stop)
        if metrics is None:
            return
        if run.splits.validation is not None:
            metrics |= _evaluate(run, run.splits.validation, "val")[0]
        last = number == epochs
        yield Epoch(number, metrics, last, _finish(run) if last else None, _snapshot(run, number))


@dataclass(frozen=True)
class _Run:
    recipe: Recipe
    splits: Splits
    device: torch.device
    normalisation: Normalisation
    model: nn.Module
    parameters: dict[str, nn.Parameter]
    momentum: dict[str, Tensor]


def _start(recipe: Recipe, splits: Splits, device: torch.device) -> _Run:
    model = network(recipe, device)
    parameters = dict(model.named_parameters())
    momentum = {name: torch.zeros_like(parameter) for name, parameter in parameters.items()}
    normalisation = Normalisation.of(dataset(recipe.data.name), device)
    return _Run(recipe, splits, device, normalisation, model, parameters, momentum)


def network(recipe: Recipe, device: torch.device) -> nn.Module:
    """Return the recipe's network as it is before training, on a device."""
    known = dataset(recipe.data.name)
    with forked(recipe.seed, "init", 0):
        model = build(recipe.model.name, recipe.model.width, in_channels=known.channels, classes=known.classes)
    return model.to(device=device, memory_format=_layout(recipe))  # type: ignore[call-overload,no-any-return]


def _train(run: _Run, number: int, stop: Callable[[], bool]) -> dict[str, float] | None:
    """Train epoch `number`, counted from 1, and return its metrics, None if stopped in it."""
    optim, train = run.recipe.optim, run.splits.train
    steps_per_epoch = -(-len(train.labels) // optim.batch_size)
    step = (number - 1) * steps_per_epoch
    steps = optim.epochs * steps_per_epoch
    final_phase = run.recipe.final_phase
    crops = not in_final_phase(number - 1, optim.epochs, final_phase.start if final_phase is not None else None)
    losses, confidences = [], []
    run.model.train()
    lr = 0.0
    for batch in batches(run.recipe, train, run.normalisation, epoch=number, crops=crops):
        if stop():
            return None
        lr = learning_rate(step, steps, lr=optim.lr, first_step=optim.first_lr_step)
        losses.append(_step(run, batch, lr))
        confidences.append(batch.confidence)
        step += 1
    return _summarise(losses, confidences, lr, number)


def _step(run: _Run, batch: Batch, lr: float) -> Losses:
    """Update the weights on one batch and return its losses, detached."""
    images = batch.images.contiguous(memory_format=_layout(run.recipe))
    with _autocast(run):
        logits = run.model(images)
    loss = run.recipe.loss
    kl, cross_entropy = weighted_losses(
        logits, batch.target, batch.weight, weighting=loss.weighting, weight_norm=loss.weight_norm
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


def _evaluate(run: _Run, images: Images, prefix: str) -> tuple[dict[str, float], Tensor]:
    """Return metrics named prefix/... and the logits (N, classes) on the CPU."""
    logits = predict(run.model, images.pixels, run.normalisation)
    if not logits.isfinite().all():
        raise Diverged(f"logits on the {prefix} images are not finite; lower optim.lr")
    metrics = evaluate_logits(logits, images.labels.cpu())
    return {f"{prefix}/{name}": value for name, value in metrics.items()}, logits


def predict(
    model: nn.Module, pixels: Tensor, normalisation: Normalisation, occlusion: Occlusion | None = None
) -> Tensor:
    """Return the logits (N, classes) of pixels (N, C, H, W) uint8 on the CPU: float32, batch by batch.

    `occlusion`: patches on the pixels' device that cover a part of every image.
    """
    model.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(pixels), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            images = normalise(pixels[part], normalisation)
            parts.append(model(images if occlusion is None else occlude(images, occlusion.take(part))))
        return torch.cat(parts).cpu()


def _finish(run: _Run) -> Final:
    metrics, logits = _evaluate(run, run.splits.test, "test")
    weights = {name: _copy(tensor).cpu() for name, tensor in run.model.state_dict().items()}
    return Final(metrics, weights, reliability(logits, run.splits.test.labels.cpu()), _samples(run))


def _samples(run: _Run) -> Samples:
    """Show the first training images as the first epoch augments them."""
    recipe, train = run.recipe, run.splits.train
    index = torch.arange(min(SAMPLE_IMAGES, len(train.labels)))
    draws = draw(recipe, len(train.labels), epoch=1).take(index).to(run.device)
    images = train.take(index.to(run.device))
    augmented = augment(images.pixels, draws, kind=recipe.crop, normalisation=run.normalisation)
    confidence = label(recipe, augmented, images.labels).confidence
    pixels = to_pixels(augmented.images, run.normalisation)
    return Samples(pixels.cpu(), images.labels.cpu(), augmented.visibility.cpu(), confidence.cpu())


def _snapshot(run: _Run, epochs_done: int) -> State:
    state = {f"model.{name}": _copy(tensor) for name, tensor in run.model.state_dict().items()}
    state |= {f"momentum.{name}": _copy(tensor) for name, tensor in run.momentum.items()}
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
    return epochs_done
