"""SimSiam: heads, loss, and the weight of a pair of views by the overlap of their crops (section 4.4, appendix B.4).

    L = mean_i w_i * -(cos(p1, z2) + cos(p2, z1)) / 2          no gradient through z
    SA#1   w = 1 - (1 - p_min) (1 - IoU)^k                     Eq. 9: little overlap, little weight
    SA#2   w = 1 - (1 - p_min) IoU^k                           Eq. 10: much overlap, little weight

then w <- w B / sum(w): mean 1 over the batch. One weight per pair serves both terms (D48). The crops are the standard
hard ones; only the weights are soft (D51). p_min has no value in the paper, and there are no classes: 0 (D47). Since
weights have mean 1, learning rates are the paper's absolute values (D49).

Heads as in upstream SimSiam's recipe for CIFAR (method 1.9): a projector of two layers (ImageNet's has three) with
batch norm at its end that learns no scale or shift, a predictor with a bottleneck. Linear layers before a batch norm
have no bias, which it would cancel. The two views pass the network one after the other: batch statistics are of one
view, as upstream.
"""

from typing import Literal, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

PairWeight = Literal["sa1", "sa2"]


class Backbone(Protocol):
    """A module that turns images (B, C, H, W) into features (B, F)."""

    def features(self, images: Tensor) -> Tensor:
        """Return the features of images."""


class Projector(nn.Sequential):
    """Map features (B, features) to (B, dimension), each with mean 0 and variance 1 over a training batch."""

    def __init__(self, features: int, dimension: int) -> None:
        super().__init__(
            nn.Linear(features, dimension, bias=False),
            nn.BatchNorm1d(dimension),
            nn.ReLU(),
            nn.Linear(dimension, dimension, bias=False),
            nn.BatchNorm1d(dimension, affine=False),
        )


class Predictor(nn.Sequential):
    """Map one view's projection (B, dimension) to a guess of the other's, through `hidden` numbers."""

    def __init__(self, dimension: int, hidden: int) -> None:
        super().__init__(
            nn.Linear(dimension, hidden, bias=False),
            nn.BatchNorm1d(hidden),
            nn.ReLU(),
            nn.Linear(hidden, dimension),
        )


class Pair(NamedTuple):
    """Predictions p1, p2 and projections z1, z2 of two views, each (B, dimension); z carries no gradient."""

    p1: Tensor
    p2: Tensor
    z1: Tensor
    z2: Tensor


class SimSiam(nn.Module):
    """A backbone with `features` (B, features), a projector and a predictor."""

    def __init__(self, backbone: Backbone, features: int, *, dimension: int = 2048, hidden: int = 512) -> None:
        super().__init__()
        if not isinstance(backbone, nn.Module) or not hasattr(backbone, "features"):
            raise TypeError(f"{type(backbone).__name__} is no backbone: allowed is a torch.nn.Module with `features`")
        self.backbone: Backbone = backbone
        self.projector = Projector(features, dimension)
        self.predictor = Predictor(dimension, hidden)

    def forward(self, view_1: Tensor, view_2: Tensor) -> Pair:
        """Return predictions and projections of two views (B, C, H, W) of the same images."""
        z1, z2 = (self.projector(self.backbone.features(view)) for view in (view_1, view_2))
        return Pair(self.predictor(z1), self.predictor(z2), z1.detach(), z2.detach())


def simsiam_loss(p1: Tensor, p2: Tensor, z1: Tensor, z2: Tensor, weight: Tensor) -> Tensor:
    """Return the weighted mean of the symmetric negative cosine, in [-1, 1] for weights (B,) of mean 1 (D48).

    p1, p2, z1, z2 (B, dimension). Raises ValueError for another shape. NaN for an empty batch, as torch's means.
    """
    if not p1.shape == p2.shape == z1.shape == z2.shape or p1.ndim != 2:
        raise ValueError(f"p1, p2, z1, z2 {[tuple(x.shape) for x in (p1, p2, z1, z2)]}: allowed is (B, D) for all")
    if weight.shape != p1.shape[:1]:
        raise ValueError(f"weight {tuple(weight.shape)}: allowed is ({len(p1)},), one per pair")
    cosines = functional.cosine_similarity(p1.float(), z2.float()) + functional.cosine_similarity(
        p2.float(), z1.float()
    )
    return (weight * -cosines / 2).mean()


def pair_weight(iou: Tensor, *, k: float, form: PairWeight, p_min: float = 0.0) -> Tensor:
    """Return the pairs' weights (B,) with mean 1 from their crops' IoU (B,) in [0, 1]; all 0 if no pair counts."""
    weight = overlap_weight(iou, k=k, form=form, p_min=p_min)
    return weight / weight.mean().clamp(min=torch.finfo(weight.dtype).tiny)


def overlap_weight(iou: Tensor, *, k: float, form: PairWeight, p_min: float = 0.0) -> Tensor:
    """Return the weights of Eq. 9 ("sa1") or Eq. 10 ("sa2"), (B,) in [p_min, 1], before their mean is made 1."""
    if not iou.is_floating_point():
        raise TypeError(f"iou of {iou.dtype}: allowed is floating point")
    if k <= 0 or not 0 <= p_min <= 1:
        raise ValueError(f"k {k}, p_min {p_min}: allowed are k > 0 and p_min in [0, 1]")
    if form not in ("sa1", "sa2"):
        raise ValueError(f"form {form!r}: allowed are 'sa1' and 'sa2'")
    return 1 - (1 - p_min) * (1 - iou if form == "sa1" else iou) ** k
