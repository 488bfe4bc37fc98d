"""Recipes from files: by hand as YAML or JSON, or a ledger's; every mistake with its file, line and field."""

import json
from pathlib import Path
from typing import Any

import pytest

from softaug.recipe import Recipe, identity
from sweeps.files.recipe_file import is_recipe, recipe_in, tree
from sweeps.files.strict_yaml import parse
from sweeps.problems import Problems
from trainables.folder_store import FolderStore
from trainables.ledger import TrialFolder
from trainables.sealed import Damaged

GOOD = """\
data: {name: digits, train_images: 300}
model: {name: resnet8}
crop: {kind: gaussian, sigma: 0.3}
softening: {apply_to: both}
optim: {epochs: 3, lr: 0.1}
seed: 4
"""
SEED = "must be a whole number at least 0 and below 4294967296"
RECIPE = Recipe.model_validate({
    "data": {"name": "digits", "train_images": 300},
    "model": {"name": "resnet8"},
    "crop": {"kind": "gaussian", "sigma": 0.3},
    "softening": {"apply_to": "both"},
    "optim": {"epochs": 3, "lr": 0.1},
    "seed": 4,
})  # fmt: skip


def read(path: Path, said: list[str] | None = None) -> Recipe:
    return recipe_in(tree(path.read_text(), path), path, ([] if said is None else said).append)


def complaints(path: Path) -> list[str]:
    with pytest.raises(Problems) as caught:
        read(path)
    return [line.removeprefix(f"{path}") for line in str(caught.value).splitlines()]


@pytest.mark.parametrize("name", ["mine.yaml", "mine.json", "recipe.json"])
def test_by_hand_as_yaml_and_json(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_text(GOOD if name.endswith(".yaml") else RECIPE.model_dump_json())
    assert read(path) == RECIPE


def test_of_a_ledger(tmp_path: Path) -> None:
    trial = TrialFolder(FolderStore(tmp_path), RECIPE.key)
    trial.write_recipe(RECIPE)
    path = tmp_path / trial.path / "recipe.json"
    said: list[str] = []
    assert read(path, said) == RECIPE
    assert said == []
    path.write_text(path.read_text().replace("0.3", "0.4"))
    with pytest.raises(Damaged, match="holds another recipe than the trial's"):
        read(path)
    copy = tmp_path / "recipe.json"  # without its key it is taken as it is
    copy.write_text(path.read_text())
    assert read(copy).crop != RECIPE.crop


def test_other_versions_are_told(tmp_path: Path) -> None:
    whole = identity(RECIPE)
    whole["versions"] |= {"softening": 7}
    del whole["versions"]["fit"]
    path, said = tmp_path / "recipe.json", []
    path.write_text(json.dumps(whole))
    assert read(path, said) == RECIPE
    (line,) = said
    assert line.startswith(f"{path} was written with ")
    assert "softening 7 (now 1)" in line
    assert "fit unknown (now 1)" in line


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("epochs: 3", "epochs: 0", [":5: optim.epochs: got 0, must be a whole number above 0 and at most 10000"]),
        ("seed: 4\n", "", [f":1: seed: is missing, {SEED}"]),
        ("seed: 4", "seed: -1", [f":6: seed: got -1, {SEED}"]),
        ("seed: 4", "seed: yes", [f":6: seed: got the boolean true, {SEED}"]),
        ("seed: 4", "seed: 4\nsed: 5", [":7: sed: unknown key"]),
        ("gaussian, sigma", "gausian, sigma", [":3: crop.kind: got the text 'gausian', must be"]),
        ("crop: {kind: gaussian, sigma: 0.3}\n", "", [":3: softening: there is no crop"]),
        ("lr: 0.1", "lr: 1e-3", [":5: optim.lr: got the text '1e-3'"]),
        ("seed: 4", "seed: 4\nseed: 5", [":7: seed: the key seed stands in lines 6 and 7"]),
        ("3, lr: 0.1}\nseed: 4", "0}\nseed: x", [":5: optim.epochs: got 0", ":6: seed: got the text 'x'"]),
    ],
)  # fmt: skip
def test_mistakes_have_file_line_and_field(old: str, new: str, expected: list[str], tmp_path: Path) -> None:
    path = tmp_path / "bad.yaml"
    assert old in GOOD
    path.write_text(GOOD.replace(old, new))
    found = complaints(path)
    assert len(found) == len(expected)
    assert all(line.startswith(start) for line, start in zip(found, expected, strict=True)), found


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"optim": {"epochs": 0}}, ": optim.epochs: got 0, must be a whole number above 0 and at most 10000"),
        ({"crop": None}, ": softening: there is no crop"),
        ({"optim": {"lr": float("nan")}}, ": optim.lr: got nan, must be a number above 0 and at most 10"),
        ({"model": [1]}, ": model: got a list, must be a mapping"),
    ],
)
def test_mistakes_in_json_have_the_field(change: dict[str, Any], expected: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(json.dumps(RECIPE.model_dump() | change))
    (line,) = complaints(path)
    assert line.startswith(expected)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('{"seed": 1,\n "model" }', ":2: not JSON, column 10"),
        ('{"seed": 1, "seed": 2}', ": not JSON as it should be: the key seed stands twice"),
        ("[" * 100_000, ": not JSON as it should be"),
        ("[1]", ": the file must be a mapping"),
        ("", ":1: not JSON"),
    ],
)
def test_what_is_no_json(text: str, expected: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text(text)
    (line,) = complaints(path)
    assert line.startswith(expected)


def test_a_ledgers_recipe_is_named_by_its_field(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps({"recipe": RECIPE.model_dump() | {"flip": 2.0}, "versions": {}}))
    (line,) = complaints(path)
    assert line.startswith(": recipe.flip: got 2.0, must be a number at least 0 and at most 1")


def test_sweeps_are_told_from_recipes() -> None:
    assert is_recipe(parse(GOOD, "f"))
    assert is_recipe(parse("model: 1", "f"))
    assert not is_recipe(parse("name: a\narms: []\ndata: 1", "f"))
    assert not is_recipe(parse("name: a\nbase: {data: {}}", "f"))
