"""What runs left in MLflow is read, or refused by the run and the file it is of."""

from pathlib import Path

import pytest
from mlflow import MlflowClient
from synthetic import finished, project, quickstart

from analysis.artifacts import Artifacts
from analysis.results import read_results
from analysis.runs import Unreadable


@pytest.mark.parametrize("content", ["", "[]", '{"count": [0.0]}', '{"count": 1, "accuracy": 1, "confidence": 1}'])
def test_a_file_that_is_not_ours_is_refused_with_the_way_out(
    client: MlflowClient, tmp_path: Path, content: str
) -> None:
    sweep = quickstart(sigmas=())
    project(client, sweep, finished(sweep.cells[0], [3.0, 3.1, 3.2]), tmp_path)
    artifacts = Artifacts(client, tmp_path)
    (cell,) = read_results(sweep, client).cells
    assert artifacts.curve(cell) is not None
    artifacts.path(cell.runs[1], "reliability.json").write_text(content)
    told = f"^MLflow run {cell.runs[1].run_id}: its reliability.json is not as softaug writes it; delete that run"
    with pytest.raises(Unreadable, match=told):
        artifacts.curve(cell)
