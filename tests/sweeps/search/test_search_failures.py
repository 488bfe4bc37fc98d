"""What of a search failed, in words: alone it is told, and when nothing ended well there are the reasons."""

import pytest

from softaug.recipe import Recipe
from sweeps.launched import save
from sweeps.resolved import ResolvedSweep, recipes_of
from sweeps.search.cells import with_ask
from sweeps.search.failures import MOST_REASONS, ended_well, failures
from sweeps.survey import survey
from sweeps.why import why
from tests.sweeps.searches import end, sweep
from trainables.ledger import AttemptFolder, End, TrialFolder
from trainables.store import Store

SPACE = {"sigma": {"field": "crop.sigma", "low": 0.1, "high": 0.5}}


def asked(sigmas: list[float]) -> tuple[ResolvedSweep, list[Recipe]]:
    grown = sweep(SPACE)
    for sigma in sigmas:
        grown = with_ask(grown, {"sigma": sigma})
    return grown, [recipe for cell in grown.search_cells for recipe in recipes_of(cell)]


def failed(store: Store, recipe: Recipe, reason: str) -> None:
    end(store, recipe, {}, state="failed")
    trial = TrialFolder(store, recipe.key)
    found = trial.end()
    assert found is not None
    trial.reopen()
    store.delete(f"{AttemptFolder(trial, 1).path}/end.json")
    trial.finish(End.model_validate({**found.model_dump(), "reason": reason}))


def test_a_sweep_without_failures_says_nothing(store: Store) -> None:
    grown, recipes = asked([0.1, 0.2])
    end(store, recipes[0], {"val/top1_error": 1.0})
    assert list(failures(survey(store, grown))) == []
    assert ended_well(survey(store, grown))


def test_cells_that_failed_are_counted_with_their_reasons(store: Store) -> None:
    grown, recipes = asked([0.1, 0.2, 0.3, 0.4])
    for recipe, reason in zip(recipes, ("loss is nan", "no memory", "no memory"), strict=False):
        failed(store, recipe, reason)
    grown = with_ask(grown, {"sigma": 5.0})
    end(store, recipes[3], {"val/top1_error": 1.0})
    lines = list(failures(survey(store, grown)))
    assert lines[:3] == [
        "4 of 5 cells of the search failed:",
        f"  2 failed: no memory (trial {recipes[1].key[:12]})",
        f"  1 failed: loss is nan (trial {recipes[0].key[:12]})",
    ]
    assert lines[3].startswith("  1 refused: ")
    assert lines[4:] == [f"  more: softaug why {recipes[0].key[:12]}"]
    assert ended_well(survey(store, grown))


def test_when_none_ended_well_it_is_said(store: Store) -> None:
    grown, recipes = asked([0.1 + n / 100 for n in range(MOST_REASONS + 3)])
    for number, recipe in enumerate(recipes):
        failed(store, recipe, f"reason {number}")
    lines = list(failures(survey(store, grown)))
    assert lines[0] == "8 of 8 cells of the search failed, and none ended well:"
    assert len(lines) == 1 + MOST_REASONS + 2
    assert lines[-2] == "  3 for other reasons"
    assert not ended_well(survey(store, grown))


@pytest.mark.parametrize("state", ["stopped", "diverged"])
def test_a_cell_that_was_stopped_did_not_fail_and_did_not_end_well(store: Store, state: str) -> None:
    grown, recipes = asked([0.1])
    end(store, recipes[0], {}, state=state)
    assert bool(list(failures(survey(store, grown)))) == (state == "diverged")
    assert not ended_well(survey(store, grown))


def test_why_finds_a_cell_of_the_search_by_the_trial_that_is_named(store: Store) -> None:
    grown, recipes = asked([0.1, 0.2])
    failed(store, recipes[1], "no memory")
    save(store, grown)
    answer = why(store, recipes[1].key[:12], sweep=None, scale=None, tracking_uri="")
    assert answer.cell_key == recipes[1].cell_key
    assert [run.status.reason for run in answer.runs] == ["no memory"]


def test_a_damaged_trial_fails_its_cell(store: Store) -> None:
    grown, recipes = asked([0.1])
    end(store, recipes[0], {"val/top1_error": 1.0})
    store.write(f"{TrialFolder(store, recipes[0].key).path}/end.json", b"{}")
    told = list(failures(survey(store, grown)))
    assert told[0] == "1 of 1 cells of the search failed, and none ended well:"
    assert told[1].startswith("  1 damaged: trials/")
