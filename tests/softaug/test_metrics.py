import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import special
from torch import Tensor
from torchmetrics.functional.classification import multiclass_calibration_error

from softaug.metrics import ece, evaluate_logits, reliability


def case(seed: int, n: int = 500, classes: int = 10, scale: float = 3.0) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(n, classes, generator=generator), torch.randint(0, classes, (n,), generator=generator)


def right_closed(confidence: list[float], correct: list[bool]) -> float:
    """Return ECE in percent by looping over the bins ((m - 1) / 10, m / 10]."""
    total = 0.0
    for bin_number in range(1, 11):
        inside = [i for i, c in enumerate(confidence) if (bin_number - 1) / 10 < min(c, 1.0) <= bin_number / 10]
        if inside:
            accuracy = sum(correct[i] for i in inside) / len(inside)
            total += len(inside) * abs(accuracy - sum(min(confidence[i], 1.0) for i in inside) / len(inside))
    return 100 * total / len(confidence)


@pytest.mark.parametrize("seed", range(4))
def test_ece_is_torchmetrics_off_the_edges(seed: int) -> None:
    logits, labels = case(seed)
    theirs = 100 * multiclass_calibration_error(logits.double().softmax(1), labels, num_classes=10, n_bins=10).item()
    assert evaluate_logits(logits, labels)["ece"] == pytest.approx(theirs, abs=1e-4)


@given(
    st.lists(
        st.tuples(st.sampled_from([m / 10 for m in range(1, 11)]) | st.floats(0.01, 1), st.booleans()),
        min_size=1,
        max_size=40,
    )
)
@settings(deadline=None)
def test_ece_is_the_loop_of_right_closed_bins_edges_included(samples: list[tuple[float, bool]]) -> None:
    confidence, correct = [c for c, _ in samples], [hit for _, hit in samples]
    ours = ece(torch.tensor(confidence, dtype=torch.float64), torch.tensor(correct))
    assert ours == pytest.approx(right_closed(confidence, correct), abs=1e-9)


def test_an_edge_belongs_to_the_bin_below_and_rounding_above_one_is_clamped() -> None:
    # 0.3 falls with 0.25: one bin of accuracy 0.5, mean confidence 0.275. Apart they would give |0 - .3| and |1 - .25|.
    assert ece(torch.tensor([0.3, 0.25], dtype=torch.float64), torch.tensor([False, True])) == pytest.approx(22.5)
    assert ece(torch.tensor([1.0 + 1e-7], dtype=torch.float64), torch.tensor([True])) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("seed", range(3))
def test_nll_brier_and_error_by_their_definitions(seed: int) -> None:
    logits, labels = case(seed)
    z, y = logits.double().numpy(), labels.numpy()
    found = evaluate_logits(logits, labels)
    one_hot = np.eye(10)[y]
    assert found["nll"] == pytest.approx(-special.log_softmax(z, axis=1)[np.arange(len(y)), y].mean(), abs=1e-12)
    assert found["brier"] == pytest.approx(((special.softmax(z, axis=1) - one_hot) ** 2).sum(1).mean(), abs=1e-12)
    assert found["top1_error"] == pytest.approx(100 * (z.argmax(1) != y).mean())


def test_extremes() -> None:
    labels = torch.tensor([0, 1])
    right, wrong = 200 * torch.eye(2), 200 * torch.eye(2).flip(0)
    assert evaluate_logits(right, labels) == pytest.approx({"top1_error": 0, "ece": 0, "nll": 0, "brier": 0}, abs=1e-9)
    assert evaluate_logits(wrong, labels) == pytest.approx({"top1_error": 100, "ece": 100, "nll": 200, "brier": 2})


def test_reliability_is_plain_and_adds_up_to_ece() -> None:
    logits, labels = case(7)
    bins = reliability(logits, labels)
    assert bins["edges"] == [m / 10 for m in range(11)]
    assert sum(bins["count"]) == 500
    gap = sum(
        count * abs(accuracy - confidence)
        for count, accuracy, confidence in zip(bins["count"], bins["accuracy"], bins["confidence"], strict=True)
    )
    assert 100 * gap / 500 == pytest.approx(evaluate_logits(logits, labels)["ece"])
    assert all(type(value) in (int, float) for values in bins.values() for value in values)
    assert bins["count"][0] == bins["accuracy"][0] == bins["confidence"][0] == 0
