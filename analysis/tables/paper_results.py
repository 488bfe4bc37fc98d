"""Our runs in the places of the paper's tables: an arm of a sweep says in its file which published numbers are its own.

A place is filled by a cell or is a hole with the reason: no runs, a lost seed, seeds that differ in what must be equal,
or two sweeps with different recipes for it. Several arms of one sweep may claim a place, where the paper does not say
which setting its number is of: then each is shown. A cell that two sweeps share counts once.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from analysis.cells import CellRuns
from analysis.paper_setting import departures
from analysis.results import Results
from analysis.runs import TrialRun
from analysis.tables.paper_layouts import ECE, ERROR, Place
from sweeps.resolved import Published, ResolvedSweep

OCCLUDED = "top1_accuracy_pct_occlusion80"
INCREASE, REDUCTION = "top1_error_increase_pp", "top1_error_reduction_pp"  # of a cell over its own baseline
METRICS = {ERROR: "top1_error", ECE: "ece"}
FURTHER = {"imagenetv2": "imagenet-v2"}  # test sets that `softaug evaluate --test-on` measures


@dataclass(frozen=True)
class Filled:
    """What our runs have for a place. `values`: by seed, in the published unit; empty for a hole, `hole` says why.

    `departures`: in what the cell's recipe is not the paper's.
    """

    place: Place
    values: Mapping[int, float]
    hole: str = ""
    seeds: str = ""  # finished of expected, "2/3"; empty without a cell
    cell: CellRuns | None = None
    results: Results | None = None
    departures: tuple[str, ...] = ()

    @property
    def source(self) -> str:
        """The sweep at its scale, empty without a cell."""
        return self.results.sweep.experiment if self.results else ""

    @property
    def scale(self) -> str:
        """The sweep's scale, empty without a cell."""
        return self.results.sweep.scale if self.results else ""

    @property
    def arm(self) -> str:
        """The arm's name, empty without a cell."""
        return self.cell.cell.arm if self.cell else ""

    @property
    def against(self) -> CellRuns | None:
        """The cell it is compared with."""
        if self.cell is None or self.results is None:
            return None
        base = self.results.sweep.compared_with(self.cell.cell)
        return next((cell for cell in self.results.cells if base and cell.cell.cell_key == base.cell_key), None)


def fills(sweep: ResolvedSweep, table: str) -> bool:
    """Tell whether an arm of the sweep has a number in this table of the paper."""
    return any(each.table == table for cell in sweep.cells for each in cell.published)


def check_scales(sweeps: Iterable[ResolvedSweep]) -> None:
    """Raise ValueError if the sweeps are of several scales: their numbers never stand in one table.

    Scales that all have the paper's setting are one: Table 2 has CIFAR's and ImageNet's.
    """
    by_scale: dict[str, list[str]] = {}
    for sweep in sweeps:
        by_scale.setdefault("" if _is_the_papers(sweep) else sweep.scale, []).append(sweep.experiment)
    if len(by_scale) > 1:
        names = ", ".join(name for experiments in by_scale.values() for name in experiments)
        raise ValueError(f"{names}: one table holds runs of one scale; choose it with --scale, or sweeps with --sweep")


def _is_the_papers(sweep: ResolvedSweep) -> bool:
    return not any(departures(cell.recipe, each.dataset, each.model) for cell in sweep.cells for each in cell.published)


def fill(place: Place, sources: Sequence[Results]) -> list[Filled]:
    """Return what these results have for a place, one for each arm that claims it; a single hole if none can."""
    if place.quoted_from is not None:
        return [Filled(place, {}, f"quoted from {place.quoted_from}, not run here")]
    found: dict[str, list[tuple[Results, CellRuns]]] = {}
    for results in sources:
        for cell in results.cells:
            if _matches(place, cell.cell.published):
                found.setdefault(cell.cell.cell_key, []).append((results, cell))
    if not found:
        return [Filled(place, {}, "no runs")]
    each = [{results.sweep.experiment for results, _ in claims} for claims in found.values()]
    if not set.intersection(*each):
        names = sorted(
            f"{cell.cell.arm} of {results.sweep.experiment}" for all_ in found.values() for results, cell in all_
        )
        return [Filled(place, {}, f"different recipes for one number: {', '.join(names)}; name one with --sweep")]
    return [_filled(place, *max(claims, key=_complete_and_large)) for claims in found.values()]


def _complete_and_large(claim: tuple[Results, CellRuns]) -> tuple[bool, int]:
    return not claim[1].problems, len(claim[1].runs)


def _filled(place: Place, results: Results, cell: CellRuns) -> Filled:
    values, hole = measured(cell, place)
    apart = tuple(departures(cell.cell.recipe, place.dataset, place.model))
    found = Filled(place, values, hole, cell.seeds, cell, results, apart)
    return _over_baseline(found) if values and place.metric in (INCREASE, REDUCTION) else found


def _over_baseline(filled: Filled) -> Filled:
    """Return the same cell with what its errors are above, or below, its own baseline's of the same seeds."""
    if filled.against is None:
        return replace(filled, values={}, hole="it is compared with no other cell")
    base, hole = measured(filled.against, filled.place)
    if hole:
        return replace(filled, values={}, hole=f"{filled.against.cell.arm}: {hole}")
    sign = 1 if filled.place.metric == INCREASE else -1
    return replace(filled, values={seed: sign * (value - base[seed]) for seed, value in filled.values.items()})


def measured(cell: CellRuns, place: Place) -> tuple[dict[int, float], str]:
    """Return what a cell has by seed for the metric of a place, or nothing and the reason."""
    if cell.problems:
        return {}, "; ".join(cell.problems)
    values = {run.seed: value for run in cell.runs if (value := _value(run, place)) is not None}
    if len(values) < len(cell.runs):
        on = f" --test-on {FURTHER[place.dataset]}" if place.dataset in FURTHER else ""
        return {}, f"{len(values)} of {len(cell.runs)} seeds were evaluated: run `softaug evaluate{on}`"
    return values, ""


def _value(run: TrialRun, place: Place) -> float | None:
    if place.metric == OCCLUDED:
        error = run.evaluated.get("test/occlusion_80/top1_error")
        return None if error is None else 100.0 - error
    name = METRICS.get(place.metric, "top1_error")
    if place.dataset in FURTHER:
        return run.evaluated.get(f"test/{FURTHER[place.dataset]}/{name}")
    return run.metrics[f"test/{name}"]


def _matches(place: Place, references: Iterable[Published]) -> bool:
    return any(
        (each.table, each.dataset, each.model, each.method) == (place.table, place.dataset, place.model, place.method)
        and each.lr in (None, place.lr)
        and each.k in (None, place.k)
        for each in references
    )
