"""MLflow as a projection of the ledger: bring one run up to what the files say, any number of times.

An experiment per sweep and scale; in it one parent run per cell (mean, standard error, n) and one child run per
trial. Parameters are the recipe and never change; what moves is a metric or a tag. A trial's `rows_sent` never falls,
so an epoch that is done again after a crash is shown once; a cell's run goes on as long as a launch of its trials does.
"""

import logging
import os
import time
from collections.abc import Callable

from mlflow.entities import Metric
from mlflow.exceptions import MlflowException

from sweeps.resolved import Cell, ResolvedSweep
from sweeps.tracker import contents
from sweeps.tracker.contents import FORM, STATUS, LedgerTrial, Seen, fitted
from sweeps.tracker.runs import Experiment, Held, Kind
from sweeps.tracker.thread import SEARCH, called, in_a_line, is_refusal, keys_of
from trainables import launches
from trainables.sealed import Damaged
from trainables.store import Store


class Projection:
    """One sweep's experiment in MLflow.

    Any call may raise whatever MLflow raises: then make a new projection and call again. Raises Damaged for a trial
    whose files cannot be believed; the others may go on.
    """

    def __init__(
        self,
        store: Store,
        sweep: ResolvedSweep,
        tracking_uri: str,
        *,
        is_running: Callable[[str], bool],
        upload_weights: bool = False,
        alone: bool = False,
    ) -> None:
        """`is_running` says whether the launch of this id trains now, so that a trial without an end is running.

        `alone`: see `Experiment`.
        """
        self.store = store
        self.sweep = sweep
        self.is_running = is_running
        self.upload_weights = upload_weights
        self.experiment = Experiment(store, sweep, tracking_uri, alone=alone)
        self.cell_of: dict[str, Cell] = {}
        self.seed_of: dict[str, int] = {}
        for cell in sweep.all_cells:
            self.add(cell)
        self.seen: dict[str, Seen] = {}  # a trial is projected after every change, so a cell need not read it again

    def add(self, cell: Cell) -> None:
        """Know of a cell, which a search may have asked for since."""
        for seed, key in cell.trials.items():
            self.cell_of[key], self.seed_of[key] = cell, seed

    def project(self, key: str) -> None:
        """Bring a trial's run up to the ledger, and its cell's; or the search's, if that is the key."""
        if key == SEARCH:
            from sweeps.tracker.search_run import project_search

            project_search(self.experiment, self.is_running)
            return
        cell = self.cell_of[key]
        try:
            self.seen[key] = Seen("damaged")
            trial = LedgerTrial(self.store, key, self.is_running)
            self.seen[key] = trial.seen
            if trial.begun:
                self._project_trial(key, cell, trial)
        except Damaged as damaged:
            self._leave(key, str(damaged))
            self._project_cell(cell)
            raise
        self._project_cell(cell)

    def _project_trial(self, key: str, cell: Cell, trial: LedgerTrial) -> None:
        seed = self.seed_of[key]
        tags = {"trial_key": key, "seed": str(seed), **self._common_tags("trial", cell)}
        tags["mlflow.parentRunId"] = self._cell_run(cell).run_id
        now = trial.tags()
        run = self.experiment.runs.get(("trial", key))
        if run is None:
            # A tag costs less when it comes with the run; those that say what else has arrived come last.
            early = {**tags, **{name: text for name, text in now.items() if name != "epochs"}, "state": "running"}
            run = self.experiment.make("trial", key, f"{cell.title}, seed {seed}", trial.started, early)
        sent = int(run.tags.get("rows_sent", run.tags.get("epochs", 0)))
        tags = fitted({**tags, **now, **FORM, "rows_sent": str(max(sent, int(now["epochs"])))})
        status = STATUS[trial.state]
        if run.is_level(status, tags):
            return
        self.experiment.upload(run, trial.files(weights=self.upload_weights), with_sweep=trial.state == "finished")
        metrics = trial.metrics(sent, self._known(run, trial))
        self.experiment.set_status(run, status, trial.last)
        self.experiment.log(run, metrics, {**cell.recipe, "seed": seed}, tags)

    def _project_cell(self, cell: Cell) -> None:
        """Show whether the cell goes on and, once all its seeds have ended, mean, standard error and n at step 0."""
        run = self.experiment.runs.get(("cell", cell.cell_key))
        if run is None:
            return
        seen = [self._seen(key) for key in cell.trials.values()]
        status = contents.cell_status(seen, self.is_running)
        tags = fitted({**self._cell_tags(cell), **FORM})
        if status in ("FINISHED", "FAILED"):
            tags |= fitted({"seeds": " ".join(map(str, cell.trials)), "outcome": contents.outcome(cell, seen)})
            evaluations = contents.evaluations(cell, seen)
            tags |= {"evaluations": evaluations} if evaluations else {}
        if run.is_level(status, tags):
            return
        last = max(each.last for each in seen)
        as_of = max(round(last * 1000), int(run.tags.get("as_of", 0)) + 1)
        metrics: list[Metric] = []
        if _is_news("outcome", tags, run):
            metrics += contents.cell_metrics(self.store, cell, as_of)
            self.experiment.upload(run, self._samples(cell, seen), with_sweep=True)
        if _is_news("evaluations", tags, run):
            metrics += contents.cell_evaluation_metrics(self.store, cell, as_of)
        if metrics:
            tags["as_of"] = str(as_of)
        self.experiment.set_status(run, status, last)
        self.experiment.log(run, metrics, cell.recipe, tags)

    def _samples(self, cell: Cell, seen: list[Seen]) -> list[str]:
        """Return the path of the pictures of the first seed that finished and still has them."""
        for key, each in zip(cell.trials.values(), seen, strict=True):
            path = f"trials/{key[:2]}/{key}/{each.attempt:04d}/samples.png"
            if each.state == "finished" and self.store.exists(path):
                return [path]
        return []

    def _seen(self, key: str) -> Seen:
        if key not in self.seen:
            try:
                self.seen[key] = LedgerTrial(self.store, key, self.is_running).seen
            except Damaged:
                self.seen[key] = Seen("damaged")
        return self.seen[key]

    def _leave(self, key: str, why: str) -> None:
        """Leave no run running whose trial's files are damaged."""
        run = self.experiment.runs.get(("trial", key))
        if run is not None and run.status == "RUNNING":
            self.experiment.set_status(run, "KILLED", time.time())
            self.experiment.log(run, [], {}, fitted({"state": "interrupted", "reason": why}))

    def _cell_run(self, cell: Cell) -> Held:
        run = self.experiment.runs.get(("cell", cell.cell_key))
        if run is None:
            started = min(self._seen(key).started for key in cell.trials.values())
            run = self.experiment.make("cell", cell.cell_key, cell.title, started, self._cell_tags(cell))
        return run

    def _common_tags(self, kind: Kind, cell: Cell) -> dict[str, str]:
        return {"kind": kind, **contents.common_tags(self.store, self.sweep, cell)}

    def _cell_tags(self, cell: Cell) -> dict[str, str]:
        return {f"axis.{name}": str(value) for name, value in cell.axes.items()} | self._common_tags("cell", cell)

    def _known(self, run: Held, trial: LedgerTrial) -> set[tuple[str, int]]:
        """Return the (name, step) that MLflow has already, as far as they might come again with another time.

        That is if rows of an earlier attempt arrived but not the tags that say so: an epoch may be done again.
        """
        if run.tags.get("attempt") == trial.tags()["attempt"]:
            return set()
        return self.experiment.steps(run, {name for row in trial.rows for name in row.metrics})


