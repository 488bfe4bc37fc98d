"""When a recipe is of the paper's setting."""

from typing import Any

import pytest

from analysis.paper_setting import departures
from analysis.published import is_figure_3_setting, published
from softaug.recipe import Recipe, canonical

CROP = {"kind": "uniform", "radius_px": 4}


def recipe(**fields: Any) -> dict[str, Any]:
    base = {"data": {"name": "cifar100"}, "model": {"name": "resnet18"}, "crop": CROP, "seed": 0}
    return canonical(Recipe.model_validate({**base, **fields}))


def test_the_papers_own() -> None:
    assert departures(recipe(), "cifar100", "resnet18") == []
    assert departures(recipe(optim={"epochs": 501}), "cifar100", "resnet18") == []
    assert is_figure_3_setting(recipe())
    wide = recipe(model={"name": "wide-resnet28-10"}, data={"name": "cifar10"})
    assert departures(wide, "cifar10", "wideresnet28_10") == []


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"data": {"name": "cifar10"}}, "data cifar10, not cifar100"),
        ({"data": {"name": "cifar100", "train_images": 500}}, "500 training images, not all"),
        ({"model": {"name": "resnet18", "width": 8}}, "network resnet18 of width 8, not resnet18 of 64"),
        ({"model": {"name": "resnet50"}}, "network resnet50 of width 64, not resnet18 of 64"),
        ({"optim": {"epochs": 200}}, "epochs 200, not 500"),
    ],
)
def test_one_departure_is_named(fields: dict[str, Any], said: str) -> None:
    assert departures(recipe(**fields), "cifar100", "resnet18") == [said]
    assert not is_figure_3_setting(recipe(**fields))


def test_supervised_training_is_not_simsiam() -> None:
    assert departures(recipe(), "cifar100", "simsiam_resnet18") == ["probe of 0 epochs, not 100"]


def test_what_the_paper_does_not_have_is_said() -> None:
    assert departures(recipe(), "mnist", "resnet18") == ["the paper has no resnet18 on mnist"]
    assert departures(recipe(), "imagenet1k", "resnet18") == ["the paper has no resnet18 on imagenet1k"]


def test_every_row_of_the_tables_has_a_setting() -> None:
    for row in published():
        if row.table != "text":
            assert departures(recipe(data={"name": "digits"}, model={"name": "resnet8"}), row.dataset, row.model)
