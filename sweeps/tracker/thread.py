"""The thread that keeps MLflow up to date while trials run; it can be slow or fail, and they never notice.

The ledger is its outbox: it holds no more than the keys of trials that moved on. A failure that may pass (no answer,
429, 5xx, half an answer) is told once; it waits, connects anew and goes on, and says when all is well again. A refusal
(4xx) concerns one trial: it is tried once more, since somebody may have deleted its run, then told and left. What is
missing at the end is counted and left to `softaug sync`: after `LAST_TRIES_S` it goes on only while MLflow keeps up.
"""

import json
import random
import re
import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from trainables.sealed import Damaged

if TYPE_CHECKING:
    from sweeps.resolved import Cell, ResolvedSweep
    from sweeps.tracker.tracker import Projection

SEARCH = "search"  # in place of a trial's key: the run that shows how a search goes
RUNNING_EVERY_S = 5.0
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 10.0
LAST_TRIES_S = 30.0
KEEPS_UP_S = 1.0  # a trial that arrives within this earns the next one as much
REQUEST_S = 10.0
WHY = re.compile(r"\[Errno -?\d+\] ([\w ]+)|([Rr]ead timed out|timed out|too many \d+ error responses)")
MISTAKES = (ArithmeticError, AssertionError, AttributeError, LookupError, NameError, TypeError, ValueError)


def keys_of(sweep: "ResolvedSweep") -> list[str]:
    """Return what is to be projected of a sweep: its trials, then its search if it has one."""
    return [*sweep.trial_keys, *([SEARCH] if sweep.search is not None else [])]


def called(key: str) -> str:
    """Return what a key stands for, in words."""
    return "the search" if key == SEARCH else f"trial {key[:12]}"


