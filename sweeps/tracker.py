"""MLflow as a projection of the ledger: bring one run up to what the files say, any number of times.

An experiment per sweep and scale; in it one parent run per cell (mean, standard error, n) and one child run per
trial. A run is found by its tags, created if it is missing, and its tag `epochs` says which rows it already has, so
every row is sent once; the tag `state` is written last, so a projection cut short is simply done again. Parameters
are the recipe and never change; what moves is a metric or a tag. Explicit run ids only, never the fluent API.
"""

import logging
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, Run, RunTag

from softaug.recipe import flatten
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.survey import estimates
from trainables import launches
from trainables.ledger import Attempt, End, Row, TrialFolder
from trainables.store import Store

STATUS = {
    "finished": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "stopped": "KILLED",
    "interrupted": "KILLED",
}
PAGE = 1000


class Projection:
    """One sweep's experiment in MLflow. Any call may raise whatever MLflow raises; calling again is always right."""

    def __init__(
        self,
        store: Store,
        sweep: ResolvedSweep,
        tracking_uri: str,
        *,
        is_running: Callable[[str], bool],
        upload_weights: bool = False,
    ) -> None:
        """`is_running` says whether the launch of this id trains now, so that a trial without an end is running."""
        self.store = store
        self.sweep = sweep
        self.is_running = is_running
        self.upload_weights = upload_weights
        self.client = MlflowClient(tracking_uri)
        self.experiment_id = self._experiment(tracking_uri)
        self.cell_of = {key: cell for cell in sweep.cells for key in cell.trials.values()}
        self.seed_of = {key: seed for cell in sweep.cells for seed, key in cell.trials.items()}
        self.tags: dict[str, dict[str, str]] = {}  # run id -> tags, as MLflow has them
        self.trial_runs: dict[str, str] = {}
        self.cell_runs: dict[str, str] = {}
        for run in self._runs():
            self._remember(run)

    def project(self, key: str) -> None:
        """Bring a trial's run up to the ledger, and its cell's once all its seeds have ended."""
        trial = TrialFolder(self.store, key)
        attempts = trial.attempts()
        if not attempts:
            return
        rows, end = trial.rows(), trial.end()
        run_id = self.trial_runs.get(key) or self._create_trial_run(key, attempts[0])
        running = end is None and self.is_running(attempts[-1].launch)
        state = end.state if end else "running" if running else "interrupted"
        tags = _trial_tags(state, attempts, rows, end) | self._weights_tag(trial, end)
        known = self.tags[run_id]
        if any(known.get(name) != value for name, value in tags.items()):
            self._send_rows(run_id, rows, end)
            if end is not None and end.state == "finished":
                self._send_artifacts(run_id, trial, end)
            self._set_status(run_id, state, end.ended if end else rows[-1].time if rows else attempts[-1].started)
            self._set_tags(run_id, tags)
        self._project_cell(self.cell_of[key])

    def _experiment(self, tracking_uri: str) -> str:
        found = self.client.get_experiment_by_name(self.sweep.experiment)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                raise ValueError(
                    f"MLflow's experiment {self.sweep.experiment} was deleted; restore it with "
                    f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
                )
            return str(found.experiment_id)
        served = tracking_uri.startswith(("http://", "https://"))
        location = None if served else (self.store.root / "artifacts" / self.sweep.experiment).as_uri()
        note = f"{self.sweep.question}\n\nExpected: {self.sweep.expect}"
        tags = {"mlflow.note.content": note, "mlflow.experimentKind": "custom_model_development"}
        return str(self.client.create_experiment(self.sweep.experiment, location, tags=tags))

    def _runs(self) -> list[Run]:
        runs: list[Run] = []
        token = None
        while True:
            page = self.client.search_runs([self.experiment_id], max_results=PAGE, page_token=token)
            runs.extend(page)
            token = page.token
            if not token:
                return runs

    def _remember(self, run: Run) -> str:
        tags: dict[str, str] = dict(run.data.tags)
        run_id: str = run.info.run_id
        self.tags[run_id] = tags
        if tags.get("kind") == "trial":
            self.trial_runs[tags["trial_key"]] = run_id
        elif tags.get("kind") == "cell":
            self.cell_runs[tags["cell_key"]] = run_id
        return run_id

    def _create_trial_run(self, key: str, attempt: Attempt) -> str:
        cell, seed = self.cell_of[key], self.seed_of[key]
        parent = self.cell_runs.get(cell.cell_key) or self._create_cell_run(cell, attempt)
        tags = {
            "kind": "trial",
            "trial_key": key,
            "seed": str(seed),
            "mlflow.parentRunId": parent,
            **self._common_tags(cell),
        }
        return self._create_run(f"{cell.title}, seed {seed}", attempt, tags, {**cell.recipe, "seed": seed})

    def _create_cell_run(self, cell: Cell, attempt: Attempt) -> str:
        axes = {f"axis.{name}": str(value) for name, value in cell.axes.items()}
        tags = {"kind": "cell", **axes, **self._common_tags(cell)}
        return self._create_run(cell.title, attempt, tags, cell.recipe)

    def _create_run(self, name: str, attempt: Attempt, tags: dict[str, str], recipe: dict[str, Any]) -> str:
        start = round(attempt.started * 1000)
        run = self.client.create_run(self.experiment_id, start_time=start, tags=tags, run_name=name)
        params = [Param(name, str(value)) for name, value in flatten(recipe).items()]
        self.client.log_batch(run.info.run_id, params=params)
        return self._remember(run)

    def _common_tags(self, cell: Cell) -> dict[str, str]:
        return {
            "sweep": self.sweep.name,
            "scale": self.sweep.scale,
            "arm": cell.arm,
            "cell_key": cell.cell_key,
            "mlflow.source.name": f"softaug launch {self.sweep.name} --scale {self.sweep.scale}",
        }

    def _weights_tag(self, trial: TrialFolder, end: End | None) -> dict[str, str]:
        if end is None or end.state != "finished":
            return {}
        return {"weights": str(self.store.root / trial.path / f"{end.attempt:04d}" / "weights.safetensors")}

    def _send_rows(self, run_id: str, rows: list[Row], end: End | None) -> None:
        sent = int(self.tags[run_id].get("epochs", 0))
        metrics = [
            Metric(name, value, round(row.time * 1000), row.epoch)
            for row in rows
            if row.epoch > sent
            for name, value in row.metrics.items()
        ]
        if end is not None:
            metrics += [Metric(name, value, round(end.ended * 1000), end.epochs) for name, value in end.metrics.items()]
        self.client.log_batch(run_id, metrics=metrics)

    def _send_artifacts(self, run_id: str, trial: TrialFolder, end: End) -> None:
        attempt = f"{trial.path}/{end.attempt:04d}"
        files = {name: f"{attempt}/{name}" for name in ("samples.png", "reliability.json")}
        if self.upload_weights:
            files["weights.safetensors"] = f"{attempt}/weights.safetensors"
        contents = {name: self.store.read(path) for name, path in files.items()}
        recipe = self.store.read(f"{trial.path}/recipe.json")
        self._upload(run_id, {"recipe.json": recipe, "sweep.yaml": self.sweep.source.encode(), **contents})

    def _upload(self, run_id: str, contents: dict[str, bytes]) -> None:
        folder = Path(tempfile.mkdtemp(prefix="softaug-artifacts-"))
        try:
            for name, content in contents.items():
                (folder / name).write_bytes(content)
            self.client.log_artifacts(run_id, str(folder))
        finally:
            shutil.rmtree(folder)

    def _set_status(self, run_id: str, state: str, ended: float) -> None:
        if state in STATUS:
            self.client.set_terminated(run_id, STATUS[state], end_time=round(ended * 1000))
        elif self.tags[run_id].get("state", "running") != "running":
            self.client.update_run(run_id, status="RUNNING")

    def _set_tags(self, run_id: str, tags: dict[str, str]) -> None:
        self.client.log_batch(run_id, tags=[RunTag(name, value) for name, value in tags.items()])
        self.tags[run_id] |= tags

    def _project_cell(self, cell: Cell) -> None:
        """Write mean, standard error and n at step 0, once all seeds have ended, and again if that changes."""
        trials = {key: TrialFolder(self.store, key).end() for key in cell.trials.values()}
        if any(end is None for end in trials.values()):
            return
        ends = [end for end in trials.values() if end is not None]
        outcome = " ".join(f"{key[:12]}:{end.state}:{end.attempt}" for key, end in zip(trials, ends, strict=True))
        run_id = self.cell_runs[cell.cell_key]
        if self.tags[run_id].get("outcome") == outcome:
            return
        ended = max(end.ended for end in ends)
        self.client.log_batch(run_id, metrics=_cell_metrics(ends, round(ended * 1000)))
        finished = next((key for key, end in zip(trials, ends, strict=True) if end.state == "finished"), None)
        self._send_cell_artifacts(run_id, finished)
        complete = all(end.state == "finished" for end in ends)
        self.client.set_terminated(run_id, "FINISHED" if complete else "FAILED", end_time=round(ended * 1000))
        self._set_tags(run_id, {"seeds": " ".join(map(str, cell.trials)), "outcome": outcome})

    def _send_cell_artifacts(self, run_id: str, finished: str | None) -> None:
        contents = {"sweep.yaml": self.sweep.source.encode()}
        if finished is not None:
            trial = TrialFolder(self.store, finished)
            end = trial.end()
            if end is not None:
                contents["samples.png"] = self.store.read(f"{trial.path}/{end.attempt:04d}/samples.png")
        self._upload(run_id, contents)


