"""What every kind of training is to `fit`: epochs to train one by one, a state to go on from, results at the end."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor, nn

from softaug.augment import Normalisation
from softaug.data import AnyImages, Splits
from softaug.metrics import evaluate_logits, reliability
from softaug.network import predict
from softaug.samples import Samples

State = dict[str, Tensor]  # "model.<name>", "momentum.<name>", "epoch": completed epochs, and what a recipe adds
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


class Training(Protocol):
    """A recipe being trained on a device."""

    epochs: int

    def train(self, number: int, stop: Callable[[], bool]) -> dict[str, float] | None:
        """Train epoch `number`, counted from 1, and return its metrics, None if stopped in it. Raises Diverged."""

    def finish(self) -> Final:
        """Evaluate the test set and return the results. Raises Diverged."""

    def state(self) -> State:
        """Return copies of all that a later `restore` needs, completed epochs excepted."""

    def restore(self, state: State) -> None:
        """Put a state back."""


def evaluate(
    model: nn.Module, images: AnyImages, normalisation: Normalisation, prefix: str
) -> tuple[dict[str, float], Tensor]:
    """Return metrics named prefix/... and the logits (N, classes) on the CPU. Raises Diverged."""
    logits = predict(model, images, normalisation)
    if not logits.isfinite().all():
        raise Diverged(f"logits on the {prefix} images are not finite; lower optim.lr")
    metrics = evaluate_logits(logits, images.labels.cpu())
    return {f"{prefix}/{name}": value for name, value in metrics.items()}, logits


def final(
    model: nn.Module, splits: Splits, normalisation: Normalisation, samples: Samples, more: Mapping[str, float]
) -> Final:
    """Evaluate a finished network on the test set; `more`: metrics to report beside."""
    metrics, logits = evaluate(model, splits.test, normalisation, "test")
    weights = {name: copy(tensor).cpu() for name, tensor in model.state_dict().items()}
    return Final({**metrics, **more}, weights, reliability(logits, splits.test.labels.cpu()), samples)


def named(prefix: str, tensors: Mapping[str, Tensor]) -> State:
    """Return copies of tensors as a part of a state: "<prefix>.<name>"."""
    return {f"{prefix}.{name}": copy(tensor) for name, tensor in tensors.items()}


def part(state: State, prefix: str) -> State:
    """Return the part of a state that `named` made."""
    return {name.removeprefix(f"{prefix}."): each for name, each in state.items() if name.startswith(f"{prefix}.")}


def copy(tensor: Tensor) -> Tensor:
    """Return a detached, contiguous copy: safetensors stores no other."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)
