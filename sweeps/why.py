"""The runs behind a number: a cell found by its title or a key, and every attempt at every one of its trials.

All of it is read from the ledger; MLflow is only asked for the addresses of its runs, and may stay away.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from softaug.estimate import Estimate
from softaug.recipe import flatten
from sweeps.cli.options import ui_url
from sweeps.launch.preflight import Refused, unreachable_tracking
from sweeps.launched import all_launched
from sweeps.problems import did_you_mean, known
from sweeps.resolved import Cell, ResolvedSweep, short
from sweeps.survey import TrialStatus, survey
from trainables import launches
from trainables.ledger import Attempt, AttemptFolder, End, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

KEY_BEGINS = re.compile(r"[0-9a-f]{6,64}")
NO_ANSWER = "MLflow does not answer"
NOT_THERE = "not in MLflow"


@dataclass(frozen=True)
class Occurrence:
    """A cell as one sweep has it. `differs`: recipe field -> its value here and in the cell it is compared with."""

    sweep: ResolvedSweep
    cell: Cell
    estimates: Mapping[str, Estimate]
    differs: Mapping[str, tuple[Any, Any]]


@dataclass(frozen=True)
class AttemptFacts:
    """One attempt and how it ended. `attempt` is None if its file is damaged or gone."""

    number: int
    attempt: Attempt | None
    ending: str


@dataclass(frozen=True)
class RunFacts:
    """One trial of the cell. `pages`: name@scale -> the run's page in MLflow, or why there is none."""

    seed: int
    trial_key: str
    status: TrialStatus
    attempts: tuple[AttemptFacts, ...]
    pages: Mapping[str, str]
    folder: str


@dataclass(frozen=True)
class Why:
    """A cell, in which sweeps it occurs with which numbers, and its runs by seed."""

    cell_key: str
    occurrences: tuple[Occurrence, ...]
    runs: tuple[RunFacts, ...]


def why(store: Store, text: str, *, sweep: str | None, scale: str | None, tracking_uri: str) -> Why:
    """Return what is known of the cell that a text names. Raises Refused if it names none, or several."""
    found = _found(_sweeps(store, sweep, scale), text)
    occurrences = []
    status: dict[str, TrialStatus] = {}
    pages: dict[str, dict[str, str]] = {}  # trial key -> name@scale -> page
    for each, cell in found:
        now, linked = survey(store, each), _pages(each, tracking_uri)
        occurrences.append(Occurrence(each, cell, now.estimates(cell), differs(each, cell)))
        for key in cell.trials.values():
            status[key] = now.trials[key]
            pages.setdefault(key, {})[each.experiment] = (
                linked if isinstance(linked, str) else linked.get(key, NOT_THERE)
            )
    trials = {seed: key for _, cell in found for seed, key in cell.trials.items()}
    runs = [_run(store, seed, key, status[key], pages[key]) for seed, key in sorted(trials.items())]
    return Why(found[0][1].cell_key, tuple(occurrences), tuple(runs))


def why_json(answer: Why) -> dict[str, Any]:
    """Return what `softaug why --json` prints."""
    return {
        "cell_key": answer.cell_key,
        "sweeps": [_occurrence_json(each) for each in answer.occurrences],
        "runs": [_run_json(run) for run in answer.runs],
    }


def _sweeps(store: Store, name: str | None, scale: str | None) -> list[ResolvedSweep]:
    every = all_launched(store)
    chosen = [each for each in every if name in (None, each.name, each.experiment) and scale in (None, each.scale)]
    if not chosen:
        wanted = f"{name}@{scale}" if name and scale else name or f"a sweep at scale {scale}"
        hint = known(wanted, [each.experiment for each in every])
        raise Refused([f"{wanted} was never launched into the store {store.location} ({hint})"])
    return chosen


def _found(sweeps: list[ResolvedSweep], text: str) -> list[tuple[ResolvedSweep, Cell]]:
    """Return the cell that a text names, once for every sweep that has it."""
    every = [(sweep, cell) for sweep in sweeps for cell in sweep.all_cells]
    found = [(sweep, cell) for sweep, cell in every if _plain(text) in _titles(sweep, cell)]
    if not found and KEY_BEGINS.fullmatch(text):
        found = [(sweep, cell) for sweep, cell in every if _has_key(cell, text)]
    if not found:
        close = did_you_mean(text, [cell.title for _, cell in every])
        hint = close or f"`softaug status {every[0][0].name}` lists the titles of a sweep's cells"
        raise Refused([f"no cell {text!r}: give its title, or six or more digits of its or a trial's key ({hint})"])
    if len({cell.cell_key for _, cell in found}) > 1:
        several = [f"{text!r} names several cells; say which with --sweep and --scale, or by its key:"]
        raise Refused(several + [f"  {cell.cell_key[:12]}: {cell.title}, in {each.experiment}" for each, cell in found])
    return found


