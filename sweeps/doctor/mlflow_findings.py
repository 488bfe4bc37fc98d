"""What may be wrong with a sweep's runs in MLflow: zombies, doubles, orphans, runs that are missing or not level.

The ledger is the truth, so the repair is always the same: mark as deleted what should not be there, then project the
ledger once more. Runs that another store wrote are never touched, nor is an experiment that holds such runs.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy.exc import SQLAlchemyError

from sweeps.cli.options import without_password
from sweeps.doctor.findings import Finding, Repaired, counted, repair
from sweeps.doctor.mlflow_runs import (
    SOFT,
    Experiment,
    can_be_shown,
    delete_run,
    is_foreign,
    is_unknown,
    missing_trials,
    runs_of,
)
from sweeps.launch.preflight import Refused
from sweeps.resolved import ResolvedSweep
from sweeps.tracker import tracker
from sweeps.tracker.contents import LedgerTrial
from sweeps.tracker.runs import KINDS
from trainables.sealed import Damaged
from trainables.store import Store

DEFAULT_EXPERIMENT = "0"


def look_at_runs(store: Store, sweeps: list[ResolvedSweep], uri: str) -> tuple[list[Finding], list[str]]:
    """Return what is wrong with these sweeps in MLflow, and what is worth knowing. Raises Refused if it fails."""
    with _told(uri):
        client = _client(uri)
        if client is None:
            return [finding for sweep in sweeps for finding in _nothing_there(store, sweep)], []
        experiments = [Experiment(store, sweep, client) for sweep in sweeps]
        found = [finding for experiment in experiments for finding in experiment.look()]
        to_come = sum(experiment.evaluations_to_come for experiment in experiments)
        notes = [f"{counted(to_come, 'evaluation')} not in MLflow yet: `softaug sync` brings them"] if to_come else []
        return found + _strays(store, client, {sweep.name for sweep in sweeps}), notes


def repair_runs(store: Store, sweeps: list[ResolvedSweep], uri: str) -> tuple[Repaired, ...]:
    """Repair what is wrong with these sweeps in MLflow. Raises Refused if it fails."""
    repaired: tuple[Repaired, ...] = ()
    with _told(uri):
        for sweep in sweeps:
            client = _client(uri)
            experiment = None if client is None else Experiment(store, sweep, client)
            findings = experiment.look() if experiment else _nothing_there(store, sweep)
            done = repair(findings)
            if done and not (experiment and experiment.is_shared):
                tracker.sync(store, sweep, uri, upload_weights=False)
            repaired += done
        client = _client(uri)
        return repaired if client is None else repaired + repair(_strays(store, client, {each.name for each in sweeps}))


def _strays(store: Store, client: MlflowClient, names: set[str]) -> list[Finding]:
    """Return runs of these sweeps in MLflow's own default experiment, where none belongs."""
    found = []
    for run in runs_of(client, DEFAULT_EXPERIMENT):
        ours = run.data.tags.get("kind") in KINDS and run.data.tags.get("sweep") in names
        if ours and not is_foreign(store, client, run) and not is_unknown(store, client, run):
            where = f"MLflow, Default: run {run.info.run_id} ({run.info.run_name})"
            what = "A run of a sweep outside of the sweep's experiment."
            found.append(Finding("orphan", where, what, SOFT, partial(delete_run, client, run)))
    return found


def _nothing_there(store: Store, sweep: ResolvedSweep) -> list[Finding]:
    """Return the finding of a sweep of which MLflow holds nothing, if there is something to hold."""
    trials = [LedgerTrial(store, key, lambda _launch: False) for key in _readable(store, sweep.trial_keys)]
    missing = sum(trial.begun and can_be_shown(trial) for trial in trials)
    return [missing_trials(f"MLflow, {sweep.experiment}", missing)] if missing else []


def _readable(store: Store, keys: Iterable[str]) -> Iterator[str]:
    for key in keys:
        try:
            LedgerTrial(store, key, lambda _launch: False)
        except Damaged:
            continue
        yield key


def _client(uri: str) -> MlflowClient | None:
    """Return a client; None for a database file that does not exist: looking must not make one."""
    tracker.be_brief()
    if uri.startswith("sqlite:///") and not Path(uri.removeprefix("sqlite:///")).exists():
        return None
    return MlflowClient(uri)


@contextmanager
def _told(uri: str) -> Iterator[None]:
    try:
        yield
    except (MlflowException, SQLAlchemyError) as error:
        raise Refused([f"MLflow at {without_password(uri)}: {str(error).splitlines()[0]}; try again"]) from error
