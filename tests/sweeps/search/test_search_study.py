"""The study: rebuilt at any point it asks for the same, whatever the sampler; outcomes are told as what they are."""

import itertools
import random
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweeps.search.search import Outcome, Search, Values
from sweeps.search.study import STARTUP_CELLS, Asker, frozen, grid
from tests.sweeps.searches import GRID, SPACE, ece, error, search_of, sweep

CELLS = 26
KINDS: dict[str, dict[str, Any]] = {
    "tpe": {},
    "random": {"sampler": "random"},
    "grid": {"sampler": "grid", "space": {name: SPACE[name] for name in ("sigma", "width", "target")}},
    "two objectives": {"minimize": ["val/top1_error", "val/ece"]},
    "halved": {"scheduler": {"kind": "asha"}},
}


def search(kind: str, **more: Any) -> Search:
    how = {**KINDS[kind], **more}
    return search_of(sweep(how.pop("space", SPACE), **how))


def outcome(search: Search, values: Values, number: int) -> Outcome:
    """Return how a cell ends: every seventh fails, every fifth is pruned if the search has a scheduler."""
    if number % 7 == 3:
        return Outcome("failed")
    if search.halving is not None and number % 5 == 1:
        return Outcome("pruned", steps={1: error(values) + 20, 3: error(values) + 3})
    return Outcome("complete", (error(values), ece(values))[: len(search.minimize)])


def undisturbed(search: Search, cells: int = CELLS, in_flight: int = 4) -> list[Values]:
    """Return the values that one asker asks for when nothing happens."""
    asker, asked = Asker(search), []
    for number in range(cells):
        while asker.told < number - in_flight + 1:
            asker.tell(outcome(search, asked[asker.told], asker.told))
        values = asker.ask()
        if values is None:
            break
        asked.append(values)
    return asked


def rebuilt(search: Search, asked: list[Values], in_flight: int = 4) -> Asker:
    """Return an asker that begins anew after these cells, as far as they have ended."""
    asker = Asker(search)
    told = max(0, len(asked) - in_flight + 1)
    asker.ended([(values, outcome(search, values, number)) for number, values in enumerate(asked[:told])])
    for values in asked[told:]:
        asker.again(values)
    return asker


@pytest.mark.parametrize("kind", KINDS)
def test_rebuilt_at_any_point_it_asks_for_the_same(kind: str) -> None:
    wanted = search(kind)
    asked = undisturbed(wanted)
    assert len(asked) == CELLS
    for point in range(CELLS):
        assert rebuilt(wanted, asked[:point]).ask() == asked[point], f"cell {point}"


def test_rebuilt_long_after_it_asks_for_the_same_too() -> None:
    wanted = search("halved")
    asked = undisturbed(wanted, cells=70)
    for point in (40, 55, 69):
        assert rebuilt(wanted, asked[:point]).ask() == asked[point]


@pytest.mark.parametrize("kind", ["tpe", "two objectives", "halved"])
def test_tpe_looks_at_the_outcomes(kind: str) -> None:
    wanted = search(kind)
    asked = undisturbed(wanted)
    other = Asker(wanted)
    cells = [(values, outcome(wanted, values, number)) for number, values in enumerate(asked[:20])]
    turned = [
        (values, Outcome(each.state, tuple(100 - value for value in each.values), each.steps)) for values, each in cells
    ]
    other.ended(turned)
    assert other.ask() != rebuilt(wanted, asked[:20], in_flight=1).ask()


@pytest.mark.parametrize(("kind", "more"), [("tpe", {"seed": 1}), ("random", {"seed": 1}), ("tpe", {})])
def test_another_seed_is_another_search_and_the_same_seed_the_same(kind: str, more: dict[str, int]) -> None:
    equal = undisturbed(search(kind), 12) == undisturbed(search(kind, **more), 12)
    assert equal is not bool(more)


@pytest.mark.parametrize("kind", ["tpe", "random", "grid"])
def test_the_order_of_the_parameters_in_the_file_is_nothing(kind: str) -> None:
    space = KINDS[kind].get("space", SPACE)
    turned = dict(reversed(list(space.items())))
    assert list(turned) != list(space)
    assert undisturbed(search(kind, space=turned)) == undisturbed(search(kind, space=space))


