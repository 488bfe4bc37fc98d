"""How a sweep stands: the state of every trial, read from the ledger, and the mean so far of every cell."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from softaug.estimate import Estimate, estimate
from sweeps.resolved import Cell, ResolvedSweep
from trainables import evaluation, launches
from trainables.ledger import AttemptFolder, End, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

TrialState = Literal["finished", "failed", "diverged", "stopped", "running", "pending", "damaged"]
STATES: tuple[TrialState, ...] = ("finished", "failed", "diverged", "running", "pending")
RARE: tuple[TrialState, ...] = ("stopped", "damaged")


@dataclass(frozen=True)
class TrialStatus:
    """One trial: its state, its end if it has ended, and what is to be told of it: why it failed or is damaged.

    `epochs` are those completed, `seconds` the time inside fit up to there.
    """

    state: TrialState
    end: End | None = None
    reason: str = ""
    epochs: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Survey:
    """All trials of a sweep by key."""

    sweep: ResolvedSweep
    trials: Mapping[str, TrialStatus]

    def count(self, state: TrialState) -> int:
        """Return how many trials are in this state."""
        return sum(trial.state == state for trial in self.trials.values())

    def in_tables(self, state: TrialState) -> int:
        """Return how many trials of the cells that enter tables are in this state: not those a search asked for."""
        keys = {key for cell in self.sweep.cells for key in cell.trials.values()}
        return sum(self.trials[key].state == state for key in keys)

    @property
    def ended(self) -> int:
        """Trials with an end: finished, failed, diverged or stopped."""
        return sum(trial.end is not None for trial in self.trials.values())

    def estimates(self, cell: Cell) -> dict[str, Estimate]:
        """Return the estimates of a cell over its finished seeds."""
        return estimates(self.trials[key].end for key in cell.trials.values())


def estimates(ends: Iterable[End | None]) -> dict[str, Estimate]:
    """Return mean, standard error and n of every final metric over the trials that finished."""
    finished = [end.metrics for end in ends if end is not None and end.state == "finished"]
    names = dict.fromkeys(name for metrics in finished for name in metrics)
    return {name: estimate(metrics[name] for metrics in finished if name in metrics) for name in names}


def evaluation_estimates(trials: Iterable[TrialFolder]) -> dict[str, Estimate]:
    """Return the same of what evaluations add to the ends, over the trials that finished; a metric one lacks is a hole.

    Raises Damaged if an end is.
    """
    ends = [(trial, end) for trial in trials if (end := trial.end()) is not None and end.state == "finished"]
    added: list[dict[str, float]] = []
    for trial, end in ends:
        found = evaluation.current(AttemptFolder(trial, end.attempt))
        values = found.values() if found is not None else {}
        added.append({name: value.mean for name, value in values.items() if name not in end.metrics})
    names = [name for name in (added[0] if added else ()) if all(name in values for values in added)]
    return {name: estimate(values[name] for values in added) for name in names}


class Surveyor:
    """Surveys one sweep again and again; a trial that has ended is read only once."""

    def __init__(self, store: Store, sweep: ResolvedSweep) -> None:
        self.store = store
        self.sweep = sweep
        self.ended: dict[str, TrialStatus] = {}

    def survey(self) -> Survey:
        """Read the ledger."""
        alive = launches.alive(self.store)
        return Survey(self.sweep, {key: self._status(key, alive) for key in self.sweep.trial_keys})

    def _status(self, key: str, alive: Mapping[str, launches.Launch]) -> TrialStatus:
        if key not in self.ended:
            trial = TrialFolder(self.store, key)
            try:
                end = trial.end()
            except Damaged as damaged:
                return TrialStatus("damaged", reason=str(damaged))
            if end is None:
                return _unended(trial, alive)
            self.ended[key] = TrialStatus(end.state, end, end.reason or "", end.epochs, end.seconds)
        return self.ended[key]


def _unended(trial: TrialFolder, alive: Mapping[str, launches.Launch]) -> TrialStatus:
    """Return how a trial stands that has not ended; if its newest attempt has no rows yet, as if it had not begun."""
    numbers = trial.numbers()
    if not numbers:
        return TrialStatus("pending")
    newest, rows = trial.attempt(numbers[-1]), AttemptFolder(trial, numbers[-1]).rows()
    state: TrialState = "running" if newest is not None and newest.launch in alive else "pending"
    return TrialStatus(state, epochs=rows[-1].epoch, seconds=rows[-1].seconds) if rows else TrialStatus(state)


def survey(store: Store, sweep: ResolvedSweep) -> Survey:
    """Read once how a sweep stands."""
    return Surveyor(store, sweep).survey()


def status_json(now: Survey) -> dict[str, Any]:
    """Return what `softaug status --json` prints."""
    return {
        "sweep": now.sweep.name,
        "scale": now.sweep.scale,
        "trials": {state: now.count(state) for state in (*STATES, *RARE) if state in STATES or now.count(state)},
        "cells": [_cell_json(now, cell) for cell in now.sweep.cells],
    }


def _cell_json(now: Survey, cell: Cell) -> dict[str, Any]:
    estimates = now.estimates(cell)
    return {
        "arm": cell.arm,
        "cell_key": cell.cell_key,
        "expected": len(cell.trials),
        "n": max((value.n for value in estimates.values()), default=0),
        "metrics": {name: {"mean": value.mean, "se": value.se} for name, value in estimates.items()},
    }
