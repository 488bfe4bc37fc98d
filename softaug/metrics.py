"""Error and calibration on a labelled set, from logits (N, C) and labels (N,), in float64.

    top1_error      percent
    ece             percent: 10 right-closed bins (0, .1], ..., (.9, 1], confidence clamped to 1 (Eq. 8, D52)
    nll             mean -log p_y, nats
    brier           mean sum_c (p_c - [c = y])^2, 0..2; some divide by C
    adaptive_ece    percent: 10 bins of N / 10 samples in the order of confidence; equal confidences share a bin
    classwise_ece   percent: mean over classes c of the ECE of p_c as confidence that the label is c, over all samples

`evaluate_logits` returns the first four, which every training reports; `softaug evaluate` adds the last two.
torchmetrics closes its bins on the left and defaults to 15 of them: equal up to confidences exactly on an edge.
"""

from math import fsum

import torch
from torch import Tensor
from torch.nn import functional

BINS = 10


def evaluate_logits(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return top1_error, ece, nll and brier."""
    log_probabilities = logits.double().log_softmax(dim=1)
    probabilities = log_probabilities.exp()
    confidence, predicted = probabilities.max(dim=1)
    return {
        "top1_error": 100 * (predicted != labels).double().mean().item(),
        "ece": ece(confidence, predicted == labels),
        "nll": functional.nll_loss(log_probabilities, labels).item(),
        "brier": (probabilities - functional.one_hot(labels, logits.shape[1])).square().sum(dim=1).mean().item(),
    }


def calibration_errors(logits: Tensor, labels: Tensor) -> dict[str, float]:
    """Return adaptive_ece and classwise_ece."""
    probabilities = logits.double().softmax(dim=1)
    confidence, predicted = probabilities.max(dim=1)
    return {
        "adaptive_ece": adaptive_ece(confidence, predicted == labels),
        "classwise_ece": classwise_ece(probabilities, labels),
    }


def reliability(logits: Tensor, labels: Tensor) -> dict[str, list[float]]:
    """Return the reliability diagram as plain lists: BINS + 1 `edges`; per bin `count`, `accuracy`, `confidence`.

    Accuracy and confidence are means within the bin, in 0..1, and 0 in an empty bin.
    """
    confidence, predicted = logits.double().softmax(dim=1).max(dim=1)
    count, accuracy, mean_confidence = _bin(confidence, predicted == labels)
    return {
        "edges": edges().tolist(),
        "count": count.tolist(),
        "accuracy": accuracy.tolist(),
        "confidence": mean_confidence.tolist(),
    }


def ece(confidence: Tensor, correct: Tensor) -> float:
    """Return the expected calibration error in percent of confidences (N,) in (0, 1] and correctness (N,) bool."""
    return _gap(*_bin(confidence.double(), correct))


def adaptive_ece(confidence: Tensor, correct: Tensor) -> float:
    """Return the calibration error in percent over BINS bins of equal mass, of the same arguments as `ece`.

    Sorted by confidence, sample r of N is in bin floor(BINS r / N). Ties go where the first of them goes, so the order
    of the samples does not matter.
    """
    confidence = confidence.double().clamp(max=1).cpu()
    _, tie, ties = torch.unique(confidence, return_inverse=True, return_counts=True)
    first = ties.cumsum(0) - ties
    return _gap(*_means(confidence, correct, (BINS * first // len(confidence))[tie]))


def classwise_ece(probabilities: Tensor, labels: Tensor) -> float:
    """Return the mean over classes of their calibration errors in percent, from probabilities (N, C), labels (N,)."""
    errors = [ece(of_class, labels == number) for number, of_class in enumerate(probabilities.unbind(dim=1))]
    return fsum(errors) / len(errors)


def edges() -> Tensor:
    """Return the BINS + 1 bin edges, 0, 0.1, ..., 1 in float64."""
    return torch.arange(BINS + 1, dtype=torch.float64) / BINS


def _bin(confidence: Tensor, correct: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return count, accuracy and mean confidence per right-closed bin."""
    confidence = confidence.clamp(max=1).cpu()
    bins = torch.bucketize(confidence, edges()[1:], right=False)  # right=False: edges[i - 1] < confidence <= edges[i]
    return _means(confidence, correct, bins)


def _means(confidence: Tensor, correct: Tensor, bins: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return count, accuracy and mean confidence of the bins (N,) int64 that samples are in; 0 in an empty one."""
    count = torch.bincount(bins, minlength=BINS)
    filled = count.clamp(min=1)
    accuracy = torch.bincount(bins, weights=correct.cpu().double(), minlength=BINS) / filled
    return count, accuracy, torch.bincount(bins, weights=confidence, minlength=BINS) / filled


def _gap(count: Tensor, accuracy: Tensor, confidence: Tensor) -> float:
    """Return the mean over samples of their bin's |accuracy - confidence|, in percent."""
    return 100 * (count * (accuracy - confidence).abs()).sum().item() / int(count.sum())
