"""Who gets into a Ray head as it is shipped: tokens over HTTP, as a driver and as a worker; what it listens on."""

import os
import re
import secrets as random
import shutil
import sys
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import grpc
import psutil
import pytest
from ray.core.generated import ray_client_pb2, ray_client_pb2_grpc

from sweeps.launch.preflight_ray import unreachable_ray
from tests import servers
from tests.conftest import SOFTAUG
from tests.faults.scenes import ENDLESS, tiny_sweep, until
from tests.security.shipped import Secrets, answer, status

pytestmark = pytest.mark.slow

WRONG = random.token_hex(32)
JOB = b'{"entrypoint": "true"}'
CLOSED = [
    *(("GET", path) for path in ("api/version", "api/jobs/", "api/jobs/x/logs", "nodes?view=summary", "api/v0/tasks")),
    *(("GET", path) for path in ("api/v0/logs", "logical/actors", "api/cluster_status", "events", "worker/traceback")),
    *(("POST", path) for path in ("api/jobs/", "api/jobs/x/stop")),
    ("DELETE", "api/jobs/x"),
    ("PUT", "api/packages/gcs/x.zip"),
]
OPEN = ["", "api/gcs_healthz", "api/authentication_mode"]  # a page without data, health, and that a token is wanted
LISTENERS = {
    "gcs": "gcs_server",
    "client": "ray.util.client.server",
    "dashboard": "dashboard/dashboard.py",
    "raylet": "raylet/raylet",
    "agent": "ray::DashboardAgent",
    "runtime env": "ray::RuntimeEnvAgent",
    "autoscaler": "autoscaler/_private/monitor.py",
    "worker": "ray::",
}  # what listens -> how it is found in its command line
METRICS = {"dashboard": 44227, "autoscaler": 44217}  # Ray's own ports, which another Ray of the machine may have taken
BROWSER = "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"


@pytest.mark.parametrize(("method", "path"), CLOSED)
def test_the_dashboard_wants_the_token(head: servers.RayHead, secrets: Secrets, method: str, path: str) -> None:
    url, body = f"{head.dashboard}/{path}", JOB if method in ("POST", "PUT") else None
    assert status(url, method, body) == 401
    assert status(url, method, body, authorization=f"Bearer {WRONG}") == 403
    if method == "GET":  # anything else would change the head that other tests use
        right = status(url, authorization=f"Bearer {secrets.words['ray_token']}")
        assert right not in (401, 405), "a page that nobody reaches is no test of the token"


@pytest.mark.parametrize("path", OPEN)
def test_what_is_open_tells_nothing(head: servers.RayHead, secrets: Secrets, path: str) -> None:
    code, text = answer(f"{head.dashboard}/{path}")
    assert code == 200
    assert secrets.words["ray_token"] not in text
    assert len(text) < 4000


@pytest.mark.parametrize(("method", "path"), [each for each in CLOSED if each[0] != "GET"])
def test_a_page_in_a_browser_starts_and_stops_no_job(
    head: servers.RayHead, secrets: Secrets, method: str, path: str
) -> None:
    """Even one that has the token, as by DNS rebinding (CVE-2025-62593)."""
    right = f"Bearer {secrets.words['ray_token']}"
    assert status(f"{head.dashboard}/{path}", method, JOB, authorization=right, user_agent=BROWSER) == 405


def test_ray_client_wants_the_token(head: servers.RayHead, secrets: Secrets) -> None:
    """`ray start --head` opens its port on all addresses, and no option leaves it out."""
    (port,) = {port for what, _, port in listening(head.pid) if what == "client"}
    question = ray_client_pb2.ClusterInfoRequest(type=ray_client_pb2.ClusterInfoType.PING)
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        ask = ray_client_pb2_grpc.RayletDriverStub(channel).ClusterInfo
        for shown in ([], [("authorization", f"Bearer {WRONG}")]):
            with pytest.raises(grpc.RpcError) as refused:
                ask(question, metadata=shown, timeout=60)
            assert "authenticat" in str(refused.value.details()).lower()
        ask(question, metadata=[("authorization", f"Bearer {secrets.words['ray_token']}")], timeout=60)


