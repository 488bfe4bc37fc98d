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
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return where the head's jobs write."""
    return tmp_path_factory.mktemp("cluster") / "runs"


@pytest.fixture(scope="session")
def head(secrets: Secrets, mlflow: Mlflow, home: Path, store: Path) -> Iterator[servers.RayHead]:
    """Run a Ray head."""
    where = {"SOFTAUG_STORE": str(store), "HOME": str(home), "MLFLOW_TRACKING_URI": mlflow.url}
    with shipped.ray_head(secrets, **where) as running:
        yield running
