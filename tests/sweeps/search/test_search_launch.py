"""A launch of a search with everything but Ray: what runs, what runs again, what is on disk when it is over."""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from ray.tune.search import Searcher

from softaug.recipe import Recipe
from sweeps.launch import cluster, preflight, train
from sweeps.launch.launch import Outcome, Settings, launch
from sweeps.launch.searcher import LedgerSearcher
from sweeps.launched import read
from sweeps.resolved import ResolvedSweep
from sweeps.search.failures import ended_well
from sweeps.search.growth import continued
from tests.sweeps.searches import SPACE, asked, end, search_of, surface, sweep, values_in, winners_of
from trainables.ledger import TrialFolder
from trainables.store import Store

SMALL = {"sigma": SPACE["sigma"], "k": SPACE["k"]}
Finish = Callable[[Recipe], None]


class View:
    """In the terminal's place."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.grown: list[ResolvedSweep] = []

    def say(self, text: str) -> None:
        self.said.append(text)

    def watch(self, slots: int) -> None:
        self.slots = slots

    def grow(self, sweep: ResolvedSweep) -> None:
        self.grown.append(sweep)


class Launches:
    """Launches in which trials end at once, as `finish` says. `ran`: those of the last launch, in their order."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.finish: Finish = surface(store, values_in)
        self.ran: list[Recipe] = []
        self.most = 10**6

    def train(self, _sweep: object, to_do: list[Recipe], search: Any, _settings: object, launch: str, slots: int,
              *, changed: Callable[[str, bool], None], warn: Callable[[str], None]) -> str | None:  # fmt: skip
        searcher = LedgerSearcher(self.store, launch, to_do, changed=changed, warn=warn, search=search)
        running: list[tuple[str, Recipe]] = []
        for number in range(self.most):
            found = searcher.suggest(str(number)) if len(running) < slots else None
            if found == Searcher.FINISHED and not running:
                return searcher.unsaved
            if isinstance(found, dict):
                running.append((str(number), Recipe.model_validate(found["recipe"])))
                self.ran.append(running[-1][1])
            else:
                trial, recipe = running.pop(0)
                self.finish(recipe)
                searcher.on_trial_complete(trial, {"state": "finished"})
        return None

    def launch(self, wanted: ResolvedSweep, **settings: Any) -> tuple[Outcome, View]:
        self.ran, view = [], View()
        outcome = launch(
            continued(self.store, wanted), Settings(self.store, None, None, max_concurrent=2, **settings), view
        )
        return outcome, view

    def searched(self) -> list[Recipe]:
        return [recipe for recipe in self.ran if recipe.data.validation_images]


@pytest.fixture
def launches(store: Store, monkeypatch: pytest.MonkeyPatch) -> Launches:
    made = Launches(store)
    monkeypatch.setattr(preflight, "check", lambda *_, **__: None)
    monkeypatch.setattr(cluster, "cluster", lambda _: nullcontext())
    monkeypatch.setattr(cluster, "slots", lambda _: 2)
    monkeypatch.setattr(train, "train", made.train)
    return made


def test_a_launch_searches_and_confirms_and_its_last_state_is_on_disk(launches: Launches) -> None:
    outcome, view = launches.launch(sweep(SMALL, budget={"cells": 12}))
    kept = read(launches.store, "seek@paper")
    assert kept == outcome.survey.sweep == view.grown[-1]
    assert kept is not None
    assert (len(asked(kept)), len(winners_of(kept))) == (12, 1)
    assert outcome.survey.count("finished") == len(outcome.survey.trials) == len(launches.ran) == 12 + 3 * 2
    assert ended_well(outcome.survey)
    again, view = launches.launch(sweep(SMALL, budget={"cells": 12}))
    assert launches.ran == []
    assert read(launches.store, "seek@paper") == kept == again.survey.sweep
    assert not any("starting Ray" in line for line in view.said)


