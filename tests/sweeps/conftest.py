"""What tests of the service share: an empty store, an empty MLflow of its own."""

import shutil
from pathlib import Path

import pytest

from trainables.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return an empty store."""
    return open_store(tmp_path / "store")


@pytest.fixture
def uri(tmp_path: Path, empty_database: Path) -> str:
    """Return the tracking URI of a database with MLflow's tables and nothing in them."""
    return f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"
