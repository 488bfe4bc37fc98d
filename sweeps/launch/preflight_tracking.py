"""Whether an MLflow answers at a tracking URI, and lets us in; without importing mlflow, which takes seconds.

What is checked depends on the kind of address: a server is asked as MLflow's client would ask it, a sqlite file is
opened for reading, of a database the port is tried. No message shows a password.
"""

import base64
import configparser
import json
import os
import sqlite3
import ssl
import urllib.error
import urllib.request
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from urllib.parse import SplitResult, quote, unquote, urlsplit

from sweeps.launch.preflight_ray import refused_connection
from trainables.folder_store import unwritable

CONNECT_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 15.0  # a server that has just started, or checks passwords on a busy machine, took more than five
OFFLINE = "start it, correct --tracking-uri, or launch with --offline and run `softaug sync` later"
PORTS = {"postgresql": 5432, "mysql": 3306, "mssql": 1433}
DRIVERS = {
    "postgresql": ("postgresql+psycopg", "psycopg", "psycopg[binary]"),
    "mysql": ("mysql+pymysql", "pymysql", "pymysql"),
    "mssql": ("mssql+pyodbc", "pyodbc", "pyodbc"),
}  # scheme to write, module, package


class NoAnswer(Exception):
    """Nobody answers at a tracking URI, or with 5xx; `str()` says what was heard. It may be away for a while only."""


def tracking_problems(uri: str, experiment: str | None) -> list[str]:
    """Return a problem if this URI, or who answers there, is wrong, or its experiment was deleted. Raises NoAnswer."""
    rest = uri.partition("://")[2]
    if rest.count("@") > 1 or ("@" in rest and "@" not in urlsplit(uri).netloc):
        return [
            f"tracking URI {shown(uri)}: its user or password holds an @, /, ? or #; percent-encode it, "
            "as in p%40ss for p@ss and p%2Fss for p/ss"
        ]
    parts = urlsplit(uri)
    if parts.scheme == "sqlite":
        return _sqlite_problems(uri, experiment) or _unwritable_folder(uri)
    try:
        named = bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if parts.scheme in ("http", "https"):
        return _server_problems(parts, experiment) if named else [_nonsense(uri, "http://10.0.0.5:5000")]
    if parts.scheme.partition("+")[0] in (*PORTS, "postgres"):
        return _database_problems(uri, parts, named=named)
    return [
        f"tracking URI {shown(uri)}: MLflow keeps no plain folders any more; give sqlite:///<file>, a database, "
        "or the http address of a server, with --tracking-uri"
    ]


def shown(uri: str) -> str:
    """Return a URI that may be shown: without user, password and options."""
    scheme, _, rest = uri.partition("://")
    user, _, place = rest.rpartition("@")
    text = f"{scheme}://***@{place}" if user else uri
    return text.partition("?")[0]


def _nonsense(uri: str, example: str) -> str:
    return f"tracking URI {shown(uri)}: no host, or no port between 1 and 65535; write it as in {example}"


def _deleted(experiment: str, number: object, uri: str) -> str:
    return (
        f"MLflow at {shown(uri)}: its experiment {experiment} was deleted; restore it with "
        f"`mlflow experiments restore --experiment-id {number}` under that MLFLOW_TRACKING_URI"
    )


def _sqlite_problems(uri: str, experiment: str | None) -> list[str]:
    name = unquote(uri.removeprefix("sqlite://").partition("?")[0])
    if name in ("", "/", "/:memory:"):
        return [f"tracking URI {uri}: it names no file; write it as in sqlite:////data/mlflow.db"]
    file = Path(name[1:])
    if not file.is_absolute():
        return [
            f"tracking URI {uri}: it depends on the folder you are in; write sqlite:///{file.absolute()}, "
            "with four slashes"
        ]
    if file.is_dir():
        return [f"MLflow at {uri}: it is a folder, not a file; correct --tracking-uri"]
    if not file.exists():
        return []
    if not os.access(file, os.W_OK):
        return [f"MLflow at {uri}: you may not write to it; correct --tracking-uri"]
    return _sqlite_file_problems(file, uri, experiment)


