"""The one loss: KL divergence to a soft target, weighted per sample (Eqs. 4-6, 12, 15, 17, 18).

    L = mean_i w_i KL(target_i || softmax(logits_i))

    soft target           target softened with p   w = 1    Eq. 4
    soft weight           one-hot target           w = p    Eq. 5
    soft target & weight  target softened with p   w = p    Eq. 6

KL and cross entropy differ by the target's entropy, which has no gradient: either may be optimised, both are
reported (D5). Known difference: Listing 2 and the released code multiply a (B, 1) weight by a (B,) divergence and
so optimise mean(w) mean(KL); that is `batch_mean` (D1). The mean is over the batch, not divided by the X"""

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from softaug.checks import check_number, check_per_image

Weighting = Literal["per_sample", "batch_mean"]
WeightNorm = Literal["none", "mean1"]


class Losses(NamedTuple):
    """Weighted KL divergence and cross entropy of a batch, in nats."""

    kl: Tensor
    cross_entropy: Tensor


def weighted_losses(
    logits: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    weighting: Weighting = "per_sample",
    weight_norm: WeightNorm = "none",
    focal_gamma: float = 0.0,
    mean_weight: Tensor | None = None,
) -> Losses:
    """Return the losses of logits (B, C) against target distributions (B, C) with weights (B,).

    `focal_gamma` above 0 needs one-hot targets. `mean_weight` is the weights' mean where these are a share of a batch.
    """
    if logits.ndim != 2:
        raise ValueError(f"logits: shape {tuple(logits.shape)}; expected (B, C)")
    check_per_image("target", target, tuple(logits.shape), logits.device)
    check_per_image("weight", weight, (len(logits),), logits.device)
    check_number("focal_gamma", focal_gamma, least=0)
    cross_entropy = -(target * logits.float().log_softmax(dim=1)).sum(dim=1)
    if focal_gamma > 0:
        wrong = -torch.expm1(-cross_entropy)  # 1 - p_y
        cross_entropy = wrong.clamp(min=1e-12) ** focal_gamma * cross_entropy
    kl = cross_entropy - entropy(target)
    weight = effective_weights(weight, weighting=weighting, weight_norm=weight_norm, mean=mean_weight)
    return Losses((weight * kl).mean(), (weight * cross_entropy).mean())


def effective_weights(
    weight: Tensor, *, weighting: Weighting, weight_norm: WeightNorm, mean: Tensor | None = None
) -> Tensor:
    """Return the factors of a batch's per-sample losses, (B,), or () where all have the same, from its weights (B,).

    `mean` is the weights' mean where these are a share of a batch.
    """
    mean = weight.mean() if mean is None else mean
    if weight_norm == "mean1":
        weight = weight / mean
    return mean if weighting == "batch_mean" else weight


def entropy(distributions: Tensor) -> Tensor:
    """Return the entropy in nats of each distribution (B, C), with 0 log 0 = 0."""
    return -torch.xlogy(distributions, distributions).sum(dim=1)
