"""Mixup: every image of a batch mixed with another of it, their losses with it (Zhang et al. 2018; method §1.5).

    x = lam x_a + (1 - lam) x_b        one lam ~ Beta(alpha, alpha) per batch, b a permutation of the batch
    L = lam w_a CE(t_a) + (1 - lam) w_b CE(t_b)

Cross entropy is linear in its target, so the mixed loss is that of one target and one weight per image:
w = lam w_a + (1 - lam) w_b and t = (lam w_a t_a + (1 - lam) w_b t_b) / w. With softened images each brings its own
target and weight; with hard labels it is plain mixup. Nothing is packed into a float (D34).
"""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from softaug.checks import check_images, check_number, check_per_image
from softaug.randomness import generator, stream_seed, uniforms


class MixingDraws(NamedTuple):
    """Shares lam (steps,) float32 of an epoch's batches, and a number (n,) per place in it whose order pairs images."""

    shares: Tensor
    places: Tensor

    def to(self, device: torch.device) -> "MixingDraws":
        """Return the draws on a device."""
        return MixingDraws(*(part.to(device) for part in self))


def draw_mixing(seed: int, epoch: int, n: int, *, batch_size: int, alpha: float) -> MixingDraws:
    """Draw on the CPU for an epoch of n images; lam of step s is the same whatever the batch size."""
    check_number("alpha", alpha, above=0)
    beta = np.random.Generator(np.random.PCG64(stream_seed(seed, "mixup", epoch))).beta(
        alpha, alpha, -(-n // batch_size)
    )
    places = uniforms(n, generator=generator(seed, "mixup partners", epoch))
    return MixingDraws(torch.from_numpy(beta).float(), places)


def mix(images: Tensor, target: Tensor, weight: Tensor, share: Tensor, places: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mix images (B, C, H, W), targets (B, C) and weights (B,) by one share lam (), partners by the order of places."""
    check_images(images)
    check_per_image("target", target, (len(images), target.shape[-1]), images.device)
    check_per_image("weight", weight, (len(images),), images.device)
    check_per_image("places", places, (len(images),), images.device)
    partner = places.argsort()
    first, second = share * weight, (1 - share) * weight[partner]
    mixed = first.unsqueeze(1) * target + second.unsqueeze(1) * target[partner]
    total = first + second
    return share * images + (1 - share) * images[partner], mixed / total.unsqueeze(1), total