def test_suggestions_without_a_new_cell_are_on_disk_too(launches: Launches) -> None:
    few = {"sigma": {"field": "crop.sigma", "values": [0.2, 0.3]}}
    launches.launch(sweep(few, sampler="random", budget={"cells": 15}))
    kept = read(launches.store, "seek@paper")
    assert kept is not None
    assert len(asked(kept)) == 15


def test_cells_of_the_search_come_first_and_arms_fill_the_slots_while_it_waits(launches: Launches) -> None:
    launches.launch(sweep(SMALL, in_flight=1, budget={"cells": 12}))
    kinds = [bool(recipe.data.validation_images) for recipe in launches.ran]
    assert kinds[:4] == [True, False, True, False] or kinds[:3] == [True, False, False]
    assert kinds[0]


def test_failed_winners_are_tried_again_only_if_asked_to(launches: Launches) -> None:
    finish = launches.finish

    def confirming_fails(recipe: Recipe) -> None:
        if recipe.data.validation_images:
            finish(recipe)
        else:
            end(launches.store, recipe, {}, state="failed")

    launches.finish = confirming_fails
    wanted = sweep(SMALL, budget={"cells": 12})
    outcome, _ = launches.launch(wanted)
    assert outcome.survey.in_tables("failed") == 6
    launches.finish = finish
    outcome, _ = launches.launch(wanted)
    assert launches.ran == []
    outcome, _ = launches.launch(wanted, retry_failed=True)
    assert len(launches.ran) == 6
    assert outcome.survey.count("finished") == 18
    assert len(winners_of(outcome.survey.sweep)) == 1


def test_failed_cells_are_tried_again_and_the_search_goes_on(launches: Launches) -> None:
    finish = launches.finish
    launches.finish = lambda recipe: (
        end(launches.store, recipe, {}, state="diverged") if recipe.data.validation_images else finish(recipe)
    )
    wanted = sweep(SMALL, budget={"cells": 16})
    outcome, _ = launches.launch(wanted)
    assert not ended_well(outcome.survey)
    assert outcome.survey.in_tables("diverged") == 0
    failed = len(launches.searched())
    assert 10 <= failed < 16
    launches.finish = finish
    outcome, _ = launches.launch(wanted, retry_failed=True)
    assert len(launches.searched()) == 16
    assert ended_well(outcome.survey)


def test_what_the_scheduler_of_another_search_stopped_runs_in_one_without(launches: Launches) -> None:
    finish = launches.finish
    launches.finish = lambda recipe: (
        end(launches.store, recipe, {}, state="stopped", judged=[50.0])
        if recipe.data.validation_images and recipe.crop is not None and recipe.model_dump()["crop"]["sigma"] > 0.3
        else finish(recipe)
    )
    halved = sweep(SMALL, sampler="random", scheduler={"kind": "asha"}, budget={"cells": 12})
    outcome, _ = launches.launch(halved)
    stopped = outcome.survey.count("stopped")
    assert 0 < stopped < 12
    launches.launch(halved)
    assert launches.ran == [], "for the search that stopped them they have ended"
    launches.finish = finish
    outcome, _ = launches.launch(sweep(SMALL, sampler="random", budget={"cells": 12}))
    assert outcome.survey.count("stopped") == 0
    again = [recipe for recipe in launches.searched() if len(TrialFolder(launches.store, recipe.key).numbers()) == 2]
    assert 0 < len(again) <= stopped, "those that it asks for, which all have a second attempt"
    assert not search_of(outcome.survey.sweep).asks[0].refused


def test_a_launch_that_ends_early_goes_on_from_its_file(launches: Launches) -> None:
    wanted = sweep(SMALL, budget={"cells": 12})
    launches.most = 13
    launches.launch(wanted)
    first = list(launches.ran)
    launches.most = 10**6
    outcome, _ = launches.launch(wanted)
    assert not {recipe.key for recipe in first if TrialFolder(launches.store, recipe.key).numbers() != [1]}
    assert len(asked(outcome.survey.sweep)) == 12
    assert outcome.survey.count("finished") == 18
