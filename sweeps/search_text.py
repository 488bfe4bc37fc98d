"""How a search stands, in words and as plain data."""

from collections import Counter
from typing import Any

from sweeps.resolved import ResolvedSweep
from sweeps.search import Search, Values
from sweeps.search_outcomes import FAILED, Found, Outcomes, winners

STATES = ("complete", "pruned", "failed", "open")


def search_line(sweep: ResolvedSweep, outcomes: Outcomes) -> str:
    """Return how a sweep's search stands: how many cells of how many, in which states, and the best so far."""
    search = _search(sweep)
    limit = "" if search.budget.cells is None else f" of {search.budget.cells}"
    states = [f"{number} {state}" for state, number in counts(sweep, outcomes).items() if number]
    text = ", ".join([f"search: {len(search.asks)}{limit} cells asked for", *states])
    best = winners(search, outcomes.known)
    return f"{text}; best so far: {found_text(search, best[0])}" if best else text


def counts(sweep: ResolvedSweep, outcomes: Outcomes) -> dict[str, int]:
    """Return how many of the cells asked for are in which state."""
    cells = {cell.cell_key: cell for cell in sweep.search_cells}
    every = [outcomes.of(cells[ask.cell_key]) if ask.cell_key else FAILED for ask in _search(sweep).asks]
    found = Counter("open" if outcome is None else outcome.state for outcome in every)
    return {state: found[state] for state in STATES}


def search_json(sweep: ResolvedSweep, outcomes: Outcomes) -> dict[str, Any]:
    """Return the same as plain data; `best` are the cells that would be confirmed now."""
    search = _search(sweep)
    found = counts(sweep, outcomes)
    return {
        "minimize": search.minimize,
        "asked": len(search.asks),
        **found,
        "best": [
            {"cell_key": each.ask.cell_key, "values": each.ask.values, "found": list(each.values)}
            for each in winners(search, outcomes.known)
        ],
    }


def found_text(search: Search, found: Found) -> str:
    """Return what a cell was found with: "val/top1_error 2.31 (σ 0.25, k 1.8)"."""
    numbers = ", ".join(f"{name} {value:.2f}" for name, value in zip(search.minimize, found.values, strict=True))
    return f"{numbers} ({values_text(search, found.ask.values)})"


def values_text(search: Search, values: Values) -> str:
    """Return a cell's values: "σ 0.25, k 1.8, policy RandAugment"."""
    labels = {parameter.name: parameter.label for parameter in search.parameters}
    shown = {name: f"{value:.3g}" if isinstance(value, float) else value for name, value in values.items()}
    return ", ".join(f"{labels[name]} {value}" for name, value in shown.items())


def _search(sweep: ResolvedSweep) -> Search:
    assert sweep.search is not None
    return sweep.search
