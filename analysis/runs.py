"""MLflow's runs of a sweep as one typed row per trial.

Every trial of the resolved sweep gets a row, in its order: one that MLflow does not hold has state "missing", one that
is finished but lacks a metric or a fact is "incomplete". Runs of trials the sweep no longer has are left out.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, cast, get_args

from mlflow import MlflowClient

from sweeps.resolved import Cell, ResolvedSweep
from sweeps.tracker.read import Found, all_runs

State = Literal[
    "pending", "running", "finished", "diverged", "failed", "stopped", "interrupted", "missing", "incomplete"
]

TAGS = ("trial_key", "seed", "state")  # that every trial's run has
METRICS = ("test/top1_error", "test/ece", "test/nll", "test/brier")
FACTS = ("epochs", "data_fingerprint", "device", "cpu", "torch", "git_commit", "git_dirty", "seconds")


class Unreadable(Exception):
    """What MLflow holds cannot be taken for the results of a sweep: the experiment is absent, or not ours."""


@dataclass(frozen=True)
class TrialRun:
    """One trial as MLflow shows it. `facts`: how and where it ran, as MLflow's text.

    `metrics`: final test metrics, and what evaluations added to them; `evaluated`: the latter alone, as in
    test/occlusion_80/top1_error, empty if there is none.
    """

    arm: str
    cell_key: str
    trial_key: str
    seed: int
    state: State
    reason: str = ""
    attempt: int = 0
    metrics: Mapping[str, float] = field(default_factory=dict)
    facts: Mapping[str, str] = field(default_factory=dict)
    evaluated: Mapping[str, float] = field(default_factory=dict)
    run_id: str | None = None
    parent_id: str | None = None
    artifacts: str | None = None  # their address

    @property
    def ending(self) -> str:
        """State and, where there is one, its reason: "diverged (loss is nan)"."""
        return f"{self.state} ({self.reason})" if self.reason else self.state

    @property
    def seconds(self) -> float:
        """Return the training time MLflow knows of, 0 for a trial that has none yet."""
        return float(self.facts.get("seconds", 0.0))


def experiment_id(client: MlflowClient, sweep: ResolvedSweep) -> str:
    """Return the id of the sweep's MLflow experiment, or raise Unreadable."""
    experiment = client.get_experiment_by_name(sweep.experiment)
    if experiment is None:
        raise Unreadable(
            f"{client.tracking_uri} has no experiment {sweep.experiment!r}: "
            f"run `softaug launch {sweep.name} --scale {sweep.scale}`, or `softaug sync` after a launch without MLflow"
        )
    return str(experiment.experiment_id)


def read_runs(client: MlflowClient, sweep: ResolvedSweep) -> list[TrialRun]:
    """Return one row per expected trial of the sweep; every MLflow run is read once. Raises Unreadable."""
    places = {key: (cell, seed) for cell in sweep.cells for seed, key in cell.trials.items()}
    rows: dict[str, TrialRun] = {}
    run_ids: dict[str, str] = {}
    for run in all_runs(client, experiment_id(client, sweep)):
        if run.tags.get("kind") != "trial":
            continue
        if lacking := [name for name in TAGS if name not in run.tags]:
            raise Unreadable(
                f"MLflow run {run.run_id} of experiment {sweep.experiment!r} calls itself a trial but has no "
                f"{', '.join(lacking)}: softaug did not write it; delete it in MLflow, or name another --tracking-uri"
            )
        trial_key = run.tags["trial_key"]
        if trial_key in run_ids:
            raise Unreadable(
                f"trial {trial_key} has two MLflow runs, {run_ids[trial_key]} and {run.run_id}: "
                "delete one in MLflow, then run `softaug sync`"
            )
        run_ids[trial_key] = run.run_id
        if trial_key in places:
            rows[trial_key] = _row(*places[trial_key], trial_key, run)
    return [rows.get(key) or _row(*place, key, None) for key, place in places.items()]


def _row(cell: Cell, seed: int, trial_key: str, run: Found | None) -> TrialRun:
    if run is None:
        return TrialRun(
            cell.arm, cell.cell_key, trial_key, seed, "missing", "not started, or not in MLflow: run `softaug sync`"
        )
    tags = run.tags
    metrics = {name: value for name, value in run.metrics.items() if name.startswith("test/") and isfinite(value)}
    facts = {name: tags[name] for name in FACTS if name in tags}
    state, reason = cast(State, tags["state"]), tags.get("reason", "")
    if state not in get_args(State) or tags["seed"] != str(seed):
        state, reason = "incomplete", f"MLflow says state {state}, seed {tags['seed']}: run `softaug sync`"
    lacking = [name for name in (*METRICS, *FACTS) if name not in metrics and name not in facts]
    if state == "finished" and lacking:
        state, reason = "incomplete", f"MLflow lacks {', '.join(lacking)}: run `softaug sync`"
    return TrialRun(
        arm=cell.arm,
        cell_key=cell.cell_key,
        trial_key=trial_key,
        seed=seed,
        state=state,
        reason=reason,
        attempt=int(tags.get("attempt", 0)),
        metrics=metrics,
        facts=facts,
        evaluated={name: value for name, value in metrics.items() if name not in METRICS},
        run_id=run.run_id,
        parent_id=tags.get("mlflow.parentRunId"),
        artifacts=run.artifacts,
    )
