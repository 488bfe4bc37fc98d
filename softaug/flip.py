"""Horizontal flip."""

import torch
from torch import Tensor


def flip(images: Tensor, mirrored: Tensor) -> Tensor:
    """Mirror those images (B, C, H, W) left to right for which `mirrored` (B,) bool is true; same shape and dtype."""
    _, channels, height, width = images.shape
    columns = torch.arange(width, device=images.device)
    source = torch.where(mirrored.unsqueeze(1), width - 1 - columns, columns)
    return images.gather(3, source[:, None, None, :].expand(-1, channels, height, -1))
