"""What a search has yet to run, as far as its budget says: cells it has not asked for, and winners."""

from collections.abc import Sequence
from typing import Any

from sweeps.resolved import ResolvedSweep
from sweeps.search.cells import WINNER, cell_of
from sweeps.search.search import Parameter, Search, Values

Recipe = dict[str, Any]


def future(sweep: ResolvedSweep) -> list[tuple[Recipe, int]]:
    """Return recipes like those to come, and how many trials of each there will be at most.

    A budget of hours alone says nothing of their number: then only the winners count.
    """
    search = sweep.search
    if search is None:
        return []
    values = _some(search.parameters)
    searched, confirmed = (
        cell_of(search, base, values, "", search.seeds).recipe for base in (search.base, search.confirm_base)
    )
    there = sum(cell.arm.startswith(f"{WINNER} ") for cell in sweep.cells)
    found = [
        (searched, _cells_to_ask(search) * len(search.seeds)),
        (confirmed, max(search.winners - there, 0) * len(sweep.seeds)),
    ]
    return [(recipe, count) for recipe, count in found if count]


def _cells_to_ask(search: Search) -> int:
    budget, own = search.budget, sum(not ask.earlier for ask in search.asks)
    limits = [] if budget.cells is None else [budget.cells - own]
    limits += [] if budget.trials is None else [-(-budget.trials // len(search.seeds)) - own]
    if search.sampler == "grid":
        from sweeps.search.study import grid

        limits.append(sum(1 for _ in grid(search.parameters)) - own)
    return max(min(limits, default=0), 0)


def _some(parameters: Sequence[Parameter]) -> Values:
    """Return values that a cell may have."""
    values: Values = {}
    for parameter in parameters:
        if parameter.is_there(values):
            values[parameter.name] = parameter.choices[0].value if parameter.kind == "choice" else parameter.low
    return values
