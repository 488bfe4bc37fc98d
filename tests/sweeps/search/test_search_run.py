"""A search as a launch drives it, over a ledger that a loop fills: what it asks for, when, and when it ends."""

import random
from typing import Any

import pytest

from softaug.recipe import Recipe
from sweeps.resolved import ResolvedSweep
from sweeps.search.run import MAX_FRUITLESS
from sweeps.search.study import STARTUP_CELLS
from tests.sweeps.searches import (
    GRID,
    SPACE,
    Loop,
    asked,
    end,
    search_of,
    surface,
    sweep,
    values_in,
    winners_of,
)
from trainables.ledger import TrialFolder
from trainables.store import Store, open_store

SMALL = {"sigma": SPACE["sigma"], "k": SPACE["k"]}


def driven(store: Store, grown: ResolvedSweep, **how: Any) -> ResolvedSweep:
    """Return a sweep whose search ran to its end in one go."""
    loop = Loop(store)
    return loop.drive(loop.run(grown), **how)


def keys(recipes: list[Recipe]) -> list[str]:
    return [recipe.key for recipe in recipes]


def test_a_search_asks_up_to_its_budget_and_confirms_the_best(store: Store) -> None:
    loop = Loop(store)
    grown = loop.drive(loop.run(sweep(SMALL, budget={"cells": 16}, winners=2)))
    assert len(asked(grown)) == len(grown.search_cells) == 16
    by_value = sorted(
        (TrialFolder(store, key).rows()[-1].metrics["val/top1_error"], number)
        for number, cell in enumerate(grown.search_cells)
        for key in cell.trials.values()
    )
    assert winners_of(grown) == [grown.search_cells[number].axes for _, number in by_value[:2]]
    assert [cell.arm for cell in grown.cells] == ["standard crop", "paper", "winner 1", "winner 2"]
    assert len(set(keys(loop.begun))) == len(loop.begun) == 16 + 2 * 2, "each once, two seeds for each winner"
    assert loop.said == ["the search has spent its budget of 16 cells"]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
@pytest.mark.parametrize("order", range(3))
def test_the_order_in_which_trials_end_and_the_slots_are_nothing(store: Store, sampler: str, order: int) -> None:
    how = {"sampler": sampler, "seeds": [100, 101], "budget": {"cells": 18}}
    straight = driven(open_store(store.root / "straight"), sweep(SMALL, **how))
    shuffled = driven(
        open_store(store.root / "shuffled"), sweep(SMALL, **how), order=random.Random(order), slots=1 + 3 * order
    )
    assert asked(shuffled) == asked(straight)
    assert shuffled == straight


@pytest.mark.parametrize("point", [1, 2, 5, 11, 17, 19, 23])
def test_a_search_that_is_cut_off_asks_for_what_an_undisturbed_one_does(store: Store, point: int) -> None:
    grown = sweep(SMALL, winners=2, in_flight=3, budget={"cells": 20})
    undisturbed = driven(open_store(store.root / "undisturbed"), grown)
    other = open_store(store.root / "cut-off")
    first = Loop(other)
    kept: list[ResolvedSweep] = [grown]
    first.drive(first.run(grown, grown=lambda sweep, _: kept.append(sweep)), until=point)
    # The newest two cells are lost with the launch: the sweep's file is not written at once.
    lost = kept[max(0, len(kept) - 3)]
    without_winners = lost.model_copy(update={"cells": grown.cells})
    second = Loop(other)
    ended = second.drive(second.run(without_winners), order=random.Random(point))
    assert asked(ended) == asked(undisturbed)
    assert ended == undisturbed
    done = {recipe.key for recipe in first.begun if len(TrialFolder(other, recipe.key).numbers()) > 1}
    assert not done, "no trial ran twice"


@pytest.mark.parametrize("in_flight", [1, 3, 7])
def test_no_more_cells_are_open_than_in_flight(store: Store, in_flight: int) -> None:
    loop = Loop(store)
    loop.drive(loop.run(sweep(SMALL, in_flight=in_flight, seeds=[100, 101], budget={"cells": 12})), slots=20)
    assert loop.most == in_flight


def test_a_budget_of_trials_counts_seeds_and_lets_the_last_cell_end(store: Store) -> None:
    loop = Loop(store)
    grown = loop.drive(loop.run(sweep(SMALL, seeds=[100, 101, 102], budget={"trials": 10})))
    assert len(grown.search_cells) == 4
    assert loop.said == ["the search has spent its budget of 10 trials"]


