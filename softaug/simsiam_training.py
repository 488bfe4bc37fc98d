"""SimSiam's training: epochs without labels, then the linear probe of the frozen features (section 4.4, App. B.4).

Epochs 1..optim.epochs train backbone and heads on pairs of views; the probe.epochs after them train the network's own
linear classifier on features of randomly resized, flipped images. The result is the recipe's network, classifier
included, evaluated and stored like any other. The probe's learning rate falls to a tenth after 60 % and again after
80 % of its epochs. Not in the paper, so as upstream: the probe's momentum 0.9, no weight decay, a crop of 8 % to all of
the image; one cosine learning rate for all layers in pretraining.
"""

from collections.abc import Callable, Iterator
from math import isfinite
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from softaug.augment import Normalisation, normalise, to_pixels
from softaug.boxes import ATTEMPTS, iou, random_resized_boxes
from softaug.data import Images, Splits
from softaug.datasets import dataset
from softaug.flip import flip
from softaug.network import autocast, layout, network
from softaug.randomness import forked, generator, uniforms
from softaug.recipe import Recipe
from softaug.recipe_parts import SimSiam as SimSiamPart
from softaug.resized_crop import resized_crop
from softaug.samples import Samples
from softaug.schedule import learning_rate, probe_learning_rate
from softaug.sgd import Sgd
from softaug.simsiam import Backbone, Pair, SimSiam, overlap_weight, pair_weight, simsiam_loss
from softaug.training import SAMPLE_IMAGES, Diverged, Final, State, evaluate, final, named, part
from softaug.views import RATIO, ViewDraws, apply_view, draw_view

PROBE_SCALE_MIN = 0.08
PROBE_MOMENTUM = 0.9
CLASSIFIER_STD = 0.01  # of the probe's initial weights


