"""A recipe's network, and what it predicts."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from softaug.augment import Normalisation, normalise
from softaug.datasets import dataset
from softaug.models.registry import build
from softaug.occlusion import Occlusion, occlude
from softaug.randomness import forked
from softaug.recipe import Recipe

EVALUATION_BATCH = 512


def network(recipe: Recipe, device: torch.device) -> nn.Module:
    """Return the recipe's network as it is before training, on a device."""
    known = dataset(recipe.data.name)
    with forked(recipe.seed, "init", 0):
        model = build(recipe.model.name, recipe.model.width, in_channels=known.channels, classes=known.classes)
    return model.to(device=device, memory_format=layout(recipe))  # type: ignore[call-overload,no-any-return]


def layout(recipe: Recipe) -> torch.memory_format:
    """Return the memory format of weights and images."""
    return torch.channels_last if recipe.precision.channels_last else torch.contiguous_format


def autocast(recipe: Recipe, device: torch.device) -> "torch.autocast | nullcontext[None]":
    """Return the context of a training step's forward pass."""
    bfloat16 = recipe.precision.autocast == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()


def predict(
    model: nn.Module, pixels: Tensor, normalisation: Normalisation, occlusion: Occlusion | None = None
) -> Tensor:
    """Return the logits (N, classes) of pixels (N, C, H, W) uint8 on the CPU: float32, batch by batch.

    `occlusion`: patches on the pixels' device that cover a part of every image.
    """
    model.eval()
    parts = []
    with torch.no_grad():
        for start in range(0, len(pixels), EVALUATION_BATCH):
            part = slice(start, start + EVALUATION_BATCH)
            images = normalise(pixels[part], normalisation)
            parts.append(model(images if occlusion is None else occlude(images, occlusion.take(part))))
        return torch.cat(parts).cpu()