def _sqlite_file_problems(file: Path, uri: str, experiment: str | None) -> list[str]:
    ask = "SELECT experiment_id FROM experiments WHERE name = ? AND lifecycle_stage = 'deleted'"
    try:
        database = sqlite3.connect(f"file:{quote(str(file))}?mode=ro", uri=True, timeout=CONNECT_TIMEOUT_S)
        try:
            tables = {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
            found = database.execute(ask, (experiment,)).fetchone() if "experiments" in tables else None
        finally:
            database.close()
    except sqlite3.OperationalError:
        return []  # locked by who writes to it: the tracker waits for that
    except sqlite3.DatabaseError:
        return [f"MLflow at {uri}: it is no sqlite database, or a damaged one; correct --tracking-uri"]
    return [_deleted(str(experiment), found[0], uri)] if found else []


def _unwritable_folder(uri: str) -> list[str]:
    folder = Path(uri.removeprefix("sqlite:///").partition("?")[0]).parent
    return unwritable(folder, "MLflow database folder", "--tracking-uri")


def _database_problems(uri: str, parts: SplitResult, *, named: bool) -> list[str]:
    dialect = "postgresql" if parts.scheme.startswith("postgres") else parts.scheme.partition("+")[0]
    scheme, module, package = DRIVERS[dialect]
    if "+" not in parts.scheme:
        return [f"tracking URI {shown(uri)}: write {scheme}:// in place of {parts.scheme}://, and install {package}"]
    if parts.scheme == scheme and find_spec(module) is None:
        return [f"tracking URI {shown(uri)}: its driver is missing; pip install '{package}'"]
    if not named:
        return [_nonsense(uri, f"{scheme}://user@10.0.0.5:{PORTS[dialect]}/mlflow")]
    refused = refused_connection(str(parts.hostname), parts.port or PORTS[dialect])
    if refused:
        raise NoAnswer(f"MLflow database {shown(uri)}: {refused}")
    return []


def _server_problems(parts: SplitResult, experiment: str | None) -> list[str]:
    uri = parts.geturl()
    try:
        answer = _ask(parts, "experiments/search", {"max_results": 1})
        if not isinstance(answer, dict):
            return [f"MLflow at {shown(uri)}: something else answers there; correct --tracking-uri"]
        if experiment is not None:
            found = _ask(parts, f"experiments/get-by-name?experiment_name={quote(experiment)}", None)["experiment"]
            if found["lifecycle_stage"] == "deleted":
                return [_deleted(experiment, found["experiment_id"], uri)]
    except urllib.error.HTTPError as error:
        with error:
            return _http_problems(parts, error)
    except ValueError:
        return [f"MLflow at {shown(uri)}: something else answers there; correct --tracking-uri"]
    except OSError as error:
        raise NoAnswer(f"MLflow at {shown(uri)}: {getattr(error, 'reason', error)}") from error
    return []


def _http_problems(parts: SplitResult, error: urllib.error.HTTPError) -> list[str]:
    uri = shown(parts.geturl())
    if error.code == 404 and "get-by-name" in error.url:
        return []  # it is made at the first trial
    if error.code == 401:
        if _authorization(parts):
            return [f"MLflow at {uri}: it does not know that user and password (or token); correct them"]
        return [f"MLflow at {uri}: it wants a user; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD"]
    if error.code == 403:
        host = parts.netloc.rpartition("@")[2]
        return [
            f"MLflow at {uri}: it refuses you, or the host name {host}; start it with --allowed-hosts {host}, "
            "or ask for the permission"
        ]
    answered = f"MLflow at {uri}: it answered {error.code} {error.reason}"
    if error.code >= 500:
        raise NoAnswer(answered) from error
    return [f"{answered}; {OFFLINE}"]


def _ask(parts: SplitResult, what: str, body: dict[str, object] | None) -> Any:
    """Return what MLflow's API answers. Raises HTTPError, OSError (URLError is one), and ValueError if no JSON."""
    place = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="").geturl().rstrip("/")
    request = urllib.request.Request(
        f"{place}/api/2.0/mlflow/{what}",
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json", **_authorization(parts)},
    )
    with urllib.request.urlopen(request, timeout=ANSWER_TIMEOUT_S, context=_tls()) as answer:
        return json.loads(answer.read())


def _authorization(parts: SplitResult) -> dict[str, str]:
    """Return the header that MLflow's client would send: from the environment, its credentials file, or the URI."""
    user, password = (os.environ.get(f"MLFLOW_TRACKING_{name}", "") for name in ("USERNAME", "PASSWORD"))
    credentials = configparser.ConfigParser(interpolation=None)
    credentials.read(Path("~/.mlflow/credentials").expanduser())
    user = user or credentials.get("mlflow", "mlflow_tracking_username", fallback="") or unquote(parts.username or "")
    password = password or credentials.get("mlflow", "mlflow_tracking_password", fallback="")
    password = password or unquote(parts.password or "")
    token = os.environ.get("MLFLOW_TRACKING_TOKEN", "")
    if user and password:
        return {"Authorization": "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()}
    return {"Authorization": f"Bearer {token}"} if token else {}


def _tls() -> ssl.SSLContext:
    """Return how servers are believed, as MLflow's client does."""
    if os.environ.get("MLFLOW_TRACKING_INSECURE_TLS", "").lower() in ("1", "true"):
        return ssl._create_unverified_context()
    return ssl.create_default_context(cafile=os.environ.get("MLFLOW_TRACKING_SERVER_CERT_PATH"))
