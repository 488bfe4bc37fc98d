import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from softaug import recipe as recipe_module
from softaug.recipe import DEFAULT_WIDTH, Recipe, canonical, flatten

MINIMAL: dict[str, Any] = {"data": {"name": "cifar100"}, "model": {"name": "resnet18"}, "seed": 0}
SOFT: dict[str, Any] = MINIMAL | {"crop": {"kind": "gaussian", "sigma": 0.3}, "softening": {"apply_to": "both", "k": 2}}


def make(values: dict[str, Any]) -> Recipe:
    return Recipe.model_validate(values)


def test_equal_recipes_have_equal_keys_however_they_are_written() -> None:
    as_float = SOFT | {"softening": {"apply_to": "both", "k": 2.0}}
    reordered = dict(reversed(SOFT.items()))
    assert make(SOFT).key == make(as_float).key == make(reordered).key


def test_a_default_spelled_out_gives_the_same_key() -> None:
    spelled_out = json.loads(json.dumps(canonical(make(MINIMAL))))
    assert spelled_out["optim"]["momentum"] == 0.9
    assert make(spelled_out).key == make(MINIMAL).key


def test_keys_of_older_results_stay() -> None:
    assert make(MINIMAL).key == "8f4b94357b45caf73f7b8ee19946d38fe28036066c42479afa62431e6cbf40b7"
    assert (
        make(SOFT | {"final_phase": {"start": 0.96}}).key
        == "0dbbad3a0f0bad97af522f3a8949cd057958c61a2d94406c38152be14bbce458"
    )


def test_soft_noise_alone_and_what_can_be_combined() -> None:
    alone = {"noise": {}, "softening": {"apply_to": "both", "k": None, "noise_k": 1.0}}
    together = {"crop": {"kind": "gaussian", "sigma": 0.3}, "softening": {"apply_to": "both", "noise_k": 1.0}}
    rest = {"policy": {"kind": "rand-augment"}, "cutout": {}, "mixup": {}, "label_smoothing": 0.1}
    keys = {make(MINIMAL | parts).key for parts in (alone, alone | together, alone | together | rest, rest)}
    assert len(keys) == 4
    weighted = {"crop": {"kind": "gaussian", "sigma": 0.3}, "softening": {"apply_to": "weight"}}
    make(MINIMAL | weighted | {"loss": {"focal_gamma": 2.0}})
    make(MINIMAL | weighted | {"online_label_smoothing": True})


def test_both_spellings_of_the_pyramid_are_one_network() -> None:
    short, full = (make(MINIMAL | {"model": {"name": name}}) for name in ("pyramid272", "pyramidnet272"))
    assert short.key == full.key
    assert (short.model.name, short.model.width) == ("pyramidnet272", 16)


@pytest.mark.parametrize("name", DEFAULT_WIDTH)
def test_a_width_left_out_is_the_default(name: str) -> None:
    width = DEFAULT_WIDTH[name]
    left_out, spelled_out = (make(MINIMAL | {"model": {"name": name} | more}) for more in ({}, {"width": width}))
    assert left_out == spelled_out
    assert left_out.model.width == width


def test_negative_zero_is_zero() -> None:
    assert make(MINIMAL | {"label_smoothing": -0.0}).key == make(MINIMAL | {"label_smoothing": 0.0}).key


@given(seeds=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=2, unique=True))
def test_the_seed_changes_the_key_and_not_the_cell_key(seeds: list[int]) -> None:
    one, other = (make(SOFT | {"seed": seed}) for seed in seeds)
    assert one.key != other.key
    assert one.cell_key == other.cell_key


@given(
    sigma=st.floats(0.01, 2), k=st.floats(0.1, 16), apply_to=st.sampled_from(["target", "weight", "both"]),
    epochs=st.integers(1, 10_000), smoothing=st.floats(0, 0.9),
)  # fmt: skip
def test_a_recipe_survives_json(sigma: float, k: float, apply_to: str, epochs: int, smoothing: float) -> None:
    recipe = make(
        MINIMAL
        | {
            "crop": {"kind": "gaussian", "sigma": sigma},
            "softening": {"apply_to": apply_to, "k": k},
            "optim": {"epochs": epochs},
            "label_smoothing": smoothing,
        }
    )
    again = make(json.loads(json.dumps(canonical(recipe))))
    assert again == recipe
    assert again.key == recipe.key


