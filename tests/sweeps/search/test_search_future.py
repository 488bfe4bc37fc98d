"""What a search has yet to run: as its budget says, until it has been asked for."""

import pytest

from sweeps.files.expand import load
from sweeps.resolved import ResolvedSweep
from sweeps.search.cells import winner_cell, with_ask
from sweeps.search.future import future
from sweeps.search.search import Budget

SWEEP = load("search-joint", scale="smoke")  # 14 cells of one seed, 2 winners of two
VALUES = {"sigma": 0.2, "k": 2.0, "alpha": 0.1, "policy": "none"}


def counts(sweep: ResolvedSweep) -> list[int]:
    return [count for _, count in future(sweep)]


def with_search(**changes: object) -> ResolvedSweep:
    assert SWEEP.search is not None
    return SWEEP.model_copy(update={"search": SWEEP.search.model_copy(update=changes)})


def test_a_sweep_without_a_search_has_none() -> None:
    assert future(load("quickstart")) == []


def test_what_was_asked_for_is_no_more_to_come_but_for_what_was_taken_over() -> None:
    assert counts(SWEEP) == [14, 4]
    assert counts(with_ask(SWEEP, VALUES)) == [13, 4]
    assert counts(with_ask(SWEEP, VALUES, earlier=True)) == [14, 4]


def test_winners_that_are_known_are_no_more_to_come() -> None:
    assert SWEEP.search is not None
    winner = winner_cell(SWEEP.search, VALUES, 1, SWEEP.seeds)
    assert counts(SWEEP.model_copy(update={"cells": [*SWEEP.cells, winner]})) == [14, 2]


@pytest.mark.parametrize(
    ("changes", "cells"),
    [
        ({"budget": Budget(cells=9, trials=8)}, 8),
        ({"budget": Budget(trials=7), "seeds": [100, 101]}, 8),  # 4 cells, the last of which reaches 8 trials
        ({"sampler": "grid", "budget": Budget(cells=100_000)}, 0),
    ],
)
def test_whichever_limit_comes_first_counts(changes: dict[str, object], cells: int) -> None:
    if changes.get("sampler") == "grid":
        assert SWEEP.search is not None
        numbers = [each for each in SWEEP.search.parameters if each.name in ("alpha", "policy")]
        changes, cells = {**changes, "parameters": numbers}, 7 * 3
    assert counts(with_search(**changes))[0] == cells


def test_hours_say_nothing_of_a_number() -> None:
    assert counts(with_search(budget=Budget(gpu_hours=3.0))) == [4]


def test_the_recipes_are_those_of_a_cell_of_the_search_and_of_a_winner() -> None:
    (searched, _), (confirmed, _) = future(SWEEP)
    assert (searched["data"]["validation_images"], searched["optim"]["epochs"]) == (100, 20)
    assert (confirmed["data"]["validation_images"], confirmed["optim"]["epochs"]) == (0, 25)
