"""The history checker and attempts that were cut off: they may train on for a while, and must not end the trial."""

from typing import Any

import pytest

from tests.faults.evidence import Evidence, Json, Trial
from tests.faults.history import violations

TRIAL = Trial({"recipe": "r"}, {1: {}, 2: {}}, {}, {"attempt": 2, "state": "finished", "epochs": 2, "metrics": {}}, {})


def event(kind: str, attempt: int, epoch: int = 0, **more: Any) -> Json:
    """Return an event of the trial; each attempt has a process of its own."""
    known = {"time": 0.0, "metrics": {"train/kl": float(epoch)}, "poisoned": False, "recipe": "r", "state": "finished"}
    return {"event": kind, "pid": attempt, "trial": "k", "attempt": attempt, "epoch": epoch, **known, **more}


BEFORE = [event("start", 1), event("epoch", 1, 1), event("saved", 1, 1), event("start", 2, 1), event("epoch", 2, 2)]
LATE = [event("epoch", 1, 2), event("saved", 1, 2)]
END = event("end", 2, 2, counts=True)


def found(events: list[Json], *, cut_off: bool) -> list[str]:
    """Return what is wrong with how the attempts followed one another."""
    marked = frozenset({("k", 1)} if cut_off else set())
    every = violations(Evidence(events, {"k": TRIAL}, [], None, cut_off=marked))
    return [each for each in every if each[:2] in ("I4", "I5", "I8")]


@pytest.mark.parametrize("events", [[*BEFORE, *LATE, END], [*BEFORE, END, *LATE]], ids=["before", "after the end"])
def test_it_may_train_on(events: list[Json]) -> None:
    assert found(events, cut_off=True) == []
    assert "I8: k: attempt 1 reported after attempt 2 had" in found(events, cut_off=False)


def test_it_may_try_to_end_the_trial_and_must_not_succeed() -> None:
    assert found([*BEFORE, event("end", 1, 2, counts=False), END], cut_off=True) == []
    ended = [*BEFORE, event("end", 1, 2, counts=True)]
    assert found(ended, cut_off=True) == ["I8: k: attempt 1 ended the trial after attempt 2 had begun"]


def test_the_checkpoint_of_one_that_trains_on_is_not_the_next_one_s() -> None:
    third = [event("start", 3, 1), event("epoch", 3, 2)]
    assert found([*BEFORE[:4], *LATE, *third, event("end", 3, 2, counts=True)], cut_off=True) == []