def sync(store: Store, sweep: ResolvedSweep, tracking_uri: str, *, upload_weights: bool) -> None:
    """Project every trial of a sweep once. Raises whatever MLflow raises."""
    projection = Projection(
        store,
        sweep,
        tracking_uri,
        is_running=lambda launch: launches.is_alive(store, launch),
        upload_weights=upload_weights,
    )
    for key in sweep.trial_keys:
        projection.project(key)


def be_brief() -> None:
    """Let MLflow's client give up after seconds instead of minutes (the caller retries), silently and privately."""
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "10")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")


def _cell_metrics(ends: list[End], timestamp: int) -> list[Metric]:
    known = estimates(ends)
    values = {"n": float(max((value.n for value in known.values()), default=0))}
    for name, value in known.items():
        values[f"mean/{name}"] = value.mean
        if value.se is not None:
            values[f"se/{name}"] = value.se
    return [Metric(name, value, timestamp, 0) for name, value in values.items()]


def _trial_tags(state: str, attempts: list[Attempt], rows: list[Row], end: End | None) -> dict[str, str]:
    newest = attempts[-1]
    tags = {
        "attempt": str(newest.number),
        "host": newest.host,
        "git_commit": newest.git_commit,
        "git_dirty": str(newest.git_dirty).lower(),
        "epochs": str(end.epochs if end else rows[-1].epoch if rows else 0),
        "state": state,
    }
    if end is not None:
        tags |= {
            "device": end.device,
            "cpu": end.cpu,
            "threads": str(end.threads),
            "data_fingerprint": end.data_fingerprint,
            "seconds": f"{end.seconds:.3f}",
            "reason": end.reason or "",
            **end.versions,
        }
    return tags