@pytest.mark.parametrize(
    ("change", "changed"),
    [
        ({"flip": 0.0}, True),
        ({"label_smoothing": 0.1}, True),
        ({"optim": {"batch_size": 64}}, True),
        ({"model": {"name": "resnet18", "width": 64}}, False),
        ({"data": {"name": "cifar100", "validation_images": 0}}, False),
        ({"data": {"name": "cifar100", "train_images": 50_000}}, False),
    ],
)
def test_every_field_is_part_of_the_key_and_defaults_change_nothing(change: dict[str, Any], changed: bool) -> None:
    assert (make(MINIMAL | change).key != make(MINIMAL).key) is changed


def test_a_raised_version_changes_the_keys_of_the_recipes_that_use_the_factor(monkeypatch: pytest.MonkeyPatch) -> None:
    plain, soft = make(MINIMAL).key, make(SOFT).key
    monkeypatch.setitem(recipe_module.versions_in_use.__globals__["VERSIONS"], "softening", 2)
    assert make(MINIMAL).key == plain
    assert make(SOFT).key != soft


def test_a_field_added_later_keeps_older_keys_at_its_neutral_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe_module, "ADDED_LATER", {"flip": 0.5, "optim.nesterov": True, "crop.fill": "zero_norm"})
    written = canonical(make(SOFT))
    assert "flip" not in written
    assert "nesterov" not in written["optim"]
    assert "fill" not in written["crop"]
    assert canonical(make(SOFT | {"flip": 0.25}))["flip"] == 0.25
    assert "flip" not in canonical(make(MINIMAL))  # no crop: a path that leads nowhere is no error


