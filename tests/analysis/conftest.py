"""A client of an MLflow database of its own for each test."""

import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient


@pytest.fixture
def client(empty_database: Path, tmp_path: Path) -> MlflowClient:
    """Return a client of a fresh MLflow database."""
    return MlflowClient(f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}")
