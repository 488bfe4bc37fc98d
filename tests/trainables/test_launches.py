"""One live launch per sweep: exclusive numbers, heartbeats, take-over of the dead, requests to stop."""

import getpass
import multiprocessing
import os
import time

import pytest

from trainables import launches
from trainables.launches import AlreadyRunning, Launch
from trainables.store import Store


def _write(store: Store, launch: Launch) -> None:
    path = f"launches/{launch.id}.json"
    store.write(path, launch.sealed(path))


def test_the_second_launch_of_a_sweep_is_told_who_runs_the_first(store: Store) -> None:
    first = launches.acquire(store, "quickstart@laptop")
    with pytest.raises(AlreadyRunning, match=f"process {os.getpid()}, since") as refused:
        launches.acquire(store, "quickstart@laptop")
    assert refused.value.owner == first


def test_of_two_that_both_found_nobody_running_one_is_the_launch(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    rivals: list[Launch] = []

    def faster() -> str:
        monkeypatch.undo()
        rivals.append(launches.acquire(store, "quickstart@laptop"))
        return "slower"

    monkeypatch.setattr(getpass, "getuser", faster)
    with pytest.raises(AlreadyRunning) as refused:
        launches.acquire(store, "quickstart@laptop")
    assert refused.value.owner == rivals[0]
    assert launches.launches(store) == rivals


def test_other_sweeps_and_scales_are_free(store: Store) -> None:
    launches.acquire(store, "quickstart@laptop")
    assert launches.acquire(store, "quickstart@smoke").id == "quickstart@smoke-0001"
    assert launches.acquire(store, "figure-3@laptop").id == "figure-3@laptop-0001"


def test_an_ended_launch_is_followed_by_the_next_number(store: Store) -> None:
    launches.beat(store, launches.acquire(store, "a@b"), ended=True)
    assert launches.acquire(store, "a@b").id == "a@b-0002"


def test_a_launch_whose_process_is_gone_from_this_machine_is_dead_at_once(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    process = context.Process(target=launches.acquire, args=(store, "a@b"))
    process.start()
    process.join()
    assert launches.launches(store, "a@b")[0].beat > time.time() - 10
    assert launches.alive(store) == {}
    assert launches.acquire(store, "a@b").id == "a@b-0002"


def test_a_launch_of_another_machine_is_judged_by_its_heartbeat(store: Store) -> None:
    now = time.time()
    elsewhere = launches.acquire(store, "a@b").model_copy(update={"machine": "other", "pid": 2**30, "beat": now})
    assert elsewhere.is_alive(now)
    assert elsewhere.is_alive(now + launches.DEAD_AFTER_S)
    assert not elsewhere.is_alive(now + launches.DEAD_AFTER_S + 1)
    _write(store, elsewhere)
    with pytest.raises(AlreadyRunning):
        launches.acquire(store, "a@b")
    _write(store, elsewhere.model_copy(update={"beat": now - launches.DEAD_AFTER_S - 1}))
    assert launches.acquire(store, "a@b").id == "a@b-0002"


def test_stop_requests_are_per_launch_and_may_be_repeated(store: Store) -> None:
    launch = launches.acquire(store, "a@b")
    assert not launches.stop_requested(store, launch.id)
    launches.request_stop(store, launch.id)
    launches.request_stop(store, launch.id)
    assert launches.stop_requested(store, launch.id)
    assert [each.id for each in launches.launches(store)] == [launch.id], "a stop request is no launch"
