"""A recipe's network, and what it predicts."""

from contextlib import nullcontext

import torch
from torch import Tensor, nn

from softaug.augment import Normalisation, normalise
from softaug.data import AnyImages
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
    return model.to(device).to(memory_format=layout(recipe))


def layout(recipe: Recipe) -> torch.memory_format:
    """Return the memory format of weights and images."""
    return torch.channels_last if recipe.precision.channels_last else torch.contiguous_format


def autocast(recipe: Recipe, device: torch.device) -> "torch.autocast | nullcontext[None]":
    """Return the context of a training step's forward pass."""
    bfloat16 = recipe.precision.autocast == "bfloat16"
    return torch.autocast(device.type, torch.bfloat16) if bfloat16 else nullcontext()


def predict(
    model: nn.Module, images: AnyImages, normalisation: Normalisation, occlusion: Occlusion | None = None
) -> Tensor:
    """Return the logits (N, classes) of images on the CPU: float32, batch by batch.

    `occlusion`: patches on the images' device that cover a part of every image.
    """
    model.eval()
    logits = []
    with torch.no_grad():
        for number, pixels in enumerate(images.parts(EVALUATION_BATCH)):
            part = slice(number * EVALUATION_BATCH, (number + 1) * EVALUATION_BATCH)
            seen = normalise(pixels, normalisation)
            logits.append(model(seen if occlusion is None else occlude(seen, occlusion.take(part))))
        return torch.cat(logits).cpu()