def _is_news(name: str, tags: dict[str, str], run: Held) -> bool:
    return name in tags and tags[name] != run.tags.get(name)


def sync(store: Store, sweep: ResolvedSweep, tracking_uri: str, *, upload_weights: bool) -> list[str]:
    """Project every trial of a sweep; return a problem for each that MLflow refuses or whose files are damaged.

    Raises MlflowException if MLflow goes away: calling again goes on from there.
    """

    def is_running(launch: str) -> bool:
        return launches.is_alive(store, launch)

    def connect() -> Projection:
        return Projection(store, sweep, tracking_uri, is_running=is_running, upload_weights=upload_weights)

    problems = []
    try:
        projection = connect()
        for key in keys_of(sweep):
            try:
                projection.project(key)
            except Damaged as damaged:
                problems.append(f"trial {key[:12]} is not in MLflow: {damaged}")
            except Exception as error:
                if not is_refusal(error):
                    raise
                projection = connect()
                problems += _second_try(projection, key)
    except MlflowException:
        raise
    except Exception as error:
        raise MlflowException(in_a_line(error)) from error
    return problems


def _second_try(projection: Projection, key: str) -> list[str]:
    try:
        projection.project(key)
    except Exception as error:
        if not is_refusal(error):
            raise
        return [f"MLflow refuses {called(key)}: {in_a_line(error)}"]
    return []


def be_brief() -> None:
    """Let MLflow's client give up after seconds instead of minutes (the caller retries), silently and privately."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
    os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")
