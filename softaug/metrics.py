"""Error and calibration on a labelled set, from logits (N, C) and labels (N,), in float64.

    top1_error   percent
    ece          percent: 10 right-closed bins (0, .1], ..., (.9, 1], confidence clamped to 1 (Eq. 8, D52)
    nll          mean -log p_y, nats
    brier        mean sum_c (p_c - [c = y])^2, 0..2; some divide by C

torchmetrics closes its bins on the left and defaults to 15 of them: equal up to confidences exactly on an edge.
"""

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
    count, accuracy, mean_confidence = _bin(confidence.double(), correct)
    return 100 * (count * (accuracy - mean_confidence).abs()).sum().item() / len(confidence)


def edges() -> Tensor:
    """Return the BINS + 1 bin edges, 0, 0.1, ..., 1 in float64."""
    return torch.arange(BINS + 1, dtype=torch.float64) / BINS


def _bin(confidence: Tensor, correct: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return count, accuracy and mean confidence per right-closed bin."""
    confidence = confidence.clamp(max=1).cpu()
    bins = torch.bucketize(confidence, edges()[1:], right=False)  # right=False: edges[i - 1] < confidence <= edges[i]
    count = torch.bincount(bins, minlength=BINS)
    filled = count.clamp(min=1)
    accuracy = torch.bincount(bins, weights=correct.cpu().double(), minlength=BINS) / filled
    return count, accuracy, torch.bincount(bins, weights=confidence, minlength=BINS) / filled
