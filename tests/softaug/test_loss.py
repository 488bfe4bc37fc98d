from math import log

import pytest
import torch
from scipy import stats
from torch import Tensor
from torch.nn import functional

from softaug.loss import Weighting, WeightNorm, entropy, weighted_losses
from softaug.softening import soft_target

GENERATOR = torch.Generator().manual_seed(0)
LOGITS = torch.randn(32, 5, generator=GENERATOR, dtype=torch.float64)
LABELS = torch.randint(0, 5, (32,), generator=GENERATOR)
P = 0.2 + 0.8 * torch.rand(32, generator=GENERATOR)
SOFT = soft_target(LABELS, P, classes=5)
HARD = soft_target(LABELS, torch.ones(32), classes=5)
ONES = torch.ones(32)


def listing_2(logits: Tensor, labels: Tensor, confidence: Tensor) -> Tensor:
    """Return the paper's Listing 2 as written: labels and confidence (B, 1), so a (B, B) product before the mean."""
    log_prob = functional.log_softmax(logits, dim=1)
    classes = logits.size(1)
    one_hot = torch.ones_like(logits) * (1 - confidence) / (classes - 1)
    one_hot.scatter_(dim=1, index=labels, src=confidence)
    kl = confidence * functional.kl_div(input=log_prob, target=one_hot, reduction="none").sum(-1)
    assert kl.shape == (len(logits), len(logits))
    return kl.mean()


def test_three_classes_by_hand() -> None:
    # Eqs. 15, 17, 18 with p = 0.6, q = 0.2, and a prediction of (0.5, 0.25, 0.25) for true class 0.
    logits = torch.tensor([[0.5, 0.25, 0.25]]).log()
    label, p = torch.tensor([0]), torch.tensor([0.6])
    soft, hard = soft_target(label, p, classes=3), soft_target(label, torch.ones(1), classes=3)
    kl = -0.6 * log(0.5) + (0.6 * log(0.6) + 2 * 0.2 * log(0.2 / 0.25))
    assert weighted_losses(logits, soft, torch.ones(1)).kl.item() == pytest.approx(kl, abs=1e-6)  # Eq. 15
    assert weighted_losses(logits, hard, p).kl.item() == pytest.approx(-0.6 * log(0.5), abs=1e-6)  # Eq. 17
    assert weighted_losses(logits, soft, p).kl.item() == pytest.approx(0.6 * kl, abs=1e-6)  # Eq. 18


@pytest.mark.parametrize(("target", "weight"), [(SOFT, ONES), (HARD, P), (SOFT, P), (HARD, ONES)])
def test_per_sample_is_the_mean_of_weighted_divergences(target: Tensor, weight: Tensor) -> None:
    divergences = stats.entropy(target.double(), LOGITS.softmax(dim=1), axis=1)
    assert weighted_losses(LOGITS, target, weight).kl.item() == pytest.approx(
        (weight.numpy() * divergences).mean(), abs=1e-6
    )


def test_batch_mean_is_listing_2_as_written_and_per_sample_is_not() -> None:
    as_written = listing_2(LOGITS.float(), LABELS.unsqueeze(1), P.unsqueeze(1))
    batch_mean = weighted_losses(LOGITS, SOFT, P, weighting="batch_mean").kl
    torch.testing.assert_close(batch_mean, as_written)
    assert abs(weighted_losses(LOGITS, SOFT, P).kl - as_written) > 1e-3


def test_mean1_divides_by_the_mean_weight() -> None:
    plain, scaled = (weighted_losses(LOGITS, SOFT, P, weight_norm=norm).kl for norm in ("none", "mean1"))
    torch.testing.assert_close(scaled * P.mean(), plain)


@pytest.mark.parametrize(
    ("weighting", "weight_norm"), [("per_sample", "none"), ("per_sample", "mean1"), ("batch_mean", "none")]
)
def test_kl_and_cross_entropy_differ_by_entropy_and_not_in_gradient(
    weighting: Weighting, weight_norm: WeightNorm
) -> None:
    logits = LOGITS.clone().requires_grad_()
    losses = weighted_losses(logits, SOFT, P, weighting=weighting, weight_norm=weight_norm)
    by_kl, by_cross_entropy = (torch.autograd.grad(loss, logits, retain_graph=True)[0] for loss in losses)
    torch.testing.assert_close(by_kl, by_cross_entropy)
    assert losses.cross_entropy > losses.kl


def test_a_hard_target_of_weight_one_is_cross_entropy() -> None:
    losses = weighted_losses(LOGITS, HARD, ONES)
    torch.testing.assert_close(losses.kl, functional.cross_entropy(LOGITS.float(), LABELS))
    torch.testing.assert_close(losses.kl, losses.cross_entropy)
    assert (entropy(HARD) == 0).all()


@pytest.mark.parametrize("gamma", [0.5, 1.0, 2.0, 5.0])
def test_focal_loss_weighs_cross_entropy_by_how_wrong_the_network_is(gamma: float) -> None:
    p = LOGITS.softmax(1).gather(1, LABELS.unsqueeze(1)).squeeze(1)
    expected = ((1 - p) ** gamma * -p.log()).mean()
    for loss in weighted_losses(LOGITS, HARD, ONES, focal_gamma=gamma):
        torch.testing.assert_close(loss.double(), expected, rtol=1e-5, atol=1e-6)


def test_focal_loss_has_a_gradient_where_the_network_is_certain() -> None:
    logits = torch.tensor([[100.0, 0, 0, 0, 0]], requires_grad=True)
    weighted_losses(logits, HARD[LABELS == 0][:1], torch.ones(1), focal_gamma=0.5).kl.backward()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
