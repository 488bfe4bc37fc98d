"""Matched controls: pasted into the sweep they expand to what they promise, and inspected they are matched."""

from collections.abc import Callable
from functools import cache
from typing import Any

import pytest

from softaug.arrays import Arrays, load
from softaug.data import split
from softaug.inspection import Inspection, inspect
from softaug.recipe import Recipe
from sweeps.controls import Control, controls, to_yaml
from sweeps.files.catalog import CATALOG
from sweeps.files.expand import resolve
from sweeps.inspected import Subject, look, subject

# Whatever a base, a preset or a name can do to a control.
AWKWARD = """\
name: awkward
question: Are the controls still right?
seeds: [3, 4]
baseline: hard
preset: authors
base:
  data: {name: digits, train_images: 200}
  model: {name: resnet8, width: 4}
  optim: {epochs: 3, batch_size: 32}
  crop: {kind: gaussian, rounding: round}
  softening: {apply_to: both, k: 3.0}
  final_phase: null
axes:
  sigma: {field: crop.sigma, label: s, values: [0.1, 0.3]}
  k: {field: softening.k, label: k, values: [1.0]}
arms:
  - {name: hard, set: {crop: {kind: uniform, radius_px: 1}, softening: null}}
  - {name: base, set: {}, over: [sigma]}
  - name: "weights, {k}: 'mean 1' already"
    set: {softening: {apply_to: weight}, loss: {weighting: per_sample, weight_norm: mean1}}
    over: [sigma]
  - {name: ceiling, set: {softening: {apply_to: target}, label_smoothing: 0.2}, over: [sigma, k]}
  - name: a ceiling over weights whose name has as many letters as the name of an arm may
    set: {softening: {apply_to: weight}, label_smoothing: 0.2}
  - {name: focal, set: {softening: {apply_to: weight}, loss: {focal_gamma: 2.0}}}
  - {name: noise alone, set: {crop: null, noise: {sigma: 0.5}, softening: {k: null, noise_k: 1.0}, mixup: {}}}
  - {name: uniform, set: {crop: {kind: uniform, radius_px: 3}, softening: {apply_to: target}}}
scales:
  paper: {}
  other: {base: {softening: {apply_to: target}}, arms: {base: {flip: 0.25}}, drop: [noise alone]}
"""
NEUTRAL = """\
name: neutral
question: Do they fit here?
seeds: [7]
baseline: first
preset: authors
base:
  data: {name: fashion-mnist}
  model: {name: resnet20}
  crop: {kind: gaussian, sigma: 0.5, fill: zero_norm}
  noise: {}
  label_smoothing: 0.3
  final_phase: {start: 0.5}
arms:
  - {name: first, set: {}}
"""


@pytest.fixture(scope="module")
def digits() -> Arrays:
    return load("digits", None)


Looked = tuple[Subject, list[Inspection], list[Control]]
LookAt = Callable[[str, str | None], Looked]


@pytest.fixture(scope="module")
def look_at(tmp_path_factory: pytest.TempPathFactory) -> LookAt:
    """Return a function that inspects a file's text at a scale, each once."""

    @cache
    def look_once(text: str, scale: str | None) -> Looked:
        path = tmp_path_factory.mktemp("inspected") / ("own.json" if text.startswith("{") else "sweep.yaml")
        path.write_text(text)
        cells = subject(str(path), scale=scale, warn=pytest.fail)
        found = list(look(cells, None))
        return cells, found, controls(cells, [each.mean_confidence for each in found])

    return look_once


def pasted(text: str, arms: str) -> str:
    assert text.count("\narms:\n") == 1
    return text.replace("\narms:\n", f"\narms:\n{arms}")


SWEEPS = [
    ((CATALOG / "quickstart.yaml").read_text(), "smoke"),
    ((CATALOG / "figure-3.yaml").read_text(), "smoke"),
    (AWKWARD, "paper"),
    (AWKWARD, "other"),
]


@pytest.mark.parametrize(("text", "scale"), SWEEPS, ids=["quickstart", "figure-3", "awkward", "awkward, other scale"])
def test_pasted_into_the_sweep_they_are_what_they_promise(
    text: str, scale: str, look_at: LookAt, digits: Arrays
) -> None:
    cells, found, matched = look_at(text, scale)
    new = [control for control in matched if control.twin is None]
    assert new
    confidence = {cell.title: each.mean_confidence for cell, each in zip(cells.cells, found, strict=True)}
    before = resolve(text, "before", scale=scale)
    after = resolve(pasted(text, to_yaml(matched, cells)), "after", scale=scale)  # at every scale without a problem
    added = {cell.arm: cell for cell in after.cells if cell.cell_key not in {cell.cell_key for cell in before.cells}}
    assert len(after.cells) == len(before.cells) + len(new)
    assert len({cell.cell_key for cell in after.cells}) == len(after.cells)
    assert set(added) == {control.name for control in new}
    for control in new:
        recipe = Recipe.model_validate({**added[control.name].recipe, "seed": cells.seed})
        assert recipe == control.recipe
        inspected = inspect(recipe, split(digits, recipe.data).train)
        for title in control.of:
            check(control, of(cells, title), confidence[title], inspected)


