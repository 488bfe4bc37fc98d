"""ASHA: the rule against a literal reading of it, rungs of earlier launches, and what a stopped trial leaves."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.tune.schedulers import TrialScheduler

from softaug.recipe import Recipe
from sweeps.resolved import recipes_of
from sweeps.search.cells import with_ask
from sweeps.search.halving import HalvingScheduler, goes_on
from sweeps.search.run import SearchRun
from sweeps.search.search import Halving
from tests.sweeps.searches import SPACE, Loop, sweep
from trainables.folder_store import FolderStore
from trainables.ledger import Attempt, AttemptFolder, Row, TrialFolder
from trainables.store import Store

SMALL = {"sigma": SPACE["sigma"]}
HALVING: dict[str, Any] = {"scheduler": {"kind": "asha", "grace_epochs": 1, "reduction": 3}, "budget": {"cells": 16}}


def literally(values: list[float], own: float, reduction: int) -> bool:
    """Li et al. 2020, Algorithm 2: promoted are the top floor(n / reduction) at a rung; here one at least."""
    most = max(1, len(values) // reduction)
    place = sorted(values).index(own)
    return place < most


@given(
    values=st.lists(st.integers(0, 8).map(float), min_size=1, max_size=30),
    which=st.integers(0, 29),
    reduction=st.integers(2, 5),
)
def test_the_rule_is_that_of_the_paper(values: list[float], which: int, reduction: int) -> None:
    own = values[which % len(values)]
    assert goes_on(values, own, reduction) == literally(values, own, reduction)


@given(values=st.lists(st.floats(0, 100), min_size=1, max_size=40, unique=True), reduction=st.integers(2, 5))
def test_the_best_goes_on_and_not_more_than_the_share(values: list[float], reduction: int) -> None:
    going = [value for value in values if goes_on(values, value, reduction)]
    assert min(values) in going
    assert len(going) == max(1, len(values) // reduction)


@pytest.mark.parametrize(
    ("grace", "reduction", "epochs", "rungs"),
    [(1, 3, 30, [1, 3, 9, 27]), (1, 3, 27, [1, 3, 9]), (2, 2, 9, [2, 4, 8]), (5, 3, 6, [5]), (6, 3, 6, [])],
)
def test_rungs_are_grace_times_powers_below_the_end(grace: int, reduction: int, epochs: int, rungs: list[int]) -> None:
    assert Halving(grace_epochs=grace, reduction=reduction).rungs(epochs) == rungs


def grown(store: Store, sigmas: list[float], **more: Any) -> tuple[SearchRun, list[Recipe]]:
    """Return a search that has asked for these, and the trial of each."""
    wanted = sweep(SMALL, **{**HALVING, **more})
    for sigma in sigmas:
        wanted = with_ask(wanted, {"sigma": sigma})
    return Loop(store).run(wanted), [recipe for cell in wanted.search_cells for recipe in recipes_of(cell)]


def begun(store: Store, recipe: Recipe, errors: list[float], attempt: int = 1) -> AttemptFolder:
    """Write a trial that runs and has so many epochs."""
    trial = TrialFolder(store, recipe.key)
    trial.write_recipe(recipe)
    folder = trial.begin(
        Attempt(number=attempt, launch="l", host="h", pid=1, started=1.0, git_commit="c", git_dirty=False)
    )
    assert folder is not None
    folder.write_rows(
        [
            Row(epoch=epoch, time=float(epoch), seconds=2.0 * epoch, metrics={"val/top1_error": error})
            for epoch, error in enumerate(errors, start=1)
        ]
    )
    return folder


def judge(scheduler: HalvingScheduler, recipe: Recipe, rung: int, value: float) -> str:
    result = {"trial_key": recipe.key, "rung": rung, "value": value}
    return scheduler.on_trial_result(None, None, result)


def silent(_: str) -> None:
    raise AssertionError("nothing is to be told")


def test_trials_are_judged_as_they_come_and_the_stopped_end(store: Store) -> None:
    run, recipes = grown(store, [0.1, 0.2, 0.3, 0.4])
    scheduler = HalvingScheduler(store, run, warn=silent)
    errors = [50.0, 60.0, 40.0, 40.0]
    said = []
    for recipe, error in zip(recipes, errors, strict=True):
        begun(store, recipe, [error]).write_checkpoint(1, b"weights")
        said.append(judge(scheduler, recipe, 1, error))
    going, stopped = TrialScheduler.CONTINUE, TrialScheduler.STOP
    assert said == [going, stopped, going, going], "the first is alone; the second worse; the last as good as the best"
    end = TrialFolder(store, recipes[1].key).end()
    assert end is not None
    assert (end.state, end.attempt, end.epochs, end.seconds, end.metrics) == ("stopped", 1, 1, 2.0, {})
    assert end.reason == "not among the best 1/3 at epoch 1"
    assert [len(AttemptFolder(TrialFolder(store, recipe.key), 1).checkpoint_names()) for recipe in recipes] == [
        1, 0, 1, 1,
    ]  # fmt: skip
    assert TrialFolder(store, recipes[0].key).end() is None


def test_no_checkpoint_of_an_earlier_attempt_is_left_of_a_stopped_trial(store: Store) -> None:
    run, recipes = grown(store, [0.1, 0.2])
    scheduler = HalvingScheduler(store, run, warn=silent)
    judge(scheduler, recipes[0], 1, 30.0)
    begun(store, recipes[1], [70.0]).write_checkpoint(1, b"weights")
    begun(store, recipes[1], [70.0, 65.0, 64.0], attempt=2)
    assert judge(scheduler, recipes[1], 1, 64.0) == TrialScheduler.STOP
    assert AttemptFolder(TrialFolder(store, recipes[1].key), 1).checkpoint_names() == []
    end = TrialFolder(store, recipes[1].key).end()
    assert end is not None
    assert (end.attempt, end.epochs) == (2, 3)


def test_rungs_of_earlier_launches_count(store: Store) -> None:
    run, recipes = grown(store, [0.1, 0.2, 0.3])
    begun(store, recipes[0], [50.0, 45.0, 30.0])
    begun(store, recipes[1], [55.0])
    begun(store, recipes[2], [52.0])
    assert judge(HalvingScheduler(store, run, warn=silent), recipes[2], 1, 52.0) == TrialScheduler.STOP
    alone, _ = grown(store, [0.3])
    assert judge(HalvingScheduler(store, alone, warn=silent), recipes[2], 1, 52.0) == TrialScheduler.CONTINUE


def test_judged_again_after_a_kill_a_trial_is_no_rival_of_itself(store: Store) -> None:
    run, recipes = grown(store, [0.1, 0.2, 0.3, 0.4, 0.5, 0.6])
    for recipe, error in zip(recipes, (50.0, 40.0, 60.0, 61.0, 62.0, 63.0), strict=True):
        begun(store, recipe, [error])
    # Among six the best two go on; counted twice, the second would make them seven and still be among the two.
    scheduler = HalvingScheduler(store, run, warn=silent)
    assert judge(scheduler, recipes[0], 1, 50.0) == TrialScheduler.CONTINUE
    assert {rung: len(values) for rung, values in scheduler.rungs.items()} == {1: 6}
    assert judge(scheduler, recipes[2], 1, 60.0) == TrialScheduler.STOP


def test_between_rungs_and_without_a_scheduler_all_go_on(store: Store) -> None:
    run, recipes = grown(store, [0.1, 0.2])
    begun(store, recipes[0], [10.0])
    scheduler = HalvingScheduler(store, run, warn=silent)
    assert scheduler.on_trial_result(None, None, {"trial_key": recipes[1].key}) == TrialScheduler.CONTINUE
    free, recipes = grown(store, [0.1, 0.2], scheduler=None)
    scheduler = HalvingScheduler(store, free, warn=silent)
    assert scheduler.rungs == {}
    assert judge(scheduler, recipes[1], 1, 99.0) == TrialScheduler.CONTINUE


def test_a_trial_that_ended_by_itself_meanwhile_is_left_as_it_is(store: Store) -> None:
    run, recipes = grown(store, [0.1, 0.2])
    scheduler = HalvingScheduler(store, run, warn=silent)
    judge(scheduler, recipes[0], 1, 10.0)
    begun(store, recipes[1], [70.0])
    path = f"{TrialFolder(store, recipes[1].key).path}/end.json"
    store.create(path, json.dumps({"other": 1}).encode())
    assert judge(scheduler, recipes[1], 1, 70.0) == TrialScheduler.CONTINUE
    assert json.loads(store.read(path)) == {"other": 1}


def test_a_store_that_cannot_be_written_to_stops_nobody(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    run, recipes = grown(store, [0.1, 0.2])
    told: list[str] = []
    scheduler = HalvingScheduler(store, run, warn=told.append)
    judge(scheduler, recipes[0], 1, 10.0)
    begun(store, recipes[1], [70.0])

    def full(*_: object) -> bool:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(FolderStore, "create", full)
    assert judge(scheduler, recipes[1], 1, 70.0) == TrialScheduler.CONTINUE
    assert told == [f"the store {store.root} cannot be used: Input/output error"]
