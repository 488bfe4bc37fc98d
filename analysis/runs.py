"""MLflow's runs of a sweep as one typed row per trial.

Every trial of the resolved sweep gets a row, in its order: one that MLflow does not hold has state "missing", one that
is finished but lacks a metric or a fact is "incomplete". Runs of trials the sweep no longer has are left out.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Literal, cast

from mlflow import MlflowClient
from mlflow.entities import Run

from sweeps.resolved import Cell, ResolvedSweep

State = Literal[
    "pending", "running", "finished", "diverged", "failed", "stopped", "interrupted", "missing", "incomplete"
]

METRICS = ("test/top1_error", "test/ece", "test/nll", "test/brier")
FACTS = ("epochs", "data_fingerprint", "device", "cpu", "torch", "git_commit", "git_dirty", "seconds")
PAGE = 1000  # runs per request, the most a server gives


@dataclass(frozen=True)
class TrialRun:
    """One trial as MLflow shows it. `facts`: how and where it ran, as MLflow's text.

    `metrics`: final test metrics, and what evaluations added to them; `evaluated`: whether there is one.
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
    run_id: str | None = None
    parent_id: str | None = None
    evaluated: bool = False

    @property
    def ending(self) -> str:
        """State and, where there is one, its reason: "diverged (loss is nan)"."""
        return f"{self.state} ({self.reason})" if self.reason else self.state

    @property
    def seconds(self) -> float:
        """Return the training time MLflow knows of, 0 for a trial that has none yet."""
        return float(self.facts.get("seconds", 0.0))


def experiment_id(client: MlflowClient, sweep: ResolvedSweep) -> str:
    """Return the id of the sweep's MLflow experiment, or raise LookupError."""
    experiment = client.get_experiment_by_name(sweep.experiment)
    if experiment is None:
        raise LookupError(
            f"{client.tracking_uri} has no experiment {sweep.experiment!r}: "
            f"run `softaug launch {sweep.name} --scale {sweep.scale}`, or `softaug sync` after a launch without MLflow"
        )
    return str(experiment.experiment_id)


def read_runs(client: MlflowClient, sweep: ResolvedSweep) -> list[TrialRun]:
    """Return one row per expected trial of the sweep; every MLflow run is read once."""
    runs: dict[str, Run] = {}
    for run in _search(client, experiment_id(client, sweep)):
        trial_key = run.data.tags["trial_key"]
        if trial_key in runs:
            raise ValueError(
                f"trial {trial_key} has two MLflow runs, {runs[trial_key].info.run_id} and {run.info.run_id}: "
                "delete one in MLflow, then run `softaug sync`"
            )
        runs[trial_key] = run
    return [
        _row(cell, seed, trial_key, runs.get(trial_key))
        for cell in sweep.cells
        for seed, trial_key in cell.trials.items()
    ]


def _search(client: MlflowClient, experiment: str) -> Iterator[Run]:
    token: str | None = None
    while True:
        page = client.search_runs([experiment], "tags.kind = 'trial'", max_results=PAGE, page_token=token)
        yield from page
        token = page.token
        if not token:
            return


def _row(cell: Cell, seed: int, trial_key: str, run: Run | None) -> TrialRun:
    if run is None:
        return TrialRun(
            cell.arm, cell.cell_key, trial_key, seed, "missing", "not started, or not in MLflow: run `softaug sync`"
        )
    tags = run.data.tags
    final = {name: value for name, value in run.data.metrics.items() if name.startswith("test/")}
    metrics = {name: value for name, value in final.items() if isfinite(value)}
    facts = {name: tags[name] for name in FACTS if name in tags}
    state, reason = cast(State, tags["state"]), tags.get("reason", "")
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
        run_id=run.info.run_id,
        parent_id=tags.get("mlflow.parentRunId"),
        evaluated="evaluation" in tags,
    )
