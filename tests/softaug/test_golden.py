"""Numbers of two-epoch runs, kept: they change only in a commit that raises the version of the factor it changes.

After such a change, write them anew:   python tests/softaug/test_golden.py
"""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from softaug.arrays import Arrays, load
from softaug.data import split
from softaug.fit import fit
from softaug.recipe import Recipe
from softaug.versions import versions_in_use

GOLDEN = Path(__file__).parent / "golden" / "fit.json"
BASE: dict[str, Any] = {
    "data": {"name": "digits", "train_images": 200},
    "model": {"name": "resnet8", "width": 4},
    "optim": {"epochs": 2, "batch_size": 32},
    "seed": 0,
}
RECIPES: dict[str, dict[str, Any]] = {
    "standard crop": BASE | {"crop": {"kind": "uniform", "radius_px": 1}},
    "soft target and weight": BASE | {"crop": {"kind": "gaussian", "sigma": 0.3}, "softening": {"apply_to": "both"}},
    "soft noise, policy, cutout, mixup": BASE
    | {
        "crop": {"kind": "gaussian", "sigma": 0.3},
        "policy": {"kind": "rand-augment"},
        "noise": {},
        "cutout": {"side_px": 2},
        "mixup": {},
        "softening": {"apply_to": "both", "noise_k": 1.0},
    },
    "online label smoothing, trivial augment": BASE
    | {"policy": {"kind": "trivial-augment", "flavour": "tensor"}, "online_label_smoothing": True},
    "focal loss": BASE | {"loss": {"focal_gamma": 2.0}, "noise": {"form": "blend"}},
    "authors": BASE
    | {
        "model": {"name": "resnet18", "width": 4},
        "crop": {"kind": "gaussian", "sigma": 0.375, "rounding": "round", "fill": "const_noise"},
        "softening": {"apply_to": "both", "k": 3.0},
        "label_smoothing": 0.1,
        "loss": {"weighting": "batch_mean"},
        "optim": {"epochs": 2, "batch_size": 32, "first_lr_step": 1, "lr": 0.02},  # at 0.1 it differs from CPU to CPU
        "final_phase": {"start": 0.5},
    },
}


def measure(values: dict[str, Any], digits: Arrays) -> dict[str, Any]:
    """Return the versions a recipe uses and every number of its run."""
    recipe = Recipe.model_validate(values)
    epochs = list(fit(recipe, split(digits, recipe.data), device=torch.device("cpu")))
    final = epochs[-1].final
    assert final is not None
    return {
        "versions": versions_in_use(recipe),
        "train": [epoch.metrics for epoch in epochs],
        "test": final.metrics,
        "visibilities": final.samples.visibilities.tolist(),
    }


@pytest.mark.parametrize("name", RECIPES)
def test_numbers_change_only_with_a_version(name: str, digits: Arrays) -> None:
    golden, found = json.loads(GOLDEN.read_text())[name], measure(RECIPES[name], digits)
    assert found["versions"] == golden["versions"], "a version was raised: write the golden numbers anew"
    assert found["visibilities"] == pytest.approx(golden["visibilities"])
    for ours, kept in zip(found["train"], golden["train"], strict=True):
        assert ours == pytest.approx(kept, rel=2e-3)
    # CPU types sum in another order: a test image or two may change sides.
    assert found["test"]["test/nll"] == pytest.approx(golden["test"]["test/nll"], rel=5e-3)
    assert found["test"]["test/top1_error"] == pytest.approx(golden["test"]["test/top1_error"], abs=0.3)


if __name__ == "__main__":
    torch.set_num_threads(1)
    arrays = load("digits", None)
    kept = {name: measure(values, arrays) for name, values in RECIPES.items()}
    GOLDEN.write_text(json.dumps(kept, indent=2) + "\n")