class SimSiamTraining:
    """A backbone trained on pairs of views, then a classifier on what it has learned."""

    def __init__(self, recipe: Recipe, splits: Splits, device: torch.device) -> None:
        self.recipe, self.splits, self.device = recipe, splits, device
        self.simsiam = cast(SimSiamPart, recipe.simsiam)
        self.images = cast(Images, splits.train)
        self.epochs = recipe.optim.epochs + self.simsiam.probe.epochs
        known = dataset(recipe.data.name)
        self.size = (known.side_px, known.side_px)
        self.normalisation = Normalisation.of(known, device)
        self.model = network(recipe, device)
        self.classifier = cast(nn.Linear, self.model.classifier)
        with forked(recipe.seed, "init", 1):
            nn.init.normal_(self.classifier.weight, std=CLASSIFIER_STD)
            nn.init.zeros_(self.classifier.bias)
            self.pairs = SimSiam(cast(Backbone, self.model), self.classifier.in_features).to(device)
        optim = recipe.optim
        self.pretraining = Sgd(
            ((n, p) for n, p in self.pairs.named_parameters() if not n.startswith("backbone.classifier.")),
            momentum=optim.momentum,
            nesterov=optim.nesterov,
            weight_decay=optim.weight_decay,
        )
        self.probing = Sgd(self.classifier.named_parameters(), momentum=PROBE_MOMENTUM)

    def train(self, number: int, stop: Callable[[], bool]) -> dict[str, float] | None:
        """Train epoch `number`, counted from 1: of the pretraining, then of the probe. None if stopped in it."""
        pretraining = self.recipe.optim.epochs
        if number <= pretraining:
            return self._pretrain(number, stop)
        metrics = self._probe(number - pretraining, stop)
        if metrics is not None and self.splits.validation is not None:
            metrics |= evaluate(self.model, self.splits.validation, self.normalisation, "val")[0]
        return metrics

    def finish(self) -> Final:
        """Evaluate the test set and return the results."""
        return final(self.model, self.splits, self.normalisation, self._samples(), {})

    def state(self) -> State:
        """Return copies of weights and both momenta."""
        weights = named("model", self.pairs.state_dict())
        return weights | named("momentum", self.pretraining.buffers) | named("probe", self.probing.buffers)

    def restore(self, state: State) -> None:
        """Put a state back."""
        self.pairs.load_state_dict(part(state, "model"))
        self.pretraining.restore(part(state, "momentum"))
        self.probing.restore(part(state, "probe"))

    def _pretrain(self, number: int, stop: Callable[[], bool]) -> dict[str, float] | None:
        optim, n = self.recipe.optim, len(self.images.labels)
        steps_per_epoch = -(-n // optim.batch_size)
        views = [self._draw_view(which, epoch=number).to(self.device) for which in (1, 2)]
        losses, spreads, lr = [], [], 0.0
        self.pairs.train()
        for step, (images, part_of_epoch) in enumerate(self._batches("order", number, optim.batch_size)):
            if stop():
                return None
            done = (number - 1) * steps_per_epoch + step
            lr = learning_rate(done, optim.epochs * steps_per_epoch, lr=optim.lr, first_step=optim.first_lr_step)
            loss, spread = self._pair_step(images.pixels, [each.take(part_of_epoch) for each in views], lr)
            losses.append(loss)
            spreads.append(spread)
        names = ("train/simsiam_loss", "train/projection_std")
        return self._summary(number, names, [losses, spreads], n, optim.batch_size) | {"train/lr": lr}

    def _pair_step(self, pixels: Tensor, views: list[ViewDraws], lr: float) -> tuple[Tensor, Tensor]:
        """Update backbone and heads on a batch; return the loss and the spread of the projections, detached."""
        first, second = (
            apply_view(pixels, each, self.normalisation).contiguous(memory_format=layout(self.recipe)) for each in views
        )
        with autocast(self.recipe, self.device):
            pair: Pair = self.pairs(first, second)
        weight = self._weight(iou(views[0].boxes, views[1].boxes))
        loss = simsiam_loss(pair.p1, pair.p2, pair.z1, pair.z2, weight)
        self.pretraining.zero_grad()
        torch.autograd.backward(loss)
        self.pretraining.step(lr)
        # 1 / sqrt(dimension) for projections in all directions, 0 for collapsed ones.
        spread = functional.normalize(pair.z1.float(), dim=1).std(dim=0, correction=0).mean()
        return loss.detach(), spread

    def _weight(self, overlap: Tensor) -> Tensor:
        weight = self.simsiam.pair_weight
        return torch.ones_like(overlap) if weight is None else pair_weight(overlap, k=weight.k, form=weight.form)

    def _probe(self, number: int, stop: Callable[[], bool]) -> dict[str, float] | None:
        """Train the classifier for its epoch `number`, counted from 1, on frozen features."""
        probe, n = self.simsiam.probe, len(self.images.labels)
        seed = self.recipe.seed
        u = uniforms(n, ATTEMPTS, 4, generator=generator(seed, "probe box", number))
        boxes = random_resized_boxes(u, self.size, scale=(PROBE_SCALE_MIN, 1.0), ratio=RATIO).to(self.device)
        mirrored = uniforms(n, generator=generator(seed, "probe flip", number)) < self.recipe.flip
        mirrored = mirrored.to(self.device)
        lr = probe_learning_rate(number - 1, probe.epochs, lr=probe.lr)
        losses = []
        self.model.eval()
        for images, index in self._batches("probe order", number, probe.batch_size):
            if stop():
                return None
            pixels = flip(resized_crop(images.pixels, boxes[index], self.size, fill=0), mirrored[index])
            losses.append(self._probe_step(normalise(pixels, self.normalisation), images.labels, lr))
        return self._summary(number, ("train/cross_entropy",), [losses], n, probe.batch_size) | {"train/lr": lr}

    def _probe_step(self, images: Tensor, labels: Tensor, lr: float) -> Tensor:
        with torch.no_grad():
            features = self.pairs.backbone.features(images.contiguous(memory_format=layout(self.recipe)))
        loss = functional.cross_entropy(self.classifier(features), labels)
        self.probing.zero_grad()
        torch.autograd.backward(loss)
        self.probing.step(lr)
        return loss.detach()

    def _batches(self, stream: str, number: int, size: int) -> Iterator[tuple[Images, Tensor]]:
        """Yield an epoch's batches in its own order: images and their positions, on the device."""
        train = self.images
        order = torch.randperm(len(train.labels), generator=generator(self.recipe.seed, stream, number))
        for index in torch.split(order.to(self.device), size):
            yield train.take(index), index

    def _summary(
        self, number: int, names: tuple[str, ...], values: list[list[Tensor]], n: int, size: int
    ) -> dict[str, float]:
        """Read the epoch's means over samples, once from the device."""
        sizes = torch.tensor([min(size, n - start) for start in range(0, n, size)], device=self.device).float()
        means = torch.stack([torch.stack(each) @ sizes / n for each in values]).tolist()
        if not isfinite(means[0]):
            raise Diverged(f"epoch {number}: the training loss is {means[0]}; lower the learning rate")
        return dict(zip(names, means, strict=True))

    def _draw_view(self, which: int, *, epoch: int) -> ViewDraws:
        recipe, n = self.recipe, len(self.images.labels)
        scale_min = self.simsiam.scale_min
        return draw_view(
            which, n, self.size, scale_min=scale_min, flip_share=recipe.flip, seed=recipe.seed, epoch=epoch
        )

    def _samples(self) -> Samples:
        """Show both views of the first images, with their overlap, and the weight of the pair before normalising."""
        index = torch.arange(min(SAMPLE_IMAGES // 2, len(self.images.labels)))
        views = [self._draw_view(which, epoch=1).take(index).to(self.device) for which in (1, 2)]
        images = self.images.take(index.to(self.device))
        overlap = iou(views[0].boxes, views[1].boxes)
        weight = self.simsiam.pair_weight
        shares = torch.ones_like(overlap) if weight is None else overlap_weight(overlap, k=weight.k, form=weight.form)
        seen = torch.cat([apply_view(images.pixels, each, self.normalisation) for each in views])
        twice = (values.repeat(2).cpu() for values in (images.labels, overlap, shares))
        return Samples(to_pixels(seen, self.normalisation).cpu(), *twice)