def _titles(sweep: ResolvedSweep, cell: Cell) -> set[str]:
    """Return the titles of a cell as tables, status and figures show it, made plain."""
    named = {name: (name, sweep.axes[name].label if name in sweep.axes else name) for name in cell.axes}
    return {
        _plain(", ".join([cell.arm, *(f"{named[name][form]} {write(value)}" for name, value in cell.axes.items())]))
        for form in (0, 1)
        for write in (
            str,
            _short,
            short,
            lambda value: _short(value if isinstance(value, str) else float(short(value))),
        )
    }


def _short(value: float | int | str) -> str:
    return value if isinstance(value, str) else f"{value:g}"


def _plain(title: str) -> str:
    return " ".join(title.replace("=", " ").split()).casefold()


def _has_key(cell: Cell, begins: str) -> bool:
    return any(key.startswith(begins) for key in (cell.cell_key, *cell.trials.values()))


def differs(sweep: ResolvedSweep, cell: Cell) -> dict[str, tuple[Any, Any]]:
    """Return in which recipe fields a cell differs from the one it is compared with: field -> its value here, there."""
    baseline = sweep.compared_with(cell)
    if baseline is None:
        return {}
    own, other = flatten(cell.recipe), flatten(baseline.recipe)
    names = dict.fromkeys((*own, *other))
    return {name: (own.get(name), other.get(name)) for name in names if own.get(name) != other.get(name)}


def _run(store: Store, seed: int, key: str, status: TrialStatus, pages: dict[str, str]) -> RunFacts:
    trial = TrialFolder(store, key)
    attempts = tuple(_attempt(store, trial, number, status.end) for number in trial.numbers())
    return RunFacts(seed, key, status, attempts, pages, store.place(trial.path))


def _attempt(store: Store, trial: TrialFolder, number: int, end: End | None) -> AttemptFacts:
    attempt = trial.attempt(number)
    return AttemptFacts(number, attempt, _ending(store, AttemptFolder(trial, number), attempt, end))


def _ending(store: Store, folder: AttemptFolder, attempt: Attempt | None, end: End | None) -> str:
    """Return how an attempt ended: with the trial, as an earlier failure, by its process's death, or cut off."""
    if end is not None and end.attempt == folder.number:
        return end.state
    try:
        earlier = End.read(store, f"{folder.path}/end.json")
    except (FileNotFoundError, Damaged):
        death = folder.death()
        if death is not None:
            return f"{death.cause}: {death.reason}"
        newest = folder.number == folder.trial.numbers()[-1]
        runs = end is None and newest and attempt is not None and launches.is_alive(store, attempt.launch)
        return "running" if runs else "interrupted"
    return f"{earlier.state}: {earlier.reason}" if earlier.reason else earlier.state


def _pages(sweep: ResolvedSweep, uri: str) -> dict[str, str] | str:
    """Return the page of every run of a sweep by trial key, or why there is none."""
    if unreachable_tracking(uri):
        return NO_ANSWER
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return NOT_THERE
    from sweeps.tracker import tracker

    tracker.be_brief()
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    from sweeps.tracker.read import all_runs

    try:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(sweep.experiment)
        if experiment is None:
            return NOT_THERE
        runs = list(all_runs(client, experiment.experiment_id))
    except (MlflowException, SQLAlchemyError):
        return NO_ANSWER
    address = f"{ui_url(uri)}/#/experiments/{experiment.experiment_id}/runs"
    return {run.tags["trial_key"]: f"{address}/{run.run_id}" for run in runs if run.tags.get("kind") == "trial"}


def _occurrence_json(each: Occurrence) -> dict[str, Any]:
    return {
        "sweep": each.sweep.name,
        "scale": each.sweep.scale,
        "title": each.cell.title,
        "seeds": list(each.cell.trials),
        "differs_from_baseline": {
            name: {"here": own, "baseline": other} for name, (own, other) in each.differs.items()
        },
        "metrics": {name: {"mean": of.mean, "se": of.se, "n": of.n} for name, of in each.estimates.items()},
    }


def _run_json(run: RunFacts) -> dict[str, Any]:
    end = run.status.end
    return {
        "seed": run.seed,
        "trial_key": run.trial_key,
        "state": run.status.state,
        "reason": run.status.reason,
        "end": None if end is None else end.model_dump(),
        "attempts": [
            {"number": each.number, **(each.attempt.model_dump() if each.attempt else {}), "ending": each.ending}
            for each in run.attempts
        ],
        "mlflow": dict(run.pages),
        "folder": run.folder,
    }
