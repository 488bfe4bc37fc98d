"""Growing a search: more budget, other seeds, a changed space; what is there is never asked for or run again."""

from typing import Any

import pytest

from sweeps.launched import save
from sweeps.resolved import ResolvedSweep
from sweeps.search.cells import is_winner
from sweeps.search.growth import continued, with_winners
from tests.sweeps.searches import SPACE, Loop, asked, end, search_of, sweep, winners_of
from trainables.ledger import TrialFolder
from trainables.store import Store, open_store

SMALL = {"sigma": SPACE["sigma"], "k": SPACE["k"]}


def launched(store: Store, wanted: ResolvedSweep) -> tuple[ResolvedSweep, Loop]:
    """Return a sweep as it has grown when a launch of it has ended, and what ran."""
    loop = Loop(store)
    run = loop.run(continued(store, wanted))
    for recipe in list(run.sweep.recipes()):  # what a launch runs first: cells asked for, with seeds that they lack
        if recipe.key in run.trial_keys and TrialFolder(store, recipe.key).end() is None:
            loop.begun.append(recipe)
            loop.finish(recipe)
    grown = loop.drive(run)
    save(store, grown)
    return grown, loop


def searched(loop: Loop) -> int:
    return sum(bool(recipe.data.validation_images) for recipe in loop.begun)


def test_a_sweep_that_was_never_launched_stays_as_it_is(store: Store) -> None:
    assert continued(store, sweep(SMALL)) == sweep(SMALL)


def test_launched_again_it_runs_nothing_and_ends_the_same(store: Store) -> None:
    grown, _ = launched(store, sweep(SMALL, budget={"cells": 12}))
    again, loop = launched(store, sweep(SMALL, budget={"cells": 12}))
    assert loop.begun == []
    assert again == grown


def test_more_budget_goes_on_as_if_it_had_been_there_from_the_start(store: Store) -> None:
    launched(store, sweep(SMALL, budget={"cells": 11}))
    grown, loop = launched(store, sweep(SMALL, budget={"cells": 19}))
    assert searched(loop) == 8
    at_once, _ = launched(open_store(store.root / "at-once"), sweep(SMALL, budget={"cells": 19}))
    assert asked(grown) == asked(at_once)
    assert grown.model_copy(update={"former": []}) == at_once


def test_less_budget_keeps_what_is_there(store: Store) -> None:
    before, _ = launched(store, sweep(SMALL, budget={"cells": 14}))
    grown, loop = launched(store, sweep(SMALL, budget={"cells": 11}))
    assert loop.begun == []
    assert asked(grown) == asked(before)


def test_another_seed_runs_for_the_cells_there_are_and_changes_what_they_are_worth(store: Store) -> None:
    before, _ = launched(store, sweep(SMALL, budget={"cells": 12}))
    grown, loop = launched(store, sweep(SMALL, seeds=[100, 101], budget={"cells": 12}))
    assert asked(grown) == asked(before)
    assert searched(loop) == 12, "one more for each cell"
    assert {recipe.seed for recipe in loop.begun if recipe.data.validation_images} == {101}
    assert all(set(cell.trials) == {100, 101} for cell in grown.search_cells)


def test_a_seed_and_more_budget_at_once(store: Store) -> None:
    launched(store, sweep(SMALL, budget={"cells": 11}))
    grown, loop = launched(store, sweep(SMALL, seeds=[100, 101], budget={"cells": 13}))
    assert len(grown.search_cells) == 13
    assert searched(loop) == 11 + 2 * 2


def test_other_winners_are_confirmed_beside_those_that_were(store: Store) -> None:
    one, _ = launched(store, sweep(SMALL, budget={"cells": 12}, winners=1))
    three, loop = launched(store, sweep(SMALL, budget={"cells": 12}, winners=3))
    assert winners_of(three)[0] == winners_of(one)[0]
    assert len(loop.begun) == 4


def test_a_former_winner_stays_known_and_enters_no_table(store: Store) -> None:
    one, _ = launched(store, sweep(SMALL, budget={"cells": 10}))
    [winner] = [cell for cell in one.cells if is_winner(cell)]
    going_on = continued(store, sweep(SMALL, budget={"cells": 30}))
    assert [(cell.arm, cell.cell_key) for cell in going_on.former] == [("former winner", winner.cell_key)]
    assert not set(winner.trials.values()) & {key for cell in going_on.cells for key in cell.trials.values()}
    assert set(winner.trials.values()) < set(going_on.trial_keys)
    other, _ = launched(store, sweep(SMALL, budget={"cells": 30}))
    assert winners_of(other) != winners_of(one), "the longer search found a better one"
    assert [cell.cell_key for cell in other.former] == [winner.cell_key]
    back, loop = launched(store, sweep(SMALL, budget={"cells": 30}, winners=20))
    assert loop.begun != []
    assert {cell.cell_key for cell in other.all_cells} <= {cell.cell_key for cell in back.all_cells}
    assert winner.cell_key in {cell.cell_key for cell in back.cells if is_winner(cell)}
    assert back.former == []


def test_a_plan_shows_winners_once(store: Store) -> None:
    grown, _ = launched(store, sweep(SMALL, budget={"cells": 11}))
    planned = with_winners(store, continued(store, sweep(SMALL, budget={"cells": 11})))
    assert planned == grown
    assert planned.former == []