class TrackerThread(threading.Thread):
    """Projects trials that `changed` names. `connect` makes the projection, again after every failure."""

    def __init__(self, connect: Callable[[], "Projection"], *, warn: Callable[[str], None]) -> None:
        super().__init__(name="tracker", daemon=True)
        self.connect = connect
        self.warn = warn
        self.wake = threading.Condition()  # guards what both threads change: all down to grown
        self.due: dict[str, float] = {}  # trial key -> monotonic time to project it at
        self.all: list[str] = []  # from `close` on: what it was given
        self.left: set[str] = set()  # from `close` on: trials that are not known to be level
        self.deadline: float | None = None  # from `close` on: monotonic time of the last try
        self.abandoned = False
        self.projection: Projection | None = None
        self.grown: list[Cell] = []  # cells that a search asked for after the start
        self.failing: dict[str, int] = {}  # trial key -> how often in a row MLflow failed at it
        self.failures = 0  # in a row, whichever the trial
        self.not_before = 0.0  # monotonic time of the next try
        self.unsure = False  # whether MLflow may hold something else than the projection that was used believed
        self.doubtful: set[str] = set()  # trials refused once
        self.told: set[str] = set()  # trials that a warning was about

    def changed(self, key: str, ended: bool) -> None:
        """Note that a trial moved on: one that ended is projected at once, a running one every few seconds."""
        now = time.monotonic()
        with self.wake:
            self.due[key] = now if ended else min(self.due.get(key, now + RUNNING_EVERY_S), now + RUNNING_EVERY_S)
            self.wake.notify()

    def add(self, cell: "Cell") -> None:
        """Know of a cell that a search has asked for."""
        with self.wake:
            self.grown.append(cell)
            if self.projection is not None:
                self.projection.add(cell)

    def start_with(self, keys: list[str]) -> None:
        """Start, and project these trials: some may have moved on when no launch was there to tell."""
        self.due = dict.fromkeys(keys, time.monotonic())
        self.start()

    def close(self, keys: list[str]) -> int:
        """Project all these trials once more and stop; return how many are not up to date in MLflow."""
        with self.wake:
            self.all, self.left = keys, set(keys)
            self.due = dict.fromkeys(keys, 0.0)
            self.deadline = time.monotonic() + LAST_TRIES_S
            self.wake.notify()
        while self.is_alive() and time.monotonic() < self.deadline + REQUEST_S:
            self.join(0.1)
        with self.wake:
            self.abandoned = True
            return len(self.left)

    def run(self) -> None:
        """Project until closed and level, or closed and out of time."""
        while (key := self._next()) is not None:
            began = time.monotonic()
            try:
                if self.projection is None:
                    self._connect()
            except Exception as error:
                self._went_away(key, error)
                continue
            assert self.projection is not None
            try:
                self.projection.project(key)
            except Damaged as damaged:
                self._answered(key)
                self._tell(key, f"trial {key[:12]} is not in MLflow: {damaged}")
            except Exception as error:
                self._failed(key, error)
            else:
                self._succeeded(key, began)

    def _connect(self) -> None:
        projection = self.connect()
        with self.wake:
            for cell in self.grown:
                projection.add(cell)
            self.projection = projection

    def _next(self) -> str | None:
        with self.wake:
            while True:
                now = time.monotonic()
                if self.deadline is not None and now >= self.deadline:
                    return None
                if self.deadline is not None and not self.due and not self._look_again():
                    return None
                key = min(self.due, key=self.due.__getitem__, default=None)
                wait = None if key is None else max(self.due[key], self.not_before) - now
                if key is not None and wait is not None and wait <= 0:
                    del self.due[key]
                    return key
                if self.deadline is not None and wait is not None:
                    wait = min(wait, self.deadline - now)
                self.wake.wait(wait)

    def _look_again(self) -> bool:
        """Say whether all is to be compared with MLflow again: a request given up may have been carried out late."""
        if not self.unsure:
            return False
        self.unsure = False
        self.projection = None
        self.due = dict.fromkeys(self.all, 0.0)
        return bool(self.due)

    def _failed(self, key: str, error: Exception) -> None:
        """Connect anew, and wait if MLflow is away; a trial that it refuses is tried once more at once, then left."""
        self.projection = None
        if not is_refusal(error):
            self.unsure = True
            self._went_away(key, error)
            return
        self._answered(key)
        if key in self.doubtful:
            self._tell(key, f"MLflow refuses {called(key)}: {in_a_line(error)}; the sweep goes on")
        else:
            self.doubtful.add(key)
            self.changed(key, ended=True)

    def _went_away(self, key: str, error: Exception) -> None:
        if not self.failing:
            what = "refuses" if is_refusal(error) else "does not answer"
            self._say(f"MLflow {what}: {in_a_line(error)}; the sweep goes on and I keep trying")
        self.failures += 1
        self.failing[key] = self.failing.get(key, 0) + 1
        now = time.monotonic()
        self.not_before = now + _wait(self.failures)
        with self.wake:
            self.due[key] = max(self.due.get(key, 0.0), now + _wait(self.failing[key]))

    def _succeeded(self, key: str, began: float) -> None:
        if key in self.doubtful:  # so what was known of MLflow was wrong, perhaps of trials too that passed as level
            self.unsure = True
            self.doubtful.discard(key)
        self.told.discard(key)
        now = time.monotonic()
        with self.wake:
            if key not in self.due:
                self.left.discard(key)
            if self.deadline is not None and now - began < KEEPS_UP_S:
                self.deadline = max(self.deadline, now + KEEPS_UP_S)
        self._answered(key)

    def _answered(self, key: str) -> None:
        """Note that MLflow answers; say so once it does for all trials that it had failed at."""
        self.failures = 0
        if self.failing.pop(key, None) is not None and not self.failing:
            self._say("MLflow answers again")

    def _tell(self, key: str, text: str) -> None:
        if key not in self.told:
            self.told.add(key)
            self._say(text)

    def _say(self, text: str) -> None:
        with self.wake:
            if not self.abandoned:
                self.warn(text)


def is_refusal(error: Exception) -> bool:
    """Say whether trying again is no use: MLflow answered 4xx, but for 408 and 429, or the mistake is ours."""
    status = _status(error)
    if status is not None:
        return 400 <= status < 500 and status not in (408, 429)
    return isinstance(error, MISTAKES) and not isinstance(error, OSError | json.JSONDecodeError)


def in_a_line(error: Exception) -> str:
    """Return what went wrong in a line, without passwords: where and why if no answer came, else kind and text."""
    text = re.sub(r"://[^/\s]*@", "://***@", f"{type(error).__name__}: {error}".splitlines()[0])
    where, why = re.search(r"API request to (\w+://[^/\s]+)", text), WHY.search(text)
    return f"{where[1]}: {why[1] or why[2]}" if where and why else text[:200]


def _status(error: Exception) -> int | None:
    """Return the HTTP status behind an error of MLflow or requests, without importing them; None if there is none."""
    response = getattr(error, "response", None)
    if response is not None:
        return int(response.status_code)
    ask = getattr(error, "get_http_status_code", None)
    if ask is None:
        return None
    said = re.search(r"failed with error code (\d{3}) ", str(error))  # some it knows no name for and calls 500
    return int(said[1]) if said else int(ask())


def _wait(failures: int) -> float:
    """Return the seconds to wait after so many failures in a row: twice as long each time, with jitter."""
    return min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 10), LONGEST_WAIT_S) * random.uniform(0.5, 1.0)
