"""What tests of several folders share: where caches go, an empty MLflow database, the command line as a process."""

import atexit
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests import s3

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ["MPLCONFIGDIR"] = tempfile.mkdtemp(prefix="softaug-matplotlib-")
atexit.register(shutil.rmtree, os.environ["MPLCONFIGDIR"], ignore_errors=True)
for name in ("MLFLOW_TRACKING_URI", "SOFTAUG_STORE", "SOFTAUG_DATA", "RAY_ADDRESS"):
    os.environ.pop(name, None)

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # begun in a script's background, which all processes inherit
    signal.signal(signal.SIGINT, signal.default_int_handler)

SOFTAUG = Path(sys.executable).with_name("softaug")

Softaug = Callable[..., "subprocess.CompletedProcess[str]"]

LONGEST = "test_readme.py"  # minutes in one file, which would be the last


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest file, so that of two processes none waits for it at the end."""
    items.sort(key=lambda item: item.path.name != LONGEST)


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return an MLflow database with its tables and nothing in them; copy it, do not write to it."""
    from mlflow import MlflowClient

    path = tmp_path_factory.mktemp("mlflow") / "empty.db"
    MlflowClient(f"sqlite:///{path}").search_experiments()
    return path


@pytest.fixture(scope="session")
def softaug() -> Softaug:
    """Return a function that runs the command line as a user does, and checks that no traceback is shown."""

    def run(*arguments: object, cwd: Path | None = None) -> "subprocess.CompletedProcess[str]":
        command = [str(SOFTAUG), *map(str, arguments)]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=240, cwd=cwd, check=False)
        assert "Traceback" not in ran.stdout + ran.stderr, ran.stdout + ran.stderr
        return ran

    return run


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a real S3 server with an empty bucket."""
    with s3.seaweed(tmp_path_factory.mktemp("seaweed")) as url:
        yield url
