"""What is inspected: a sweep's cells or some of them, a recipe; and which mistakes are told before anything is read."""

from pathlib import Path

import pytest

from softaug import inspection
from softaug.arrays import load
from softaug.data import split
from softaug.datasets import MissingData
from softaug.inspection import inspect
from softaug.recipe import Recipe
from sweeps.files import expand
from sweeps.inspected import Subject, look, subject
from sweeps.problems import Problems

OWN = """\
data: {name: digits, train_images: 100}
model: {name: resnet8, width: 4}
seed: 5
"""


def chosen(*arms: str, scale: str = "smoke") -> Subject:
    return subject("figure-3", scale=scale, arms=arms, warn=pytest.fail)


def complaint(text: object, **options: object) -> str:
    with pytest.raises(Problems) as caught:
        subject(str(text), warn=pytest.fail, **options)
    return str(caught.value)


def test_a_sweep_is_its_cells_with_the_first_seed() -> None:
    all_cells = chosen()
    assert all_cells.name == "figure-3@smoke"
    assert all_cells.seed == 0
    assert list(all_cells.cells) == expand.load("figure-3", scale="smoke").cells
    keys = [all_cells.recipe(cell).key for cell in all_cells.cells]
    assert keys == [cell.trials[0] for cell in all_cells.cells]


def test_arms_and_titles_choose_cells() -> None:
    titles = [cell.title for cell in chosen("soft weight", "hard Gaussian crop, sigma 0.3").cells]
    assert titles == ["hard Gaussian crop, sigma 0.3", "soft weight, sigma 0.1, k 2.0", "soft weight, sigma 0.3, k 2.0"]


def test_a_recipe_is_one_cell(tmp_path: Path) -> None:
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    own = subject(str(path), warn=pytest.fail)
    assert (own.name, own.seed, own.sweep) == ("own", 5, None)
    (cell,) = own.cells
    assert own.recipe(cell) == Recipe.model_validate(
        {"data": {"name": "digits", "train_images": 100}, "model": {"name": "resnet8", "width": 4}, "seed": 5}
    )
    ledgers = tmp_path / "recipe.yaml"
    path.rename(ledgers)
    assert subject(str(ledgers), warn=pytest.fail).name == f"recipe-{own.recipe(cell).key[:12]}"


def test_mistakes_on_the_command_line(tmp_path: Path) -> None:
    said = complaint("figure-3", scale="smoke", arms=["soft target", "soft wait", "label smoothing, sigma 9"])
    first, second = said.splitlines()
    assert first.startswith(
        "command line: --arm: no arm or cell at scale smoke is called soft wait (did you mean soft w"
    )
    assert second.startswith(
        "command line: --arm: no arm or cell at scale smoke is called label smoothing, sigma 9 (did"
    )
    assert "no scale is called huge" in complaint("figure-3", scale="huge")
    assert "did you mean quickstart" in complaint("quickstat")
    assert "no such sweep or file" in complaint(tmp_path / "nowhere.json")
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    assert complaint(path, scale="smoke", arms=["a"]).splitlines() == [
        "command line: --scale: a recipe has none (remove it)",
        "command line: --arm: a recipe has none (remove it)",
    ]
    path.write_text(OWN + "question: Is it a sweep?\n")
    assert f"{path}:4: question: unknown key" in complaint(path)
    path.write_text("name: a\nquestion: b\n")
    assert f"{path}:1: arms: is missing" in complaint(path)


def test_missing_data_is_told_before_anything_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("softaug.arrays.load", pytest.fail)
    with pytest.raises(MissingData, match="softaug fetch cifar100"):
        next(look(chosen("standard crop", scale="paper"), tmp_path))


def test_cells_of_one_augmentation_are_augmented_once(monkeypatch: pytest.MonkeyPatch) -> None:
    cells, augmented = chosen(), []
    augment = inspection.augment

    def counted(recipe: Recipe, *arguments: object) -> object:
        augmented.append(recipe.crop)
        return augment(recipe, *arguments)

    monkeypatch.setattr(inspection, "augment", counted)
    found = list(look(cells, None))
    assert len(augmented) == len({str(crop) for crop in augmented}) == 3  # the standard crop, and two sigmas
    arrays = load("digits", None)
    for cell, each in zip(cells.cells, found, strict=True):
        recipe = cells.recipe(cell)
        alone = inspect(recipe, split(arrays, recipe.data).train)
        assert each.numbers() == alone.numbers()
        assert (each.visibility, each.confidence, each.curve) == (alone.visibility, alone.confidence, alone.curve)
