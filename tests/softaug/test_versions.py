from typing import get_args

import pytest

from softaug import versions
from softaug.models.registry import MODELS
from softaug.recipe import DEFAULT_WIDTH, MODEL_ALIASES, ONE_WIDTH, Data, Model, Recipe
from softaug.versions import MODEL_FAMILY, VERSIONS, versions_in_use


def test_only_the_factors_in_use_are_named() -> None:
    base = {"data": {"name": "digits"}, "model": {"name": "resnet20"}, "flip": 0.0, "seed": 0}
    assert set(versions_in_use(Recipe.model_validate(base))) == {
        "fit", "schedule", "loss", "data.digits", "model.resnet8",
    }  # fmt: skip
    soft = base | {"flip": 0.5, "crop": {"kind": "gaussian", "sigma": 0.1}, "softening": {"apply_to": "target"}}
    added = set(versions_in_use(Recipe.model_validate(soft))) - set(versions_in_use(Recipe.model_validate(base)))
    assert added == {"flip", "crop.gaussian", "softening"}
    more = base | {
        "policy": {"kind": "rand-augment"}, "noise": {}, "cutout": {}, "mixup": {},
    }  # fmt: skip
    added = set(versions_in_use(Recipe.model_validate(more))) - set(versions_in_use(Recipe.model_validate(base)))
    assert added == {"policy.rand-augment", "noise", "cutout", "mixup"}
    image_net = base | {"data": {"name": "imagenet"}, "optim": {"warmup_epochs": 5}}
    for crop, name in (
        ({"kind": "random-resized"}, "random"),
        ({"kind": "gaussian-resized", "sigma": 0.3}, "gaussian"),
    ):
        used = set(versions_in_use(Recipe.model_validate(image_net | {"crop": crop})))
        assert used - {"fit", "schedule", "loss", "model.resnet8"} == {
            "data.imagenet", f"crop.{name}-resized", "warmup",
        }  # fmt: skip
    for parts, name in (({"online_label_smoothing": True}, "online-labels"), ({"loss": {"focal_gamma": 1.0}}, "focal")):
        assert name in versions_in_use(Recipe.model_validate(base | parts))


def test_every_name_a_recipe_allows_is_known() -> None:
    models = set(get_args(Model.model_fields["name"].annotation))
    assert models == set(MODELS) == set(MODEL_FAMILY) == set(DEFAULT_WIDTH)
    assert set(MODEL_FAMILY.values()) <= set(VERSIONS)
    assert set(MODEL_ALIASES.values()) | ONE_WIDTH <= models
    assert not set(MODEL_ALIASES) & models
    assert {f"data.{name}" for name in get_args(Data.model_fields["name"].annotation)} <= set(VERSIONS)


def test_the_version_of_evaluations_is_part_of_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    base = {"data": {"name": "digits"}, "model": {"name": "resnet20"}, "seed": 0}
    before = Recipe.model_validate(base).key
    monkeypatch.setattr(versions, "EVALUATION", versions.EVALUATION + 1)
    assert Recipe.model_validate(base).key == before
