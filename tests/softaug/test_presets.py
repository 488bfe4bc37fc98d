from typing import Any

import pytest

from softaug.presets import NAMES, PresetName, expand
from softaug.recipe import Recipe

BASE: dict[str, Any] = {"data": {"name": "cifar100"}, "model": {"name": "resnet18"}, "seed": 0}
SOFT: dict[str, Any] = BASE | {"crop": {"kind": "gaussian"}, "softening": {"apply_to": "both"}}


def test_paper_follows_the_paper() -> None:
    recipe = Recipe.model_validate(expand("paper", SOFT))
    assert recipe.optim.epochs == 500
    assert recipe.optim.first_lr_step == 0
    assert recipe.crop is not None
    assert recipe.crop.model_dump() == {"kind": "gaussian", "sigma": 0.3, "rounding": "trunc", "fill": "zero_norm"}
    assert recipe.loss.weighting == "per_sample"
    assert recipe.final_phase is not None
    assert recipe.final_phase.start == 0.96


def test_authors_follows_the_released_code() -> None:
    recipe = Recipe.model_validate(expand("authors", SOFT))
    assert recipe.optim.epochs == 501
    assert recipe.optim.first_lr_step == 1
    assert recipe.crop is not None
    assert recipe.crop.model_dump() == {"kind": "gaussian", "sigma": 0.375, "rounding": "trunc", "fill": "const_noise"}
    assert recipe.loss.weighting == "batch_mean"
    assert recipe.final_phase is not None
    assert recipe.final_phase.start * 501 == pytest.approx(480)


@pytest.mark.parametrize(
    ("preset", "data", "has_final_phase"),
    [("paper", "cifar100", True), ("paper", "cifar10", False), ("authors", "cifar10", True)],
)
def test_the_final_phase_comes_where_d17_says(preset: PresetName, data: str, has_final_phase: bool) -> None:
    expanded = expand(preset, SOFT | {"data": {"name": data}})
    assert (expanded.get("final_phase") is not None) is has_final_phase


def test_the_released_code_blends_noise_tests_often_and_ends_without_cutout_and_mixup() -> None:
    values = BASE | {"noise": {}, "mixup": {}, "cutout": {}}
    recipe = Recipe.model_validate(expand("authors", values))
    assert recipe.noise is not None
    assert (recipe.noise.form, recipe.noise.pixel_std) == ("blend", 1.0)
    assert recipe.test_every_epochs == 5
    assert recipe.final_phase is not None
    assert recipe.final_phase.turns_off == "all"
    paper = Recipe.model_validate(expand("paper", values))
    assert paper.noise is not None
    assert (paper.noise.form, paper.noise.pixel_std) == ("add", 0.1)
    assert paper.test_every_epochs == 0
    assert paper.final_phase is None


@pytest.mark.parametrize(
    ("parts", "turns_off"),
    [
        ({"noise": {}}, "soft"),
        ({"cutout": {}}, "all"),
        ({"crop": {"kind": "gaussian"}, "mixup": {}}, "all"),
        ({}, None),
    ],
)
def test_the_final_phase_of_the_released_code(parts: dict[str, Any], turns_off: str | None) -> None:
    phase = Recipe.model_validate(expand("authors", BASE | parts)).final_phase
    assert (phase and phase.turns_off) == turns_off


IMAGENET: dict[str, Any] = {
    "data": {"name": "imagenet"},
    "model": {"name": "torchvision-resnet50"},
    "crop": {"kind": "gaussian-resized"},
    "seed": 0,
}


@pytest.mark.parametrize("preset", NAMES)
def test_imagenet_is_trained_as_the_paper_says_whatever_the_preset(preset: PresetName) -> None:
    recipe = Recipe.model_validate(expand(preset, IMAGENET | {"noise": {}, "mixup": {}}))
    assert recipe.optim.model_dump() == {
        "epochs": 270, "batch_size": 256, "lr": 0.1, "warmup_epochs": 5, "momentum": 0.9, "nesterov": False,
        "weight_decay": 1e-4, "first_lr_step": 0,
    }  # fmt: skip
    assert recipe.crop is not None
    assert recipe.crop.model_dump() == {
        "kind": "gaussian-resized", "sigma": 0.3, "smallest_px": 112, "offset_scale": 0.5,
    }  # fmt: skip
    assert recipe.final_phase is None
    short = expand(preset, IMAGENET | {"optim": {"epochs": 3, "warmup_epochs": 0}})
    assert Recipe.model_validate(short).optim.epochs == 3


@pytest.mark.parametrize("preset", NAMES)
def test_what_is_there_is_never_changed(preset: PresetName) -> None:
    explicit = SOFT | {"optim": {"epochs": 3}, "crop": {"kind": "gaussian", "sigma": 0.1}, "final_phase": None}
    expanded = expand(preset, explicit)
    assert expanded["optim"]["epochs"] == 3
    assert expanded["crop"]["sigma"] == 0.1
    assert expanded["final_phase"] is None
    assert "crop" not in expand(preset, BASE)
    assert "loss" not in expand(preset, BASE)
    assert explicit["optim"] == {"epochs": 3}


@pytest.mark.parametrize("preset", NAMES)
def test_nonsense_is_passed_on_for_the_recipe_to_refuse(preset: PresetName) -> None:
    assert expand(preset, {"optim": 3, "crop": "gaussian", "softening": None})["optim"] == 3
