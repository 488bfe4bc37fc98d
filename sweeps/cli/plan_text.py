"""A plan on a terminal: cells, then cost by factor, then what more seeds would show, and the sums last."""

from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.cli.live import duration_text
from sweeps.plan.budget import hours_text, number
from sweeps.plan.plan import Plan, counts
from sweeps.plan.work_left import HOW_TO_KNOW
from sweeps.search.future import future
from sweeps.search.text import search_line, space_lines

DASH = "–"


def print_plan(console: Console, plan: Plan) -> None:
    """Print what a sweep asks and expects, what of it is to do, what that costs, and what its seeds can show."""
    sweep = plan.now.sweep
    say = [f"{sweep.name} at scale {sweep.scale}: {sweep.question}"]
    say += [f"{name}: {text}" for name, text in (("expected", sweep.expect), ("cost", sweep.cost)) if text]
    for line in say:
        console.print(Text(line))
    if plan.outcomes is not None:
        for line in (*space_lines(sweep), search_line(sweep, plan.outcomes)):
            console.print(Text(line))
    console.print(_cells(plan))
    if plan.forecast.known:
        console.print()
        console.print(_factors(plan))
    if plan.spread is not None:
        console.print()
        console.print(_seeds(plan))
    console.print()
    for line in _sums(plan):
        console.print(Text(line))


def _table(*columns: str) -> Table:
    """Return a table whose first column is text and whose others are numbers."""
    table = Table(box=None, pad_edge=False)
    for index, name in enumerate(columns):
        table.add_column(name, justify="right" if index else "left")
    return table


def _cells(plan: Plan) -> Table:
    now = plan.now
    names = list(counts(now, now.sweep.trial_keys))
    table = _table("cell", *(name.replace("_", " ") for name in names))
    for cell in now.sweep.cells:
        found = counts(now, list(cell.trials.values()))
        table.add_row(cell.title, *(str(found.get(name, 0)) for name in names))
    return table


def _factors(plan: Plan) -> Table:
    """A row per arm and axis value; seeds cost the same, and one more of them has a line of its own."""
    unit = plan.forecast.unit
    table = _table("cost by arm and axis", "trials", "to do", f"{unit} left", "spent")
    before = "arm"
    for cost in plan.forecast.factors:
        if cost.factor == "seed" or cost.value == "none":
            continue
        if cost.factor != before:
            table.add_row()
        before = cost.factor
        name = cost.value if cost.factor == "arm" else f"{cost.factor} {cost.value}"
        table.add_row(name, str(cost.trials), str(cost.to_do), number(cost.left), number(cost.spent))
    return table


def _seeds(plan: Plan) -> Table:
    unit = plan.forecast.unit
    table = _table("seeds", "SE of a cell", "detects", f"detects, Holm of {plan.comparisons}", f"more {unit}")
    for each in plan.detectable:
        values = [_points(value) for value in (each.se, each.alone, each.holm)]
        more = plan.more_hours(each.n)
        table.add_row(str(each.n), *values, DASH if more is None else number(more))
    return table


def _points(value: float | None) -> str:
    """Return points of error; there are only 100."""
    return DASH if value is None else f"{value:.2f}" if value <= 100 else ">100"


def _sums(plan: Plan) -> list[str]:
    """Return what the tables mean, and the sums."""
    return [*_about_seeds(plan), *_about_cost(plan)]


def _about_seeds(plan: Plan) -> list[str]:
    found = plan.spread
    if found is None:
        return [
            "Nothing is known yet of the spread between seeds, so not what they can show; give `seed_sd` in the prior."
        ]
    learnt = f"{found.cells} finished cells" if found.cells else "the prior"
    return [
        f"Points of top-1 error; detects: with 80 % power at p < 0.05, two-sided, paired by seed; Holm: the least p of "
        f"{plan.comparisons}. SD between seeds {found.seed_sd:.2f}, of paired differences {found.difference_sd:.2f}, "
        f"from {learnt}."
    ]


def _about_cost(plan: Plan) -> list[str]:
    now, expected = plan.now, plan.forecast
    found = ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in counts(now, now.sweep.trial_keys).items())
    lines = [f"{len(now.sweep.cells)} cells, {len(now.trials)} trials: {found}"]
    if more := sum(count for _, count in future(now.sweep)):
        lines[0] += f"; up to {more} trials more for the cells that the search has yet to ask for, and its winners"
    spent = f"spent {number(expected.spent)} {expected.unit}"
    if expected.elsewhere_s:
        spent += f", and {number(expected.elsewhere_s / 3600)} trial-hours on other devices"
    if not expected.known:
        return [
            *lines,
            f"{spent}; nothing is known yet of the cost of {expected.unknown} trials to do: no such trial has "
            f"finished, and there is no prior. To know, {HOW_TO_KNOW}",
        ]
    if not expected.to_do:
        return [*lines, spent]
    at_once = f"{plan.slots} trial{'s' if plan.slots > 1 else ''} at once"
    disk = "" if plan.disk_mb is None else f", {number(plan.disk_mb)} MB on disk"
    lines += [
        f"left: {hours_text(expected.left)} {expected.unit} (95 % interval){disk}; {spent}",
        f"time left: about {duration_text(plan.time_left_s)} with {at_once}",
    ]
    if expected.per_seed is not None:
        lines.append(f"one seed more of every cell: {number(expected.per_seed)} {expected.unit}")
    return lines
