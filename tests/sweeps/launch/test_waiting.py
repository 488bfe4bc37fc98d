"""A launch says once that no node is left for a trial, and once that one is back; a head that is away ends nothing."""

from typing import Any

import pytest

from sweeps.launch import waiting
from sweeps.launch.waiting import LOOK_EVERY_S, Waiting
from sweeps.resolved import Resources

NODE = {"Resources": {"CPU": 4.0, "GPU": 1.0}}
HEAD: dict[str, Any] = {"Resources": {}}


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """Return a list whose only number is the time."""
    time = [0.0]
    monkeypatch.setattr(waiting.time, "monotonic", lambda: time[0])
    return time


def test_it_is_said_once_when_the_last_node_goes_and_once_when_one_is_back(
    now: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes: list[dict[str, Any]] = []
    said: list[str] = []
    monkeypatch.setattr(waiting, "alive_nodes", lambda: nodes)
    callback = Waiting(Resources(cpus=2, gpus=0.5), said.append)

    def look(*found: dict[str, Any]) -> None:
        nodes[:] = found
        now[0] += LOOK_EVERY_S
        callback.on_step_end(1, [])

    look(HEAD, NODE)
    assert said == []
    look(HEAD)
    look(HEAD)
    assert said == ["waiting for a node: none is left that has 2 CPUs and 0.5 GPUs for a trial"]
    look(HEAD, NODE, NODE)
    look(HEAD, NODE)
    assert said[1:] == ["going on: there is room for 4 trials at once"]
    nodes[:] = [HEAD]
    callback.on_step_end(1, [])
    assert len(said) == 2, "it looks every few seconds only"


def test_a_head_that_is_away_is_not_its_business(now: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    def away() -> list[dict[str, Any]]:
        raise RuntimeError("GCS is gone")

    monkeypatch.setattr(waiting, "alive_nodes", away)
    now[0] = 0.0
    callback = Waiting(Resources(cpus=1, gpus=0.0), lambda _text: pytest.fail("said something"))
    now[0] += LOOK_EVERY_S
    callback.on_step_end(1, [])
