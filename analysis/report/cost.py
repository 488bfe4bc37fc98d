"""What launches were expected to take and what they took, as rows of the report's table."""

from collections.abc import Sequence
from datetime import UTC, datetime

from analysis.tables.sweep_table import NONE
from sweeps.plan.course import Course


def cost_rows(courses: Sequence[Course]) -> list[dict[str, str]]:
    """Return a row per launch with an estimate, and their sum if there are several that can be compared.

    Only launches that ended all trials of their estimate have a ratio; sums are over those, of one unit.
    """
    rows = [_row(course) for course in courses]
    for unit in dict.fromkeys(course.estimate.unit for course in courses):
        complete = [course for course in courses if course.complete and course.estimate.unit == unit]
        if len(complete) > 1:
            rows.append(_sum(complete, unit))
    return rows


def _row(course: Course) -> dict[str, str]:
    estimate = course.estimate
    since = datetime.fromtimestamp(course.since, UTC)
    return {
        "launch": f"{course.launch}, {since:%Y-%m-%d %H:%M} UTC",
        "trials": f"{course.ended} of {estimate.trials}",
        "expected": f"{estimate.hours:.3g} ({estimate.low:.3g}–{estimate.high:.3g})",
        "took": f"{course.took:.3g}",
        "unit": estimate.unit,
        "ratio": NONE if course.ratio is None else f"{course.ratio:.2f}",
        "inside": {True: "yes", False: "no", None: NONE}[course.inside],
    }


def _sum(complete: Sequence[Course], unit: str) -> dict[str, str]:
    hours, took = (sum(values) for values in zip(*((each.estimate.hours, each.took) for each in complete), strict=True))
    return {
        "launch": f"sum of {len(complete)}",
        "trials": str(sum(each.ended for each in complete)),
        "expected": f"{hours:.3g}",
        "took": f"{took:.3g}",
        "unit": unit,
        "ratio": f"{took / hours:.2f}",
        "inside": f"{sum(bool(each.inside) for each in complete)} of {len(complete)}",
    }
