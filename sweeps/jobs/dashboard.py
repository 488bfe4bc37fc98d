"""The HTTP side of a Ray head: whether it lets us in, which Ray it runs and which jobs it knows; without importing ray.

The token is found where Ray looks for it, whatever RAY_AUTH_MODE says: who has a token wants to use it.
"""

import json
import os
import urllib.error
import urllib.request
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from sweeps.launch.preflight import Refused

TIMEOUT_S = 10.0
TOKEN = "set RAY_AUTH_TOKEN_PATH to the file that holds the cluster's token"
EXAMPLE = "the address of the head's dashboard, as in http://127.0.0.1:8265"
RUNNING = ("PENDING", "RUNNING")


@dataclass(frozen=True)
class JobEntry:
    """A submitted job as the head knows it; `since` is Unix seconds, `exit_code` None while there is none."""

    id: str
    status: str
    since: float
    metadata: dict[str, str]
    exit_code: int | None = None
    message: str = ""

    @property
    def runs(self) -> bool:
        """Whether it has not ended."""
        return self.status in RUNNING


def token() -> str | None:
    """Return the token for Ray clusters, None if there is none. Raises Refused if its file cannot be read."""
    given = os.environ.get("RAY_AUTH_TOKEN", "").strip()
    if given:
        return given
    named = os.environ.get("RAY_AUTH_TOKEN_PATH") or None
    file = Path(named or "~/.ray/auth_token").expanduser()
    try:
        return file.read_text().strip() or None
    except OSError as error:
        if named is None:
            return None
        raise Refused([f"token file {file}: {error.strerror}; {TOKEN}"]) from None
    except UnicodeDecodeError:
        raise Refused([f"token file {file}: it holds no text; {TOKEN}"]) from None


def headers(known: str | None) -> dict[str, str]:
    """Return the headers that show a token."""
    return {"Authorization": f"Bearer {known}"} if known else {}


def jobs(cluster: str) -> list[JobEntry]:
    """Return the submitted jobs of a head that lets us in and runs our Ray. Raises Refused."""
    parts = urlsplit(cluster)
    try:
        named = parts.scheme in ("http", "https") and bool(parts.hostname) and (parts.port is None or parts.port > 0)
    except ValueError:
        named = False
    if not named or "@" in parts.netloc:
        raise Refused([f"cluster {cluster}: expected {EXAMPLE}"])
    shown = token()
    try:
        version = _get(cluster, "api/version", shown)["ray_version"]
        listed = _get(cluster, "api/jobs/", shown)
        entries = [_entry(job) for job in listed if job.get("submission_id")]
    except urllib.error.HTTPError as error:
        with error:
            raise Refused([f"cluster {cluster}: {_why(error.code, shown)}"]) from None
    except OSError as error:
        raise Refused(
            [f"cluster {cluster}: {getattr(error, 'reason', error)}; start it, or correct --cluster"]
        ) from None
    except (ValueError, LookupError, TypeError, AttributeError, HTTPException):
        raise Refused([f"cluster {cluster}: something else answers there; give {EXAMPLE}"]) from None
    ours = metadata.version("ray")
    if version != ours:
        raise Refused([f"cluster {cluster}: it runs Ray {version}, here is {ours}; install the same on both sides"])
    return entries


def job(cluster: str, name: str) -> JobEntry | None:
    """Return a submitted job, None if the head knows none of this name. Raises OSError if it does not tell."""
    try:
        return _entry(_get(cluster, f"api/jobs/{name}", token()))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == HTTPStatus.NOT_FOUND:
                return None
            raise


def _entry(job: dict[str, Any]) -> JobEntry:
    return JobEntry(
        job["submission_id"],
        job["status"],
        (job["start_time"] or 0) / 1000,
        job["metadata"] or {},
        job.get("driver_exit_code"),
        job.get("message") or "",
    )


def _get(cluster: str, what: str, shown: str | None) -> Any:
    request = urllib.request.Request(f"{cluster.rstrip('/')}/{what}", headers=headers(shown))
    with urllib.request.urlopen(request, timeout=TIMEOUT_S) as answer:
        return json.loads(answer.read())


def _why(status: int, shown: str | None) -> str:
    if status == 401:
        return f"it wants a token and we have none; {TOKEN}"
    if status == 403 and shown:
        return f"it refuses our token; {TOKEN}"
    return f"it answered {status}; give {EXAMPLE}"
