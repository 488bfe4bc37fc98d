"""Values to cells and back: a roundtrip over spaces with conditions; winners drop the search's base."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from softaug.recipe import Recipe
from sweeps.search.cells import asked_cell, values_of, winner_cell, with_ask
from sweeps.search.search import Parameter, Search, Values, in_order
from tests.sweeps.searches import SPACE, search_of, sweep

SWEEP = sweep()
SEARCH = search_of(SWEEP)


def value(parameter: Parameter) -> st.SearchStrategy[Any]:
    """Draw any value that a sampler might draw, as the search asks for it."""
    if parameter.kind == "choice" or parameter.step is not None:
        return st.sampled_from(parameter.grid())
    if parameter.kind == "int":
        return st.integers(int(parameter.low), int(parameter.high))
    return st.floats(float(parameter.low), float(parameter.high)).map(parameter.exact)


@st.composite
def some_values(draw: st.DrawFn, search: Search = SEARCH) -> Values:
    values: Values = {}
    for parameter in search.parameters:
        if parameter.is_there(values):
            values[parameter.name] = draw(value(parameter))
    return values


def whole(recipe: dict[str, Any]) -> dict[str, Any]:
    return Recipe.model_validate({**recipe, "seed": 0}).model_dump(mode="json")


@settings(max_examples=200, deadline=None)
@given(values=some_values())
def test_the_values_of_a_cell_are_found_again_in_its_recipe(values: Values) -> None:
    cell = asked_cell(SEARCH, values)
    assert cell.axes == values
    assert values_of(SEARCH, whole(cell.recipe)) == values


@settings(max_examples=50, deadline=None)
@given(values=some_values())
def test_a_cell_has_its_values_and_the_search_s_base(values: Values) -> None:
    [recipe] = [Recipe.model_validate({**asked_cell(SEARCH, values).recipe, "seed": seed}) for seed in SEARCH.seeds]
    assert recipe.crop is not None
    assert recipe.softening is not None
    assert (recipe.model.width, recipe.softening.apply_to) == (values["width"], values["target"])
    assert (recipe.data.validation_images, recipe.optim.epochs) == (50, 6)
    assert getattr(recipe.policy, "magnitude", None) == values.get("magnitude")


@settings(max_examples=50, deadline=None)
@given(values=some_values())
def test_winners_drop_the_search_s_base_and_have_fresh_seeds(values: Values) -> None:
    searched, confirmed = asked_cell(SEARCH, values), winner_cell(SEARCH, values, 2, SWEEP.seeds)
    assert confirmed.arm == "winner 2"
    assert (confirmed.recipe["data"].get("validation_images", 0), confirmed.recipe["optim"]["epochs"]) == (0, 9)
    assert set(confirmed.trials) == {0, 1}
    assert not set(confirmed.trials.values()) & set(searched.trials.values())
    changed = {**searched.recipe, "data": confirmed.recipe["data"], "optim": confirmed.recipe["optim"]}
    assert changed == confirmed.recipe, "nothing else differs"


def test_the_winner_that_an_arm_has_already_is_that_arm_s_cell() -> None:
    values: Values = {"sigma": 0.3, "k": 2.0, "width": 4, "target": "target", "policy": "none"}
    paper = next(cell for cell in SWEEP.cells if cell.arm == "paper")
    assert winner_cell(SEARCH, values, 1, SWEEP.seeds).cell_key == paper.cell_key


@pytest.mark.parametrize(
    ("path", "found"),
    [
        (("crop", "sigma"), 0.33),  # between two steps
        (("crop", "sigma"), 0.85),  # beyond
        (("softening", "k"), 0.4),
        (("model", "width"), 6),
        (("softening", "apply_to"), "weight"),
        (("crop", "kind"), "uniform"),
    ],
)
def test_a_recipe_outside_of_the_space_has_no_values(path: tuple[str, str], found: object) -> None:
    values: Values = {"sigma": 0.3, "k": 2.0, "width": 4, "target": "target", "policy": "none"}
    recipe = whole(asked_cell(SEARCH, values).recipe)
    recipe[path[0]] = {**recipe[path[0]], path[1]: found}
    if found == "uniform":
        recipe["crop"] = {"kind": "uniform", "radius_px": 1}
    assert values_of(SEARCH, recipe) is None


def test_of_two_choices_that_fit_a_recipe_the_one_that_says_more_is_meant() -> None:
    choices = {"as it is": {}, "wide": {"model": {"width": 16}}}
    search = search_of(sweep({"size": {"choices": choices}}))
    for name in choices:
        assert values_of(search, whole(asked_cell(search, {"size": name}).recipe)) == {"size": name}


def test_a_cell_asked_for_twice_is_one_cell_and_two_asks() -> None:
    values: Values = {"sigma": 0.3, "k": 2.0, "width": 4, "target": "target", "policy": "none"}
    grown = with_ask(with_ask(SWEEP, values), {**values})
    assert len(grown.search_cells) == 1
    assert [ask.cell_key for ask in search_of(grown).asks] == [grown.search_cells[0].cell_key] * 2


def test_values_that_no_recipe_can_have_are_kept_with_the_reason() -> None:
    grown = with_ask(sweep({"sigma": SPACE["sigma"]}), {"sigma": 5.0})
    [ask] = search_of(grown).asks
    assert (ask.cell_key, grown.search_cells) == ("", [])
    assert "less than or equal to 2" in ask.refused


def test_parameters_come_after_those_they_depend_on_and_else_by_name() -> None:
    assert in_order({"b": {"a"}, "c": set(), "a": {"z"}, "z": set()}) == ["c", "z", "a", "b"]
    assert in_order({"a": {"b"}, "b": {"a"}, "c": set()}) == ["c"]
