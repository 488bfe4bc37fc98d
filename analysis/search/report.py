"""The report's section on a search: what was asked and found, the winners once confirmed, figures, every cell.

The value a winner was found with is the least of many on a small split, so it flatters; beside it stands what it came
to when the winner was run again, the drop between the two, and in what that run differed.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from analysis.cells import CellRuns, number_text
from analysis.report.site import Picture
from analysis.report.summary import duration
from analysis.results import Results
from analysis.search.data import OBJECTIVES, arms_at, by_value, counts_text, measure, with_unit
from analysis.search.figures import write_search_figures
from analysis.tables.sweep_table import NONE, estimate_text, signed
from softaug.estimate import Estimate
from softaug.recipe import Recipe
from sweeps.search.cells import asked_cell
from sweeps.search.history import Asked, History, Winner
from sweeps.search.search import Value


def search_section(history: History, results: Results, out: Path) -> dict[str, Any]:
    """Write the search's figures into the folder `out`; return what the page shows of it."""
    figures, _ = write_search_figures(history, out)
    return {
        "sentences": sentences(history),
        "winners_header": winners_header(history),
        "winners": [_winner_row(history, results, each) for each in history.winners],
        "about_winners": about_winners(history, results),
        "figures": [
            {
                "title": each.title,
                "caption": each.caption,
                "picture": Picture(f"{each.name}.svg", f"{each.title}. {each.caption}")
                if each.drawing is not None
                else None,
                "wide": each.name.startswith(("search-contour", "search-parallel")),
            }
            for each in figures
        ],
        "asks_header": _asks_header(history),
        "asks": [_ask_row(history, each) for each in by_value(history)],
    }


def sentences(history: History) -> list[str]:
    """Return what was searched for and what came of it, every number with its n."""
    search, asked = history.search, history.asked
    if not asked:
        return ["Nothing has been asked for yet."]
    earlier = sum(each.ask.earlier for each in asked)
    refused = sum(bool(each.ask.refused) for each in asked)
    counts = f"{len(asked)} cells asked for by {search.sampler}: {counts_text(history)}"
    counts += f"; {earlier} of them taken over from an earlier search, at no cost" if earlier else ""
    counts += f"; {refused} of the failed are values that no recipe can have" if refused else ""
    images = search.base["data"]["validation_images"]
    goal = " and ".join(with_unit(name) for name in search.minimize)
    minimized = (
        f"Minimised: {goal} after the last epoch on {images:,} validation images split off the training set, the mean "
        f"over {_n(search.seeds)}. Test images had no part in it."
    )
    return [f"{counts}.", minimized, *_best(history), _spent(history)]


def about_winners(history: History, results: Results) -> list[str]:
    """Return whether winners were confirmed, and how to read the drop from one number to the other."""
    if not history.complete:
        return ["No cell is complete, so there is no winner."]
    if not any(each.cell for each in history.winners):
        soon = "" if history.over else ": the search is not over"
        return [f"No winner was confirmed yet{soon}. What was found is a value on validation images, and flatters."]
    known = [each for each in history.winners if each.cell is not None and _confirmed(results, each) is not None]
    texts = [_what_differs(history, known[0])] if known else ["No confirming run has all its seeds yet: see the holes."]
    return [
        f"The best of {len(history.complete)} cells flatters: it is the best in part by luck, and luck does not come "
        "twice. Only the confirmed values enter this report's other tables.",
        *texts,
    ]


def winners_header(history: History) -> list[str]:
    """Return the titles of the winners' columns."""
    parameters = [parameter.label for parameter in history.search.parameters]
    columns = []
    for name in history.search.minimize:
        what = with_unit(name)
        columns += [f"found: validation {what}", f"confirmed: test {what}", "drop"]
    return ["winner", *columns, *parameters]


def _winner_row(history: History, results: Results, winner: Winner) -> list[str]:
    row = [str(winner.number)]
    cell = _confirmed(results, winner)
    for number, name in enumerate(history.search.minimize):
        decimals = OBJECTIVES[measure(name)][2]
        found = winner.asked.values[number]
        confirmed = None if cell is None else cell.estimate(f"test/{measure(name)}")
        row.append(_with_n(found, decimals))
        row.append(_with_n(confirmed, decimals) if confirmed else _not_confirmed(winner, results))
        row.append(signed(f"{confirmed.mean - found.mean:+.{decimals}f}") if confirmed else NONE)
    return [*row, *_parameters(history, winner.asked.ask.values)]


