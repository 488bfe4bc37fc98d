"""Made-up searches: the catalog's search-joint at smoke scale with as many cells and outcomes as a test says."""

from collections.abc import Callable
from typing import Any

import optuna
from optuna.samplers import RandomSampler
from optuna.trial import create_trial

from softaug.estimate import estimate
from sweeps.files.expand import load
from sweeps.resolved import ResolvedSweep
from sweeps.search.cells import winner_cell, with_ask
from sweeps.search.history import Asked, History, State, Winner
from sweeps.search.search import Outcome, Values
from sweeps.search.study import distribution

ENDED = 1_700_000_000.0  # Unix seconds


def searched(cells: int, **fields: Any) -> ResolvedSweep:
    """Return search-joint at smoke scale, asked for so many random cells; `fields` replace the search's."""
    sweep = load("search-joint", scale="smoke")
    assert sweep.search is not None
    search = sweep.search.model_copy(update=fields)
    sweep = sweep.model_copy(update={"search": search})
    sampler, nothing, trial = RandomSampler(seed=7), optuna.create_study(), create_trial(value=0.0)
    for _ in range(cells):
        values: Values = {}
        for each in search.parameters:
            if each.is_there(values):
                values[each.name] = sampler.sample_independent(nothing, trial, each.name, distribution(each))
        sweep = with_ask(sweep, values)
    return sweep


def error_of(values: Values) -> float:
    """Return a validation error with its least at sigma 0.3, k 2, alpha 0.1 and RandAugment."""
    sigma, k, alpha = (float(values[name]) for name in ("sigma", "k", "alpha"))
    error = 20 + 60 * (sigma - 0.3) ** 2 + 0.8 * abs(k - 2) + 20 * abs(alpha - 0.1)
    return round(error - 2 * (values["policy"] == "RandAugment") + 0.1 * float(values.get("magnitude", 0)), 3)


def ece_of(values: Values) -> float:
    """Return a calibration error that wants other values."""
    return round(3 + 12 * float(values["alpha"]) + abs(float(values["sigma"]) - 0.1) * 8 - 0.2 * float(values["k"]), 3)


def made_up(
    sweep: ResolvedSweep,
    state: Callable[[int], State] = lambda _number: "complete",
    *,
    confirmed: bool = True,
    over: bool = True,
) -> History:
    """Return a history in which ask n is in `state(n)`; winners are the best complete ones."""
    search = sweep.search
    assert search is not None
    wobbles = [0.2 * number for number in range(len(search.seeds))]
    cells = {cell.cell_key: cell for cell in sweep.search_cells}
    asked = []
    for number, ask in enumerate(search.asks):
        now = state(number) if ask.cell_key else "failed"
        objectives = (error_of, ece_of)[: len(search.minimize)]
        means = tuple(estimate(each(ask.values) + wobble for wobble in wobbles) for each in objectives)
        asked.append(
            Asked(
                number,
                ask,
                now,
                values=means if now == "complete" else (),
                steps={1: 80.0, 2: 75.0} if now == "pruned" else {},
                trials=cells[ask.cell_key].trials if ask.cell_key else {},
                seconds=0.0 if now == "open" else 36.0,
                started=ENDED + 60 * number if ask.cell_key else None,
                ended=ENDED + 60 * number + 36 if now != "open" and ask.cell_key else None,
            )
        )
    best = sorted((each for each in asked if each.state == "complete"), key=lambda each: each.means)
    winners = []
    for number, each in enumerate(best[: search.winners], start=1):
        cell = winner_cell(search, each.ask.values, number, sweep.seeds)
        winners.append(Winner(number, each, cell if confirmed else None))
    if confirmed:
        cells_too = [*sweep.cells, *(winner.cell for winner in winners if winner.cell is not None)]
        sweep = sweep.model_copy(update={"cells": cells_too})
    arms: dict[str, Values] = {"paper's setting": {"sigma": 0.3, "k": 2.0, "alpha": 0.0, "policy": "none"}}
    return History(sweep, search, tuple(asked), tuple(winners), arms, f"{len(asked)} cells" if over else "", over)


def outcomes(history: History) -> list[tuple[Values, Outcome]]:
    """Return what an Asker would be told of a history, all of it ended."""
    return [
        (each.ask.values, Outcome(each.state, each.means, each.steps)) for each in history.asked if each.state != "open"
    ]
