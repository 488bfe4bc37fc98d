"""Horizontal flip."""

import torch
from torch import Tensor


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror those images (B, C, H, W) left to right for which `mirrored` (B,) bool is true; same shape and dtype."""
    return torch.where(mirrored[:, None, None, None], images.flip(3), images)
