"""The database appears complete or not at all, also when its maker is killed or is not the only one."""

import subprocess
import sys
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweeps.tracker.database import create_if_missing


def test_a_new_database_is_complete_and_alone(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path / 'store' / 'mlflow.db'}"
    create_if_missing(uri)
    assert [path.name for path in (tmp_path / "store").iterdir()] == ["mlflow.db"]
    before = (tmp_path / "store" / "mlflow.db").read_bytes()
    create_if_missing(uri)
    assert (tmp_path / "store" / "mlflow.db").read_bytes() == before
    client = MlflowClient(uri)
    assert client.get_run(client.create_run("0").info.run_id).info.status == "RUNNING"


def test_killed_while_making_it_nothing_stands_in_the_way_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "mlflow.db"
    code = f"from sweeps.tracker.database import create_if_missing; create_if_missing('sqlite:///{path}')"
    maker = subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not any(unfinished.stat().st_size > 0 for unfinished in tmp_path.glob(".mlflow.db.*")):
        assert time.monotonic() < deadline
        assert maker.poll() is None
        time.sleep(0.01)
    maker.kill()
    maker.wait()
    assert not path.exists(), "it was killed in the middle"
    create_if_missing(f"sqlite:///{path}")
    assert len(MlflowClient(f"sqlite:///{path}").search_experiments()) == 1


@pytest.mark.parametrize("uri", ["http://127.0.0.1:1", "postgresql+psycopg://a@127.0.0.1:1/b"])
def test_servers_are_left_alone(uri: str) -> None:
    create_if_missing(uri)
