"""Going on with a search: the cells that a launch of the same sweep asked for before are there, and cost nothing.

The same search goes on where it was, whatever its budget or seeds are now: a seed more runs for all its cells first. A
search that was changed is a new one; it begins with those of the old one's cells that it might have asked for itself,
and whose trials have all ended.
"""

from typing import Any

from softaug.recipe import Recipe
from sweeps.launched import read
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.search.cells import FORMER, confirming, is_winner, values_of, with_ask
from sweeps.search.search import Search
from trainables.ledger import End, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store


def continued(store: Store, sweep: ResolvedSweep) -> ResolvedSweep:
    """Return a sweep as its file says, with what its search has asked for so far; one without a search as it is."""
    if sweep.search is None:
        return sweep
    before = read(store, sweep.experiment)
    if before is None or before.search is None:
        return sweep
    search = sweep.search
    sweep = sweep.model_copy(update={"former": _former(store, before)})
    if before.search.identity != search.identity:
        return _started_from(store, sweep, before)
    if before.search.seeds == search.seeds:
        asked = search.model_copy(update={"asks": before.search.asks})
        return sweep.model_copy(update={"search": asked, "search_cells": before.search_cells})
    for ask in before.search.asks:
        sweep = with_ask(sweep, ask.values, earlier=ask.earlier)
    return sweep


def _former(store: Store, before: ResolvedSweep) -> list[Cell]:
    """Return the winners there were, as far as they have ended; the search may find others now."""
    winners = [cell for cell in before.cells if is_winner(cell)] + before.former
    return [cell.model_copy(update={"arm": FORMER}) for cell in winners if _ends(store, cell) is not None]


def with_winners(store: Store, sweep: ResolvedSweep) -> ResolvedSweep:
    """Return a sweep that goes on with the winners known before, as long as nothing of it has changed."""
    before = None if sweep.search is None else read(store, sweep.experiment)
    if before is None or before.search != sweep.search or before.seeds != sweep.seeds:
        return sweep
    return confirming(sweep, [cell for cell in before.cells if is_winner(cell)])


def _started_from(store: Store, sweep: ResolvedSweep, before: ResolvedSweep) -> ResolvedSweep:
    """Return the sweep with the cells of an earlier search that fit its own."""
    for cell in before.search_cells:
        search = sweep.search
        assert search is not None
        values = values_of(search, _whole(cell))
        if values is None:
            continue
        grown = with_ask(sweep, values, earlier=True)
        if _is_the_same(search, cell, grown) and _have_ended(store, search, grown.search_cells[-1]):
            sweep = grown
    return sweep


def _is_the_same(search: Search, cell: Cell, grown: ResolvedSweep) -> bool:
    """Say whether the cell that was just asked for is this one, and new: nothing of the base differs."""
    assert grown.search is not None
    known = {ask.cell_key for ask in search.asks}
    return grown.search.asks[-1].cell_key == cell.cell_key and cell.cell_key not in known


def _have_ended(store: Store, search: Search, cell: Cell) -> bool:
    """Say whether all trials of a cell have ended; without a scheduler, one that was stopped by it has not."""
    ends = _ends(store, cell)
    return ends is not None and (search.halving is not None or all(end.state != "stopped" for end in ends))


def _ends(store: Store, cell: Cell) -> list[End] | None:
    """Return how a cell's trials have ended, None if one has not, or is damaged."""
    try:
        ends = [TrialFolder(store, key).end() for key in cell.trials.values()]
    except Damaged:
        return None
    ended = [end for end in ends if end is not None]
    return ended if len(ended) == len(ends) else None


def _whole(cell: Cell) -> dict[str, Any]:
    """Return a cell's recipe fields, those that are left out of its key at their neutral value included."""
    return Recipe.model_validate({**cell.recipe, "seed": 0}).model_dump(mode="json")
