"""A sweep's experiment in MLflow beside the ledger: which runs are zombies, doubles, orphans, or not level.

A run belongs to the store its tag `store` names. One without that tag belongs to this store if MLflow's database lies
in it; else it is unknown and left alone, as those of other stores are.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator
from functools import cached_property, partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.entities import Run

from sweeps.doctor.findings import Finding, Kind, counted
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.tracker import contents
from sweeps.tracker.contents import FORM, STATUS, LedgerTrial, Seen, fitted
from sweeps.tracker.runs import KINDS
from trainables import launches
from trainables.sealed import Damaged
from trainables.store import Store

PAGE = 1000
SOFT = "marks it as deleted in MLflow, from where it can be had back"
EVALUATION = "evaluation"
LEVEL = "brings MLflow level with the ledger, as `softaug sync` does"


class Experiment:
    """A sweep's experiment as MLflow has it, beside the ledger."""

    def __init__(self, store: Store, sweep: ResolvedSweep, client: MlflowClient) -> None:
        self.store = store
        self.sweep = sweep
        self.client = client
        self.found = client.get_experiment_by_name(sweep.experiment)
        self.is_deleted = self.found is not None and self.found.lifecycle_stage == "deleted"
        every = [] if self.found is None or self.is_deleted else runs_of(client, self.found.experiment_id)
        self.runs = [run for run in every if not is_foreign(store, client, run)]
        self.foreign = Counter(run.data.tags["store"] for run in every if is_foreign(store, client, run))
        self.ids = {run.info.run_id for run in every}
        self.trials: dict[str, LedgerTrial | None] = {}  # None: its files are damaged
        self.evaluations_to_come = 0  # of runs that `look` found: made since the last sync, which is no fault

    @property
    def is_shared(self) -> bool:
        """Whether another store has runs here: then projecting might write to them."""
        return bool(self.foreign)

    def look(self) -> list[Finding]:
        """Return what is wrong; what is to be deleted comes first."""
        if self.found is not None and self.is_deleted:
            restore = f"`mlflow experiments restore --experiment-id {self.found.experiment_id}`"
            what = "The experiment was deleted in MLflow; while it is, its name cannot be used."
            return [Finding("not level", self._named(), what, f"restore it with {restore}, then run `softaug sync`")]
        orphans = [finding for run in self.runs for finding in self._orphan(run)]
        doubles = [finding for finding, _ in self.losers.values()]
        level = (
            [] if self.is_shared else [*self._trials_not_level(), *self._cells_not_level(), *self._search_not_level()]
        )
        return [*orphans, *doubles, *level, *self._of_others()]

    @cached_property
    def sound(self) -> list[Run]:
        """The runs that are no orphans."""
        return [run for run in self.runs if not any(self._orphan(run))]

    @cached_property
    def losers(self) -> dict[str, tuple[Finding, Run]]:
        """Of two or more runs of the same trial or cell all but the best, by run id."""
        groups: dict[tuple[str, str], list[Run]] = defaultdict(list)
        for run in self.sound:
            groups[_identity(run)].append(run)
        found = {}
        for (kind, _), runs in groups.items():
            best, *others = sorted(runs, key=self._goodness, reverse=True)
            for run in others:
                what = f"Another run of the same {kind} is kept: {best.info.run_id}, which has more of it."
                found[run.info.run_id] = (self._delete("double", run, what, heir=best.info.run_id), run)
        return found

    def _goodness(self, run: Run) -> tuple[bool, int, int, int]:
        """Rank runs of the same trial or cell: state as in the ledger, then most epochs or children, then oldest."""
        kind, key = _identity(run)
        trial = self._trial(key) if kind == "trial" else None
        children = sum(run.info.run_id == child.data.tags.get("mlflow.parentRunId") for child in self.sound)
        agrees = trial is not None and run.data.tags.get("state") == trial.state
        return agrees, int(run.data.tags.get("epochs", 0)), children, -run.info.start_time

    def _orphan(self, run: Run) -> Iterator[Finding]:
        kind, key = _identity(run)
        parent = run.data.tags.get("mlflow.parentRunId")
        trial = self._trial(key) if kind == "trial" else None
        if not key:
            yield self._delete("orphan", run, "A run without a kind: no launch made it, or one was cut off making it.")
        elif parent is not None and parent not in self.ids:
            yield self._delete("orphan", run, "The run's parent, its cell, was deleted.")
        elif trial is not None and not trial.begun:
            yield self._delete("orphan", run, "Its trial is not in the ledger of this store, which alone is believed.")

    def _trial(self, key: str) -> LedgerTrial | None:
        if key not in self.trials:
            try:
                self.trials[key] = LedgerTrial(self.store, key, partial(launches.is_alive, self.store))
            except Damaged:
                self.trials[key] = None
        return self.trials[key]

    def _trials_not_level(self) -> Iterator[Finding]:
        by_key = {_identity(run): run for run in self.sound if run.info.run_id not in self.losers}
        missing = 0
        for key in self.sweep.trial_keys:
            run, trial = by_key.get(("trial", key)), self._trial(key)
            if trial is None or not can_be_shown(trial):
                if run is not None and run.info.status == "RUNNING":
                    yield self._not_level(
                        "zombie", run, "MLflow shows it as running; the files of its trial are damaged."
                    )
            elif run is None:
                missing += trial.begun
            else:
                yield from self._trial_not_level(run, trial)
        if missing:
            yield missing_trials(self._named(), missing)

    def _trial_not_level(self, run: Run, trial: LedgerTrial) -> Iterator[Finding]:
        wanted = fitted({**trial.tags(), **FORM})
        if wanted.pop(EVALUATION, None) != run.data.tags.get(EVALUATION):
            self.evaluations_to_come += trial.evaluation is not None
        differ = [name for name, value in wanted.items() if run.data.tags.get(name) != value]
        if run.info.status == "RUNNING" and trial.state != "running":
            yield self._not_level("zombie", run, f"MLflow shows it as running; the ledger says {trial.state}.")
        elif run.info.status != STATUS[trial.state] or differ:
            differ = differ or [f"status {run.info.status}, which should be {STATUS[trial.state]}"]
            yield self._not_level("not level", run, f"MLflow is behind the ledger: {', '.join(differ)}.")

    def _cells_not_level(self) -> Iterator[Finding]:
        by_key = {_identity(run): run for run in self.sound if run.info.run_id not in self.losers}
        for cell in self.sweep.all_cells:
            run = by_key.get(("cell", cell.cell_key))
            if run is None:
                continue
            trials = [self._trial(key) for key in cell.trials.values()]
            seen = [Seen("damaged") if trial is None else trial.seen for trial in trials]
            status = contents.cell_status(seen, partial(launches.is_alive, self.store))
            if run.info.status == "RUNNING" and status != "RUNNING":
                yield self._not_level("zombie", run, "MLflow shows this cell as running; no launch of it is.")
            elif None not in trials and (run.info.status != status or _outcome_differs(run, cell, seen, status)):
                yield self._not_level("not level", run, "MLflow's mean of this cell is behind the ledger.")

    def _search_not_level(self) -> Iterator[Finding]:
        """Yield what is wrong with the runs of searches; what is behind in them `softaug sync` always brings level."""
        if self.sweep.search is None:
            return
        newest = launches.newest(self.store, self.sweep.experiment)
        runs = newest is not None and launches.is_alive(self.store, newest.id)
        for run in self.sound:
            is_ours = _identity(run)[0] == "search" and run.info.run_id not in self.losers
            if is_ours and run.info.status == "RUNNING" and not runs:
                yield self._not_level("zombie", run, "MLflow shows this search as running; no launch of it is.")

    def _of_others(self) -> Iterator[Finding]:
        for other, number in self.foreign.items():
            what = (
                f"{counted(number, 'run')} of the store {other} in the experiment of a sweep of this store. Each would "
                "overwrite the other's; --fix touches none of them, and brings nothing here level."
            )
            yield Finding(
                "not level", self._named(), what, "give each store an MLflow, or each sweep a name, of its own"
            )

    def _named(self) -> str:
        return f"MLflow, {self.sweep.experiment}"

    def _where(self, run: Run) -> str:
        return f"{self._named()}: run {run.info.run_id} ({run.info.run_name})"

    def _not_level(self, kind: Kind, run: Run, what: str) -> Finding:
        return Finding(kind, self._where(run), what, LEVEL, lambda: "is level now")

    def _delete(self, kind: Kind, run: Run, what: str, heir: str | None = None) -> Finding:
        """Return the finding of a run that should not be there; its children go to the run `heir`."""
        if is_unknown(self.store, self.client, run):
            way_out = (
                "it does not say which store it is of, so --fix leaves it alone; if it is yours, delete it in MLflow"
            )
            return Finding(kind, self._where(run), what, way_out)

        def repair() -> str:
            for child in self.runs if heir else ():
                if child.data.tags.get("mlflow.parentRunId") == run.info.run_id:
                    self.client.set_tag(child.info.run_id, "mlflow.parentRunId", heir)
            return delete_run(self.client, run)

        return Finding(kind, self._where(run), what, SOFT, repair)


