"""How a sweep's search went, as the ledger has it: every ask with its outcome, the winners, and whether it is over.

Plain values for sentences, tables and MLflow, and the whole as one Optuna study for plots and for optuna-dashboard.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from softaug.estimate import Estimate, estimate
from softaug.recipe import Recipe
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.search.cells import WINNER, values_of, winner_cell
from sweeps.search.outcomes import FAILED, Found, Outcomes, spent, winners
from sweeps.search.search import Ask, Outcome, Search, Values
from sweeps.search.study import STARTUP_CELLS, grid
from trainables.ledger import AttemptFolder, End, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

State = Literal["complete", "pruned", "failed", "open"]


@dataclass(frozen=True)
class Asked:
    """A cell of a search. `number`: of the ask, from 0. `trials`: seed -> trial key, none for what no recipe can be.

    `values`: of the objectives over the seeds, only of a complete cell; `steps`: a pruned one's first objective by
    epoch; `seconds`: inside fit, of the seeds that have ended; `started`, `ended`: Unix seconds, None before.
    """

    number: int
    ask: Ask
    state: State
    values: tuple[Estimate, ...] = ()
    steps: Mapping[int, float] = field(default_factory=dict)
    trials: Mapping[int, str] = field(default_factory=dict)
    seconds: float = 0.0
    started: float | None = None
    ended: float | None = None

    @property
    def means(self) -> tuple[float, ...]:
        """The objectives' means over the seeds."""
        return tuple(value.mean for value in self.values)


@dataclass(frozen=True)
class Winner:
    """One of the best cells: the first ask of it, and the cell of the sweep that confirms it, None before it is."""

    number: int  # from 1
    asked: Asked
    cell: Cell | None


@dataclass(frozen=True)
class History:
    """A search with all its asks in order. `arms`: the sweep's own cells that it might have asked for, by their arm.

    `spent`: which part of the budget is spent, in words; `over`: nothing more is asked for, and all has ended;
    `seconds`: inside fit, of all cells that this search paid for.
    """

    sweep: ResolvedSweep
    search: Search
    asked: tuple[Asked, ...]
    winners: tuple[Winner, ...]
    arms: Mapping[str, Values]
    spent: str
    over: bool

    def count(self, *states: State) -> int:
        """Return how many asks are in one of these states."""
        return sum(each.state in states for each in self.asked)

    @property
    def complete(self) -> list[Asked]:
        """The asks whose cell is complete, in order."""
        return [each for each in self.asked if each.state == "complete"]

    @property
    def front(self) -> set[int]:
        """Numbers of the complete asks that none beats: the best, or with two objectives those on the Pareto front."""
        every = [(each.number, each.means) for each in self.complete]
        return {number for number, means in every if not any(_beats(other, means) for _, other in every)}

    @property
    def seconds(self) -> float:
        own = {each.ask.cell_key: each.seconds for each in self.asked if not each.ask.earlier}
        return sum(own.values())

    def ended_first(self) -> Sequence[Asked]:
        """Return the asks up to the first one that is open: what is told of them no later one changes."""
        first_open = next((each.number for each in self.asked if each.state == "open"), len(self.asked))
        return self.asked[:first_open]


def history(store: Store, sweep: ResolvedSweep) -> History:
    """Return how the search of a sweep, as last launched, went so far."""
    search = sweep.search
    if search is None:
        raise ValueError(f"sweep {sweep.name} has no search")
    outcomes = Outcomes(store, search)
    cells = {cell.cell_key: cell for cell in sweep.search_cells}
    read: dict[str, Asked] = {}
    asked = []
    for number, ask in enumerate(search.asks):
        if ask.cell_key and ask.cell_key not in read:
            read[ask.cell_key] = _asked(store, search, ask, cells[ask.cell_key], outcomes)
        known = read.get(ask.cell_key, Asked(0, ask, "failed"))
        asked.append(Asked(**{**vars(known), "number": number, "ask": ask}))
    found = winners(search, outcomes.known)
    limit = spent(sweep, outcomes, "")
    return History(
        sweep=sweep,
        search=search,
        asked=tuple(asked),
        winners=tuple(_winner(sweep, number, each, asked) for number, each in enumerate(found, start=1)),
        arms=_arms(sweep),
        spent=limit,
        over=all(each.state != "open" for each in asked) and (bool(limit) or _has_no_more(search, asked)),
    )


def _asked(store: Store, search: Search, ask: Ask, cell: Cell, outcomes: Outcomes) -> Asked:
    outcome = outcomes.of(cell)
    trials = {seed: TrialFolder(store, key) for seed, key in cell.trials.items()}
    ends = [end for trial in trials.values() if (end := _end(trial)) is not None]
    attempts = [attempt.started for trial in trials.values() for attempt in trial.attempts()[:1]]
    return Asked(
        number=0,
        ask=ask,
        state="open" if outcome is None else outcome.state,
        values=_estimates(search, list(trials.values()), outcome) if outcome is not None else (),
        steps=outcome.steps if outcome is not None else {},
        trials=cell.trials,
        seconds=sum(end.seconds for end in ends),
        started=min(attempts, default=None),
        ended=max((end.ended for end in ends), default=None) if outcome is not None else None,
    )


def _estimates(search: Search, trials: list[TrialFolder], outcome: Outcome) -> tuple[Estimate, ...]:
    """Return mean, standard error and n of a complete cell's objectives."""
    if outcome.state != "complete":
        return ()
    if len(trials) == 1:
        return tuple(Estimate(value, None, 1) for value in outcome.values)
    rows = [AttemptFolder(trial, end.attempt).rows() for trial in trials if (end := _end(trial)) is not None]
    return tuple(estimate(each[-1].metrics[name] for each in rows) for name in search.minimize)


def _end(trial: TrialFolder) -> End | None:
    try:
        return trial.end()
    except Damaged:
        return None


def _winner(sweep: ResolvedSweep, number: int, found: Found, asked: Sequence[Asked]) -> Winner:
    assert sweep.search is not None
    key = _confirming_key(sweep.search, found.ask.values)
    cell = next((cell for cell in sweep.cells if cell.cell_key == key), None)
    return Winner(number, next(each for each in asked if each.ask.cell_key == found.ask.cell_key), cell)


def _arms(sweep: ResolvedSweep) -> dict[str, Values]:
    """Return the values of the sweep's own cells that the search would confirm, had it found them."""
    assert sweep.search is not None
    arms = {}
    for cell in sweep.cells:
        whole = Recipe.model_validate({**cell.recipe, "seed": 0}).model_dump(mode="json")
        values = None if is_winner(cell) else values_of(sweep.search, whole)
        if values is not None and _confirming_key(sweep.search, values) == cell.cell_key:
            arms[cell.title] = values
    return arms


def is_winner(cell: Cell) -> bool:
    """Say whether a cell of a sweep is there because a search found it; no arm may have such a name."""
    return cell.arm.startswith(f"{WINNER} ")


def _confirming_key(search: Search, values: Values) -> str:
    return winner_cell(search, values, 0, [0]).cell_key


def _has_no_more(search: Search, asked: Sequence[Asked]) -> bool:
    """Say whether the search ends before its budget: over its whole grid, or because nothing ends well."""
    first = asked[:STARTUP_CELLS]
    if len(first) == STARTUP_CELLS and all(each.state == FAILED.state for each in first):
        return True
    return search.sampler == "grid" and len(asked) >= sum(1 for _ in grid(search.parameters))


def _beats(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Say whether one is nowhere worse and somewhere better; smaller is better."""
    return one != other and all(a <= b for a, b in zip(one, other, strict=True))
