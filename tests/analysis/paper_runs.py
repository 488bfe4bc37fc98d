"""Made-up runs of arms that name the paper's numbers, near those numbers."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from synthetic import CIFAR, cell, finished, sweep

from analysis.results import Results, results_of
from analysis.runs import TrialRun
from analysis.tables.paper_layouts import Place
from sweeps.resolved import Published, ResolvedSweep

CROP = {"crop": {"kind": "uniform", "radius_px": 4}}
SMALL = {"data": {"name": "digits", "train_images": 300}, "model": {"name": "resnet8"}, "flip": 0.0,
         "optim": {"epochs": 9, "batch_size": 60}}  # fmt: skip


def reference(place: Place) -> Published:
    return Published(table=place.table, dataset=place.dataset, model=place.model, method=place.method)


def arms(
    named: Mapping[str, Iterable[Place]], *, base: Mapping[str, Any] = CIFAR, seeds: Sequence[int] = (0, 1, 2),
    name: str = "table-2", scale: str = "paper", against: Mapping[str, str] | None = None,
) -> ResolvedSweep:  # fmt: skip
    """A sweep with an arm per name, the baseline first, that differ in label smoothing only."""
    cells = [
        cell(arm, dict(base), list(seeds), {**CROP, "label_smoothing": number / 100}).model_copy(
            update={"published": [reference(place) for place in places], "against": (against or {}).get(arm)}
        )
        for number, (arm, places) in enumerate(named.items())
    ]
    return sweep(cells, name=name, scale=scale, figure=None)


def runs(
    one: ResolvedSweep, errors: Mapping[str, list[float]], eces: Mapping[str, list[float]] | None = None
) -> list[TrialRun]:
    """Finished runs of every arm with these errors by seed."""
    return [run for c in one.cells for run in finished(c, errors[c.arm], (eces or {}).get(c.arm))]


def results(one: ResolvedSweep, errors: Mapping[str, list[float]], **more: Any) -> Results:
    return results_of(one, runs(one, errors, **more))


def with_facts(run: TrialRun, **facts: str) -> TrialRun:
    return replace(run, facts={**run.facts, **facts})
