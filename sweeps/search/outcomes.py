"""What the ledger says of a search's cells: how each ended, what was spent, and which are the best."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from softaug.estimate import estimate
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.search.search import Ask, Outcome, Search
from trainables import launches
from trainables.ledger import AttemptFolder, End, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

FAILED = Outcome("failed")


class Outcomes:
    """The outcomes of a sweep's search, by cell key; a cell that has ended is read once."""

    def __init__(self, store: Store, search: Search) -> None:
        self.store = store
        self.search = search
        self.known: dict[str, Outcome] = {}
        self.seconds: dict[str, float] = {}  # inside fit, of the cells that are known

    def of(self, cell: Cell) -> Outcome | None:
        """Return how a cell ended, None as long as one of its seeds has not.

        A cell is pruned if a seed was stopped by the scheduler, and fails if one failed, diverged, or is damaged.
        """
        if cell.cell_key not in self.known:
            outcome = self._read(cell)
            if outcome is None:
                return None
            self.known[cell.cell_key] = outcome
        return self.known[cell.cell_key]

    def _read(self, cell: Cell) -> Outcome | None:
        trials = [TrialFolder(self.store, key) for key in cell.trials.values()]
        try:
            ends = [trial.end() for trial in trials]
            if any(end is None for end in ends):
                return None
            ended = [(trial, end) for trial, end in zip(trials, ends, strict=True) if end is not None]
            outcome = self._outcome(ended)
            self.seconds[cell.cell_key] = sum(end.seconds for _, end in ended)
            return outcome
        except Damaged:
            return FAILED

    def _outcome(self, ended: list[tuple[TrialFolder, End]]) -> Outcome:
        states = {end.state for _, end in ended}
        if states & {"failed", "diverged"} or ("stopped" in states and self.search.halving is None):
            return FAILED  # without a scheduler, one that another search stopped has no value
        rows = [list(AttemptFolder(trial, end.attempt).checked_rows()) for trial, end in ended]
        if "stopped" in states:
            [name] = self.search.minimize
            judged = {row.epoch: row.metrics[name] for row in rows[0] if name in row.metrics}
            return Outcome("pruned", steps=judged)
        last = [each[-1].metrics if each else {} for each in rows]
        if any(name not in metrics for metrics in last for name in self.search.minimize):
            return FAILED
        means = [estimate(metrics[name] for metrics in last).mean for name in self.search.minimize]
        return Outcome("complete", tuple(means))


@dataclass(frozen=True)
class Found:
    """A cell of the search that is to be confirmed, and the means over its seeds that it was found with."""

    ask: Ask
    values: tuple[float, ...]


def winners(search: Search, outcomes: Mapping[str, Outcome]) -> list[Found]:
    """Return the best cells that are complete, at most `search.winners`.

    With one objective by its value, of equal ones the first asked for; with two those that no other beats in both, from
    the least first objective to the least second one, evenly thinned out.
    """
    complete: dict[str, Found] = {}
    for ask in search.asks:
        outcome = outcomes.get(ask.cell_key)
        if outcome is not None and outcome.state == "complete":
            complete.setdefault(ask.cell_key, Found(ask, outcome.values))
    found = sorted(complete.values(), key=lambda each: each.values)
    if len(search.minimize) == 1:
        return found[: search.winners]
    return _thinned(front(found), search.winners)


def front(found: Sequence[Found]) -> list[Found]:
    """Return, of cells sorted by their values, those that no other equals or beats in both objectives."""
    best: list[Found] = []
    for each in found:
        if not best or each.values[1] < best[-1].values[1]:
            best.append(each)
    return best


def _thinned(found: list[Found], most: int) -> list[Found]:
    if len(found) <= most:
        return found
    if most == 1:
        return found[:1]
    return [found[round(number * (len(found) - 1) / (most - 1))] for number in range(most)]


def spent(sweep: ResolvedSweep, outcomes: Outcomes, launch: str) -> str:
    """Return which part of the budget is spent, in words, or nothing as long as more cells may be asked for."""
    search = sweep.search
    assert search is not None
    budget, own = search.budget, [ask for ask in search.asks if not ask.earlier]
    cells = {ask.cell_key for ask in own if ask.cell_key}
    seconds = sum(outcomes.seconds.get(key, 0.0) for key in cells)
    limits: list[tuple[str, float | None, Callable[[], float]]] = [
        ("cells", budget.cells, lambda: len(own)),
        ("trials", budget.trials, lambda: len(search.seeds) * len(cells)),
        ("GPU hours", budget.gpu_hours, lambda: sweep.resources.gpus * seconds / 3600),
        ("hours", budget.wall_hours, lambda: _hours_of_launches(outcomes.store, sweep.experiment, launch)),
    ]
    return next((f"{limit:g} {what}" for what, limit, so_far in limits if limit is not None and so_far() >= limit), "")


def _hours_of_launches(store: Store, experiment: str, launch: str) -> float:
    every = launches.launches(store, experiment)
    return sum((time.time() if each.id == launch else each.beat) - each.since for each in every) / 3600