def of(cells: Subject, title: str) -> Recipe:
    return next(cells.recipe(cell) for cell in cells.cells if cell.title == title)


def check(control: Control, softened: Recipe, mean_confidence: float, inspected: Inspection) -> None:
    """The control differs from its cell in the parts it may differ in, and is matched."""
    same = {"softening": None, "label_smoothing": 0.0, "loss": softened.loss}
    assert control.recipe.model_copy(update=same) == softened.model_copy(update=same)
    if control.kind == "label smoothing":
        assert control.recipe.softening is None
        assert inspected.mean_confidence == pytest.approx(mean_confidence, abs=5.1e-5)
        assert inspected.mean_confidence == pytest.approx(1 - control.recipe.label_smoothing)
        assert inspected.mean_weight == 1
    else:
        assert control.recipe.softening is not None
        assert control.recipe.softening.apply_to == "weight"
        assert softened.softening is not None
        assert control.recipe.softening.k == softened.softening.k
        assert inspected.mean_weight == pytest.approx(1)
        assert inspected.mean_confidence == pytest.approx(1 - softened.label_smoothing)


def test_every_softened_cell_has_its_pair_and_shares_it(look_at: LookAt) -> None:
    cells, _, matched = look_at(*SWEEPS[1])
    pairs = {(control.kind, title) for control in matched for title in control.of}
    softened = {cell.title: of(cells, cell.title).softening for cell in cells.cells}
    assert pairs == {
        (kind, title)
        for title, softening in softened.items()
        if softening is not None
        for kind in ("label smoothing", "weights")
        if not (kind == "label smoothing" and softening.apply_to == "weight")
    }
    assert len(matched) == 4  # two of each over sigma; three arms share them


def test_they_say_no_more_than_base_and_preset_leave_to_say(look_at: LookAt) -> None:
    _, _, matched = look_at(*SWEEPS[0])
    smoothing, weights = matched
    crop = {"kind": "gaussian", "sigma": 0.3}
    assert smoothing.set == {"crop": crop, "label_smoothing": smoothing.recipe.label_smoothing}
    assert weights.set == {
        "crop": crop, "softening": {"apply_to": "weight", "k": 2.0}, "loss": {"weight_norm": "mean1"},
    }  # fmt: skip
    _, _, matched = look_at(AWKWARD, "paper")
    assert matched[0].set == {
        "crop": {"sigma": 0.1}, "softening": None, "label_smoothing": matched[0].recipe.label_smoothing,
    }  # fmt: skip
    assert matched[1].set["loss"] == {"weighting": "per_sample", "weight_norm": "mean1"}


def test_inspected_again_they_are_in_the_sweep_already(look_at: LookAt) -> None:
    cells, _, matched = look_at(AWKWARD, "paper")
    again, _, twins = look_at(pasted(AWKWARD, to_yaml(matched, cells)), "paper")
    assert {control.twin for control in twins} == {control.twin or control.name for control in matched}
    text = to_yaml(twins, again)
    assert "- name" not in text
    assert text.count("in the sweep already") == len(matched)


def test_nothing_softened_has_no_controls(look_at: LookAt) -> None:
    cells, _, matched = look_at(NEUTRAL.replace("fashion-mnist", "digits"), None)
    assert matched == []
    assert to_yaml(matched, cells).startswith("  # No controls")


def test_weights_of_mean_1_are_their_own_control(look_at: LookAt) -> None:
    own = {**OWN, "softening": {"apply_to": "weight"}, "loss": {"weight_norm": "mean1"}}
    assert look_at(Recipe.model_validate(own).model_dump_json(), None)[2] == []


OWN: dict[str, Any] = {
    "data": {"name": "digits", "train_images": 100},
    "model": {"name": "resnet8", "width": 4},
    "crop": {"kind": "gaussian", "sigma": 0.3, "fill": "const_noise"},
    "softening": {"apply_to": "both"},
    "loss": {"weighting": "batch_mean"},
    "optim": {"epochs": 3},
    "seed": 5,
}


def test_those_of_a_recipe_fit_any_sweep(look_at: LookAt) -> None:
    recipe = Recipe.model_validate(OWN)
    cells, _, matched = look_at(recipe.model_dump_json(), None)
    assert [control.kind for control in matched] == ["label smoothing", "weights"]
    for neutral in (NEUTRAL, NEUTRAL.replace("authors", "paper")):
        after = resolve(pasted(neutral, to_yaml(matched, cells)), "after")
        assert {cell.arm: cell.cell_key for cell in after.cells[1:]} == {
            control.name: control.recipe.cell_key for control in matched
        }
