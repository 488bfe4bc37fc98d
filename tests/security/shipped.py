"""MLflow and a Ray head as docker-compose.yml starts them, without containers, and questions put to them over HTTP.

Scripts, arguments, environment and secrets are those of the files; sqlite stands in for PostgreSQL, ports are free,
and /run/secrets is mounted in a namespace of MLflow's own, which takes root.
"""

import base64
import os
import re
import shlex
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import yaml

from deploy import make_secrets
from tests import servers

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
POSTGRES = "postgresql+psycopg://mlflow@postgres:5432"


@dataclass(frozen=True)
class Secrets:
    """What `make secrets` made: the words that must be seen nowhere, by what they are."""

    folder: Path
    words: dict[str, str]

    def user(self, name: str) -> str:
        """Return the header of a user of MLflow."""
        password = self.words["mlflow_credentials" if name == make_secrets.USER else "mlflow_auth.ini"]
        return basic(name, password)


def made(folder: Path) -> Secrets:
    """Make secrets as a user does."""
    make_secrets.make(folder)
    texts = {name: (folder / "secrets" / name).read_text() for name in make_secrets.FILES}
    return Secrets(folder / "secrets", {name: re.findall(r"[\w-]{43,}", text)[0] for name, text in texts.items()})


@dataclass(frozen=True)
class Mlflow:
    """A running MLflow; everything it keeps is in `folder`."""

    port: int
    folder: Path
    secrets: Secrets

    @property
    def url(self) -> str:
        """Return its address."""
        return f"http://127.0.0.1:{self.port}"


@contextmanager
def mlflow(folder: Path, secrets: Secrets) -> Iterator[Mlflow]:
    """Prepare and serve MLflow with the scripts and arguments of docker-compose.yml."""
    folder.mkdir()
    port = servers.free_port()
    auth = secrets.folder / "mlflow_auth.ini"
    auth.write_text(auth.read_text().replace(f"{POSTGRES}/mlflow_auth", f"sqlite:///{folder / 'auth.db'}"))
    service = COMPOSE["mlflow"]
    given = service["command"][2:]
    hosts = given.index("--allowed-hosts") + 1
    given[hosts] = given[hosts].replace("${MLFLOW_PORT:-5000}", str(port))
    given[given.index("--artifacts-destination") + 1] = str(folder / "artifacts")
    serve = ["sh", str(ROOT / "deploy/mlflow/serve.sh"), *given, "--port", str(port), "--workers", "1"]
    prepare = shlex.join([sys.executable, str(ROOT / "deploy/mlflow/prepare.py")])
    mount = (
        f"mount -t tmpfs none /run; mkdir /run/secrets; mount --bind {shlex.quote(str(secrets.folder))} /run/secrets"
    )
    script = f"set -e; {mount}; {prepare}; exec {shlex.join(serve)}"
    environment = {
        **os.environ,
        **service["environment"],
        "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder / 'mlflow.db'}",
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    log = folder / "log.txt"
    with servers.process(["unshare", "--mount", "sh", "-c", script], log, env=environment) as running:
        servers.wait_for(f"http://127.0.0.1:{port}/health", running, log)
        yield Mlflow(port, folder, secrets)


@contextmanager
def ray_head(secrets: Secrets, **environment: str) -> Iterator[servers.RayHead]:
    """Run a Ray head of one CPU with the stack's environment and its token's file."""
    stack = COMPOSE["ray-head"]["environment"]
    given = {name: str(value) for name, value in stack.items() if name.startswith(("RAY_", "MLFLOW_"))}
    given |= {"RAY_AUTH_TOKEN_PATH": str(secrets.folder / "ray_token"), **environment}
    with servers.ray_head(cpus=1, with_dashboard=True, **given) as head:
        yield head


def basic(user: str, password: str) -> str:
    """Return the header that shows a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def status(url: str, method: str = "GET", body: bytes | None = None, **headers: str | None) -> int:
    """Return the status of an answer. Headers are written user_agent for User-Agent; one that is None is left out."""
    return answer(url, method, body, **headers)[0]


def answer(url: str, method: str = "GET", body: bytes | None = None, **headers: str | None) -> tuple[int, str]:
    """Return the status and the text of an answer."""
    shown = {name.replace("_", "-").title(): text for name, text in headers.items() if text is not None}
    kind = {} if body is None else {"Content-Type": "application/json"}
    request = urllib.request.Request(url, method=method, data=body, headers={**kind, **shown})
    try:
        with urllib.request.urlopen(request, timeout=60) as found:
            return found.status, found.read().decode(errors="replace")
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode(errors="replace")
