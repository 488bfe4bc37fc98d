"""The device path, compiled for the CPU by inductor: one graph, equal to eager up to a grey level."""

from typing import Any

import pytest
import torch

from softaug.augment import Augmentation, draw
from softaug.batches import label
from softaug.loss import weighted_losses
from softaug.noise import noise_pixels
from softaug.policies.kernels import apply_rounds
from softaug.policies.policy import Policy, RandAugment, TrivialAugmentWide
from softaug.recipe import Recipe

CPU = torch.device("cpu")
PIXELS = torch.randint(0, 256, (64, 3, 32, 32), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
LABELS = torch.randint(0, 100, (64,), generator=torch.Generator().manual_seed(1))
EVERYTHING: dict[str, Any] = {
    "data": {"name": "cifar100"},
    "model": {"name": "resnet18"},
    "crop": {"kind": "gaussian", "sigma": 0.3, "fill": "const_noise"},
    "policy": {"kind": "rand-augment"},
    "noise": {},
    "cutout": {},
    "softening": {"apply_to": "both", "noise_k": 1.0},
    "label_smoothing": 0.1,
    "seed": 0,
}


@pytest.fixture(autouse=True)
def fresh_compiler() -> None:
    torch.compiler.reset()


@pytest.mark.slow
@pytest.mark.parametrize("policy", [RandAugment(magnitude=14), TrivialAugmentWide(flavour="tensor")], ids=str)
def test_policies_are_within_one_of_eager(policy: Policy) -> None:
    settings = policy.draw(policy.uniforms(64, generator=torch.Generator().manual_seed(2)))
    tables = policy.tables((32, 32), CPU)
    compiled = torch.compile(apply_rounds, fullgraph=True)
    difference = compiled(PIXELS, settings, tables).int() - policy.apply(PIXELS, settings).int()
    one_round = settings[:, :1]
    single = compiled(PIXELS, one_round, tables).int() - apply_rounds(PIXELS, one_round, tables).int()
    assert single.abs().max() <= 1  # in a second round one grey level may become more
    assert (difference != 0).double().mean() < 0.01


@pytest.mark.slow
def test_augmentation_labels_and_loss_are_one_graph() -> None:
    recipe = Recipe.model_validate(EVERYTHING)
    augmentation, draws = Augmentation.of(recipe, CPU), draw(recipe, 64, epoch=1)
    noise = noise_pixels(PIXELS, std=0.1, seed=0, epoch=1, step=0)
    weights = torch.randn(3 * 32 * 32, 100, generator=torch.Generator().manual_seed(3)) / 100

    def step(pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        batch = label(recipe, augmentation.apply(pixels, draws, noise), LABELS)
        losses = weighted_losses(batch.images.flatten(1) @ weights, batch.target, batch.weight)
        return batch.images, losses.kl

    images, kl = torch.compile(step, fullgraph=True)(PIXELS)
    expected, expected_kl = step(PIXELS)
    grey_level = 1 / 255 / augmentation.normalisation.std.min().item()
    off = (images - expected).abs() > 1e-4
    assert off.double().mean() < 0.01
    assert (images - expected).abs().median() <= grey_level
    torch.testing.assert_close(kl, expected_kl, rtol=2e-3, atol=1e-4)