def test_outcomes_are_told_as_what_they_are() -> None:
    asker = Asker(search("halved"))
    asked = [asker.ask() for _ in range(3)]
    numbers = [trial.number for trial in asker.open]
    told = [Outcome("complete", (21.5,)), Outcome("pruned", steps={1: 40.0, 3: 30.0}), Outcome("failed")]
    for each in told:
        asker.tell(each)
    complete, pruned, failed = (asker.study.trials[number] for number in numbers)
    assert [trial.params for trial in (complete, pruned, failed)] == asked
    assert (complete.state, complete.value) == (TrialState.COMPLETE, 21.5)
    assert (pruned.state, pruned.intermediate_values) == (TrialState.PRUNED, {1: 40.0, 3: 30.0})
    assert failed.state == TrialState.FAIL
    assert asker.told == asker.asked == 3


@pytest.mark.parametrize("minimize", [["val/top1_error"], ["val/ece", "val/nll"]])
def test_a_cell_that_has_ended_is_kept_as_optuna_keeps_it(minimize: list[str]) -> None:
    wanted = search_of(sweep(minimize=minimize))
    values: Values = {"sigma": 0.3, "k": 2.0, "width": 4, "target": "both", "policy": "RandAugment", "magnitude": 7}
    kept = frozen(wanted, values, Outcome("complete", (3.0, 4.0)[: len(minimize)]))
    study = optuna.create_study(directions=["minimize"] * len(minimize))
    study.add_trial(kept)  # which checks it
    assert study.trials[0].params == values
    assert study.trials[0].values == [3.0, 4.0][: len(minimize)]
    assert [trial.params for trial in study.best_trials] == [values]


def test_the_first_cells_are_drawn_at_random() -> None:
    assert undisturbed(search("tpe"), STARTUP_CELLS) == undisturbed(search("random"), STARTUP_CELLS)
    assert undisturbed(search("tpe")) != undisturbed(search("random"))


def test_numbers_come_as_they_are_written() -> None:
    asked = undisturbed(search("random"))
    assert {values["sigma"] for values in asked} <= {round(0.05 * step, 2) for step in range(1, 17)}
    assert all(values["k"] == float(f"{values['k']:.4g}") for values in asked)
    assert all(0.5 <= values["k"] <= 6.0 for values in asked)
    assert {type(values["width"]) for values in asked} == {int}
    assert {values["width"] for values in asked} <= {4, 8, 12, 16}
    assert all(("magnitude" in values) == (values["policy"] == "RandAugment") for values in asked)


def test_a_number_at_the_end_of_its_range_is_not_rounded_out_of_it() -> None:
    [parameter] = search_of(sweep({"k": {"field": "softening.k", "low": 0.512345, "high": 0.9876543}})).parameters
    assert parameter.exact(0.512345) == 0.512345
    assert parameter.exact(0.9876543) == 0.9876543
    assert parameter.exact(0.7000000000000001) == 0.7


def test_a_grid_is_every_point_once_with_conditional_parameters_only_where_they_are() -> None:
    wanted = search_of(sweep(GRID, sampler="grid"))
    expected = [{"policy": "none", "sigma": sigma} for sigma in (0.1, 0.2, 0.3)] + [
        {"policy": "RandAugment", "sigma": sigma, "magnitude": magnitude}
        for sigma, magnitude in itertools.product((0.1, 0.2, 0.3), (3, 9))
    ]
    assert list(grid(wanted.parameters)) == expected
    assert undisturbed(wanted, 20) == expected


def test_a_grid_leaves_out_what_was_asked_for_before() -> None:
    wanted = search_of(sweep(GRID, sampler="grid"))
    points = list(grid(wanted.parameters))
    asker = Asker(wanted)
    asker.ended([(points[number], Outcome("complete", (1.0,))) for number in (4, 1)])
    rest = [asker.ask() for _ in range(len(points) - 1)]
    assert rest == [*(point for number, point in enumerate(points) if number not in (4, 1)), None, None][: len(rest)]


def test_asking_and_telling_in_turn_is_what_a_launch_does_whatever_its_slots() -> None:
    """Cells that end out of order are told in order; more open ones than in_flight never are."""
    wanted = search("tpe")
    asked = undisturbed(wanted, in_flight=4)
    draw, asker = random.Random(3), Asker(wanted)
    again: list[Values] = []
    ended: set[int] = set()
    while len(again) < CELLS:
        while asker.told in ended and asker.told < len(again) - 3:
            asker.tell(outcome(wanted, again[asker.told], asker.told))
        if asker.told >= len(again) - 3:
            values = asker.ask()
            assert values is not None
            again.append(values)
        else:
            ended.add(draw.choice([number for number in range(len(again)) if number not in ended]))
    assert again == asked
