"""What a cell of a search is worth: means over seeds, failures, pruned cells; winners and the Pareto front."""

from typing import get_args

import optuna
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from softaug.arrays import load
from softaug.data import split
from softaug.fit import fit
from sweeps.files.search_file import Objective
from sweeps.resolved import ResolvedSweep, recipes_of
from sweeps.search.cells import with_ask
from sweeps.search.outcomes import FAILED, Found, Outcomes, front, spent, winners
from sweeps.search.search import Ask, Outcome
from tests.sweeps.ledgers import record_launch
from tests.sweeps.searches import LAUNCH, end, search_of, sweep
from trainables.ledger import TrialFolder
from trainables.store import Store

SPACE = {"sigma": {"field": "crop.sigma", "low": 0.1, "high": 0.5}}
TWO = ["val/top1_error", "val/ece"]


def one_cell(**search: object) -> ResolvedSweep:
    return with_ask(sweep(SPACE, **{"seeds": [100, 101, 102], **search}), {"sigma": 0.3})


def outcome(store: Store, grown: ResolvedSweep) -> Outcome | None:
    return Outcomes(store, search_of(grown)).of(grown.search_cells[0])


def test_a_cell_is_worth_the_mean_over_its_seeds_once_all_have_ended(store: Store) -> None:
    grown = one_cell(minimize=TWO)
    outcomes = Outcomes(store, search_of(grown))
    for recipe, error in zip(recipes_of(grown.search_cells[0]), (10.0, 20.0, 60.0), strict=True):
        assert outcomes.of(grown.search_cells[0]) is None
        end(store, recipe, {"val/top1_error": error, "val/ece": error / 10}, judged=[99.0])
    assert outcomes.of(grown.search_cells[0]) == Outcome("complete", (30.0, 3.0))
    assert outcomes.seconds == {grown.search_cells[0].cell_key: 3.0}


@pytest.mark.parametrize("state", ["diverged", "failed"])
def test_one_seed_that_fails_fails_the_cell(store: Store, state: str) -> None:
    grown = one_cell()
    first, second, third = recipes_of(grown.search_cells[0])
    end(store, first, {"val/top1_error": 10.0})
    end(store, second, {"val/top1_error": 10.0}, state=state)
    assert outcome(store, grown) is None, "the third may take its time"
    end(store, third, {"val/top1_error": 10.0})
    assert outcome(store, grown) == FAILED


def test_a_cell_that_the_scheduler_stopped_is_pruned_with_what_was_judged(store: Store) -> None:
    grown = one_cell(seeds=[100], scheduler={"kind": "asha"})
    [recipe] = recipes_of(grown.search_cells[0])
    end(store, recipe, {}, state="stopped", judged=[70.0, 60.0, 50.0])
    assert outcome(store, grown) == Outcome("pruned", steps={1: 70.0, 2: 60.0, 3: 50.0})


@pytest.mark.parametrize("minimize", [["val/top1_error"], TWO])
def test_without_a_scheduler_a_stopped_trial_has_no_value(store: Store, minimize: list[str]) -> None:
    grown = one_cell(seeds=[100], minimize=minimize)
    [recipe] = recipes_of(grown.search_cells[0])
    end(store, recipe, {}, state="stopped", judged=[70.0])
    assert outcome(store, grown) == FAILED


def test_an_objective_that_a_trial_did_not_report_fails_the_cell(store: Store) -> None:
    grown = one_cell(seeds=[100], minimize=["val/nll"])
    end(store, next(recipes_of(grown.search_cells[0])), {"val/top1_error": 10.0})
    assert outcome(store, grown) == FAILED


@pytest.mark.parametrize("file", ["end.json", "0001/epochs.jsonl"])
def test_a_damaged_trial_fails_the_cell(store: Store, file: str) -> None:
    grown = one_cell(seeds=[100])
    [recipe] = recipes_of(grown.search_cells[0])
    end(store, recipe, {"val/top1_error": 10.0})
    path = f"{TrialFolder(store, recipe.key).path}/{file}"
    store.write(path, store.read(path).replace(b"10", b"11").replace(b"finished", b"finishe"))
    assert outcome(store, grown) == FAILED


def test_the_newest_attempt_counts(store: Store) -> None:
    grown = one_cell(seeds=[100])
    [recipe] = recipes_of(grown.search_cells[0])
    end(store, recipe, {}, state="failed")
    TrialFolder(store, recipe.key).reopen()
    end(store, recipe, {"val/top1_error": 12.0})
    assert outcome(store, grown) == Outcome("complete", (12.0,))


