"""What runs left in MLflow beside their numbers, fetched for many at once: one by one a thousand take minutes."""

import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from analysis.cells import CellRuns
from analysis.figures.reliability import Curve, pool, read_curve
from analysis.runs import TrialRun, Unreadable
from trainables.evaluation import FILE, Evaluation

AT_ONCE = 16

Content = TypeVar("Content")


class Artifacts:
    """Files of runs; those that lie on another machine are downloaded into a folder."""

    def __init__(self, client: MlflowClient, folder: Path) -> None:
        self.client = client
        self.folder = folder

    def paths(self, runs: Sequence[TrialRun], name: str) -> list[Path]:
        """Return a file of each of these finished runs; the tracker says "finished" only once it is there.

        Where a run keeps its files came with the run, so MLflow is not asked for each. Raises Unreadable.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool_:
            return list(pool_.map(lambda run: self.path(run, name), runs))

    def path(self, run: TrialRun, name: str) -> Path:
        """Return a finished run's file. Raises Unreadable if it is not there."""
        try:
            repository = get_artifact_repository(str(run.artifacts), tracking_uri=self.client.tracking_uri)
            download: Callable[..., str] = repository.download_artifacts  # which MLflow gives no types
            if isinstance(repository, LocalArtifactRepository):
                return Path(download(name))
            into = self.folder / str(run.run_id)
            into.mkdir(exist_ok=True)
            return Path(download(name, str(into)))
        except (MlflowException, OSError) as error:
            raise Unreadable(
                f"MLflow run {run.run_id} has no {name} at {run.artifacts}, or cannot give it; delete that run in "
                "MLflow, then run `softaug sync`"
            ) from error

    def curve(self, cell: CellRuns) -> Curve | None:
        """Return a cell's reliability, pooled over its seeds; None for a hole. Raises Unreadable."""
        if cell.problems:
            return None
        paths = zip(cell.runs, self.paths(cell.runs, "reliability.json"), strict=True)
        return pool([_content(run, path, read_curve) for run, path in paths])

    def evaluation(self, run: TrialRun) -> Evaluation | None:
        """Return a run's evaluation, None if it has none. Raises Unreadable."""
        if run.state != "finished" or not run.evaluated:
            return None
        return _content(run, self.path(run, FILE), read_evaluation)


def _content(run: TrialRun, path: Path, read: Callable[[Path], Content]) -> Content:
    try:
        return read(path)
    except (ValueError, LookupError, TypeError) as error:
        raise Unreadable(
            f"MLflow run {run.run_id}: its {path.name} is not as softaug writes it; delete that run in MLflow, then "
            "run `softaug sync`"
        ) from error


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation away from its place in the store, which its seal is about."""
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["digest"]
    return Evaluation.model_validate(content)