def _confirmed(results: Results, winner: Winner) -> CellRuns | None:
    """Return the runs of a winner's cell if all its seeds have finished."""
    key = winner.cell.cell_key if winner.cell is not None else ""
    cell = next((each for each in results.cells if each.cell.cell_key == key), None)
    return cell if cell is not None and not cell.problems else None


def _not_confirmed(winner: Winner, results: Results) -> str:
    if winner.cell is None:
        return "not yet"
    cell = next((each for each in results.cells if each.cell.cell_key == winner.cell.cell_key), None)
    return "not yet" if cell is None else f"{cell.seeds} seeds"


def _what_differs(history: History, winner: Winner) -> str:
    """Return in what a confirming run differs from the one that found the winner."""
    assert winner.cell is not None
    found, confirmed = (
        Recipe.model_validate({**recipe, "seed": 0})
        for recipe in (asked_cell(history.search, winner.asked.ask.values).recipe, winner.cell.recipe)
    )
    old, new = found.data.validation_images, confirmed.data.validation_images
    seeds = f"seeds {_list(winner.cell.trials)} in place of {_list(winner.asked.trials)}"
    parts = ["test in place of validation images", seeds]
    if found.optim.epochs != confirmed.optim.epochs:
        parts.append(f"{confirmed.optim.epochs} epochs in place of {found.optim.epochs}")
    if old != new:
        parts.append(f"{old - new:,} more training images, those of the validation split")
    return f"Drop: confirmed less found; positive is worse. The second run differs: {', '.join(parts)}."


def _best(history: History) -> Iterator[str]:
    if not history.complete:
        return
    if len(history.search.minimize) == 1:
        best = by_value(history)[0]
        name, unit, decimals = OBJECTIVES[measure(history.search.minimize[0])]
        value = f"{estimate_text(best.values[0], decimals)} {unit}".strip()
        where = ", ".join(_named(history, best.ask.values))
        yield f"Best: {value} {name} (validation, n = {best.values[0].n}) at {where}."
        return
    yield f"{len(history.front)} of {len(history.complete)} complete cells are on the Pareto front."


def _spent(history: History) -> str:
    budget = history.search.budget.model_dump(exclude_none=True)
    limits = ", ".join(f"{value:g} {name.replace('_', ' ')}" for name, value in budget.items())
    gpus = history.sweep.resources.gpus
    hours = f", {gpus * history.seconds / 3600:.2f} GPU hours" if gpus else ""
    how = (
        f"Budget: {limits}; spent: {sum(not each.ask.earlier for each in history.asked)} cells, "
        if limits
        else "Spent: "
    )
    state = "The search is over." if history.over else "The search is not over."
    return f"{how}{duration(history.seconds)} of training{hours}. {state}"


def _asks_header(history: History) -> list[str]:
    labels = [parameter.label for parameter in history.search.parameters]
    return ["cell", *labels, *(f"validation {with_unit(name)}" for name in history.search.minimize), "state", ""]


def _ask_row(history: History, each: Asked) -> dict[str, Any]:
    names = history.search.minimize
    values = [
        estimate_text(value, OBJECTIVES[measure(name)][2]) for name, value in zip(names, each.values, strict=False)
    ]
    notes = [f"winner {one.number}" for one in history.winners if one.asked.number == each.number and history.over]
    notes += arms_at(history, each)
    notes += ["taken over"] if each.ask.earlier else []
    notes += [each.ask.refused] if each.ask.refused else []
    state = f"pruned at epoch {max(each.steps, default=0)}" if each.state == "pruned" else each.state
    return {
        "entries": [str(each.number), *_parameters(history, each.ask.values), *(values or [NONE] * len(names)), state],
        "note": "; ".join(notes),
        "hole": each.state != "complete",
    }


def _parameters(history: History, values: dict[str, Value]) -> list[str]:
    """Return the values in the parameters' order; a dash where a parameter is not there."""
    names = [parameter.name for parameter in history.search.parameters]
    return [number_text(values[name]) if name in values else NONE for name in names]


def _named(history: History, values: dict[str, Value]) -> list[str]:
    there = [parameter for parameter in history.search.parameters if parameter.name in values]
    return [f"{parameter.label} = {number_text(values[parameter.name])}" for parameter in there]


def _with_n(value: Estimate, decimals: int) -> str:
    return f"{estimate_text(value, decimals)} (n = {value.n})"


def _n(seeds: Sequence[int]) -> str:
    return f"n = {len(seeds)} seed{'' if len(seeds) == 1 else 's'} ({_list(seeds)})"


def _list(seeds: Any) -> str:
    return ", ".join(map(str, seeds))
