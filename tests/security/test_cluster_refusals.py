"""What is wrong with a cluster is told before anything starts, all at once, by a real head: exit 2 and a line each."""

import secrets as random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests import servers
from tests.conftest import Softaug
from tests.faults.scenes import tiny_sweep
from tests.security.shipped import Mlflow, Secrets

pytestmark = pytest.mark.slow

CLAIM = """
import json, sys
import ray
from ray.experimental.internal_kv import _internal_kv_get, _internal_kv_put
ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
where = {"key": b"CLUSTER_METADATA", "namespace": b"cluster"}  # its versions, which whoever joins compares with his
before = _internal_kv_get(**where)
claimed = json.dumps({**json.loads(before), "ray_version": sys.argv[2]}).encode()
_internal_kv_put(**where, value=claimed, overwrite=True)
print("claimed", flush=True)
sys.stdin.read()
_internal_kv_put(**where, value=before, overwrite=True)
"""


@pytest.fixture
def sweep(tmp_path: Path) -> Path:
    path = tmp_path / "tiny.yaml"
    path.write_text(tiny_sweep(epochs=1, seeds=(0,)))
    return path


@pytest.fixture
def known(secrets: Secrets, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be somebody who has the head's token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(secrets.folder / "ray_token"))


@pytest.fixture
def signed_in(mlflow: Mlflow, monkeypatch: pytest.MonkeyPatch) -> None:
    """Be the user of MLflow whom sweeps are tracked as."""
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "sweeps")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", mlflow.secrets.words["mlflow_credentials"])


def refused(softaug: Softaug, store: Path, *arguments: object) -> list[str]:
    """Return the lines of a launch that must be refused and leave nothing."""
    ran = softaug("launch", *arguments, "--store", store)
    assert ran.returncode == 2, ran.stdout + ran.stderr
    assert not (store / "trials").exists()
    assert not list(store.glob("launches/*"))
    assert not list(store.glob("*.db"))
    lines = ran.stderr.splitlines()
    assert all(line.startswith("error: ") for line in lines), lines
    return [line.removeprefix("error: ") for line in lines]


def test_token_database_and_data_are_told_at_once(
    softaug: Softaug, head: servers.RayHead, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RAY_AUTH_MODE", "token")
    monkeypatch.setenv("RAY_AUTH_TOKEN", random.token_hex(32))
    options = ["figure-3", "--scale", "paper", "--address", head.address, "--data", tmp_path]
    uri = "postgresql://me:p@ss@db/mlflow"
    *data, database, token = refused(softaug, tmp_path / "runs", *options, "--tracking-uri", uri)
    assert "softaug fetch cifar100" in data[-1]
    assert "its user or password holds an @, /, ? or #; percent-encode it" in database
    assert "p@ss@db" not in database
    assert token.startswith(f"Ray address {head.address}: it refuses our token; set RAY_AUTH_MODE=token")


@pytest.mark.usefixtures("known", "signed_in")
def test_resources_that_nobody_has(
    softaug: Softaug,
    head: servers.RayHead,
    mlflow: Mlflow,
    sweep: Path,
    tmp_path: Path,
) -> None:
    where = ["--address", head.address, "--tracking-uri", mlflow.url]
    (line,) = refused(softaug, tmp_path / "runs", sweep, *where, "--gpus", "2")
    assert line.startswith("resources: a trial needs 1 CPUs and 2 GPUs, the largest node has 1 CPUs and 0 GPUs")


@pytest.mark.usefixtures("known", "signed_in")
def test_another_ray_and_another_mlflow_name(
    softaug: Softaug,
    head: servers.RayHead,
    mlflow: Mlflow,
    sweep: Path,
    tmp_path: Path,
) -> None:
    """The head says of itself that it runs Ray 2.59.0."""
    other = f"http://127.0.0.2:{mlflow.port}"
    with claiming(head.address, "2.59.0"):
        options = [sweep, "--address", head.address, "--tracking-uri", other]
        tracking, ray = refused(softaug, tmp_path / "runs", *options)
    assert f"start it with --allowed-hosts 127.0.0.2:{mlflow.port}, or ask for the permission" in tracking
    assert "its versions are not ours: The cluster was started with: Ray: 2.59.0" in ray
    assert ray.endswith("install the same versions of Ray and Python on both sides")


@contextmanager
def claiming(address: str, version: str) -> Iterator[None]:
    """Let a head say that it runs this version of Ray, for as long as a driver that had joined before is there."""
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM, address, version], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdin is not None
        assert driver.stdout is not None
        assert driver.stdout.readline() == "claimed\n"
        yield
        driver.stdin.close()
        assert driver.wait(60) == 0
