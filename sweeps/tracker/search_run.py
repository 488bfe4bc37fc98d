"""A search as one run of its sweep's experiment in MLflow: how the best so far fell cell by cell, and its figures.

The run is found by its tag `search_key`; a search that was changed, or has other seeds, is another run. Parameters are
what makes it the same search; what may grow, such as the budget, is a tag. Step n of a metric says how the first n
cells ended, and is written once all of them have: so it is the same whatever ended first. If a failed cell is tried
again, the steps that change are written again with a later time, and MLflow shows the later.
"""

import hashlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from mlflow.entities import Metric

from sweeps.launched import read
from sweeps.search.history import Asked, History, history
from sweeps.search.search import Parameter, Search
from sweeps.tracker.contents import FORM, fitted, metric
from sweeps.tracker.runs import Experiment, Held
from trainables import launches
from trainables.store import Store

FIGURES_FORM = "1"  # raised when figures are drawn otherwise, which renews them in MLflow


def key_of(search: Search) -> str:
    """Return what tells a search from others of the same sweep: all that is minimised, over which seeds."""
    identity = {**search.identity, "seeds": search.seeds}
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def project_search(experiment: Experiment, is_running: Callable[[str], bool]) -> None:
    """Bring the run of a sweep's search up to the ledger; before its first trial has begun there is none."""
    store = experiment.store
    sweep = read(store, experiment.sweep.experiment) or experiment.sweep  # the file, which grows during a launch
    if sweep.search is None:
        return
    now = history(store, sweep)
    started = min((each.started for each in now.asked if each.started is not None), default=None)
    if started is None:
        return
    key = key_of(now.search)
    _end_others(experiment, key)
    tags = _tags(store, now, key)
    run = experiment.runs.get(("search", key)) or experiment.make("search", key, "search", started, tags)
    points = [point for each in _points(now, started) for point in each]
    tags = fitted({**tags, **FORM, "history": _digest([(each.key, each.step, each.value) for each in points])})
    status = status_of(store, now, is_running)
    if run.is_level(status, tags):
        return
    if run.tags.get("history") != tags["history"]:
        sent = experiment.points(run, {each.key for each in points})
        points = [each for each in points if (each.key, each.step, each.value) not in sent]
        experiment.upload(run, [], with_sweep=not FORM.items() <= run.tags.items())
    else:
        points = []
    experiment.set_status(run, status, max((each.ended for each in now.asked if each.ended), default=started))
    experiment.log(run, points, _parameters(now.search), tags)


def _end_others(experiment: Experiment, key: str) -> None:
    """Leave no run running of a search that this one has taken the place of."""
    for (kind, other), run in experiment.runs.items():
        if kind == "search" and other != key and run.status == "RUNNING":
            experiment.set_status(run, "KILLED", time.time())


def status_of(store: Store, now: History, is_running: Callable[[str], bool]) -> str:
    """Return MLflow's status of a search: as it ended, or whether a launch of its sweep goes on."""
    if now.over:
        return "FINISHED" if now.complete else "FAILED"
    newest = launches.newest(store, now.sweep.experiment)
    return "RUNNING" if newest is not None and is_running(newest.id) else "KILLED"


def run_without_figures(experiment: Experiment, now: History) -> Held | None:
    """Return the run of a search whose figures MLflow lacks, None if it has them, or there is no run yet."""
    run = experiment.runs.get(("search", key_of(now.search)))
    return None if run is None or run.tags.get("figures") == figures_digest(now) else run


def upload_figures(experiment: Experiment, run: Held, now: History, files: list[Path]) -> None:
    """Put a search's figures, and their numbers, among its run's artifacts."""
    experiment.upload_files(run, files)
    experiment.log(run, [], _parameters(now.search), {"figures": figures_digest(now)})


def figures_digest(now: History) -> str:
    """Return a digest of what the figures show."""
    asked = [(each.ask.model_dump(), each.state, each.means, dict(each.steps)) for each in now.asked]
    marked = [dict(now.arms), [(each.number, each.asked.number) for each in now.winners], now.over]
    labels = [parameter.label for parameter in now.search.parameters]
    return _digest([FIGURES_FORM, asked, marked, labels])


def _points(now: History, started: float) -> Iterator[list[Metric]]:
    """Yield what every step shows, as far as the cells up to it have ended; a step's time is that of its last end."""
    done: list[Asked] = []
    for each in now.ended_first():
        done.append(each)
        complete = [one.means for one in done if one.state == "complete"]
        values: dict[str, float] = {
            f"best/{name}": min(means[number] for means in complete)
            for number, name in enumerate(now.search.minimize)
            if complete
        }
        values |= {
            f"cells/{state}": sum(one.state == state for one in done) for state in ("complete", "pruned", "failed")
        }
        values["cells/taken_over"] = sum(one.ask.earlier for one in done)
        last = max((one.ended for one in done if one.ended is not None), default=started)
        yield [metric(name, float(value), last, len(done)) for name, value in values.items()]


def _tags(store: Store, now: History, key: str) -> dict[str, str]:
    sweep, search = now.sweep, now.search
    winners = {f"winner.{each.number}": each.cell.cell_key for each in now.winners if each.cell is not None}
    budget = search.budget.model_dump(exclude_none=True)
    return {
        "kind": "search",
        "search_key": key,
        "sweep": sweep.name,
        "scale": sweep.scale,
        "store": store.location,
        "mlflow.source.name": f"softaug launch {sweep.name} --scale {sweep.scale}",
        "asked": str(len(now.asked)),
        "over": str(now.over).lower(),
        "spent": now.spent,
        "budget": ", ".join(f"{value:g} {name}" for name, value in budget.items()) or "none",
        "in_flight": str(search.in_flight),
        **winners,
    }


def _parameters(search: Search) -> dict[str, Any]:
    return {
        "minimize": ", ".join(search.minimize),
        "sampler": search.sampler,
        "sampler_seed": search.seed,
        "seeds": ", ".join(map(str, search.seeds)),
        "scheduler": "none" if search.halving is None else f"asha {search.halving.model_dump()}",
        "space": {parameter.name: _range(parameter) for parameter in search.parameters},
        "base": search.base,
    }


def _range(parameter: Parameter) -> str:
    """Return "crop.sigma 0.05 ... 0.6 in steps of 0.05"."""
    if parameter.kind == "choice":
        text = " | ".join(str(choice.value) for choice in parameter.choices)
    else:
        steps = "" if parameter.step is None else f" in steps of {parameter.step:g}"
        text = f"{parameter.low:g} ... {parameter.high:g}{steps}{', log' if parameter.log else ''}"
    when = "; ".join(f"{name} is {' or '.join(map(str, values))}" for name, values in parameter.when.items())
    return f"{parameter.field} {text}".strip() + (f", when {when}" if when else "")


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True, default=str).encode()).hexdigest()[:16]