@pytest.mark.parametrize("token", [None, WRONG], ids=["none", "wrong"])
def test_no_worker_joins_without_the_token(head: servers.RayHead, token: str | None, tmp_path: Path) -> None:
    ray = [str(Path(sys.executable).with_name("ray")), "start", "--block", f"--address={head.address}", "--num-cpus=1"]
    shown = {} if token is None else {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
    log = tmp_path / "worker.log"
    with servers.process(ray, log, env={**os.environ, "HOME": str(tmp_path), **shown}) as worker:
        until(lambda: worker.poll() is not None, "the end of a worker that is not let in")
    assert worker.returncode != 0
    assert "Ray runtime started" not in log.read_text()
    assert re.search("[Aa]uthenticat", log.read_text())


def listening(pid: int) -> set[tuple[str, str, int]]:
    """Return (what, address, port) of every TCP socket that the processes below this one listen on."""
    found = set()
    for process in psutil.Process(pid).children(recursive=True):
        with suppress(psutil.NoSuchProcess):
            command = " ".join(process.cmdline())
            what = next((name for name, part in LISTENERS.items() if part in command), command)
            sockets = [each.laddr for each in process.net_connections(kind="tcp") if each.status == psutil.CONN_LISTEN]
            found |= {(what, each.ip.removeprefix("::ffff:"), each.port) for each in sockets}
    return found


def test_nothing_listens_but_what_is_known(head: servers.RayHead) -> None:
    sockets = listening(head.pid)
    assert {what for what, _, _ in sockets} | {"worker", "autoscaler"} == set(LISTENERS)
    assert {address for _, address, port in sockets if head.dashboard.endswith(f":{port}")} == {"127.0.0.1"}


def test_the_only_ports_that_answer_without_the_token_show_measurements(head: servers.RayHead) -> None:
    """Ray's metrics for Prometheus: SECURITY.md says so."""
    open_to_all = set()
    for what, _, port in listening(head.pid):
        with suppress(OSError, HTTPException):  # the others speak gRPC
            for path in ("api/job_agent/jobs/", "logs", "metrics"):
                code, text = answer(f"http://127.0.0.1:{port}/{path}")
                open_to_all |= {what} if code == 200 else set()
                assert code in (401, 404, 405) or text.startswith("# HELP"), (what, path, code, text[:200])
    assert {"agent"} <= open_to_all <= {"agent", "autoscaler", "dashboard"}


@pytest.fixture
def short_folder() -> Iterator[Path]:
    folder = servers.short_folder()
    yield folder
    shutil.rmtree(folder, ignore_errors=True)


def test_a_launch_of_this_machine_opens_less_and_wants_its_own_token(
    tmp_path: Path, short_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No dashboard, no Ray Client; and the token is nowhere but in the environment of its own processes."""
    sweep, home = tmp_path / "tiny.yaml", tmp_path / "home"
    home.mkdir()
    sweep.write_text(tiny_sweep(**ENDLESS, seeds=(0,)))
    command = [str(SOFTAUG), "launch", str(sweep), "--store", str(tmp_path / "runs"), "--offline"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    log = tmp_path / "launch.log"
    with servers.process(command, log, env={**clean, "HOME": str(home), "TMPDIR": str(short_folder)}) as launch:
        rows = tmp_path / "runs" / "trials"
        until(
            lambda: launch.poll() is not None or list(rows.glob("*/*/0001/epochs.jsonl")),
            "the first rows",
            within_s=servers.START_S,
        )
        assert launch.poll() is None, log.read_text()
        sockets = listening(launch.pid)
        open_by_chance = {"worker", "dashboard", "autoscaler"}
        assert {what for what, _, _ in sockets} | open_by_chance == set(LISTENERS) - {"client"}
        assert {port for what, _, port in sockets if what in METRICS} <= set(METRICS.values())
        (port,) = {port for what, _, port in sockets if what == "gcs"}
        monkeypatch.setenv("HOME", str(tmp_path / "nobody"))
        (problem,) = unreachable_ray(f"127.0.0.1:{port}")
        assert "it wants a token and we have none" in problem
        assert list(home.iterdir()) == [], "Ray would have written a token that all can read"
        modes = {each.name: oct(each.stat().st_mode & 0o777) for each in short_folder.glob("softaug-ray-*")}
        assert set(modes.values()) == {"0o700"}, modes
        assert len(modes) == 2, "Ray's own folder, and Tune's"
