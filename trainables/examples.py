"""Test images that figures show one by one, and what a network says of them.

The examples are the first test image of each of a few classes, spaced evenly over all: the same for every network,
whatever any of them says. Hard images are chosen by a network: those of the thousand that `Asked` is about in whose
true class it has the least confidence. A figure that compares two networks takes as many of the one as of the other.
"""

import base64

import torch
from torch import Tensor, nn

from softaug.augment import Normalisation
from softaug.data import AnyImages
from softaug.datasets import Dataset
from softaug.network import predict
from softaug.occlusion import Occlusion
from softaug.samples import png
from trainables.evaluation import Asked, Example, Hard, Prediction, places

EXAMPLES = 6
HARDEST = 6


def example_places(labels: Tensor, classes: int) -> list[int]:
    """Return the positions of the examples in a test set with these labels (N,) int64."""
    shown = [number * classes // EXAMPLES for number in range(EXAMPLES)]
    firsts = [(labels == label).nonzero()[:1] for label in dict.fromkeys(shown)]
    return [int(first) for first in firsts if len(first)]


def examples(test: AnyImages, positions: list[int]) -> list[Example]:
    """Return the test images at these positions as a network sees them, before normalisation."""
    chosen = test.take(torch.tensor(positions, dtype=torch.int64, device=test.device))
    pixels = torch.cat(list(chosen.parts(len(positions))))
    return [
        Example(image=position, label=int(label), png=base64.b64encode(png(each)).decode())
        for position, label, each in zip(positions, chosen.labels, pixels, strict=True)
    ]


def predictions(
    logits: Tensor, labels: Tensor, positions: list[int], occlusion: Occlusion | None = None
) -> list[Prediction]:
    """Return what logits (N, C) of all test images say of those at these positions."""
    probabilities = logits[positions].double().softmax(dim=1)
    confidence, predicted = probabilities.max(dim=1)
    corners = None if occlusion is None else occlusion.corners.cpu()
    return [
        Prediction(
            predicted=int(predicted[number]),
            confidence=float(confidence[number]),
            of_label=float(probabilities[number, labels[position]]),
            corner=None if corners is None else (int(corners[position, 0]), int(corners[position, 1])),
        )
        for number, position in enumerate(positions)
    ]


def ask(model: nn.Module, test: AnyImages, known: Dataset) -> tuple[Asked, list[Hard]]:
    """Ask about images spaced over the test set, and keep the hardest: least confidence in their class first."""
    positions = places(len(test.labels))
    chosen = test.take(torch.tensor(positions, dtype=torch.int64, device=test.device))
    logits = predict(model, chosen, Normalisation.of(known, test.device))
    said = predictions(logits, chosen.labels.cpu(), list(range(len(positions))))
    hardest = sorted(range(len(said)), key=lambda number: said[number].of_label)[:HARDEST]
    shown = examples(test, [positions[number] for number in hardest])
    hard = [
        Hard(**dict(each), prediction=said[number]) for number, each in zip(hardest, shown, strict=True)
    ]  # fmt: skip
    return Asked.pack(len(test.labels), [each.predicted for each in said], [each.confidence for each in said]), hard
