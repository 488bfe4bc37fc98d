"""The numbers behind the figures and tables of a search, apart from their drawing."""

import csv
import warnings
from collections.abc import Callable, Mapping
from io import StringIO
from statistics import median
from typing import Any

from optuna.importance import get_param_importances
from optuna.trial import FrozenTrial

from sweeps.search.export import quiet_optuna, study
from sweeps.search.history import Asked, History, State

OBJECTIVES: Mapping[str, tuple[str, str, int]] = {  # name, unit, decimals
    "top1_error": ("top-1 error", "%", 2),
    "ece": ("ECE", "%", 2),
    "nll": ("NLL", "nats", 3),
    "brier": ("Brier score", "", 4),
}
LEAST_CELLS = 4  # with fewer, importances and contours would only draw what the table says
STEADY_CELLS = 50  # from which on PED-ANOVA's best tenth is five cells, as its authors want


def measure(objective: str) -> str:
    """Return what is measured, without the split: "val/top1_error" -> "top1_error"."""
    return objective.rpartition("/")[2]


def with_unit(objective: str) -> str:
    """Return "top-1 error (%)"."""
    name, unit, _ = OBJECTIVES[measure(objective)]
    return f"{name} ({unit})" if unit else name


def importances(history: History, objective: int) -> dict[str, float]:
    """Return how much each parameter matters (PED-ANOVA, the shares sum to 1), the most important first.

    Empty if there is nothing to tell apart: too few complete cells, or all equally good, or alike.
    """
    complete = history.complete
    if len(complete) < LEAST_CELLS or not varied(history):
        return {}
    with quiet_optuna(), warnings.catch_warnings():
        warnings.filterwarnings("error", ".*Parameter importances will be equal", UserWarning)
        try:
            return get_param_importances(study(history), target=target(history, objective))
        except UserWarning:  # the best tenth are all cells
            return {}


def target(history: History, objective: int) -> Callable[[FrozenTrial], float] | None:
    """Return what Optuna shall look at: of two objectives one, of a single one what it looks at by itself."""
    return None if len(history.search.minimize) == 1 else lambda trial: trial.values[objective]


def varied(history: History) -> list[str]:
    """Return the parameters that have two values or more among the complete cells, in the search's order."""
    values: dict[str, set[Any]] = {}
    for each in history.complete:
        for name, value in each.ask.values.items():
            values.setdefault(name, set()).add(value)
    return [each.name for each in history.search.parameters if len(values.get(each.name, ())) > 1]


def most_important(history: History, objective: int, most: int) -> list[str]:
    """Return at most so many of the parameters that varied, the most important ones, in the search's order."""
    ranked = list(importances(history, objective))
    kept = sorted(varied(history), key=lambda name: ranked.index(name) if name in ranked else len(ranked))[:most]
    return [name for name in varied(history) if name in kept]


def colour_limits(history: History, objective: int) -> tuple[float, float]:
    """Return the ends of a scale of colours: the least value, and the greatest or as far above the median as that is.

    So a few cells that hardly learned do not take the colours from all others.
    """
    values = [each.means[objective] for each in history.complete]
    least, middle, most = min(values), median(values), max(values)
    return least, min(most, least + 2 * (middle - least)) if middle > least else most


def asks_csv(history: History) -> str:
    """Return a row per ask, in the order of asking, with everything that the figures show of it."""
    return _csv([_record(history, each) for each in history.asked])


def importances_csv(history: History) -> str:
    """Return a row per objective and parameter."""
    found = [
        {"objective": name, "parameter": parameter, "importance": share}
        for number, name in enumerate(history.search.minimize)
        for parameter, share in importances(history, number).items()
    ]
    return _csv(found)


def by_value(history: History) -> list[Asked]:
    """Return all asks: complete cells from the best on, then pruned, failed and open ones, each in order of asking."""
    order = ("complete", "pruned", "failed", "open")
    return sorted(history.asked, key=lambda each: (order.index(each.state), each.means, each.number))


def counts_text(history: History) -> str:
    """Return "29 complete, 8 pruned, 1 not ended"."""
    states: dict[State, str] = {"complete": "complete", "pruned": "pruned", "failed": "failed", "open": "not ended"}
    return ", ".join(f"{history.count(state)} {text}" for state, text in states.items() if history.count(state))


def winners_name(history: History) -> str:
    """Return what the best cells are called: winners once they are to be confirmed."""
    return "winner" if history.over else "best so far"


def arms_at(history: History, asked: Asked) -> list[str]:
    """Return the sweep's own cells that have an ask's values."""
    return [arm for arm, values in history.arms.items() if values == asked.ask.values]


def _record(history: History, each: Asked) -> dict[str, Any]:
    record: dict[str, Any] = {"ask": each.number, "state": each.state}
    record |= {parameter.name: each.ask.values.get(parameter.name) for parameter in history.search.parameters}
    for number, objective in enumerate(history.search.minimize):
        value = each.values[number] if each.values else None
        record |= {objective: value and value.mean, f"{objective} se": value and value.se}
    record |= {"seeds": len(each.trials), "best": each.number in history.front, "earlier": each.ask.earlier}
    record |= {"pruned_at_epoch": max(each.steps, default=None), "refused": each.ask.refused}
    record |= {"winner": next((one.number for one in history.winners if one.asked.number == each.number), None)}
    return record | {"as_arm": "; ".join(arms_at(history, each)), "cell_key": each.ask.cell_key}


def _csv(records: list[dict[str, Any]]) -> str:
    text = StringIO()
    if records:
        writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(records)
    return text.getvalue()
