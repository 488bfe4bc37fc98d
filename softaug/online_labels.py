"""Online label smoothing: soft labels per class, learned from the network's own right answers (Zhang et al. 2021).

    L = 0.5 CE(y) + 0.5 CE(S[y])

S (C, C) is zero in the first epoch, so its half of the loss is too. During an epoch the softmax of every rightly
classified sample is added up by class; after it S[c] is their mean, or uniform for a class without one (D36, the
official code; a popular re-implementation leaves such classes at zero and has no CE of its own).
"""

from dataclasses import dataclass
from typing import Self

import torch
from torch import Tensor

from softaug.ranks import ALONE, Ranks

SHARE = 0.5


@dataclass
class OnlineLabels:
    """Soft labels in use (C, C), and the sums (C, C) and counts (C,) of the epoch that makes the next ones."""

    soft: Tensor
    sums: Tensor
    counts: Tensor

    @classmethod
    def start(cls, classes: int, device: torch.device) -> Self:
        """Return the state before the first epoch."""
        return cls(
            *(torch.zeros(*shape, device=device) for shape in ((classes, classes), (classes, classes), (classes,)))
        )

    def target(self, target: Tensor) -> Tensor:
        """Return the target of one-hot ones (B, C): they sum to 1, in the first epoch to 1/2."""
        return (1 - SHARE) * target + SHARE * target @ self.soft

    def observe(self, logits: Tensor, target: Tensor) -> None:
        """Add what the network says, logits (B, C), of the samples it gets right; targets (B, C) one-hot."""
        said = logits.detach().float().softmax(dim=1)
        right = said.argmax(dim=1) == target.argmax(dim=1)
        of_class = target * right.unsqueeze(1)
        self.sums += of_class.T @ said
        self.counts += of_class.sum(dim=0)

    def end_epoch(self, ranks: Ranks = ALONE) -> None:
        """Put the labels that this epoch made, on all ranks, into use and begin anew."""
        classes = len(self.counts)
        seen = ranks.sum(self.counts).unsqueeze(1)
        self.soft = torch.where(seen > 0, ranks.sum(self.sums) / seen.clamp(min=1), 1 / classes)
        self.sums, self.counts = torch.zeros_like(self.sums), torch.zeros_like(self.counts)
