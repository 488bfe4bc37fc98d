"""A sweep on a Ray cluster through the Jobs API: submitted, followed, stopped; and everything that is refused."""

import asyncio
import json
import secrets
import signal
import subprocess
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib import metadata
from pathlib import Path

import pytest

from sweeps.files.expand import load
from sweeps.jobs import dashboard, submit, submitted
from sweeps.jobs.dashboard import JobEntry
from sweeps.jobs.submit import JobLost
from sweeps.jobs.submitted import JobRuns
from sweeps.launch.preflight import Refused
from tests import servers
from tests.conftest import SOFTAUG, Softaug
from tests.faults.scenes import ENDLESS, tiny_sweep, until

TOKEN = secrets.token_hex(32)
RAY = metadata.version("ray")


@dataclass
class Answers:
    """What a stand-in for a head answers, and what it was asked."""

    version: str = RAY
    jobs: str = "[]"
    token: str | None = None
    job: str | None = "{}"


@pytest.fixture
def answers() -> Answers:
    return Answers()


@pytest.fixture
def stand_in(answers: Answers, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Answer as a Ray head does, as far as `sweeps.jobs.dashboard` asks it; the real one is asked below."""
    monkeypatch.delenv("RAY_AUTH_TOKEN", raising=False)
    monkeypatch.setenv("HOME", "/nowhere")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            shown = self.headers["Authorization"]
            status = 200 if answers.token is None else 401 if shown is None else 403
            if answers.token is not None and shown == f"Bearer {answers.token}":
                status = 200
            one = "/jobs/" in self.path and not self.path.endswith("/")
            if one and answers.job is None:
                status = 404
            self.send_response(status)
            self.end_headers()
            text = json.dumps({"ray_version": answers.version}) if "version" in self.path else answers.jobs
            text = answers.job or "" if one else text
            self.wfile.write(text.encode())

        def log_message(self, *_what: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    thread.join()
    server.server_close()


def job(name: str, status: str = "SUCCEEDED", since: int = 1000) -> dict[str, object]:
    metadata = {} if name.startswith("stop-") else {"sweep": name.rpartition("-")[0]}
    return {"submission_id": name, "status": status, "start_time": since * 1000, "metadata": metadata}


def entries(*jobs: dict[str, object]) -> list[JobEntry]:
    return [dashboard._entry(each) for each in jobs]


def refused(cluster: str) -> str:
    with pytest.raises(Refused) as caught:
        dashboard.jobs(cluster)
    (problem,) = caught.value.problems
    return problem


@pytest.mark.parametrize("cluster", ["10.0.0.5:8265", "ftp://h:1", "http://", "http://h:99999", "http://a:b@h:8265"])
def test_what_is_no_address(cluster: str) -> None:
    assert refused(cluster) == f"cluster {cluster}: expected {dashboard.EXAMPLE}"


def test_a_cluster_that_is_away() -> None:
    cluster = f"http://127.0.0.1:{servers.free_port()}"
    assert refused(cluster) == f"cluster {cluster}: [Errno 111] Connection refused; start it, or correct --cluster"


def test_something_else_answers(stand_in: str, answers: Answers) -> None:
    answers.jobs = "<html>"
    assert "something else answers there; give the address of the head's dashboard" in refused(stand_in)
    answers.jobs = "{}"
    assert dashboard.jobs(stand_in) == []
    answers.jobs = '{"a": 1}'
    assert "something else answers there" in refused(stand_in)


def test_other_versions_are_told(stand_in: str, answers: Answers) -> None:
    answers.version = "2.59.0"
    assert refused(stand_in).endswith(f"it runs Ray 2.59.0, here is {RAY}; install the same on both sides")


def test_tokens(stand_in: str, answers: Answers, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers.token = TOKEN
    assert "it wants a token and we have none; set RAY_AUTH_TOKEN_PATH to the file" in refused(stand_in)
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "absent"))
    assert refused(stand_in).startswith(f"token file {tmp_path / 'absent'}: No such file or directory; set RAY_AUTH")
    (tmp_path / "token").write_text("wrong\n")
    monkeypatch.setenv("RAY_AUTH_TOKEN_PATH", str(tmp_path / "token"))
    assert "it refuses our token; set RAY_AUTH_TOKEN_PATH" in refused(stand_in)
    (tmp_path / "token").write_bytes(b"\xff\xfe")
    assert "it holds no text" in refused(stand_in)
    (tmp_path / "token").write_text(f"{TOKEN}\n")
    assert dashboard.jobs(stand_in) == []


def test_all_problems_come_at_once(stand_in: str, answers: Answers, softaug: Softaug, tmp_path: Path) -> None:
    answers.version = "2.59.0"
    (tmp_path / "bad.yaml").write_text("name: bad\nsed: [0]\n")
    ran = softaug("submit", tmp_path / "bad.yaml", "--cluster", stand_in, "--store", "runs")
    assert ran.returncode == 2
    for said in ("sed", "question", "Ray 2.59.0", "store runs: give its absolute path on the cluster's nodes"):
        assert said in ran.stderr
    unknown = softaug("submit", "quickstrat", "--cluster", "http://127.0.0.1:1")
    assert unknown.returncode == 2
    assert "did you mean quickstart" in unknown.stderr
    assert "Connection refused" in unknown.stderr


def submitted_with(monkeypatch: pytest.MonkeyPatch, jobs: list[JobEntry], sweep: str) -> list[object]:
    calls: list[object] = []
    monkeypatch.setattr(submit, "_submit", lambda *what: calls.append(what) or what[1])
    submit.submit("http://h", jobs, submit.prepare(sweep, load(sweep), store=None, options=[]))
    return calls


def test_a_job_is_named_after_the_sweep_and_numbered(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    old = entries(job("quickstart@laptop-0009"), job("quickstart@smoke-0020"), job("quickstart@laptop-x"))
    ((_, name, command, told, files),) = submitted_with(monkeypatch, old, "quickstart")
    assert name == "quickstart@laptop-0010"
    assert command[2:] == ("softaug", "launch", "quickstart", "--address", "auto", "--scale", "laptop")
    assert (told, files) == ({"sweep": "quickstart@laptop"}, {}), "of a catalog's sweep nothing is uploaded"
    path = tmp_path / "a name; rm -r.yaml"
    path.write_text(tiny_sweep())
    ((_, _, command, _, files),) = submitted_with(monkeypatch, old, str(path))
    assert files == {"tiny.yaml": tiny_sweep()}
    assert command[4] == "tiny.yaml"


def test_a_sweep_that_runs_is_not_submitted_again(monkeypatch: pytest.MonkeyPatch) -> None:
    running = entries(job("quickstart@laptop-0009", "PENDING"))
    with pytest.raises(JobRuns, match=r"quickstart@laptop is already running on http://h: job quickstart@laptop-0009"):
        submitted_with(monkeypatch, running, "quickstart")
    submitted_with(monkeypatch, entries(job("quickstart@smoke-0009", "RUNNING")), "quickstart")


def test_the_job_of_a_sweep() -> None:
    jobs = entries(
        job("tiny@paper-0001", since=5),
        job("tiny@paper-0002", "RUNNING", since=6),
        job("tiny@smoke-0001", "FAILED", since=9),
        job("stop-tiny@paper-0002-17", "RUNNING", since=10),
    )

    def found(sweep: str, scale: str | None = None, *, running: bool = True) -> str:
        return submit.job_of(jobs, sweep, scale, "http://h", running=running).id

    assert found("tiny") == found("tiny@paper") == found("tiny", "paper") == "tiny@paper-0002"
    assert found("tiny", running=False) == "tiny@smoke-0001"
    with pytest.raises(Refused, match="tiny@smoke is not running on http://h: job tiny@smoke-0001 is FAILED"):
        found("tiny", "smoke")
    with pytest.raises(Refused, match=r"tony was not submitted to http://h \(known: tiny@paper, tiny@smoke"):
        found("tony")
    jobs += entries(job("tiny@laptop-0001", "RUNNING", since=7))
    with pytest.raises(Refused, match=r"runs at several scales \(laptop, paper\): say which"):
        found("tiny")


def test_a_job_refuses_to_run_something_else_than_was_submitted() -> None:
    sweep = load("quickstart")
    same = {submitted.VARIABLE: submitted.described(sweep)}
    submitted.check(sweep, "/runs", same)
    submitted.check(sweep, "runs", {})
    with pytest.raises(Refused, match=r"the cluster's softaug .* makes other trials of quickstart@laptop"):
        submitted.check(load("quickstart", seeds=[7]), "/runs", same)
    joint = load("search-joint", scale="smoke")
    assert joint.search is not None
    shorter = joint.search.model_copy(update={"parameters": joint.search.parameters[:-1]})
    told = {submitted.VARIABLE: submitted.described(joint)}
    with pytest.raises(Refused, match="makes other trials of search-joint@smoke"):
        submitted.check(joint.model_copy(update={"search": shorter}), "/runs", told)
    older = json.dumps({**json.loads(same[submitted.VARIABLE]), "softaug": "0.0.9"})
    with pytest.raises(Refused) as caught:
        submitted.check(sweep, "runs", {submitted.VARIABLE: older})
    version, store = caught.value.problems
    assert version.startswith(f"softaug 0.0.9 submitted this, the cluster has {metadata.version('softaug')}; install")
    assert store.startswith("store: SOFTAUG_STORE is not set on the cluster's head; give `submit --store`")


def test_output_is_followed_once_however_often_the_connection_breaks() -> None:
    class Client:
        async def tail_job_logs(self, _job: str) -> "object":
            for text in ("ab", "cd"):
                yield text
            raise RuntimeError("closed")

    shown: list[str] = []
    seen = asyncio.run(submit._tail(Client(), "j", 0, shown.append))
    assert (seen, "".join(shown)) == (4, "abcd")
    assert asyncio.run(submit._tail(Client(), "j", 3, shown.append)) == 4
    assert "".join(shown) == "abcdd"


class BrokenOff:
    """A connection that says two letters and breaks."""

    async def tail_job_logs(self, _job: str) -> "object":
        yield "ab"
        raise ConnectionError("gone")


def lost(monkeypatch: pytest.MonkeyPatch, cluster: str) -> str:
    """Follow a job, assert that it is lost, and return why."""
    shown: list[str] = []
    monkeypatch.setattr(submit, "_client", lambda _cluster: BrokenOff())
    with pytest.raises(JobLost) as caught:
        submit.follow(cluster, "tiny@paper-0001", shown.append)
    assert "".join(shown) == "ab"
    return str(caught.value)


def test_a_head_that_is_gone_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(submit, "AWAY_S", 0.0)
    cluster = f"http://127.0.0.1:{servers.free_port()}"
    assert lost(monkeypatch, cluster) == (
        f"{cluster} does not answer (<urlopen error [Errno 111] Connection refused>); "
        "if the head is gone, so is job tiny@paper-0001"
    )


def test_another_head_knows_nothing_of_the_job(
    stand_in: str, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.job = None
    assert lost(monkeypatch, stand_in) == f"{stand_in} knows no job tiny@paper-0001: the head that ran it is gone"


def test_a_job_that_never_started_is_lost_and_a_stopped_one_is_not(
    stand_in: str, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers.job = json.dumps(job("tiny@paper-0001", "FAILED") | {"message": "no\nspace", "driver_exit_code": None})
    assert lost(monkeypatch, stand_in) == "job tiny@paper-0001: no space"
    answers.job = json.dumps(job("tiny@paper-0001", "STOPPED"))
    assert submit.follow(stand_in, "tiny@paper-0001", lambda _text: None) == 130
    answers.job = json.dumps(job("tiny@paper-0001", "FAILED") | {"driver_exit_code": 137})
    assert submit.follow(stand_in, "tiny@paper-0001", lambda _text: None) == 137


def test_a_connection_that_was_cut_is_not_listened_to_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def tail_job_logs(self, _job: str) -> "object":
            yield "ab"
            await asyncio.Event().wait()

    monkeypatch.setattr(submit, "QUIET_S", 0.05)
    assert asyncio.run(submit._tail(Silent(), "j", 0, lambda _text: None)) == 2


@pytest.fixture(scope="module")
def head(tmp_path_factory: pytest.TempPathFactory) -> Iterator[servers.RayHead]:
    """Run a real head with a token and two CPUs, whose jobs write into a folder `runs`."""
    store = tmp_path_factory.mktemp("cluster") / "runs"
    where = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN, "SOFTAUG_STORE": str(store)}
    with servers.ray_head(cpus=2, with_dashboard=True, **where) as running, pytest.MonkeyPatch.context() as env:
        env.setenv("RAY_AUTH_TOKEN", TOKEN)
        yield running


@pytest.mark.slow
def test_a_sweep_runs_on_a_real_cluster(head: servers.RayHead, softaug: Softaug, tmp_path: Path) -> None:
    sweep = tmp_path / "tiny.yaml"
    sweep.write_text(tiny_sweep(epochs=1, seeds=(0,)))
    ran = softaug("submit", sweep, "--cluster", head.dashboard, "--offline")
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"submitted to {head.dashboard} as job tiny@paper-0001" in ran.stdout
    assert "2 of 2 trials to do" in ran.stdout
    assert ran.stderr == ""
    again = softaug("follow", "tiny", "--cluster", head.dashboard)
    assert again.returncode == 0
    assert "2 of 2 trials to do" in again.stdout
    refused = softaug("submit", sweep, "--cluster", head.dashboard, "--offline", "--seeds", "1", "--gpus", "2")
    assert refused.returncode == 2, refused.stdout + refused.stderr
    assert "a trial needs 1 CPUs and 2 GPUs, the largest node has 2 CPUs and 0 GPUs" in refused.stdout


@pytest.mark.slow
def test_a_submitted_sweep_is_stopped_and_its_exit_code_arrives(
    head: servers.RayHead, softaug: Softaug, tmp_path: Path
) -> None:
    sweep, store = tmp_path / "long.yaml", tmp_path / "elsewhere"
    sweep.write_text(tiny_sweep("long", **ENDLESS, seeds=(0,)))
    command = [str(SOFTAUG), "submit", str(sweep), "--cluster", head.dashboard, "--offline", "--store", str(store)]
    following = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until(lambda: list(store.glob("trials/*/*/0001/epochs.jsonl")), "the first rows")
    doubled = softaug("submit", sweep, "--cluster", head.dashboard)
    assert doubled.returncode == 3
    assert "long@paper is already running on" in doubled.stderr
    watching = subprocess.Popen(
        [str(SOFTAUG), "follow", "long", "--cluster", head.dashboard], stdout=subprocess.PIPE, text=True
    )
    assert watching.stdout is not None
    first = watching.stdout.readline()
    watching.send_signal(signal.SIGINT)
    rest, _ = watching.communicate(timeout=60)
    assert watching.returncode == 130, first + rest
    assert "job long@paper-0001 goes on; follow it with `softaug follow long@paper" in rest
    assert following.poll() is None, "it was only watched"
    stopped = softaug("stop", "long", "--cluster", head.dashboard)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    assert "long@paper has stopped; launch it again to go on" in stopped.stdout
    output, _ = following.communicate(timeout=60)
    assert following.returncode == 130, output
    assert list(store.glob("trials/*/*/0001/checkpoint-*")), "the last epoch was kept"


@pytest.mark.slow
def test_the_token_of_a_real_cluster(head: servers.RayHead, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("RAY_AUTH_TOKEN")
    assert "it wants a token and we have none" in refused(head.dashboard)
    monkeypatch.setenv("RAY_AUTH_TOKEN", secrets.token_hex(32))
    assert "it refuses our token" in refused(head.dashboard)
