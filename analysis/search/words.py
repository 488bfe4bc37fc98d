"""Words that the figures of a search share: labels, captions' parts, and why there is no figure."""

from analysis.search.data import OBJECTIVES, counts_text, measure, varied, with_unit
from sweeps.search.history import History


def why_not(history: History, cells: int, *, parameters: int) -> str:
    """Return why there is no figure, nothing if there is enough for it."""
    if len(history.complete) < cells:
        return too_few(history, cells)
    if len(varied(history)) < parameters:
        few = "No parameter" if parameters == 1 else "At most one parameter"
        return f"{few} varied among the {len(history.complete)} complete cells: there is nothing to compare."
    return ""


def too_few(history: History, needed: int) -> str:
    """Return how many complete cells a figure takes, and how many there are."""
    there = len(history.complete)
    cells = f"{there or 'no'} complete cell{'' if there == 1 else 's'} so far"
    return (
        f"No figure yet: it takes {needed} complete cell{'' if needed == 1 else 's'}, and there {_are(there)} {cells}."
    )


def _are(number: int) -> str:
    return "is" if number == 1 else "are"


def cells_text(history: History) -> str:
    """Return "40 cells asked for: 29 complete, 11 pruned"."""
    return f"{len(history.asked)} cells asked for: {counts_text(history)}"


def seeds_text(history: History) -> str:
    """Return over how many seeds, and on which split, values are means."""
    n = len(history.search.seeds)
    return f"Means over n = {n} seed{'' if n == 1 else 's'} per cell, on the validation split"


def value_label(history: History, objective: int) -> str:
    """Return an objective as axes show it: "validation top-1 error (%)"."""
    return f"validation {with_unit(history.search.minimize[objective])}"


def measure_of(history: History, objective: int) -> str:
    """Return what an objective measures: "top1_error"."""
    return measure(history.search.minimize[objective])


def number_with_unit(history: History, objective: int, value: float) -> str:
    """Return an objective's value: "19.26 %"."""
    _, unit, decimals = OBJECTIVES[measure_of(history, objective)]
    return f"{value:.{decimals}f} {unit}".strip()


def labels(history: History) -> dict[str, str]:
    """Return the parameters' labels by their names."""
    return {parameter.name: parameter.label for parameter in history.search.parameters}


def as_optuna_cuts(name: str) -> str:
    """Return a name as Optuna writes it at parallel coordinates."""
    return name if len(name) < 20 else f"{name[:17]}..."
