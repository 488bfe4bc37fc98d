"""MLflow's runs become one row per expected trial, each read once."""

from pathlib import Path
from unittest.mock import patch

import pytest
from mlflow import MlflowClient
from synthetic import finished, lose, made_up, project, quickstart

from analysis.results import results_of
from analysis.runs import Unreadable, read_runs
from analysis.tables.sweep_table import sweep_table
from sweeps.tracker import read as mlflow_read


def test_rows_are_what_was_projected(client: MlflowClient, tmp_path: Path) -> None:
    sweep = quickstart(sigmas=(0.3,))
    written = made_up(sweep)
    written[4] = lose(written[4], "diverged", "loss is nan at epoch 3")
    written[7] = lose(written[7], "missing")
    project(client, sweep, written, tmp_path, pictures=False)
    read = read_runs(client, sweep)
    assert [row.trial_key for row in read] == sweep.trial_keys
    for row, expected in zip(read, written, strict=True):
        assert (row.arm, row.seed, row.state) == (expected.arm, expected.seed, expected.state)
        assert row.metrics == expected.metrics
    assert read[4].reason == "loss is nan at epoch 3"
    assert (read[7].run_id, read[7].facts) == (None, {})
    assert "softaug sync" in read[7].reason
    assert len({row.parent_id for row in read if row.run_id}) == len(sweep.cells)


def test_metrics_of_evaluations_come_along_and_change_no_table(client: MlflowClient, tmp_path: Path) -> None:
    sweep = quickstart(sigmas=())
    experiment = project(client, sweep, finished(sweep.cells[0], [3.0, 3.1, 3.2]), tmp_path, pictures=False)
    before = sweep_table(results_of(sweep, read_runs(client, sweep)))
    for run in client.search_runs([experiment]):
        for name in ("test/adaptive_ece", "test/occlusion_40/top1_error", "mean/test/occlusion_40/top1_error"):
            client.log_metric(run.info.run_id, name, 50.0)
        client.set_tag(run.info.run_id, "evaluation", "0123456789abcdef")
    after = read_runs(client, sweep)
    added = {"test/adaptive_ece": 50.0, "test/occlusion_40/top1_error": 50.0}
    assert sweep_table(results_of(sweep, after)) == before
    assert all(row.evaluated == added for row in after)
    assert all(added.items() < row.metrics.items() for row in after)


def test_all_pages_are_read(client: MlflowClient, tmp_path: Path) -> None:
    sweep = quickstart(sigmas=(0.3,))
    experiment = project(client, sweep, made_up(sweep), tmp_path, pictures=False)
    with patch.object(mlflow_read, "PAGE", 5):
        found = [run.tags["trial_key"] for run in mlflow_read.found_runs(client, experiment, "tags.kind = 'trial'")]
    assert sorted(found) == sorted(sweep.trial_keys)


def test_finished_without_a_metric_is_incomplete(client: MlflowClient, tmp_path: Path) -> None:
    sweep = quickstart(sigmas=())
    written = finished(sweep.cells[0], [3.0, 3.1, 3.2])
    project(client, sweep, [*written[:2], lose(written[2], "finished")], tmp_path, pictures=False)
    row = read_runs(client, sweep)[2]
    assert row.state == "incomplete"
    assert "test/top1_error" in row.reason


def test_two_runs_of_a_trial_are_refused(client: MlflowClient, tmp_path: Path) -> None:
    sweep = quickstart(sigmas=())
    experiment = project(client, sweep, finished(sweep.cells[0], [3.0, 3.1, 3.2]), tmp_path, pictures=False)
    tags = {"kind": "trial", "trial_key": sweep.trial_keys[0], "state": "running", "seed": "0"}
    client.create_run(experiment, tags=tags)
    with pytest.raises(Unreadable, match="two MLflow runs"):
        read_runs(client, sweep)


@pytest.mark.parametrize("lacks", ["trial_key", "state", "seed"])
def test_a_trials_run_that_is_not_ours_is_refused(client: MlflowClient, lacks: str) -> None:
    sweep = quickstart(sigmas=())
    tags = {"kind": "trial", "trial_key": sweep.trial_keys[0], "state": "finished", "seed": "0"}
    del tags[lacks]
    run = client.create_run(client.create_experiment(sweep.experiment), tags=tags).info.run_id
    with pytest.raises(Unreadable, match=rf"MLflow run {run} .* has no {lacks}: softaug did not write it"):
        read_runs(client, sweep)


@pytest.mark.parametrize(("tag", "value"), [("state", "won"), ("seed", "7")])
def test_a_run_with_wrong_tags_is_a_hole(client: MlflowClient, tmp_path: Path, tag: str, value: str) -> None:
    sweep = quickstart(sigmas=())
    experiment = project(client, sweep, finished(sweep.cells[0], [3.0, 3.1, 3.2]), tmp_path, pictures=False)
    (first,) = client.search_runs([experiment], f"tags.trial_key = '{sweep.trial_keys[0]}'")
    client.set_tag(first.info.run_id, tag, value)
    row = read_runs(client, sweep)[0]
    assert row.state == "incomplete"
    assert row.reason.startswith("MLflow says")


def test_an_experiment_of_others_is_all_holes(client: MlflowClient) -> None:
    sweep = quickstart(sigmas=())
    run = client.create_run(client.create_experiment(sweep.experiment), tags={"mlflow.runName": "theirs"})
    client.log_metric(run.info.run_id, "test/top1_error", 1.0)
    assert [row.state for row in read_runs(client, sweep)] == ["missing"] * 3


def test_an_absent_experiment_says_what_to_do(client: MlflowClient) -> None:
    with pytest.raises(Unreadable, match=r"no experiment 'quickstart@laptop'.*softaug launch quickstart"):
        read_runs(client, quickstart(sigmas=()))
