"""What a trial reports is a finite number by a known name, or the trial ends saying which is not."""

import math
from typing import Any

import numpy as np
import pytest
import torch

from softaug.training import Diverged
from trainables.guard import BadMetric, checked

GOOD = {"train/kl": 0.5, "train/lr": 1}


def test_good_metrics_are_floats_as_they_were() -> None:
    assert checked(GOOD, 1, expected=("train/kl",)) == {"train/kl": 0.5, "train/lr": 1.0}


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_number_that_is_not_finite_is_a_divergence(value: float) -> None:
    with pytest.raises(Diverged, match=f"^epoch 3: val/ece is {value}; lower optim.lr$"):
        checked({**GOOD, "val/ece": value}, 3, expected=())


@pytest.mark.parametrize("value", ["0.5", None, True, torch.tensor(0.5), np.float32(0.5), [0.5]])
def test_what_is_no_number_is_named_with_its_type(value: Any) -> None:
    with pytest.raises(BadMetric, match=f"^epoch 3 reported val/ece as {type(value).__name__}; a metric is a number$"):
        checked({**GOOD, "val/ece": value}, 3, expected=())


def test_a_missing_metric_is_named_with_those_that_came() -> None:
    with pytest.raises(BadMetric, match=r"^epoch 3 reported no test/ece; reported: train/kl, train/lr$"):
        checked(GOOD, 3, expected=("train/kl", "test/ece"))
    with pytest.raises(BadMetric, match="reported: nothing"):
        checked({}, 3, expected=("train/kl",))


def test_thousands_of_metrics_are_refused() -> None:
    with pytest.raises(BadMetric, match=r"^epoch 1 reported 5000 metrics, at most 200$"):
        checked({str(number): 0.0 for number in range(5000)}, 1, expected=())
