"""What runs left in MLflow besides numbers, fetched for many at once: one by one a thousand take minutes."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.store.artifact.local_artifact_repo import LocalArtifactRepository

from analysis.runs import TrialRun

AT_ONCE = 16


@dataclass(frozen=True)
class Artifacts:
    """Artifacts of the runs in one MLflow. `downloads`: where those of another machine are put."""

    tracking_uri: str
    downloads: Path

    def fetch(self, runs: Sequence[TrialRun], name: str) -> list[Path]:
        """Return a file of every run, all of them finished; raises MlflowException if one is not there.

        Where a run keeps its artifacts came with the run, so MLflow is not asked for each of them.
        """
        with ThreadPoolExecutor(AT_ONCE) as pool:
            return list(pool.map(lambda run: self._file(run, name), runs))

    def _file(self, run: TrialRun, name: str) -> Path:
        repository = get_artifact_repository(str(run.artifacts), tracking_uri=self.tracking_uri)
        if isinstance(repository, LocalArtifactRepository):
            return Path(repository.download_artifacts(name))  # type: ignore[no-untyped-call]
        folder = self.downloads / str(run.run_id)
        folder.mkdir(exist_ok=True)
        return Path(repository.download_artifacts(name, str(folder)))  # type: ignore[no-untyped-call]
