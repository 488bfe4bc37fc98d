"""Claims evaluated: on the numbers as printed, and seed by seed on runs.

Printed numbers decide by their means, as a reader would. Beside that stands whether the sum is beyond its error (95 %,
by Welch and Satterthwaite, the means taken as independent) and beyond what rounding may hide. Runs are paired: the sum
is taken for every seed, and a claim holds or fails only where the 95 % t interval of its mean does; else it is open.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import sqrt
from typing import Literal

from scipy.special import stdtrit

from analysis.claims.claims import Part
from analysis.compare import NO_SPREAD
from analysis.results import Results
from analysis.tables.paper_results import Filled, fill
from softaug.estimate import Estimate, estimate

State = Literal["holds", "fails", "open", "not tested"]
ROUNDING = 1e-9  # of sums of decimal numbers in binary


@dataclass(frozen=True)
class Outcome:
    """What came of a part of a claim; `row` names it, and the arm if there are several.

    `value`: the sum less `above`, so that above 0 is as claimed; `half`: of its 95 % interval. `doubt`: what keeps a
    printed sum from being sure, or runs from a test. `reason`: why there is no value.
    """

    part: Part
    row: str
    state: State
    value: float | None = None
    half: float | None = None
    n: int | None = None
    doubt: str = ""
    reason: str = ""
    sources: tuple[str, ...] = ()


def on_paper(part: Part) -> Outcome:
    """Return what the printed numbers say of a part."""
    numbers = [(factor, place.published) for factor, place in part.terms]
    value = sum(factor * (number.mean or 0.0) for factor, number in numbers) - part.above
    state: State = "holds" if _as_claimed(value, part) else "fails"
    slack = sum(abs(factor) * number.rounding for factor, number in numbers)
    parts = [(factor * number.largest_se, number.n_runs) for factor, number in numbers
             if number.largest_se is not None and number.n_runs is not None]  # fmt: skip
    half = _welch_half(parts) if len(parts) == len(numbers) else None
    if abs(value) <= slack + ROUNDING:
        doubt = "within rounding"
    elif half is None:
        doubt = ""
    else:
        doubt = "" if abs(value) > half else "within its error"
    return Outcome(part, part.row, state, value, half, doubt=doubt)


def on_runs(part: Part, sources: Sequence[Results]) -> list[Outcome]:
    """Return what runs say of a part; several outcomes where several arms claim one of its numbers."""
    alternatives = [fill(place, sources) for _, place in part.terms]
    return [_on_cells(part, chosen, several) for chosen, several in _choices(alternatives)]


def _choices(alternatives: list[list[Filled]]) -> Iterator[tuple[tuple[Filled, ...], str]]:
    """Yield every choice of one arm per number, and the names of those of which there are several."""
    for chosen in product(*alternatives):
        names = [one.arm for one, all_ in zip(chosen, alternatives, strict=True) if len(all_) > 1]
        yield chosen, ", ".join(names)


def _on_cells(part: Part, chosen: Sequence[Filled], several: str) -> Outcome:
    row = f"{part.row}, {several}" if several else part.row
    sources = tuple(dict.fromkeys(one.source for one in chosen if one.source))
    if any(one.place.quoted_from for one in chosen):
        return Outcome(part, row, "not tested", reason="quoted numbers are not run here", sources=sources)
    holes = dict.fromkeys(f"{one.arm}: {one.hole}" if one.arm else one.hole for one in chosen if one.hole)
    seeds = {frozenset(one.values) for one in chosen}
    if holes:
        return Outcome(part, row, "not tested", reason="; ".join(holes), sources=sources)
    if len(seeds) > 1:
        return Outcome(part, row, "not tested", reason="the cells have different seeds", sources=sources)
    factors = [factor for factor, _ in part.terms]
    sums = estimate(
        sum(factor * one.values[seed] for factor, one in zip(factors, chosen, strict=True)) - part.above
        for seed in sorted(chosen[0].values)
    )
    if sums.se is None or sums.se < NO_SPREAD:
        doubt = "one seed" if sums.se is None else "no spread between seeds"
        return Outcome(part, row, "open", sums.mean, n=sums.n, doubt=doubt, sources=sources)
    return Outcome(part, row, _state(sums), sums.mean, sums.interval_95, sums.n, sources=sources)


def _state(sums: Estimate) -> State:
    half = sums.interval_95 or 0.0
    return "holds" if sums.mean - half > 0 else "fails" if sums.mean + half < 0 else "open"


def _as_claimed(value: float, part: Part) -> bool:
    return value > -ROUNDING if part.equal_counts else value > ROUNDING


def _welch_half(parts: Sequence[tuple[float, int]]) -> float:
    """Return the half-width of the 95 % interval of a sum of independent means: factor x SE and n of each."""
    variances = [(error**2, n - 1) for error, n in parts if error != 0]
    total = sum(variance for variance, _ in variances)
    freedom = total**2 / sum(variance**2 / degrees for variance, degrees in variances)
    return float(stdtrit(freedom, 0.975)) * sqrt(total)
