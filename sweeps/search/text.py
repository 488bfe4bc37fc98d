"""How a search stands, in words and as plain data."""

from collections import Counter
from typing import Any

from sweeps.resolved import ResolvedSweep
from sweeps.search.outcomes import FAILED, Found, Outcomes, winners
from sweeps.search.search import Parameter, Search, Values

STATES = ("complete", "pruned", "failed", "open")


def search_line(sweep: ResolvedSweep, outcomes: Outcomes) -> str:
    """Return how a sweep's search stands: how many cells of how many, in which states, and the best so far."""
    search = _search(sweep)
    limit = "" if search.budget.cells is None else f" of {search.budget.cells}"
    states = [f"{number} {state}" for state, number in counts(sweep, outcomes).items() if number]
    text = ", ".join([f"search: {len(search.asks)}{limit} cells asked for", *states])
    best = winners(search, outcomes.known)
    return f"{text}; best so far: {found_text(search, best[0])}" if best else text


def space_lines(sweep: ResolvedSweep) -> list[str]:
    """Return what is searched and how: the space, then objectives, sampler, seeds, budget and what is confirmed."""
    search = _search(sweep)
    budget = [f"{limit:g} {name.replace('_', ' ')}" for name, limit in search.budget if limit is not None]
    halving = search.halving
    judged = f", halved from epoch {halving.grace_epochs} by {halving.reduction}" if halving else ""
    return [
        f"space: {', '.join(map(_range, search.parameters))}",
        f"minimizes {' and '.join(search.minimize)} by {search.sampler}{judged}, mean over "
        f"{'seed' if len(search.seeds) == 1 else 'seeds'} {', '.join(map(str, search.seeds))}; "
        f"at most {' or '.join(budget) or 'the whole grid'}; the best {search.winners} are run again with "
        f"seeds {', '.join(map(str, sweep.seeds))}",
    ]


def _range(parameter: Parameter) -> str:
    if parameter.kind == "choice":
        text = f"{parameter.label} {' | '.join(str(choice.value) for choice in parameter.choices)}"
    else:
        steps = " (log)" if parameter.log else f" by {parameter.step:g}" if parameter.step else ""
        text = f"{parameter.label} {parameter.low:g}–{parameter.high:g}{steps}"
    conditions = [f"{name} {' | '.join(map(str, allowed))}" for name, allowed in parameter.when.items()]
    return f"{text} if {' and '.join(conditions)}" if conditions else text


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
