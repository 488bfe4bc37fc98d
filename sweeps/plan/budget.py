"""Whether what is left of a sweep fits a budget: it does not if the expected hours are above it.

If only the upper end of the interval is, that is a warning; of what nothing is known, nothing can be said to fit.
"""

from collections.abc import Callable
from math import floor, log10
from typing import Literal

from sweeps.launch.preflight import Refused
from sweeps.plan.forecast import Forecast, Span
from sweeps.plan.work_left import HOW_TO_KNOW, cost_estimate, forecast_of
from sweeps.survey import Survey
from trainables.launches import CostEstimate

Verdict = Literal["fits", "may not fit", "does not fit", "unknown"]


def launch_estimate(
    now: Survey, budget_hours: float | None, say: Callable[[str], None], *, retry_failed: bool
) -> CostEstimate | None:
    """Return what a launch is expected to take, None if nothing is known. Raises Refused above the budget."""
    expected = forecast_of(now, retry_failed=retry_failed)
    if budget_hours is not None and expected.to_do and (told := objection(expected, budget_hours)):
        if verdict(expected, budget_hours) != "may not fit":
            raise Refused([f"--budget: {told}"])
        say(f"warning: {told}")
    return cost_estimate(expected, now.sweep.resources)


def verdict(expected: Forecast, budget_hours: float) -> Verdict:
    """Say whether the work left fits; no work fits any budget."""
    if not expected.known:
        return "unknown"
    if expected.left.value > budget_hours:
        return "does not fit"
    return "may not fit" if expected.left.high > budget_hours else "fits"


def objection(expected: Forecast, budget_hours: float) -> str:
    """Return why the work left does not, or may not, fit, and what would help; nothing if it fits."""
    found = verdict(expected, budget_hours)
    if found == "unknown":
        return f"nothing is known of the cost of {expected.unknown} trials, so no budget can be kept; {HOW_TO_KNOW}"
    if found == "fits":
        return ""
    expects = f"{hours_text(expected.left)} {expected.unit} expected for {expected.to_do} trials"
    if found == "may not fit":
        return f"{expects}: the upper end is above the budget of {budget_hours:g}"
    return f"{expects}, above the budget of {budget_hours:g}; {_what_to_trim(expected)}"


def hours_text(span: Span) -> str:
    """Return "1.2 (0.9–1.6)": the expected value and its 95 % interval."""
    return f"{number(span.value)} ({number(span.low)}–{number(span.high)})"


def number(value: float) -> str:
    """Return a number of hours or MB with two digits or more: "0.042", "1.6", "37.5", "1,240"."""
    if value >= 100 or value == 0:
        return f"{value:,.0f}"
    return f"{value:.{max(1, 1 - floor(log10(value)))}f}"


def _what_to_trim(expected: Forecast) -> str:
    """Return the values of factors that cost most, and what a seed less saves."""
    values: dict[str, list[tuple[float, str]]] = {}
    for cost in expected.factors:
        if cost.factor != "seed" and cost.value != "none" and cost.left:
            name = cost.value if cost.factor == "arm" else f"{cost.factor} {cost.value}"
            values.setdefault(cost.factor, []).append((cost.left, name))
    dearest = [f"{name} ({number(left)})" for left, name in (max(each) for each in values.values() if len(each) > 1)]
    seeds = [cost for cost in expected.factors if cost.factor == "seed" and cost.left]
    if len(seeds) > 1:
        dearest.append(f"each seed ({number(expected.left.value / len(seeds))})")
    return f"most is in {', '.join(dearest)}: leave some out" if dearest else "one trial alone is above it"
