"""Supervised training with soft augmentation: one network, one loss."""

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor

from softaug.augment import Augmentation, draw, to_pixels
from softaug.batches import Batch, batches, label
from softaug.data import Splits
from softaug.datasets import dataset
from softaug.loss import Losses, weighted_losses
from softaug.network import autocast, layout, network
from softaug.noise import noise_pixels
from softaug.online_labels import OnlineLabels
from softaug.ranks import ALONE, Ranks
from softaug.recipe import Recipe
from softaug.samples import Samples
from softaug.schedule import in_final_phase, learning_rate
from softaug.sgd import Sgd
from softaug.training import SAMPLE_IMAGES, Diverged, Final, State, copy, evaluate, final, named, part


class Supervised:
    """A network trained on softened targets with weights."""

    def __init__(self, recipe: Recipe, splits: Splits, device: torch.device, ranks: Ranks = ALONE) -> None:
        optim = recipe.optim
        self.epochs = optim.epochs
        self.recipe, self.splits, self.device, self.ranks = recipe, splits, device, ranks
        self.augmentation = Augmentation.of(recipe, device)
        self.model = ranks.synchronised(network(recipe, device))
        self.forward = ranks.together(self.model)
        self.sgd = Sgd(
            self.model.named_parameters(),
            momentum=optim.momentum,
            nesterov=optim.nesterov,
            weight_decay=optim.weight_decay,
        )
        classes = dataset(recipe.data.name).classes
        self.online_labels = OnlineLabels.start(classes, device) if recipe.online_label_smoothing else None
        self.best_of_evals = torch.tensor(torch.inf, dtype=torch.float64)  # least test/top1_error so far (D28)

    def train(self, number: int, stop: Callable[[], bool]) -> dict[str, float] | None:
        """Train epoch `number`, counted from 1, and return its metrics, None if stopped in it."""
        optim, train = self.recipe.optim, self.splits.train
        steps_per_epoch = -(-len(train.labels) // optim.batch_size)
        steps, warmup_steps = optim.epochs * steps_per_epoch, optim.warmup_epochs * steps_per_epoch
        phase = self.recipe.final_phase
        final_phase = phase is not None and in_final_phase(number - 1, optim.epochs, phase.start)
        losses, confidences = [], []
        self.model.train()
        lr = 0.0
        epoch = batches(self.augmentation, train, epoch=number, final_phase=final_phase, ranks=self.ranks)
        for step, batch in enumerate(epoch):
            if stop():
                return None
            done = (number - 1) * steps_per_epoch + step
            lr = learning_rate(done, steps, lr=optim.lr, first_step=optim.first_lr_step, warmup_steps=warmup_steps)
            whole = min(optim.batch_size, len(train.labels) - step * optim.batch_size)
            losses.append(self._step(batch, lr, whole))
            confidences.append(batch.confidence)
        if self.online_labels is not None:
            self.online_labels.end_epoch(self.ranks)
        metrics = _summarise(losses, confidences, lr, number, self.ranks)
        return metrics | self._evaluate(number)

    def finish(self) -> Final:
        """Evaluate the test set and return the results."""
        best = {"test/best_of_evals": self.best_of_evals.item()} if self.recipe.test_every_epochs else {}
        return final(self.model, self.splits, self.augmentation.normalisation, self._samples(), best)

    def state(self) -> State:
        """Return copies of weights, momentum, and what the recipe adds."""
        state = named("model", self.model.state_dict()) | named("momentum", self.sgd.buffers)
        if self.online_labels is not None:
            state["online_labels"] = copy(self.online_labels.soft)
        if self.recipe.test_every_epochs:
            state["best_of_evals"] = copy(self.best_of_evals)
        return state

    def restore(self, state: State) -> None:
        """Put a state back."""
        self.model.load_state_dict(part(state, "model"))
        self.sgd.restore(part(state, "momentum"))
        if self.online_labels is not None:
            self.online_labels.soft.copy_(state["online_labels"])
        if self.recipe.test_every_epochs:
            self.best_of_evals.copy_(state["best_of_evals"])

    def _step(self, batch: Batch, lr: float, whole: int) -> Losses:
        """Update the weights on one batch, of `whole` images on all ranks, and return its losses, detached."""
        images = batch.images.contiguous(memory_format=layout(self.recipe))
        with autocast(self.recipe, self.device):
            logits = self.forward(images)
        loss, target = self.recipe.loss, batch.target
        share = len(batch.weight) * self.ranks.size / whole  # the ranks' gradients are averaged
        shared_weights = self.ranks.size > 1 and (loss.weighting == "batch_mean" or loss.weight_norm == "mean1")
        if self.online_labels is not None:
            self.online_labels.observe(logits, batch.target)
            target = self.online_labels.target(batch.target)
        kl, cross_entropy = weighted_losses(
            logits,
            target,
            batch.weight,
            weighting=loss.weighting,
            weight_norm=loss.weight_norm,
            focal_gamma=loss.focal_gamma,
            mean_weight=self.ranks.sum(batch.weight.sum()) / whole if shared_weights else None,
        )
        self.sgd.zero_grad()
        torch.autograd.backward(kl if share == 1 else share * kl)
        self.sgd.step(lr)
        return Losses(kl.detach(), cross_entropy.detach())

    def _evaluate(self, number: int) -> dict[str, float]:
        """Return validation metrics, if there is a split; look at the test set if the recipe asks for it (D28).

        The first rank does this alone.
        """
        if self.ranks.rank > 0:
            return {}
        normalisation, every = self.augmentation.normalisation, self.recipe.test_every_epochs
        metrics: dict[str, float] = {}
        if self.splits.validation is not None:
            metrics = evaluate(self.model, self.splits.validation, normalisation, "val")[0]
        if every and (number - 1) % every == 0:
            tested = evaluate(self.model, self.splits.test, normalisation, "test")[0]
            self.best_of_evals.clamp_(max=tested["test/top1_error"])
        return metrics

    def _samples(self) -> Samples:
        """Show the first training images as the first epoch augments them."""
        recipe, train = self.recipe, self.splits.train
        index = torch.arange(min(SAMPLE_IMAGES, len(train.labels)))
        draws = draw(recipe, len(train.labels), epoch=1, sizes=train.sizes).take(index)
        images, draws = next(train.stream(index, SAMPLE_IMAGES, draws.cuts)), draws.to(self.device)
        noise = None
        if recipe.noise is not None:
            noise = noise_pixels(images.pixels, std=recipe.noise.pixel_std, seed=recipe.seed, epoch=1, step=0)
        augmented = self.augmentation.apply(images.pixels, draws, noise)
        confidence = label(recipe, augmented, images.labels).confidence
        pixels = to_pixels(augmented.images, self.augmentation.normalisation)
        return Samples(pixels.cpu(), images.labels.cpu(), augmented.visibility.cpu(), confidence.cpu())


def _summarise(
    losses: list[Losses], confidences: list[Tensor], lr: float, number: int, ranks: Ranks
) -> dict[str, float]:
    """Read the epoch's means over samples, once from the device. `lr` is that of its last step."""
    confidence = torch.cat(confidences)
    sizes = torch.tensor([len(each) for each in confidences], device=confidence.device).float()
    kl, cross_entropy = (torch.stack(values) @ sizes for values in zip(*losses, strict=True))
    sums = ranks.sum(torch.stack((kl, cross_entropy, confidence.sum(), sizes.sum())))
    means = (sums[:3] / sums[3]).tolist()
    if not isfinite(means[0]):
        raise Diverged(f"epoch {number}: the training loss is {means[0]}; lower optim.lr")
    return dict(zip(("train/kl", "train/cross_entropy", "train/confidence"), means, strict=True)) | {"train/lr": lr}
