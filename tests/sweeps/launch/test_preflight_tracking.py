"""Tracking URIs that cannot work are refused with the way out, each in a line of its own, and no password is shown."""

import base64
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from mlflow import MlflowClient

from sweeps.launch import preflight, preflight_tracking
from sweeps.launch.preflight import Refused, unreachable_tracking
from sweeps.launch.preflight_tracking import OFFLINE
from tests.servers import free_port
from tests.sweeps import ledgers
from trainables import launches
from trainables.store import open_store

ACTIVE = b'{"experiment": {"experiment_id": "7", "lifecycle_stage": "active"}}'
DELETED = ACTIVE.replace(b"active", b"deleted")


class Server:
    """Answers every request alike, but experiments by name; `authorization` is what the last one said."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.status, self.body = 200, b"{}"
        self.by_name = 404, b"{}"
        self.authorization: str | None = None


@pytest.fixture
def server() -> Iterator[Server]:
    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            said.authorization = self.headers.get("Authorization")
            status, body = said.by_name if "get-by-name" in self.path else (said.status, said.body)
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_GET = do_POST = answer

        def log_message(self, format: str, *arguments: object) -> None:
            """Say nothing."""

    listener = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    said = Server(f"http://127.0.0.1:{listener.server_address[1]}")
    thread = threading.Thread(target=listener.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield said
    listener.shutdown()
    listener.server_close()
    thread.join()


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    for name in ("USERNAME", "PASSWORD", "TOKEN"):
        monkeypatch.delenv(f"MLFLOW_TRACKING_{name}", raising=False)


def test_a_server_that_answers_is_fine_whether_it_has_the_experiment_or_not(server: Server) -> None:
    assert unreachable_tracking(server.url) == []
    assert unreachable_tracking(server.url, "small@smoke") == []
    server.by_name = 200, ACTIVE
    assert unreachable_tracking(server.url, "small@smoke") == []


def test_a_deleted_experiment_is_named_with_the_way_back(server: Server) -> None:
    server.by_name = 200, DELETED
    (line,) = unreachable_tracking(server.url, "small@smoke")
    assert line.startswith(f"MLflow at {server.url}: its experiment small@smoke was deleted; ")
    assert "`mlflow experiments restore --experiment-id 7`" in line


def test_a_server_that_wants_a_user_gets_the_one_that_mlflow_would_send(
    server: Server, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    server.status = 401
    (line,) = unreachable_tracking(server.url)
    assert line.endswith("it wants a user; set MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD")
    basic = f"Basic {base64.b64encode(b'me:p@ss').decode()}"
    (line,) = unreachable_tracking(server.url.replace("://", "://me:p%40ss@"))
    assert server.authorization == basic
    assert "it does not know that user and password" in line
    assert "p@ss" not in line
    assert "p%40ss" not in line
    (tmp_path / "home" / ".mlflow").mkdir(parents=True)
    (tmp_path / "home" / ".mlflow" / "credentials").write_text(
        "[mlflow]\nmlflow_tracking_username = me\nmlflow_tracking_password = p@ss\n"
    )
    unreachable_tracking(server.url)
    assert server.authorization == basic
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "you")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
    unreachable_tracking(server.url)
    assert server.authorization == f"Basic {base64.b64encode(b'you:x').decode()}"


def test_a_token_is_sent_too(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "secret")
    assert unreachable_tracking(server.url) == []
    assert server.authorization == "Bearer secret"


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (403, b"", "start it with --allowed-hosts 127.0.0.1:"),
        (500, b"", "it answered 500 Internal Server Error; start it"),
        (404, b"", "it answered 404 Not Found; start it"),
        (200, b"<html>", "something else answers there"),
        (200, b"[]", "something else answers there"),
    ],
)
def test_every_wrong_answer_has_its_text(server: Server, status: int, body: bytes, said: str) -> None:
    server.status, server.body = status, body
    (line,) = unreachable_tracking(server.url, "small@smoke")
    assert line.startswith(f"MLflow at {server.url}: ")
    assert said in line


def test_nobody_there_is_told() -> None:
    port = free_port()
    (line,) = unreachable_tracking(f"http://me:secret@127.0.0.1:{port}")
    assert line.startswith(f"MLflow at http://***@127.0.0.1:{port}: [Errno 111] Connection refused; ")


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("http://host:99999", "no host, or no port between 1 and 65535"),
        ("http://host:port", "no host, or no port between 1 and 65535"),
        ("http://", "no host, or no port between 1 and 65535"),
        ("postgresql://me:secret@db/mlflow", "write postgresql+psycopg:// in place of postgresql://"),
        ("postgres://me:secret@db/mlflow", "write postgresql+psycopg:// in place of postgres://, and install psycopg["),
        ("mysql://me:secret@db/mlflow", "write mysql+pymysql:// in place of mysql://"),
        ("postgresql+psycopg://me:secret@db:99999/mlflow", "no host, or no port between 1 and 65535"),
        ("postgresql+psycopg://me:sec@ret@db/mlflow", "percent-encode it"),
        ("postgresql+psycopg://me:sec/ret@db/mlflow", "percent-encode it"),
        ("postgresql+psycopg://me:sec#ret@db/mlflow", "percent-encode it"),
        ("postgresql+psycopg://me:sec?ret@db/mlflow", "percent-encode it"),
        ("http://me:sec@ret@host:5000", "percent-encode it"),
        ("file:///data/mlruns", "MLflow keeps no plain folders any more"),
        ("./mlruns", "MLflow keeps no plain folders any more"),
        ("/data/mlruns", "MLflow keeps no plain folders any more"),
        ("ftp://me:secret@host/x", "MLflow keeps no plain folders any more"),
        ("sqlite://", "it names no file; write it as in sqlite:////"),
        ("sqlite:///", "it names no file"),
        ("sqlite:///:memory:", "it names no file"),
        ("sqlite:///mlflow.db", f"it depends on the folder you are in; write sqlite:///{Path('mlflow.db').absolute()}"),
    ],
)
def test_addresses_that_cannot_work_are_refused_with_the_way_out(
    uri: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preflight_tracking, "find_spec", lambda _module: True)
    (line,) = unreachable_tracking(uri)
    assert said in line
    assert not any(secret in line for secret in ("secret", "sec@ret", "ret@", "sec/", "sec#", "sec?"))


def test_a_database_that_nobody_listens_for_and_one_without_its_driver(monkeypatch: pytest.MonkeyPatch) -> None:
    uri = f"postgresql+psycopg://me:secret@127.0.0.1:{free_port()}/mlflow?password=secret"
    monkeypatch.setattr(preflight_tracking, "find_spec", lambda _module: None)
    (line,) = unreachable_tracking(uri)
    assert line.endswith("its driver is missing; pip install 'psycopg[binary]'")
    assert "secret" not in line
    monkeypatch.setattr(preflight_tracking, "find_spec", lambda _module: True)
    (line,) = unreachable_tracking(uri)
    assert "Connection refused; start it, correct --tracking-uri, or launch with --offline" in line
    assert "secret" not in line


def test_a_sqlite_file_is_looked_at(tmp_path: Path, empty_database: Path) -> None:
    file = Path(shutil.copy(empty_database, tmp_path / "mlflow.db"))
    uri = f"sqlite:///{file}"
    assert unreachable_tracking(uri, "small@smoke") == []
    assert unreachable_tracking(f"sqlite:///{tmp_path / 'new.db'}", "small@smoke") == []
    assert not (tmp_path / "new.db").exists()
    client = MlflowClient(uri)
    number = client.create_experiment("small@smoke")
    assert unreachable_tracking(uri, "small@smoke") == []
    client.delete_experiment(number)
    (line,) = unreachable_tracking(uri, "small@smoke")
    assert (
        f"its experiment small@smoke was deleted; restore it with `mlflow experiments restore --experiment-id {number}`"
        in line
    )
    assert unreachable_tracking(uri, "other@smoke") == []
    (line,) = unreachable_tracking(f"sqlite:///{tmp_path}")
    assert "it is a folder, not a file" in line
    (tmp_path / "text.db").write_text("no database" * 100)
    (line,) = unreachable_tracking(f"sqlite:///{tmp_path / 'text.db'}")
    assert "it is no sqlite database" in line


def test_a_launch_is_refused_for_its_own_deleted_experiment(tmp_path: Path, empty_database: Path) -> None:
    said: list[str] = []
    store = open_store(tmp_path / "runs")
    store.root.mkdir()
    uri = f"sqlite:///{shutil.copy(empty_database, store.root / 'mlflow.db')}"
    sweep = ledgers.small_sweep()
    preflight.check(sweep, store=store, data=None, tracking_uri=uri, address="local", say=said.append)
    client = MlflowClient(uri)
    client.delete_experiment(client.create_experiment(sweep.experiment))
    with pytest.raises(Refused, match="its experiment small@smoke was deleted"):
        preflight.check(sweep, store=store, data=None, tracking_uri=uri, address="local", say=said.append)
    assert said == []


@pytest.mark.parametrize("last", ["lost", "ended", "alive"])
def test_a_launch_that_was_lost_goes_on_without_mlflow(
    tmp_path: Path, server: Server, last: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(tmp_path / "runs")
    sweep = ledgers.small_sweep()
    launches.beat(store, launches.acquire(store, sweep.experiment), ended=last == "ended")
    if last == "lost":
        monkeypatch.setattr(launches, "process_exists", lambda _pid: False)
    said: list[str] = []

    def check(address: str = "local") -> None:
        preflight.check(sweep, store=store, data=None, tracking_uri=server.url, address=address, say=said.append)

    def problems(address: str = "local") -> list[str]:
        with pytest.raises(Refused) as refused:
            check(address)
        return refused.value.problems

    server.status = 503
    heard = f"MLflow at {server.url}: it answered 503 Service Unavailable; "
    if last == "lost":
        check()
        assert said == [f"{heard}this sweep's last launch was lost, so it goes on all the same, and I keep trying"]
    else:
        assert problems() == [f"{heard}{OFFLINE}"]
    said.clear()
    server.status = 401
    assert "it wants a user" in problems()[0], "somebody has to act"
    server.status = 503
    assert heard + OFFLINE in problems("127.0.0.1:1"), "it cannot go on anyway: all is told"
    assert said == []