def test_every_objective_is_reported_after_every_epoch() -> None:
    [recipe] = recipes_of(one_cell(seeds=[100]).search_cells[0])
    torch.set_num_threads(1)
    epoch = next(iter(fit(recipe, split(load("digits", None), recipe.data), device=torch.device("cpu"))))
    assert set(get_args(Objective)) <= set(epoch.metrics)


def asks_of(keys: list[str]) -> list[Ask]:
    return [Ask(values={"sigma": 0.1 + number / 100}, cell_key=key) for number, key in enumerate(keys)]


def found(values: dict[str, tuple[float, ...]], most: int, *, minimize: list[str] | None = None) -> list[str]:
    search = search_of(sweep(SPACE, winners=most, minimize=minimize or ["val/top1_error"]))
    asked = search.model_copy(update={"asks": asks_of([*values, *values])})
    outcomes = {key: Outcome("complete", each) if each else FAILED for key, each in values.items()}
    outcomes["unasked"] = Outcome("complete", (0.0,) * len(search.minimize))
    return [each.ask.cell_key for each in winners(asked, outcomes)]


def test_winners_are_the_best_complete_cells_of_equal_ones_the_first() -> None:
    values: dict[str, tuple[float, ...]] = {"a": (3.0,), "b": (1.0,), "c": (), "d": (2.0,), "e": (1.0,), "f": (2.0,)}
    assert found(values, 1) == ["b"]
    assert found(values, 4) == ["b", "e", "d", "f"]
    assert found(values, 20) == ["b", "e", "d", "f", "a"]
    assert found({"a": ()}, 3) == []


def test_winners_of_two_objectives_are_the_front_thinned_out_evenly() -> None:
    values: dict[str, tuple[float, ...]] = {
        "worst": (9.0, 9.0), "a": (1.0, 5.0), "b": (2.0, 4.0), "c": (3.0, 3.0), "d": (4.0, 2.0), "e": (5.0, 1.0),
    }  # fmt: skip
    assert found(values, 20, minimize=TWO) == ["a", "b", "c", "d", "e"]
    assert found(values, 3, minimize=TWO) == ["a", "c", "e"]
    assert found(values, 2, minimize=TWO) == ["a", "e"]
    assert found(values, 1, minimize=TWO) == ["a"]


POINTS = st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), min_size=1, max_size=12)


@settings(max_examples=200, deadline=None)
@given(points=POINTS)
def test_the_front_is_optuna_s(points: list[tuple[int, int]]) -> None:
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    study = optuna.create_study(directions=["minimize", "minimize"])
    study.add_trials([optuna.create_trial(values=[float(x), float(y)]) for x, y in points])
    cells = sorted((Found(Ask(values={}), (float(x), float(y))) for x, y in points), key=lambda each: each.values)
    best = [each.values for each in front(cells)]
    assert len(best) == len(set(best)), "of equal cells one"
    assert set(best) == {tuple(trial.values) for trial in study.best_trials}


def test_what_of_the_budget_is_spent(store: Store) -> None:
    def told(limit: str, value: float, grown: ResolvedSweep, seconds: float = 0.0, at: int = 0) -> str:
        search = search_of(grown)
        limited = search.model_copy(update={"budget": search.budget.model_copy(update={"cells": None, limit: value})})
        outcomes = Outcomes(store, limited)
        outcomes.seconds = {grown.search_cells[at].cell_key: seconds}
        return spent(grown.model_copy(update={"search": limited}), outcomes, LAUNCH)

    grown = sweep(SPACE, seeds=[100, 101])
    for sigma in (0.1, 0.2, 0.2, 5.0):  # two cells, one of them twice, and one that cannot be
        grown = with_ask(grown, {"sigma": sigma})
    taken_over = with_ask(grown, {"sigma": 0.4}, earlier=True)
    for each in (grown, taken_over):  # which costs nothing
        assert told("cells", 4, each) == "4 cells"
        assert told("cells", 5, each) == ""
        assert told("trials", 4, each) == "4 trials"
        assert told("trials", 5, each) == ""
    on_gpus = taken_over.model_copy(update={"resources": grown.resources.model_copy(update={"gpus": 0.5})})
    assert told("gpu_hours", 0.5, on_gpus, seconds=3600) == "0.5 GPU hours"
    assert told("gpu_hours", 0.5, on_gpus, seconds=3590) == ""
    assert told("gpu_hours", 0.5, on_gpus, seconds=7200, at=-1) == "", "another search has paid for it"
    assert told("wall_hours", 0.01, grown) == ""
    record_launch(store, LAUNCH.replace("0001", "0002"))  # a minute, of which the other launches know
    record_launch(store, "other@paper-0001")
    assert told("wall_hours", 0.016, grown) == "0.016 hours"
    assert told("wall_hours", 0.018, grown) == ""
