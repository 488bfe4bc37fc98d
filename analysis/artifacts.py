"""What trials left beside their numbers, as MLflow holds it, downloaded once."""

import json
from pathlib import Path

from mlflow import MlflowClient

from analysis.cells import CellRuns
from analysis.reliability import Curve, pool, read_curve
from analysis.runs import TrialRun
from trainables.evaluation import FILE, Evaluation


class Artifacts:
    """Downloads files of runs into a folder."""

    def __init__(self, client: MlflowClient, folder: Path) -> None:
        self.client = client
        self.folder = folder

    def path(self, run: TrialRun, name: str) -> Path:
        """Return a finished run's file; the tracker says "finished" only once it is there."""
        into = self.folder / str(run.run_id)
        into.mkdir(exist_ok=True)
        return Path(self.client.download_artifacts(str(run.run_id), name, str(into)))

    def curve(self, cell: CellRuns) -> Curve | None:
        """Return a cell's reliability, pooled over its seeds; None for a hole."""
        return None if cell.problems else pool([read_curve(self.path(run, "reliability.json")) for run in cell.runs])

    def evaluation(self, run: TrialRun) -> Evaluation | None:
        """Return a run's evaluation, None if it has none."""
        return read_evaluation(self.path(run, FILE)) if run.state == "finished" and run.evaluated else None


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation away from its place in the store, which its seal is about."""
    content = json.loads(path.read_text(encoding="utf-8"))
    del content["digest"]
    return Evaluation.model_validate(content)
