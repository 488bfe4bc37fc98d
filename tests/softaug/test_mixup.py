import pytest
import torch
from torch.nn import functional

from softaug.loss import weighted_losses
from softaug.mixup import draw_mixing, mix
from softaug.softening import soft_target

G = torch.Generator().manual_seed(0)
LOGITS = torch.randn(6, 5, generator=G)
LABELS = torch.tensor([0, 1, 2, 3, 4, 1])
IMAGES = torch.randn(6, 3, 4, 4, generator=G)
PLACES = torch.rand(6, generator=G)


def test_with_hard_labels_it_is_the_criterion_of_plain_mixup() -> None:
    share, partner = torch.tensor(0.3), PLACES.argsort()
    target = functional.one_hot(LABELS, 5).float()
    images, mixed, weight = mix(IMAGES, target, torch.ones(6), share, PLACES)
    assert torch.equal(images, share * IMAGES + (1 - share) * IMAGES[partner])
    expected = 0.3 * functional.cross_entropy(LOGITS, LABELS) + 0.7 * functional.cross_entropy(LOGITS, LABELS[partner])
    torch.testing.assert_close(weighted_losses(LOGITS, mixed, weight).cross_entropy, expected)
    torch.testing.assert_close(weight, torch.ones(6))


def test_softened_images_bring_their_own_targets_and_weights() -> None:
    p = torch.tensor([1.0, 0.9, 0.2, 0.5, 0.7, 0.6])
    share, partner = torch.tensor(0.8), PLACES.argsort()
    target = soft_target(LABELS, p, classes=5)
    _, mixed, weight = mix(IMAGES, target, p, share, PLACES)
    log_p = LOGITS.log_softmax(1)
    losses = -(target * log_p).sum(1)
    partners = -(target[partner] * log_p).sum(1)
    expected = (0.8 * p * losses + 0.2 * p[partner] * partners).mean()
    torch.testing.assert_close(weighted_losses(LOGITS, mixed, weight).cross_entropy, expected)
    torch.testing.assert_close(mixed.sum(1), torch.ones(6))


@pytest.mark.parametrize("alpha", [0.2, 1.0, 4.0])
def test_shares_follow_the_beta_law(alpha: float) -> None:
    shares, places = draw_mixing(0, 1, 20_000, batch_size=1, alpha=alpha)
    assert len(shares) == 20_000
    assert shares.dtype == torch.float32
    assert places.unique().numel() == 20_000
    assert shares.mean().item() == pytest.approx(0.5, abs=0.01)
    assert shares.var().item() == pytest.approx(1 / (4 * (2 * alpha + 1)), rel=0.03)


def test_draws_depend_on_seed_and_epoch_and_a_steps_share_not_on_the_batch_size() -> None:
    one, smaller = draw_mixing(0, 1, 100, batch_size=32, alpha=1.0), draw_mixing(0, 1, 100, batch_size=10, alpha=1.0)
    assert len(one.shares) == 4
    assert torch.equal(one.shares, smaller.shares[:4])
    assert torch.equal(one.places, smaller.places)
    for seed, epoch in ((1, 1), (0, 2)):
        assert not torch.equal(one.shares, draw_mixing(seed, epoch, 100, batch_size=32, alpha=1.0).shares)
