"""One MLflow and one Ray head as shipped, for all tests of security."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.security import shipped
from tests.security.shipped import Mlflow, Secrets


@pytest.fixture(scope="session")
def secrets(tmp_path_factory: pytest.TempPathFactory) -> Secrets:
    """Return the secrets of a stack."""
    return shipped.made(tmp_path_factory.mktemp("stack"))


@pytest.fixture(scope="session")
def mlflow(secrets: Secrets, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Mlflow]:
    """Run MLflow with users."""
    with shipped.mlflow(tmp_path_factory.mktemp("served") / "mlflow", secrets) as running:
        yield running


@pytest.fixture(scope="session")
def home(secrets: Secrets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the home folder of the head's user: MLflow's credentials lie where its client looks for them."""
    folder = tmp_path_factory.mktemp("home")
    (folder / ".mlflow").mkdir()
    (folder / ".mlflow" / "credentials").write_bytes((secrets.folder / "mlflow_credentials").read_bytes())
    return folder


@pytest.fixture(scope="session")
def head(
    secrets: Secrets, mlflow: Mlflow, home: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[servers.RayHead]:
    """Run a Ray head whose jobs write into the folder `runs` beside its own."""
    base = tmp_path_factory.getbasetemp()
    where = {"SOFTAUG_STORE": str(base / "runs"), "HOME": str(home), "MLFLOW_TRACKING_URI": mlflow.url}
    with shipped.ray_head(base / "h", secrets, **where) as running:
        yield running
