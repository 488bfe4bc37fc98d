"""What launching a sweep would run, cost and show: everything that `softaug plan` tells, as a value and as JSON."""

from dataclasses import asdict, dataclass
from typing import Any

from sweeps.plan import budget
from sweeps.plan.detectable import Detectable, Spread, detectable
from sweeps.plan.forecast import Forecast, Span
from sweeps.plan.work_left import disk_mb_left, forecast_of, slots_here, spread_of
from sweeps.resolved import Cell
from sweeps.search.outcomes import Outcomes
from sweeps.search.text import search_json
from sweeps.survey import Survey, TrialState
from trainables.store import Store

COUNTED: dict[str, tuple[TrialState, ...]] = {
    "done": ("finished",),
    "to_do": ("running", "pending"),
    "failed": ("failed", "diverged"),
    "stopped": ("stopped",),
    "damaged": ("damaged",),
}
ALWAYS = ("done", "to_do", "failed")


@dataclass(frozen=True)
class Plan:
    """A sweep as it stands, and what is left of it with so many trials at once.

    `disk_mb`: what the trials to do will leave, None if unknown. `detectable`: for the sweep's seeds and for more.
    `verdict` and `objection`: on `budget_hours`.
    """

    now: Survey
    forecast: Forecast
    slots: int
    disk_mb: float | None
    spread: Spread | None
    detectable: list[Detectable]
    budget_hours: float | None
    verdict: budget.Verdict | None
    objection: str
    outcomes: Outcomes | None  # of the sweep's search, None without one

    @property
    def comparisons(self) -> int:
        """How many cells are compared with another one, most with the baseline."""
        return len(self.now.sweep.comparisons)

    @property
    def time_left_s(self) -> Span:
        """The time left."""
        return self.forecast.time_left_s(self.slots)

    def more_hours(self, n: int) -> float | None:
        """Return the hours of n seeds of every cell beyond those of the sweep, None if unknown."""
        each = self.forecast.per_seed
        return None if each is None else each * (n - len(self.now.sweep.seeds))


def plan_of(store: Store, now: Survey, *, slots: int | None = None, budget_hours: float | None = None) -> Plan:
    """Return the plan of a sweep that stands like this; `slots` None: what this machine fits."""
    expected = forecast_of(now)
    spread, n, comparisons = spread_of(now), len(now.sweep.seeds), len(now.sweep.comparisons)
    ns = sorted({n, n + 1, n + 2, 2 * n, 4 * n})
    search = now.sweep.search
    asked = budget_hours is not None and expected.to_do > 0
    return Plan(
        now=now,
        forecast=expected,
        slots=slots or slots_here(now.sweep.resources),
        disk_mb=disk_mb_left(store, now),
        spread=spread,
        detectable=[] if spread is None else [detectable(spread, each, comparisons) for each in ns],
        budget_hours=budget_hours,
        verdict=budget.verdict(expected, budget_hours) if budget_hours is not None else None,
        objection=budget.objection(expected, budget_hours) if asked and budget_hours is not None else "",
        outcomes=None if search is None else Outcomes(store, search),
    )


def counts(now: Survey, keys: list[str]) -> dict[str, int]:
    """Return how many of these trials are done, to do and failed, and how many are anything else if any are."""
    found = {name: sum(now.trials[key].state in states for key in keys) for name, states in COUNTED.items()}
    return {name: count for name, count in found.items() if count or name in ALWAYS}


def plan_json(plan: Plan) -> dict[str, Any]:
    """Return what `softaug plan --json` prints. Times are in seconds, costs in hours of `unit`, None if unknown."""
    sweep, expected = plan.now.sweep, plan.forecast
    return {
        "sweep": sweep.name,
        "scale": sweep.scale,
        "cells": len(sweep.cells),
        "trials": len(plan.now.trials),
        **counts(plan.now, sweep.trial_keys),
        "cost": {
            "unit": expected.unit,
            "left": asdict(expected.left) if expected.known else None,
            "spent": expected.spent,
            "unknown_trials": expected.unknown,
            "seconds_on_other_devices": expected.elsewhere_s,
            "slots": plan.slots,
            "time_left_s": asdict(plan.time_left_s) if expected.known else None,
            "disk_mb_left": plan.disk_mb,
            "per_seed": expected.per_seed,
        },
        "budget": None if plan.budget_hours is None else {"hours": plan.budget_hours, "verdict": plan.verdict},
        "factors": [asdict(cost) for cost in expected.factors],
        "spread": None if plan.spread is None else asdict(plan.spread),
        "comparisons": plan.comparisons,
        "detectable": [{**asdict(each), "more_hours": plan.more_hours(each.n)} for each in plan.detectable],
        "search": None if plan.outcomes is None else search_json(sweep, plan.outcomes),
        "by_cell": [_cell_json(plan.now, cell) for cell in sweep.cells],
    }


def _cell_json(now: Survey, cell: Cell) -> dict[str, Any]:
    keys = list(cell.trials.values())
    return {"arm": cell.arm, "axes": cell.axes, "cell_key": cell.cell_key, **counts(now, keys)}
