"""Training as a generator: `for epoch in fit(...)` yields one value per epoch; the caller decides where it goes.

What changes during a run is a pure function of progress and every draw is seeded by its epoch, so weights, momentum,
the number of completed epochs and the labels that online label smoothing learned are all that a later call needs to go
on bit for bit (same torch, CPU type and thread count). Nothing is read back from the device within an epoch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch

from softaug.data import Splits
from softaug.randomness import forked
from softaug.ranks import ALONE, Ranks
from softaug.recipe import Recipe
from softaug.simsiam_training import SimSiamTraining
from softaug.supervised import Supervised
from softaug.training import Final, State, Training


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
    epoch's loss or an evaluation is not finite, ValueError if the state has more epochs than the recipe.
    """
    training = start(recipe, splits.to(device), device)
    yield from epochs_of(training, recipe.seed, device, resume=resume, stop=stop)


def start(recipe: Recipe, splits: Splits, device: torch.device, ranks: Ranks = ALONE) -> Training:
    """Return the training that a recipe describes, before its first epoch."""
    if recipe.simsiam is not None:
        return SimSiamTraining(recipe, splits, device)
    return Supervised(recipe, splits, device, ranks)


def epochs_of(
    training: Training,
    seed: int,
    device: torch.device,
    *,
    resume: State | None,
    stop: Callable[[], bool],
    rank: int = 0,
) -> Iterator[Epoch]:
    """Train to the end, or until stopped. Of several ranks only the first evaluates and has states and results."""
    done = 0 if resume is None else _restore(training, resume)
    if done == training.epochs:
        yield Epoch(done, {}, True, training.finish() if rank == 0 else None, _snapshot(training, done))
    layers = "layers" if rank == 0 else f"layers of rank {rank}"
    for number in range(done + 1, training.epochs + 1):
        with forked(seed, layers, number, device):  # dropout and its like draw from torch's own generators
            metrics = training.train(number, stop)
        if metrics is None:
            return
        last = number == training.epochs
        final = training.finish() if last and rank == 0 else None
        yield Epoch(number, metrics, last, final, _snapshot(training, number) if rank == 0 else {})


def _snapshot(training: Training, epochs_done: int) -> State:
    return training.state() | {"epoch": torch.tensor(epochs_done)}


def _restore(training: Training, state: State) -> int:
    """Put a snapshot back and return its completed epochs."""
    epochs_done = int(state["epoch"])
    if epochs_done > training.epochs:
        raise ValueError(f"resume: the state has {epochs_done} epochs, the recipe {training.epochs}")
    training.restore(state)
    return epochs_done
