"""ShakeDrop (method §1.8): while training, a residual branch is now and then scaled at random, its gradient otherwise.

    kept:     forward x          backward gradient
    dropped:  forward alpha x    backward beta gradient      alpha ~ U(-1, 1), beta ~ U(0, 1) per sample
    evaluation:  (1 - p_drop) x, the expectation

Whether to drop is drawn once per batch and process; the released code does so per replica of DataParallel and needs
CUDA (D27). Everything is drawn on the branch's device, from its global generator as dropout's draws are, without a
look at the value: nothing waits for the device, and the shapes are always the same. The factors are float32 draws
whatever the branch's precision.
"""

from typing import NamedTuple

import torch
from torch import Tensor, nn


class Shake(NamedTuple):
    """What happens to a batch of B samples."""

    kept: Tensor  # () bool
    alpha: Tensor  # (B,) float32 in [-1, 1)
    beta: Tensor  # (B,) float32 in [0, 1)


def drop_probability(block: int, blocks: int) -> float:
    """Return the probability to drop block `block` of 1..blocks: 0.5 block / blocks, rising with depth."""
    return 0.5 * block / blocks


def draw_shake(samples: int, *, p_drop: float, device: torch.device) -> Shake:
    """Draw from the device's global generator what happens to a batch."""
    kept = torch.rand((), device=device) >= p_drop
    return Shake(kept, 2 * torch.rand(samples, device=device) - 1, torch.rand(samples, device=device))


def apply_shake(branch: Tensor, shake: Shake) -> Tensor:
    """Return (B, C, H, W) scaled forward by exactly 1 or alpha; backward, its gradient by exactly 1 or beta."""
    forward, backward = (
        torch.where(shake.kept, 1.0, factor).to(branch.dtype).view(-1, 1, 1, 1) for factor in (shake.alpha, shake.beta)
    )
    values = branch.detach()
    return forward * values + backward * (branch - values)  # the difference is 0; only its gradient counts


class ShakeDrop(nn.Module):
    """Shake a residual branch (B, C, H, W) while training, scale it by 1 - p_drop otherwise."""

    def __init__(self, p_drop: float) -> None:
        super().__init__()
        self.p_drop = p_drop

    def forward(self, branch: Tensor) -> Tensor:
        """Return the branch, shaken or scaled; shape, dtype and memory format stay."""
        if not self.training:
            return branch * (1 - self.p_drop)
        return apply_shake(branch, draw_shake(len(branch), p_drop=self.p_drop, device=branch.device))

    def extra_repr(self) -> str:
        """Show the probability."""
        return f"p_drop={self.p_drop:g}"