def delete_run(client: MlflowClient, run: Run) -> str:
    """Mark a run as deleted, ended if it was running; return how to have it back."""
    if run.info.status == "RUNNING":
        client.set_terminated(run.info.run_id, "KILLED")
    client.delete_run(run.info.run_id)
    return f"deleted; to have it back: mlflow runs restore --run-id {run.info.run_id}"


def missing_trials(where: str, number: int) -> Finding:
    """Return the finding of trials that MLflow lacks."""
    what = f"{counted(number, 'trial')} of the ledger not in MLflow."
    return Finding("not level", where, what, LEVEL, lambda: "is level now")


def can_be_shown(trial: LedgerTrial) -> bool:
    """Say whether the tracker can project the trial; if not, a file is missing, which is a finding of its own."""
    try:
        trial.files(weights=False)
    except Damaged:
        return False
    return True


def _outcome_differs(run: Run, cell: Cell, seen: list[Seen], status: str) -> bool:
    ended = status in ("FINISHED", "FAILED")
    return ended and run.data.tags.get("outcome") != fitted({"outcome": contents.outcome(cell, seen)})["outcome"]


def _identity(run: Run) -> tuple[str, str]:
    """Return kind and key of a run, two empty texts if it has none."""
    kind = run.data.tags.get("kind", "")
    key = run.data.tags.get(f"{kind}_key", "") if kind in KINDS else ""
    return (kind, key) if key else ("", "")


def is_foreign(store: Store, client: MlflowClient, run: Run) -> bool:
    """Say whether another store wrote the run. A store that was moved with its database is the same store."""
    other = run.data.tags.get("store", store.location)
    return other != store.location and not (_lies_in(store, client) and not Path(other).exists())


def is_unknown(store: Store, client: MlflowClient, run: Run) -> bool:
    """Say whether nothing tells which store wrote the run: it names none, and MLflow is not this store's own."""
    return "store" not in run.data.tags and not _lies_in(store, client)


def _lies_in(store: Store, client: MlflowClient) -> bool:
    uri: str = client.tracking_uri
    return uri.startswith("sqlite:///") and Path(uri.removeprefix("sqlite:///")).is_relative_to(store.location)


def runs_of(client: MlflowClient, experiment_id: str) -> list[Run]:
    """Return all runs of an experiment that are not deleted."""
    runs: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], max_results=PAGE, page_token=token)
        runs += page
        token = page.token
        if not token:
            return runs
