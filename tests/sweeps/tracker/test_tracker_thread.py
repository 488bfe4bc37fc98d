"""The tracker's thread: absences are told once and made up for, refusals concern one trial, no launch is held up."""

import json
import threading
import time
from collections.abc import Callable
from typing import cast

import pytest
import requests
from mlflow.exceptions import MlflowException, RestException
from mlflow.protos.databricks_pb2 import INVALID_PARAMETER_VALUE, REQUEST_LIMIT_EXCEEDED, TEMPORARILY_UNAVAILABLE

from sweeps.tracker import thread as tracker_thread
from sweeps.tracker.thread import TrackerThread, in_a_line, is_refusal
from sweeps.tracker.tracker import Projection
from trainables.sealed import Damaged

AWAY = MlflowException("away", TEMPORARILY_UNAVAILABLE)
REFUSAL = MlflowException("bad request", INVALID_PARAMETER_VALUE)


class FakeMLflow:
    """Projections that fail as they are told; `connections` counts how often one was made."""

    def __init__(self, fail: Callable[[str], None] = lambda _key: None) -> None:
        self.fail = fail
        self.projected: list[str] = []
        self.tried: list[tuple[str, float]] = []
        self.connections = 0

    def connect(self) -> "FakeMLflow":
        self.connections += 1
        return self

    def project(self, key: str) -> None:
        self.tried.append((key, time.monotonic()))
        self.fail(key)
        self.projected.append(key)


def failing(times: int, error: Exception, only: str = "") -> Callable[[str], None]:
    """Return what raises an error the first times that it is asked, for this trial alone if one is given."""
    left = [times]

    def fail(key: str) -> None:
        if left[0] and key.startswith(only):
            left[0] -= 1
            raise error

    return fail


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_thread, "FIRST_WAIT_S", 0.01)
    monkeypatch.setattr(tracker_thread, "LONGEST_WAIT_S", 0.02)


def thread_to(mlflow: FakeMLflow, said: list[str]) -> TrackerThread:
    return TrackerThread(cast("Callable[[], Projection]", mlflow.connect), warn=said.append)


def tracked(mlflow: FakeMLflow, said: list[str], keys: list[str]) -> int:
    thread = thread_to(mlflow, said)
    thread.start()
    for key in keys:
        thread.changed(key, ended=True)
    return thread.close(keys)


def test_an_absence_is_told_once_and_made_up_for() -> None:
    mlflow, said = FakeMLflow(failing(5, AWAY)), []
    assert tracked(mlflow, said, ["a", "b", "c"]) == 0
    assert set(mlflow.projected) == {"a", "b", "c"}
    assert said == [
        "MLflow does not answer: MlflowException: away; the sweep goes on and I keep trying",
        "MLflow answers again",
    ]
    assert mlflow.connections == 1 + 5 + 1, "anew after every failure, and once at the end for what came late"


def test_a_trial_that_mlflow_refuses_is_tried_twice_told_once_and_does_not_hold_up_the_others() -> None:
    mlflow, said = FakeMLflow(failing(10**9, REFUSAL, only="b")), []
    assert tracked(mlflow, said, ["a", "b", "c"]) == 1
    assert set(mlflow.projected) == {"a", "c"}
    assert said == ["MLflow refuses trial b: MlflowException: bad request; the sweep goes on"]
    assert 2 <= [key for key, _ in mlflow.tried].count("b") <= 3


def test_a_refused_trial_that_moves_on_is_not_told_again() -> None:
    mlflow, said = FakeMLflow(failing(10**9, REFUSAL)), []
    thread = thread_to(mlflow, said)
    thread.start()
    deadline = time.monotonic() + 20
    for tries in (2, 3, 4):  # twice at first, then once whenever it moved on
        thread.changed("b", ended=True)
        while len(mlflow.tried) < tries or thread.due:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert thread.close(["b"]) == 1
    assert said == ["MLflow refuses trial b: MlflowException: bad request; the sweep goes on"]


def test_a_refusal_that_a_new_connection_heals_is_not_told_and_all_is_compared_again() -> None:
    mlflow, said = FakeMLflow(failing(1, REFUSAL, only="b")), []
    assert tracked(mlflow, said, ["a", "b"]) == 0
    assert said == []
    assert mlflow.connections == 3
    assert mlflow.projected[-2:] == ["a", "b"]


def test_a_damaged_trial_is_told_once_and_counted() -> None:
    mlflow, said = FakeMLflow(failing(10**9, Damaged("trials/b/end.json", "is empty"), only="b")), []
    assert tracked(mlflow, said, ["a", "b", "c"]) == 1
    assert said == ["trial b is not in MLflow: trials/b/end.json is empty"]
    assert mlflow.connections == 1


def test_a_trial_that_mlflow_always_fails_at_is_told_once_while_the_others_arrive(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker_thread, "LAST_TRIES_S", 0.5)
    monkeypatch.setattr(tracker_thread, "KEEPS_UP_S", 0.0)
    mlflow, said = FakeMLflow(failing(10**9, AWAY, only="b")), []
    assert tracked(mlflow, said, ["a", "b", "c"]) == 1
    assert {"a", "c"} <= set(mlflow.projected)
    assert said == ["MLflow does not answer: MlflowException: away; the sweep goes on and I keep trying"]


