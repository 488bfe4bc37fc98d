"""MLflow's database in a file: it is there with all its tables, or not at all.

MLflow makes its tables in dozens of steps; killed between two of them it leaves a database that no MLflow opens any
more. So a new one is made under another name and gets its own when it is complete.
"""

import os
import uuid
from contextlib import suppress
from pathlib import Path

SCHEME = "sqlite:///"


def create_if_missing(tracking_uri: str) -> None:
    """Make the database of a sqlite URI whose file is not there yet; of several that do so at once, one's is kept."""
    if not tracking_uri.startswith(SCHEME):
        return
    path = Path(tracking_uri.removeprefix(SCHEME))
    if path.exists():
        return
    from mlflow import MlflowClient  # takes seconds

    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    try:
        MlflowClient(f"{SCHEME}{unfinished}").search_experiments(max_results=1)
        with suppress(FileExistsError):
            os.link(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
