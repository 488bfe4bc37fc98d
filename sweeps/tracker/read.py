"""All runs of an MLflow experiment, with tags and latest metrics; parameters, which nobody reads back, are left out.

From a server they come in pages of `search_runs`. A database in a file is read with three statements of SQL: MLflow
builds an object for each parameter, tag and metric, 3 ms a run, and so takes most of a minute for ten thousand runs.
A test holds the two ways to the same answer; MLflow's own client opened the database before, so its version is known.
"""

import math
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from sqlalchemy import make_url

from sweeps.tracker.database import SCHEME

PAGE = 1000  # runs per request, the most a server gives
WAIT_S = 30.0  # for somebody else's transaction
RUNS = """select run_uuid, artifact_uri, status from runs where experiment_id = ? and lifecycle_stage = 'active'
          order by start_time desc, run_uuid"""
TAGS = """select run_uuid, key, value from tags
          join runs using (run_uuid) where experiment_id = ? and lifecycle_stage = 'active'"""
METRICS = """select run_uuid, key, value, is_nan from latest_metrics
             join runs using (run_uuid) where experiment_id = ? and lifecycle_stage = 'active'"""


@dataclass(frozen=True)
class Found:
    """A run as MLflow holds it. `artifacts`: their address; `metrics`: the latest values."""

    run_id: str
    artifacts: str
    status: str
    tags: dict[str, str] = field(default_factory=dict)
    metrics: dict[str, float] = field(default_factory=dict)


def all_runs(client: MlflowClient, experiment_id: str) -> Iterator[Found]:
    """Yield the runs of an experiment that are not deleted, the newest first. Raises MlflowException."""
    uri = client.tracking_uri
    return _from_file(uri, experiment_id) if uri.startswith(SCHEME) else found_runs(client, experiment_id, "")


def found_runs(client: MlflowClient, experiment_id: str, wanted: str) -> Iterator[Found]:
    """Yield the runs for which MLflow's filter `wanted` holds. Raises MlflowException."""
    token = None
    while True:
        page = client.search_runs([experiment_id], wanted, max_results=PAGE, page_token=token)
        for run in page:
            yield Found(run.info.run_id, run.info.artifact_uri, run.info.status, run.data.tags, run.data.metrics)
        token = page.token
        if not token:
            return


def _from_file(uri: str, experiment_id: str) -> Iterator[Found]:
    file = Path(str(make_url(uri).database)).absolute()
    try:
        with closing(sqlite3.connect(f"{file.as_uri()}?mode=ro", uri=True, timeout=WAIT_S)) as database:
            database.execute("begin")  # the three see the same moment
            runs = {row[0]: Found(*row) for row in database.execute(RUNS, [experiment_id])}
            for run_id, name, value in database.execute(TAGS, [experiment_id]):
                runs[run_id].tags[name] = value
            for run_id, name, value, is_nan in database.execute(METRICS, [experiment_id]):
                runs[run_id].metrics[name] = math.nan if is_nan else value
    except sqlite3.Error as error:
        raise MlflowException(f"its database {file} cannot be read: {error}") from error
    yield from runs.values()
