"""Runs read from MLflow's file by SQL are the ones that MLflow's own search gives."""

import math
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from sweeps.tracker.database import create_if_missing
from sweeps.tracker.read import Found, all_runs, found_runs


@pytest.fixture
def client(tmp_path: Path) -> MlflowClient:
    uri = f"sqlite:///{tmp_path / 'with a # and a space' / 'mlflow.db'}"
    create_if_missing(uri)
    return MlflowClient(uri)


def comparable(runs: Iterable[Found]) -> list[tuple[Found, dict[str, str]]]:
    """Return the runs with metrics as text: nan equals nothing, itself included."""
    return [(replace(run, metrics={}), {name: repr(value) for name, value in run.metrics.items()}) for run in runs]


def test_both_ways_give_the_same(client: MlflowClient) -> None:
    experiment, other = client.create_experiment("one"), client.create_experiment("other")
    for number in range(5):
        run = client.create_run(experiment, start_time=1000 + number // 2, tags={"kind": "trial", "seed": str(number)})
        for step, value in enumerate((1.5, math.nan, math.inf, -0.25)[: number + 1]):
            client.log_metric(run.info.run_id, "test/nll", value, step=step)
        client.set_terminated(run.info.run_id, "FAILED" if number % 2 else "FINISHED")
    deleted = client.create_run(experiment, tags={"kind": "trial"})
    client.delete_run(deleted.info.run_id)
    client.create_run(experiment)
    client.create_run(other, tags={"kind": "trial"})
    read, searched = comparable(all_runs(client, experiment)), comparable(found_runs(client, experiment, ""))
    assert len(read) == 6
    assert read == searched


def test_a_database_that_cannot_be_read_is_an_error_of_mlflow(client: MlflowClient, tmp_path: Path) -> None:
    experiment = client.create_experiment("one")
    (tmp_path / "with a # and a space" / "mlflow.db").write_bytes(
        b"no database at all, but long enough to be taken for one" * 100
    )
    with pytest.raises(MlflowException, match="cannot be read"):
        list(all_runs(client, experiment))