def test_flatten_joins_names_with_dots() -> None:
    assert flatten({"crop": {"sigma": 0.3}, "seed": 1, "none": None}) == {"crop.sigma": 0.3, "seed": 1, "none": None}


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"softening": {"apply_to": "both"}}, "there is no crop"),
        ({"softening": {"apply_to": "both", "k": None}}, "nothing softens"),
        ({"softening": {"apply_to": "both", "k": None, "noise_k": 1.0}}, "there is no noise"),
        ({"noise": {}, "softening": {"apply_to": "both", "noise_k": 1.0}}, "set softening.k to null"),
        ({"cutout": {"side_px": 7}}, "multiple of 2"),
        ({"cutout": {"side_px": 34}}, "more than the images of cifar100 are wide; at most 32"),
        ({"policy": {"kind": "rand-augment", "magnitude": 31}}, "less than or equal to 30"),
        ({"policy": {"kind": "auto-augment"}}, "'rand-augment', 'trivial-augment'"),
        ({"loss": {"focal_gamma": 2.0}, "label_smoothing": 0.1}, "not for the targets of label_smoothing"),
        ({"loss": {"focal_gamma": 2.0}, "mixup": {}}, "not for the targets of mixup"),
        ({"online_label_smoothing": True, "mixup": {}}, "which mixup does not leave"),
        ({"cutout": {}, "final_phase": {"start": 0.9}}, "set it to null, or turns_off to all"),
        ({"noise": {}, "final_phase": {"start": 0.9, "turns_off": "all"}}, "`all` is `soft`"),
        ({"loss": {"weighting": "batch_mean"}}, "have no effect unless"),
        ({"final_phase": {"start": 0.96}}, "switches a Gaussian crop or noise off"),
        ({"seed": -1}, "greater than or equal to 0"),
        ({"seed": True}, "valid integer"),
        ({"flip": 1.5}, "less than or equal to 1"),
        ({"label_smoothing": float("nan")}, "finite"),
        ({"optim": {"lr": "0.1"}}, "valid number"),
        ({"optim": {"epochs": 1.0}}, "valid integer"),
        ({"optim": {"momentum": 0.0}}, "needs momentum"),
        ({"data": {"name": "cifar100", "train_images": 10, "validation_images": 10}}, "leaves none to train on"),
        ({"model": {"name": "resnet19"}}, "resnet18"),
        ({"model": {"name": ["resnet8"]}}, "resnet18"),
        ({"model": {"name": "efficientnet-b0", "width": 16}}, "width: 16, .* has one width, 32; leave width out"),
        ({"model": {"name": "torchvision-resnet101", "width": 32}}, "width: 32, .* has one width, 64"),
        ({"crop": {"kind": "uniform", "radius_px": 33}}, "leaves the images of cifar100, 32 px wide; at most 32"),
        ({"label_smoothing": 0.995}, "below chance; at most 0.99"),
        ({"crop": {"kind": "uniform", "sigma": 0.3}}, "Extra inputs"),
        ({"colour": 1}, "Extra inputs"),
    ],
)
def test_what_has_no_meaning_is_refused_with_the_reason(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        make(MINIMAL | change)


IMAGENET: dict[str, Any] = {
    "data": {"name": "imagenet"},
    "model": {"name": "torchvision-resnet50"},
    "crop": {"kind": "gaussian-resized", "sigma": 0.3},
    "seed": 0,
}


def test_imagenets_recipes() -> None:
    hard = make(IMAGENET | {"crop": {"kind": "random-resized"}})
    assert hard.crop == make(IMAGENET | {"crop": {"kind": "random-resized", "scale_min": 0.08}}).crop
    make(IMAGENET | {"softening": {"apply_to": "both"}, "cutout": {"side_px": 112}, "mixup": {}})
    make(IMAGENET | {"crop": {"kind": "random-resized"}, "noise": {}, "final_phase": {"start": 0.9}})
    larger = make(IMAGENET | {"data": {"name": "imagenet", "evaluation_px": 256}})
    assert larger.key != make(IMAGENET).key
    same = {"name": "imagenet", "evaluation_px": 224, "train_images": 1_281_167}
    assert make(IMAGENET | {"data": same}).key == make(IMAGENET).key


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"crop": None}, "images of imagenet have many sizes, and no crop leaves them so; set crop.kind to random-res"),
        ({"crop": {"kind": "uniform", "radius_px": 4}}, "many sizes, and crop.kind uniform leaves them so"),
        ({"crop": {"kind": "gaussian", "sigma": 0.3}}, "many sizes, and crop.kind gaussian leaves them so"),
        ({"final_phase": {"start": 0.96}}, "no common shape; set it to null .*D43"),
        ({"noise": {}, "final_phase": {"start": 0.96}}, "switch the gaussian-resized crop off"),
        ({"data": {"name": "cifar10"}}, "gaussian-resized is for images of many sizes, those of cifar10 are all 32 px"),
        (
            {"data": {"name": "imagenet", "evaluation_px": 223}},
            "223 px is less than the central crop takes; at least 224",
        ),
        ({"crop": {"kind": "gaussian-resized", "sigma": 0.3, "smallest_px": 225}}, "less than or equal to 224"),
        ({"crop": {"kind": "random-resized", "ratio_max": 0.75}}, "greater than or equal to 1"),
        ({"optim": {"epochs": 5, "warmup_epochs": 5}}, "5 of 5 epochs leave none for the cosine; at most 4"),
    ],
)
def test_what_images_of_many_sizes_do_not_allow(change: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        make(IMAGENET | change)


def test_only_images_of_many_sizes_are_resized_for_evaluation() -> None:
    with pytest.raises(ValidationError, match="the images of cifar100 are evaluated as they are; remove it"):
        make(MINIMAL | {"data": {"name": "cifar100", "evaluation_px": 40}})


def test_a_batch_mean_of_weights_with_mean_one_is_refused() -> None:
    with pytest.raises(ValidationError, match="always 1"):
        make(SOFT | {"loss": {"weighting": "batch_mean", "weight_norm": "mean1"}})


def test_a_recipe_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        make(MINIMAL).seed = 1