@pytest.mark.parametrize(
    "change",
    [{"in_flight": 2}, {"winners": 2}, {"budget": {"cells": 15}}, {"seeds": [100, 101]}],
    ids=lambda change: next(iter(change)),
)
def test_what_may_change_without_beginning_anew(store: Store, change: dict[str, Any]) -> None:
    before, _ = launched(store, sweep(SMALL, budget={"cells": 11}))
    assert asked(continued(store, sweep(SMALL, **{"budget": {"cells": 11}, **change}))) == asked(before)


def test_a_changed_space_starts_from_the_cells_that_fit_it_which_cost_nothing(store: Store) -> None:
    before, _ = launched(store, sweep(SMALL, budget={"cells": 12}))
    narrow = {**SMALL, "sigma": {**SPACE["sigma"], "high": 0.4}}
    start = continued(store, sweep(narrow, seed=5, budget={"cells": 11}))
    fitting = [values for values in asked(before) if float(values["sigma"]) <= 0.4]
    assert 0 < len(fitting) < 12
    assert asked(start) == fitting
    assert all(ask.earlier for ask in search_of(start).asks)
    grown, loop = launched(store, sweep(narrow, seed=5, budget={"cells": 11}))
    assert len(asked(grown)) == len(fitting) + 11, "its own budget is whole"
    assert searched(loop) == 11
    assert [ask.earlier for ask in search_of(grown).asks] == [True] * len(fitting) + [False] * 11
    again, loop = launched(store, sweep(narrow, seed=5, budget={"cells": 11}))
    assert again == grown
    assert loop.begun == []


def test_a_parameter_that_is_new_takes_the_cells_that_have_its_value(store: Store) -> None:
    before, _ = launched(store, sweep(SMALL, budget={"cells": 11}))
    wider = {**SMALL, "target": SPACE["target"]}
    assert asked(continued(store, sweep(wider))) == [{**values, "target": "target"} for values in asked(before)]
    without = {**SMALL, "target": {"field": "softening.apply_to", "values": ["weight", "both"]}}
    assert asked(continued(store, sweep(without))) == []


def test_a_parameter_that_is_gone_leaves_the_cells_with_its_value_of_the_base(store: Store) -> None:
    few = {"sigma": {"field": "crop.sigma", "values": [0.2, 0.4]}, "k": {"field": "softening.k", "values": [1.0, 2.0]}}
    launched(store, sweep(few, sampler="grid", budget={}))
    start = continued(store, sweep({"sigma": few["sigma"]}))
    assert asked(start) == [{"sigma": 0.2}, {"sigma": 0.4}], "each once: those with k 2"
    assert len(start.search_cells) == 2


def test_another_base_fits_no_cell(store: Store) -> None:
    launched(store, sweep(SMALL, budget={"cells": 11}))
    longer = {"data": {"validation_images": 50}, "optim": {"epochs": 7}}
    assert asked(continued(store, sweep(SMALL, base=longer))) == []


def test_a_grid_of_the_same_space_asks_for_what_is_missing_of_it(store: Store) -> None:
    few = {"sigma": {"field": "crop.sigma", "low": 0.1, "high": 0.6, "step": 0.1}}
    before, _ = launched(store, sweep(few, sampler="random", budget={"cells": 4}))
    grown, loop = launched(store, sweep(few, sampler="grid", budget={}))
    assert sorted(float(values["sigma"]) for values in asked(grown)) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6]
    assert searched(loop) == 6 - len(before.search_cells)


def test_a_cell_that_has_not_ended_is_not_taken_over(store: Store) -> None:
    grown = sweep(SMALL, budget={"cells": 11}, in_flight=2)
    loop = Loop(store)
    save(store, loop.drive(loop.run(grown), slots=1, until=3))
    assert len(asked(continued(store, grown))) == 3
    assert len(asked(continued(store, sweep(SMALL, sampler="random")))) == 3
    run = loop.run(continued(store, grown))
    run.more()
    save(store, run.sweep)
    assert len(asked(continued(store, grown))) == 4
    assert len(asked(continued(store, sweep(SMALL, sampler="random")))) == 3


@pytest.mark.parametrize("minimize", [["val/top1_error"], ["val/top1_error", "val/ece"]])
def test_cells_that_a_scheduler_stopped_are_none_without_one(store: Store, minimize: list[str]) -> None:
    loop = Loop(store)
    loop.finish = lambda recipe: end(store, recipe, {}, state="stopped", judged=[50.0])
    halved = sweep(SMALL, scheduler={"kind": "asha"}, budget={"cells": 5})
    save(store, loop.drive(loop.run(halved)))
    assert len(asked(continued(store, sweep(SMALL, scheduler={"kind": "asha", "reduction": 2})))) == 5
    assert asked(continued(store, sweep(SMALL, minimize=minimize))) == []


def test_a_damaged_file_of_the_search_before_is_asked_for_anew(store: Store) -> None:
    grown, _ = launched(store, sweep(SMALL, budget={"cells": 12}))
    store.write("sweeps/seek@paper.json", b"{}")
    again, loop = launched(store, sweep(SMALL, budget={"cells": 12}))
    assert loop.begun == [], "the ledger answers"
    assert again == grown
