"""The softening curve and the one target it makes.

    p = 1 - (1 - 1/C) (1 - visibility)^k                     Eq. 7, with chance 1/C as floor

An image's labels may have a ceiling already, from label smoothing or another softener. They combine by the rule of
the released code's noise and crop, generalised (D21; the paper is silent):

    p <- p - (p - 1/C) (1 - visibility)^k

The true class has probability p and every other (1 - p) / (C - 1) (Listing 2). That is uniform smoothing with the
sample's own rate: for Eq. 7, (1 - rate) one_hot + rate / C with rate = (1 - visibility)^k. Label smoothing of Eq. 3 is
p = 1 - alpha; torch's `label_smoothing` spreads its alpha over all C classes: alpha = alpha_torch (C - 1) / C (D32).
"""

import torch
from torch import Tensor

from softaug.checks import check_number, check_per_image


def soften(confidence: float | Tensor, visibility: Tensor, *, k: float, classes: int) -> Tensor:
    """Lower a confidence by what a crop hides: Eq. 7 if it is 1, D21 else. Visibility (B,) in [0, 1] gives (B,)."""
    check_number("k", k, above=0)
    check_number("classes", classes, least=2)
    if not visibility.is_floating_point():
        raise TypeError(f"visibility: {visibility.dtype}; allowed: floating point in [0, 1]")
    return confidence - (confidence - 1 / classes) * (1 - visibility) ** k


def soft_target(labels: Tensor, confidence: Tensor, *, classes: int) -> Tensor:
    """Return distributions (B, classes): confidence (B,) at the labels (B,), the rest shared by the other classes."""
    check_number("classes", classes, least=2)
    check_per_image("confidence", confidence, (len(labels),), labels.device)
    if labels.dtype != torch.int64:
        raise TypeError(f"labels: {labels.dtype}; allowed: int64, 0 to {classes - 1}")
    others = (1 - confidence) / (classes - 1)
    return others.unsqueeze(1).repeat(1, classes).scatter(1, labels.unsqueeze(1), confidence.unsqueeze(1))


def torch_label_smoothing(alpha: float, *, classes: int) -> float:
    """Return torch's `label_smoothing` that gives the same target as Eq. 3's alpha (D32)."""
    return alpha * classes / (classes - 1)
