"""Searches in a ledger without training: the catalog's search-joint at smoke scale, its cells ended as a test says."""

from optuna.samplers import RandomSampler

from sweeps.files.expand import load
from sweeps.launched import save
from sweeps.resolved import Cell, ResolvedSweep, recipes_of
from sweeps.search.cells import winner_cell, with_ask
from sweeps.search.search import Budget, Halving, Value, Values
from sweeps.search.study import distribution
from tests.sweeps import ledgers
from trainables.ledger import AttemptFolder, End, Row, TrialFolder
from trainables.store import Store


def sweep(cells: int, **fields: object) -> ResolvedSweep:
    """Return search-joint at smoke scale, asked for so many random cells; `fields` replace the search's.

    Its budget is 12 cells and it has a scheduler, so that a trial may be stopped.
    """
    made = load("search-joint", scale="smoke")
    assert made.search is not None
    own = {"budget": Budget(cells=12), "halving": Halving(grace_epochs=1, reduction=2)}
    made = made.model_copy(update={"search": made.search.model_copy(update={**own, **fields})})
    for number in range(cells):
        made = with_ask(made, drawn(made, number))
    ledgers.RECIPES.update({recipe.key: recipe for recipe in made.recipes()})
    return made


def drawn(made: ResolvedSweep, number: int) -> Values:
    """Return the values of a random cell, the same for the same number."""
    assert made.search is not None
    sampler, values = RandomSampler(seed=number), dict[str, Value]()
    for each in made.search.parameters:
        if each.is_there(values):
            values[each.name] = sampler.sample_independent(None, None, each.name, distribution(each))
    return values


def end(store: Store, cell: Cell, error: float, state: str = "finished", *, ended: float = 1002.0) -> None:
    """End all trials of a cell; seed s has `error` + s - 100 after its second epoch, and 10 more after its first."""
    for seed, key in cell.trials.items():
        folder = ledgers.begin(store, key)
        last = error + seed - 100
        rows = [_row(epoch, value) for epoch, value in ((1, last + 10), (2, last))]
        folder.write_rows(rows)
        _finish(folder, state, ended)


def confirm(store: Store, made: ResolvedSweep, values: Values, number: int) -> ResolvedSweep:
    """Return the sweep with a winner's cell, whose trials all have a test error of 30 + seed."""
    assert made.search is not None
    cell = winner_cell(made.search, values, number, made.seeds)
    ledgers.RECIPES.update({recipe.key: recipe for recipe in recipes_of(cell)})
    for seed, key in cell.trials.items():
        ledgers.finish(ledgers.begin(store, key), 30.0 + seed)
    made = made.model_copy(update={"cells": [*made.cells, cell]})
    save(store, made)
    return made


def _row(epoch: int, error: float) -> Row:
    metrics = {"val/top1_error": error, "val/ece": 100 - error, "train/kl": 1.0}
    return Row(epoch=epoch, time=1000.0 + epoch, seconds=float(epoch), metrics=metrics)


def _finish(folder: AttemptFolder, state: str, ended: float) -> None:
    if state == "finished":
        folder.write_results(weights=ledgers.WEIGHTS, reliability={"test": {}}, samples=b"png")
    metrics = {"test/top1_error": 50.0} if state == "finished" else {}
    folder.trial.finish(End(state=state, attempt=folder.number, epochs=2, metrics=metrics, ended=ended, seconds=2.0))


def retried(store: Store, cell: Cell, error: float, *, ended: float) -> None:
    """Try a failed cell again, which ends well."""
    for key in cell.trials.values():
        TrialFolder(store, key).reopen()
    end(store, cell, error, ended=ended)
