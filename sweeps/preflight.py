"""What is checked before anything starts, so that a launch is refused within seconds and nothing has been written.

Nothing here imports torch, ray or mlflow.
"""

import json
import os
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

from softaug import datasets
from softaug.datasets import MissingData
from sweeps.preflight_ray import refused_connection, unreachable_ray
from sweeps.resolved import ResolvedSweep
from trainables.store import Store

CONNECT_TIMEOUT_S = 5.0


class Refused(Exception):
    """A launch cannot start; `.problems` are sentences, one each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def check(sweep: ResolvedSweep, *, store: Store, data: Path | None, tracking_uri: str | None, address: str) -> None:
    """Check data, store, tracking URI (None: not wanted) and Ray address. Raises Refused with every problem."""
    problems = [*missing_data(sweep, data), *unwritable(store.root, "store", "--store")]
    if tracking_uri is not None and str(store.root) not in tracking_uri:  # beside the store it stands or falls with it
        problems += unreachable_tracking(tracking_uri)
    if address != "local":
        problems += unreachable_ray(address)
    if problems:
        raise Refused(problems)


def missing_data(sweep: ResolvedSweep, data: Path | None) -> list[str]:
    """Return a problem for every data set of the sweep that is not there."""
    problems = []
    for name in sorted({cell.recipe["data"]["name"] for cell in sweep.cells}):
        try:
            datasets.locate(name, data)
        except MissingData as error:
            problems.append(str(error))
    return problems


def unwritable(folder: Path, what: str, option: str) -> list[str]:
    """Return a problem if this folder, or the one it would be made in, cannot be written to; create nothing."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return [f"{what} {folder}: {existing} is a file, not a folder; choose another with {option}"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"{what} {folder}: you may not write to {existing}; choose another with {option}"]
    return []


def unreachable_tracking(uri: str) -> list[str]:
    """Return a problem if no MLflow answers at this URI within seconds."""
    scheme = urlsplit(uri).scheme
    if scheme in ("http", "https"):
        return _no_answer(uri)
    if scheme == "sqlite":
        return unwritable(Path(uri.removeprefix("sqlite:///")).parent, "MLflow database folder", "--tracking-uri")
    if scheme in ("postgresql", "postgresql+psycopg", "mysql", "mysql+pymysql", "mssql"):
        return _no_connection(uri)
    return [
        f"tracking URI {uri}: MLflow keeps no plain folders any more; give sqlite:///<file>, a database, "
        "or the http address of a server, with --tracking-uri"
    ]


def _no_answer(uri: str) -> list[str]:
    hint = "start it, correct --tracking-uri, or launch with --offline and run `softaug sync` later"
    request = urllib.request.Request(
        f"{uri.rstrip('/')}/api/2.0/mlflow/experiments/search",
        data=json.dumps({"max_results": 1}).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        urllib.request.urlopen(request, timeout=CONNECT_TIMEOUT_S).close()
    except urllib.error.HTTPError as error:
        with error:
            return [_http_problem(uri, error, hint)]
    except (urllib.error.URLError, TimeoutError, OSError) as error:
        return [f"MLflow at {uri}: {getattr(error, 'reason', error)}; {hint}"]
    return []


def _http_problem(uri: str, error: urllib.error.HTTPError, hint: str) -> str:
    if error.code == 401:
        return f"MLflow at {uri}: it wants a user; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"
    if error.code == 403:
        host = urlsplit(uri).netloc
        return f"MLflow at {uri}: it refuses the host name {host}; start it with --allowed-hosts {host}"
    return f"MLflow at {uri}: it answered {error.code} {error.reason}; {hint}"


def _no_connection(uri: str) -> list[str]:
    parts = urlsplit(uri)
    default_port = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}[parts.scheme.partition("+")[0]]
    refused = refused_connection(parts.hostname or "localhost", parts.port or default_port)
    shown = uri.replace(f":{parts.password}@", ":***@") if parts.password else uri
    return [f"MLflow database {shown}: {refused}; start it or correct --tracking-uri"] if refused else []