def test_a_server_that_stays_away_is_given_up_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_thread, "LAST_TRIES_S", 0.2)
    began = time.monotonic()
    assert tracked(FakeMLflow(failing(10**9, AWAY)), [], ["a", "b"]) == 2
    assert time.monotonic() - began < 10


def test_a_call_that_hangs_holds_the_launch_up_for_the_last_tries_and_one_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(tracker_thread, "LAST_TRIES_S", 0.2)
    monkeypatch.setattr(tracker_thread, "REQUEST_S", 0.3)
    over, said = threading.Event(), []

    def hang(_key: str) -> None:
        over.wait()
        raise AWAY

    thread = thread_to(FakeMLflow(hang), said)
    thread.start()
    thread.changed("a", ended=True)
    began = time.monotonic()
    assert thread.close(["a", "b"]) == 2
    assert 0.5 <= time.monotonic() - began < 10
    over.set()
    thread.join(10)
    assert said == [], "it says nothing after the launch has gone on"


def test_at_the_end_it_goes_on_as_long_as_mlflow_keeps_up_and_no_longer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_thread, "LAST_TRIES_S", 0.0)
    keys = [f"trial {number}" for number in range(50)]
    monkeypatch.setattr(tracker_thread, "KEEPS_UP_S", 60.0)
    mlflow = FakeMLflow()
    thread = thread_to(mlflow, [])
    thread.deadline = time.monotonic() + 5.0
    thread.due, thread.left = dict.fromkeys(keys, 0.0), set(keys)
    thread.start()
    thread.join(20)
    assert thread.left == set()
    assert thread.deadline > time.monotonic() + 30
    monkeypatch.setattr(tracker_thread, "KEEPS_UP_S", -1.0)  # nothing is fast enough
    assert tracked(FakeMLflow(), [], keys) > 0


def test_a_running_trial_is_not_projected_more_often_than_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tracker_thread, "RUNNING_EVERY_S", 3600.0)
    mlflow = FakeMLflow()
    thread = thread_to(mlflow, [])
    thread.start()
    for _ in range(100):
        thread.changed("a", ended=False)
    assert thread.due.keys() == {"a"}, "keys are all that it holds"
    assert mlflow.projected == []
    thread.close(["a"])
    assert mlflow.projected == ["a"]


def test_no_wait_is_longer_than_ten_seconds_and_they_differ(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    waits = [tracker_thread._wait(failures) for failures in (1, 2, 3, 5, 100, 10**6) for _ in range(50)]
    assert 0.5 <= min(waits) <= max(waits) <= 10.0
    assert len({tracker_thread._wait(5) for _ in range(50)}) > 10


def response(status: int) -> requests.HTTPError:
    answer = requests.Response()
    answer.status_code = status
    return requests.HTTPError("artifact", response=answer)


@pytest.mark.parametrize(
    ("error", "refusal"),
    [
        (REFUSAL, True),
        (AWAY, False),
        (MlflowException("API request failed with exception"), False),
        (MlflowException("slow down", REQUEST_LIMIT_EXCEEDED), False),
        (MlflowException("API request to endpoint /x failed with error code 413 != 200. Response body: ''"), True),
        (MlflowException("API request to endpoint /x failed with error code 408 != 200. Response body: ''"), False),
        (RestException({"error_code": "RESOURCE_DOES_NOT_EXIST", "message": "no such run"}), True),
        (RestException({"error_code": "INTERNAL_ERROR", "message": "oh"}), False),
        (response(403), True),
        (response(429), False),
        (response(503), False),
        (requests.ConnectionError("reset"), False),
        (json.JSONDecodeError("half an answer", "{", 1), False),
        (requests.exceptions.JSONDecodeError("half an answer", "{", 1), False),
        (OSError("disk I/O error"), False),
        (KeyError("trial_key"), True),
        (TypeError("a mistake of ours"), True),
    ],
)
def test_refusals_and_absences_are_told_apart(error: Exception, refusal: bool) -> None:
    assert is_refusal(error) == refusal


def test_what_is_said_is_one_line_without_passwords() -> None:
    error = ValueError("cannot reach postgresql://me:secret@db/mlflow\nand so on")
    assert in_a_line(error) == "ValueError: cannot reach postgresql://***@db/mlflow"


@pytest.mark.parametrize(
    ("why", "said"),
    [
        ("Failed to establish a new connection: [Errno 111] Connection refused'))", "Connection refused"),
        ('NewConnectionError("HTTPConnection: [Errno 111] Connection refused"))', "Connection refused"),
        ("Read timed out. (read timeout=10)", "Read timed out"),
        ("Caused by ResponseError('too many 503 error responses'))", "too many 503 error responses"),
    ],
)
def test_a_missing_answer_is_told_by_where_and_why(why: str, said: str) -> None:
    pool = (
        "HTTPConnectionPool(host='10.0.0.5', port=5000): Max retries exceeded with url: /api/2.0/mlflow/runs/log-batch"
    )
    url = "http://me:secret@10.0.0.5:5000/api/2.0/mlflow/runs/log-batch"
    error = MlflowException(f"API request to {url} failed with exception {pool} ({why}")
    assert in_a_line(error) == f"http://***@10.0.0.5:5000: {said}"
