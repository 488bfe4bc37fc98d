"""Adaptive and classwise calibration error: against literal loops, worked by hand, and what holds for every set."""

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from softaug.metrics import adaptive_ece, calibration_errors, classwise_ece, evaluate_logits

EIGHTHS = st.integers(1, 8).map(lambda k: k / 8)
SAMPLES = st.lists(st.tuples(EIGHTHS | st.floats(0.01, 1), st.booleans()), min_size=1, max_size=60)


def adaptive_by_hand(samples: list[tuple[float, bool]]) -> float:
    """Sort, walk through the ties, and put each whole into the bin of its first sample."""
    ordered = sorted(samples)
    bins: dict[int, list[tuple[float, bool]]] = {}
    bin_number = 0
    for rank, sample in enumerate(ordered):
        if rank == 0 or sample[0] != ordered[rank - 1][0]:
            bin_number = 10 * rank // len(ordered)
        bins.setdefault(bin_number, []).append(sample)
    total = 0.0
    for inside in bins.values():
        accuracy = sum(hit for _, hit in inside) / len(inside)
        total += len(inside) / len(samples) * abs(accuracy - sum(c for c, _ in inside) / len(inside))
    return 100 * total


def classwise_by_hand(probabilities: list[list[float]], labels: list[int]) -> float:
    """Loop over classes, bins ((m - 1) / 10, m / 10] and samples."""
    n, classes = len(labels), len(probabilities[0])
    total = 0.0
    for c in range(classes):
        for m in range(1, 11):
            inside = [i for i in range(n) if (m - 1) / 10 < probabilities[i][c] <= m / 10]
            inside += [i for i in range(n) if m == 1 and probabilities[i][c] == 0]
            if inside:
                frequency = sum(labels[i] == c for i in inside) / len(inside)
                total += len(inside) / n * abs(frequency - sum(probabilities[i][c] for i in inside) / len(inside))
    return 100 * total / classes


def adaptive(samples: list[tuple[float, bool]]) -> float:
    return adaptive_ece(
        torch.tensor([c for c, _ in samples], dtype=torch.float64), torch.tensor([h for _, h in samples])
    )


def classwise(probabilities: list[list[float]], labels: list[int]) -> float:
    return classwise_ece(torch.tensor(probabilities, dtype=torch.float64), torch.tensor(labels))


@st.composite
def predictions(draw: st.DrawFn) -> tuple[list[list[float]], list[int]]:
    """Draw probabilities of three classes in twentieths, so that many lie on an edge, and labels."""
    cuts = draw(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 20)), min_size=1, max_size=40))
    rows = [[min(cut) / 20, abs(cut[0] - cut[1]) / 20, (20 - max(cut)) / 20] for cut in cuts]
    return rows, draw(st.lists(st.integers(0, 2), min_size=len(rows), max_size=len(rows)))


@given(SAMPLES)
@settings(deadline=None)
def test_adaptive_ece_is_the_loop(samples: list[tuple[float, bool]]) -> None:
    assert adaptive(samples) == pytest.approx(adaptive_by_hand(samples), abs=1e-9)


@given(predictions())
@settings(deadline=None)
def test_classwise_ece_is_the_loop(predicted: tuple[list[list[float]], list[int]]) -> None:
    assert classwise(*predicted) == pytest.approx(classwise_by_hand(*predicted), abs=1e-9)


@given(SAMPLES, predictions(), st.randoms())
@settings(deadline=None)
def test_the_order_of_the_samples_does_not_matter(
    samples: list[tuple[float, bool]], predicted: tuple[list[list[float]], list[int]], chance: random.Random
) -> None:
    before = adaptive(samples), classwise(*predicted)
    chance.shuffle(samples)
    pairs = list(zip(*predicted, strict=True))
    chance.shuffle(pairs)
    after = adaptive(samples), classwise([row for row, _ in pairs], [label for _, label in pairs])
    assert after == pytest.approx(before, abs=1e-9)


@given(st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=12))
@settings(deadline=None)
def test_a_calibrated_set_has_no_error(cuts: list[tuple[int, int]]) -> None:
    """Every prediction comes eight times, and its classes as often as it says."""
    eighths = [(min(cut), abs(cut[0] - cut[1]), 8 - max(cut)) for cut in cuts]
    rows = [[share / 8 for share in row] for row in eighths for _ in range(8)]
    labels = [c for row in eighths for c, share in enumerate(row) for _ in range(share)]
    assert classwise(rows, labels) == pytest.approx(0, abs=1e-9)
    hits = [(max(row) / 8, times < max(row)) for row in eighths for times in range(8)]
    assert adaptive(hits) == pytest.approx(0, abs=1e-9)


def test_twenty_samples_by_hand() -> None:
    # Two to a bin, confidences .51 to .70, the upper of each pair right: |.5 - .515| + |.5 - .535| + ... + |.5 - .695|
    # over ten bins is .105 on average.
    assert adaptive([(0.51 + i / 100, i % 2 == 1) for i in range(20)]) == pytest.approx(10.5)


def test_ties_stay_together() -> None:
    # Ranks 0, 10 and 15 of 20 begin bins 0, 5 and 7: 10/20 |1 - .6| + 5/20 |0 - .8| + 5/20 |1 - .9|.
    ties = [(0.6, True)] * 10 + [(0.8, False)] * 5 + [(0.9, True)] * 5
    assert adaptive(ties) == pytest.approx(20 + 20 + 2.5)


def test_two_classes_by_hand() -> None:
    # Class 0: .9 and .85 share a bin, |1/2 - .875| of 2/3, and .2 is alone, |0 - .2| of 1/3; class 1 mirrors it but
    # that .1 and .15 are in two bins: |0 - .1| / 3 + |1 - .15| / 3 + |1 - .8| / 3. Mean of .95/3 and 1.15/3 is .35.
    assert classwise([[0.9, 0.1], [0.85, 0.15], [0.2, 0.8]], [0, 1, 1]) == pytest.approx(35)


def test_extremes() -> None:
    labels, sure = torch.tensor([0, 1]), 200 * torch.eye(2)
    assert calibration_errors(sure, labels) == pytest.approx({"adaptive_ece": 0, "classwise_ece": 0}, abs=1e-9)
    assert calibration_errors(sure.flip(0), labels) == pytest.approx({"adaptive_ece": 100, "classwise_ece": 100})


def test_of_two_classes_of_one_sample_each_both_are_the_ece() -> None:
    logits: Tensor = torch.tensor([[0.0, 1.0]])
    errors = calibration_errors(logits, torch.tensor([1]))
    assert errors["adaptive_ece"] == pytest.approx(evaluate_logits(logits, torch.tensor([1]))["ece"])
    assert errors["classwise_ece"] == pytest.approx(errors["adaptive_ece"])
