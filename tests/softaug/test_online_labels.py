import torch
from torch.nn import functional

from softaug.loss import weighted_losses
from softaug.online_labels import OnlineLabels

CPU = torch.device("cpu")
G = torch.Generator().manual_seed(0)
LOGITS = [2 * torch.randn(8, 4, generator=G) for _ in range(3)]
LABELS = [torch.randint(0, 3, (8,), generator=G) for _ in range(3)]  # class 3 never comes


def one_hot(labels: torch.Tensor) -> torch.Tensor:
    return functional.one_hot(labels, 4).float()


def observed() -> OnlineLabels:
    online = OnlineLabels.start(4, CPU)
    for logits, labels in zip(LOGITS, LABELS, strict=True):
        online.observe(logits, one_hot(labels))
    return online


def test_labels_are_the_mean_prediction_of_what_was_right_and_uniform_where_nothing_was() -> None:
    online = observed()
    online.end_epoch()
    logits, labels = torch.cat(LOGITS), torch.cat(LABELS)
    for number in range(4):
        right = [row.softmax(0) for row, y in zip(logits, labels, strict=True) if y == number == row.argmax()]
        expected = torch.stack(right).mean(0) if right else torch.full((4,), 0.25)
        torch.testing.assert_close(online.soft[number], expected)
    assert (online.soft[3] == 0.25).all()
    assert online.sums.abs().sum() == online.counts.sum() == 0


def test_the_loss_is_half_hard_and_half_soft_labels() -> None:
    online = observed()
    logits, labels = LOGITS[0], LABELS[0]
    hard = functional.cross_entropy(logits, labels)
    first = weighted_losses(logits, online.target(one_hot(labels)), torch.ones(8)).cross_entropy
    torch.testing.assert_close(first, 0.5 * hard)  # epoch 0: no soft labels yet
    online.end_epoch()
    soft = torch.stack([-(online.soft[y] * row.log_softmax(0)).sum() for row, y in zip(logits, labels, strict=True)])
    later = weighted_losses(logits, online.target(one_hot(labels)), torch.ones(8)).cross_entropy
    torch.testing.assert_close(later, 0.5 * hard + 0.5 * soft.mean())


def test_observing_leaves_no_trace_in_the_gradient() -> None:
    logits = LOGITS[0].clone().requires_grad_()
    online = OnlineLabels.start(4, CPU)
    online.observe(logits, one_hot(LABELS[0]))
    assert not online.sums.requires_grad