def test_a_budget_of_hours_ends_the_search(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    hours = iter(n / 10 for n in range(100))
    monkeypatch.setattr("sweeps.search.outcomes._hours_of_launches", lambda *_: next(hours))
    loop = Loop(store)
    grown = loop.drive(loop.run(sweep(SMALL, budget={"wall_hours": 0.5})))
    assert loop.said == ["the search has spent its budget of 0.5 hours"]
    assert 0 < len(grown.search_cells) <= 6
    assert len(winners_of(grown)) == 1


def test_whichever_limit_is_reached_first_ends_it(store: Store) -> None:
    loop = Loop(store)
    loop.drive(loop.run(sweep(SMALL, budget={"cells": 9, "trials": 5, "wall_hours": 100.0})))
    assert loop.said == ["the search has spent its budget of 5 trials"]


def test_what_the_ledger_holds_already_costs_nothing(store: Store) -> None:
    grown = sweep(SMALL, budget={"cells": 12})
    done = Loop(store)
    straight = done.drive(done.run(grown))
    again = Loop(store)
    assert again.drive(again.run(grown)) == straight
    assert again.begun == [], "another sweep of the same space runs nothing"


def test_a_suggestion_that_came_before_is_answered_from_the_ledger(store: Store) -> None:
    few = {"sigma": {"field": "crop.sigma", "values": [0.2, 0.3, 0.4]}}
    loop = Loop(store)
    grown = loop.drive(loop.run(sweep(few, sampler="random", budget={"cells": 20})))
    assert len(asked(grown)) == 20
    assert len(grown.search_cells) == 3
    assert len([recipe for recipe in loop.begun if recipe.data.validation_images]) == 3
    assert len(set(keys(loop.begun))) == len(loop.begun)


@pytest.mark.parametrize("sampler", ["random", "tpe"])
def test_a_space_without_new_cells_ends_the_search(store: Store, sampler: str) -> None:
    few = {"sigma": {"field": "crop.sigma", "values": [0.2, 0.3, 0.4]}}
    loop = Loop(store)
    grown = loop.drive(loop.run(sweep(few, sampler=sampler, budget={"trials": 50})))
    assert loop.said[0] == f"the search ends: its last {MAX_FRUITLESS} suggestions brought no new cell"
    again = Loop(store)
    assert again.drive(again.run(grown.model_copy(update={"cells": sweep(few).cells}))) == grown
    assert loop.said[0] in again.said, "at once: nothing is asked for again"


def test_a_grid_ends_with_its_last_point(store: Store) -> None:
    loop = Loop(store)
    grown = loop.drive(loop.run(sweep(GRID, sampler="grid", budget={})))
    assert len(grown.search_cells) == 9
    assert loop.said[0] == "the search has been over its whole grid of 9 cells"
    assert sum(not recipe.data.validation_images for recipe in loop.begun) in (0, 2), "two seeds, unless it is an arm"


def failing(store: Store, bad: set[int], said: Loop) -> Any:
    """Return what ends trials as the surface does, but those cells, by their number, as failed."""
    finish = surface(store, values_in)

    def ended(recipe: Recipe) -> None:
        if len(said.begun) - 1 in bad:
            end(store, recipe, {}, state="diverged")
        else:
            finish(recipe)

    return ended


def test_a_cell_that_fails_fails_alone(store: Store) -> None:
    loop = Loop(store)
    loop.finish = failing(store, {0, 3, 4}, loop)
    grown = loop.drive(loop.run(sweep(SMALL, budget={"cells": 14})), slots=1)
    assert len(grown.search_cells) == 14
    assert len(winners_of(grown)) == 1
    bad = {tuple(grown.search_cells[number].axes.items()) for number in (0, 3, 4)}
    assert not bad & {tuple(values.items()) for values in winners_of(grown)}


def test_ten_failing_cells_from_the_first_on_end_the_search(store: Store) -> None:
    loop = Loop(store)
    loop.finish = failing(store, set(range(100)), loop)
    grown = loop.drive(loop.run(sweep(SMALL, budget={"cells": 30})), slots=1)
    assert len(grown.search_cells) == STARTUP_CELLS
    assert loop.said == [
        "the search ends: its first 10 cells all failed",
        "no cell of the search ended well: there is no winner to confirm",
    ]
    other = Loop(open_store(store.root / "other"))
    other.finish = failing(other.store, set(range(9)), other)
    assert len(other.drive(other.run(sweep(SMALL, budget={"cells": 12})), slots=1).search_cells) == 12


def test_failures_that_are_tried_again_count_again(store: Store) -> None:
    loop = Loop(store)
    loop.finish = failing(store, set(range(100)), loop)
    grown = loop.drive(loop.run(sweep(SMALL, budget={"cells": 16})), slots=1)
    recipes = list(loop.begun)
    for recipe in recipes:
        TrialFolder(store, recipe.key).reopen()
    again = Loop(store)
    run = again.run(grown)
    assert run.more() == [], "nothing is asked for while they run"
    for recipe in recipes:
        again.finish(recipe)
    assert len(again.drive(run).search_cells) == 16
    assert again.said[-1] == "the search has spent its budget of 16 cells"


def test_a_winner_that_failed_is_something_to_come_only_if_it_is_tried_again(store: Store) -> None:
    finish = surface(store, values_in)

    def confirming_fails(recipe: Recipe) -> None:
        if recipe.data.validation_images:
            finish(recipe)
        else:
            end(store, recipe, {}, state="failed")

    loop = Loop(store, confirming_fails)
    grown = loop.drive(loop.run(sweep(SMALL, budget={"cells": 12})))
    searched = grown.model_copy(update={"cells": sweep(SMALL).cells})
    assert not Loop(store).run(searched).anything_to_come()
    assert Loop(store).run(searched, retried=("failed",)).anything_to_come()


def test_there_is_something_to_come_until_the_winners_have_ended(store: Store) -> None:
    grown = sweep(SMALL, budget={"cells": 12})
    loop = Loop(store)
    run = loop.run(grown)
    assert run.anything_to_come()
    assert asked(run.sweep) == [], "to know that, nothing is kept"
    loop.drive(run, until=12)
    assert run.anything_to_come()
    loop.drive(run)
    assert not Loop(store).run(run.sweep.model_copy(update={"cells": grown.cells})).anything_to_come()


def test_a_winner_with_a_damaged_end_is_nothing_to_come(store: Store) -> None:
    loop = Loop(store)
    grown = loop.drive(loop.run(sweep(SMALL, budget={"cells": 12})))
    for key in grown.cells[-1].trials.values():
        store.write(f"{TrialFolder(store, key).path}/end.json", b"{}")
    assert not Loop(store).run(grown.model_copy(update={"cells": sweep(SMALL).cells})).anything_to_come()


def test_a_winner_that_an_arm_has_is_not_run_again(store: Store) -> None:
    two = {"sigma": {"field": "crop.sigma", "values": [0.3, 0.8]}}
    loop = Loop(store)
    grown = loop.drive(loop.run(sweep(two, sampler="grid", budget={})))
    assert winners_of(grown) == []
    assert loop.said[-1] == "winner 1 of the search is the cell paper"
    assert {recipe.data.validation_images for recipe in loop.begun} == {50}


def test_a_stopped_search_asks_for_nothing_more(store: Store) -> None:
    loop = Loop(store)
    run = loop.run(sweep(SMALL))
    loop.drive(run, until=3)
    run.stop()
    assert run.more() == []
    assert run.over
    assert winners_of(run.sweep) == []


def test_only_cells_of_the_search_are_judged_at_rungs(store: Store) -> None:
    how: dict[str, Any] = {"scheduler": {"kind": "asha", "grace_epochs": 1, "reduction": 2}, "budget": {"cells": 10}}
    loop = Loop(store)
    run = loop.run(sweep(SMALL, **how))
    loop.drive(run)
    searched = [recipe for recipe in loop.begun if recipe.data.validation_images]
    assert {tuple(run.rungs_of(recipe)) for recipe in searched} == {(1, 2, 4)}
    confirmed = [recipe for recipe in loop.begun if not recipe.data.validation_images]
    assert {tuple(run.rungs_of(recipe)) for recipe in confirmed} == {()}


def test_every_ask_is_told_so_that_the_last_state_can_be_kept(store: Store) -> None:
    few = {"sigma": {"field": "crop.sigma", "values": [0.2, 0.3, 0.4]}}
    kept: list[ResolvedSweep] = []
    loop = Loop(store)
    run = loop.run(
        sweep(few, sampler="random", budget={"cells": 20}), grown=lambda sweep, _: kept.append(sweep), asked=kept.append
    )
    loop.drive(run)
    assert len(search_of(kept[-1]).asks) == 20
    assert kept[-1] == run.sweep
