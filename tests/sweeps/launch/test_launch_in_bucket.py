"""Launches into a bucket: refused with everything that is wrong with it; killed and launched again like any other."""

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3
from tests.conftest import SOFTAUG, Softaug
from tests.faults.scenes import SITE, tiny_sweep, trial_keys, until
from tests.servers import free_port, mlflow_server, process
from trainables import object_store
from trainables.ledger import AttemptFolder, TrialFolder
from trainables.store import Store, open_store


@pytest.fixture
def bucket(s3_url: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let this process and those it starts use the real S3 server."""
    for name, value in s3.settings(s3_url).items():
        monkeypatch.setenv(name, value)
    object_store._connection_of.cache_clear()
    yield monkeypatch
    object_store._connection_of.cache_clear()


def test_all_that_is_wrong_is_told_at_once_and_nothing_starts(
    softaug: Softaug, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    port = free_port()
    for name, value in s3.settings(f"http://127.0.0.1:{port}").items():
        monkeypatch.setenv(name, value)
    for name in s3.KEYS:
        monkeypatch.delenv(name)
    ran = softaug(
        "launch", "figure-3", "--scale", "paper", "--store", "s3://results/a", "--data", tmp_path, cwd=tmp_path
    )
    assert ran.returncode == 2
    assert ran.stdout == ""
    problems = ran.stderr.replace("\n", " ")
    assert "cifar100" in problems
    assert "the store s3://results/a cannot be used: there are no credentials; set AWS_ACCESS_KEY_ID" in problems
    assert f"nothing answers at http://127.0.0.1:{port}" in problems
    assert "is a URL, which many machines can use, so MLflow has to be a server, and none is named" in problems
    assert ran.stderr.count("s3://results") == 3, ran.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", [("report",), ("sync",), ("doctor",), ("launch", "quickstart"), ("ui",)])
def test_a_bucket_beside_a_database_in_a_file_is_refused(
    softaug: Softaug, command: tuple[str, ...], tmp_path: Path
) -> None:
    uri = f"sqlite:///{tmp_path / 'mlflow.db'}"
    ran = softaug(*command, "--store", "s3://results/a", "--tracking-uri", uri, cwd=tmp_path)
    assert ran.returncode == 2
    assert f"so MLflow has to be a server, and the tracking URI {uri} is none" in ran.stderr.replace("\n", " ")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "command", [("status",), ("plan", "quickstart"), ("stop", "quickstart"), ("launch", "quickstart", "--offline")]
)
@pytest.mark.usefixtures("bucket")
def test_a_bucket_that_is_not_there_is_a_line(softaug: Softaug, command: tuple[str, ...]) -> None:
    ran = softaug(*command, "--store", "s3://nowhere/a")
    assert ran.returncode == 2
    assert ran.stderr.startswith(
        "error: the store s3://nowhere/a cannot be used: there is no bucket nowhere; create it"
    )
    assert ran.stderr.count("error: ") == 1


def crash(store: Store, key: str) -> str:
    return AttemptFolder(TrialFolder(store, key), 1).crash()


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_sweep_in_a_bucket_is_killed_goes_on_and_is_told_about(
    softaug: Softaug, bucket: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    sweep = tmp_path / "tiny.yaml"
    sweep.write_text(tiny_sweep(epochs=20, seeds=(0, 1)))
    crashing = trial_keys(sweep)["standard crop", 0]
    plan = {"history": str(tmp_path / "history.jsonl")}
    poison = {"kind": "crash", "key": crashing, "epoch": 5, "attempts": [1]}
    (tmp_path / "plan.json").write_text(json.dumps({**plan, "poisons": [poison]}))
    path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH"))))
    faults = {"SOFTAUG_FAULTS": str(tmp_path / "plan.json"), "PYTHONPATH": path}
    bucket.setenv("SOFTAUG_STORE", f"s3://{s3.BUCKET}/killed")
    store = open_store(f"s3://{s3.BUCKET}/killed")
    with mlflow_server(tmp_path) as uri:
        bucket.setenv("MLFLOW_TRACKING_URI", uri)
        command = [str(SOFTAUG), "launch", str(sweep), "--checkpoint-every", "0"]
        log = tmp_path / "first.log"
        with process(command, log, env={**os.environ, **faults}) as first:
            until(lambda: crash(store, crashing) or first.poll() is not None, "the crash to be in the store")
            assert crash(store, crashing).startswith("Fatal Python error: Segmentation fault"), log.read_text()
            first.send_signal(signal.SIGKILL)
            first.wait()
        again = softaug(*command[1:])
        assert again.returncode == 0, again.stdout + again.stderr
        status = softaug("status", "--json")
        assert json.loads(status.stdout)[0]["trials"]["finished"] == 4, status.stdout
        why = softaug("why", crashing[:12])
        assert "Segmentation fault" in why.stdout, why.stdout + why.stderr
        assert f"s3://{s3.BUCKET}/killed/trials/" in why.stdout.replace("\n", "").replace(" ", "")
        report = softaug("report", "tiny", "--out", tmp_path / "report")
        assert report.returncode == 0, report.stderr
        assert (tmp_path / "report" / "index.html").exists()
        doctor = softaug("doctor", "--fix")
        assert softaug("doctor").returncode == 0, doctor.stdout
    for key in (s3.KEYS["AWS_SECRET_ACCESS_KEY"], s3.KEYS["AWS_SECRET_ACCESS_KEY"].replace(" ", "%20")):
        assert all(key.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
