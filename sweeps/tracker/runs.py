"""The runs of one MLflow experiment: found by their tags, made if missing, brought level; every call to MLflow is here.

A run's tags say what it holds and are written last, so whatever was cut short is simply done again. A call whose
answer was lost may have been carried out: after any failure an `Experiment` is of no more use, and a new one reads
anew what there is. Explicit run ids only, never the fluent API.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from mlflow import MlflowClient
from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

from sweeps.resolved import ResolvedSweep
from sweeps.tracker.contents import FORM, LONGEST_NAME, cut, fitted, params
from sweeps.tracker.database import create_if_missing
from sweeps.tracker.read import Found, all_runs, found_runs
from trainables.store import Store

METRICS_PER_CALL = 800  # with 100 parameters and 100 tags the most that one call takes
LONGEST_NOTE = 5000  # characters

Kind = Literal["trial", "cell", "search"]
KINDS: tuple[Kind, ...] = ("trial", "cell", "search")


@dataclass
class Held:
    """A run as MLflow is known to hold it."""

    run_id: str
    artifacts: str
    status: str
    tags: dict[str, str]

    def is_level(self, status: str, tags: dict[str, str]) -> bool:
        """Say whether nothing is to be done."""
        return status == self.status and tags.items() <= self.tags.items()


class Experiment:
    """A sweep's experiment and its runs, by kind and trial or cell key. Any call may raise whatever MLflow raises."""

    def __init__(self, store: Store, sweep: ResolvedSweep, uri: str, *, alone: bool = False) -> None:
        """Find the experiment or make it, and read what runs it has. Raises MlflowException if it was deleted.

        `alone`: nobody else makes runs in it, and no request of ours that failed may yet be carried out.
        """
        self.alone = alone
        self.store = store
        self.sweep = sweep
        self.uri = uri
        create_if_missing(uri)
        self.client = MlflowClient(uri)
        self.id = self._id()
        self.runs: dict[tuple[Kind, str], Held] = {}
        for run in all_runs(self.client, self.id):
            self._remember(run)

    def make(self, kind: Kind, key: str, name: str, started: float, tags: dict[str, str]) -> Held:
        """Return a run that somebody else has made since we looked, or make it; `started` in Unix seconds."""
        if not self.alone:
            self._look_for(kind, key)
        if (kind, key) not in self.runs:
            name, start = cut(name, LONGEST_NAME, "its tags"), round(started * 1000)
            made = self.client.create_run(self.id, start_time=start, tags=fitted(tags), run_name=name)
            self._remember(Found(made.info.run_id, made.info.artifact_uri, made.info.status, made.data.tags))
        return self.runs[kind, key]

    def _look_for(self, kind: Kind, key: str) -> None:
        kind_too = " and tags.kind = 'cell'" if kind == "cell" else ""  # trials have their cell's key too
        for run in found_runs(self.client, self.id, f"tags.{kind}_key = '{key}'{kind_too}"):
            self._remember(run)

    def steps(self, run: Held, names: set[str]) -> set[tuple[str, int]]:
        """Return the (name, step) that MLflow holds of these metrics."""
        history = [each for name in sorted(names) for each in self.client.get_metric_history(run.run_id, name)]
        return {(each.key, each.step) for each in history}

    def points(self, run: Held, names: set[str]) -> set[tuple[str, int, float]]:
        """Return the (name, step, value) that MLflow shows of these metrics: the latest in time at a step."""
        history = [each for name in sorted(names) for each in self.client.get_metric_history(run.run_id, name)]
        shown = {(each.key, each.step): each.value for each in sorted(history, key=lambda each: each.timestamp)}
        return {(name, step, value) for (name, step), value in shown.items()}

    def upload(self, run: Held, paths: list[str], *, with_sweep: bool) -> None:
        """Copy files of the store, and the sweep's if asked to, into the run's artifacts."""
        if not paths and not with_sweep:
            return
        with tempfile.TemporaryDirectory(prefix="softaug-") as folder:
            if with_sweep:
                (Path(folder) / "sweep.yaml").write_text(self.sweep.source, encoding="utf-8")
            own = [Path(folder) / "sweep.yaml"] if with_sweep else []
            self.upload_files(run, [*own, *(self.store.local(path, Path(folder)) for path in paths)])

    def upload_files(self, run: Held, files: list[Path]) -> None:
        """Copy files, by their names, into the run's artifacts."""
        with tempfile.TemporaryDirectory(prefix="softaug-") as folder:
            for path in files:
                (Path(folder) / path.name).symlink_to(path)
            repository = get_artifact_repository(run.artifacts, tracking_uri=self.uri)
            upload: Callable[[str], None] = repository.log_artifacts  # which MLflow gives no types
            upload(folder)

    def set_status(self, run: Held, status: str, ended: float) -> None:
        """Set a run's status, and its end (Unix seconds) unless it goes on."""
        if status == run.status:
            return
        if status == "RUNNING":
            self.client.update_run(run.run_id, status=status)
        else:
            self.client.set_terminated(run.run_id, status, end_time=round(ended * 1000))
        run.status = status

    def log(self, run: Held, metrics: list[Metric], recipe: dict[str, object], tags: dict[str, str]) -> None:
        """Send metrics, the recipe as parameters unless the run is known to have them, and at the very end the tags."""
        while len(metrics) > METRICS_PER_CALL:
            self.client.log_batch(run.run_id, metrics=metrics[:METRICS_PER_CALL])
            metrics = metrics[METRICS_PER_CALL:]
        complete = FORM.items() <= run.tags.items()
        self.client.log_batch(
            run.run_id,
            metrics=metrics,
            params=[] if complete else [Param(*param) for param in params(recipe).items()],
            tags=[RunTag(name, value) for name, value in tags.items() if run.tags.get(name) != value],
        )
        run.tags |= tags

    def _id(self) -> str:
        found = self.client.get_experiment_by_name(self.sweep.experiment)
        if found is not None:
            if found.lifecycle_stage == "deleted":
                raise MlflowException(
                    f"the experiment {self.sweep.experiment} was deleted; restore it with "
                    f"`mlflow experiments restore --experiment-id {found.experiment_id}`"
                )
            return str(found.experiment_id)
        served = self.uri.startswith(("http://", "https://"))
        location = None if served else Path(self.store.place(f"artifacts/{self.sweep.experiment}")).as_uri()
        note = cut(f"{self.sweep.question}\n\nExpected: {self.sweep.expect}", LONGEST_NOTE, "the sweep file")
        tags = {"mlflow.note.content": note, "mlflow.experimentKind": "custom_model_development"}
        return str(self.client.create_experiment(self.sweep.experiment, location, tags=tags))

    def _remember(self, run: Found) -> None:
        """Remember a run. Of two of the same trial or cell keep one: a creation was carried out after its time-out."""
        held = Held(run.run_id, run.artifacts, run.status, dict(run.tags))
        for kind in KINDS:
            if held.tags.get("kind") == kind:
                place = kind, held.tags[f"{kind}_key"]
                other = self.runs.get(place)
                self.runs[place] = held if other is None or other.run_id == held.run_id else self._better(held, other)

    def _better(self, one: Held, other: Held) -> Held:
        """Return the run that is further on; delete the other if it is this store's."""
        better, needless = sorted((one, other), key=lambda each: (not FORM.items() <= each.tags.items(), each.run_id))
        if needless.tags.get("store") == self.store.location:
            self.client.delete_run(needless.run_id)
        return better
