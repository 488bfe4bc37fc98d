"""The thread that keeps MLflow up to date while trials run; it can be slow or fail, and they never notice.

The ledger is its outbox: it holds no more than the keys of trials that moved on. When MLflow fails it says so once,
waits, and tries again; what is still missing at the end is counted and left to `softaug sync`.
"""

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sweeps.tracker import Projection

START_AFTER_S = 15.0
RUNNING_EVERY_S = 5.0
LONGEST_WAIT_S = 30.0
LAST_TRIES_S = 30.0


class TrackerThread(threading.Thread):
    """Projects trials that `changed` names. `connect` makes the projection, again after every failure."""

    def __init__(self, connect: Callable[[], "Projection"], *, warn: Callable[[str], None]) -> None:
        super().__init__(name="tracker", daemon=True)
        self.connect = connect
        self.warn = warn
        self.due: dict[str, float] = {}  # trial key -> monotonic time to project it at
        self.doubtful: set[str] = set()  # trials that failed once while MLflow answered other calls
        self.refused: set[str] = set()  # trials that did so again
        self.wake = threading.Condition()
        self.closing_since: float | None = None
        self.projection: Projection | None = None
        self.failures = 0

    def changed(self, key: str, ended: bool) -> None:
        """Note that a trial moved on: one that ended is projected at once, a running one every few seconds."""
        now = time.monotonic()
        with self.wake:
            self.due[key] = now if ended else min(self.due.get(key, now + RUNNING_EVERY_S), now + RUNNING_EVERY_S)
            self.wake.notify()

    def start_with(self, keys: list[str]) -> None:
        """Start, and project these trials once the launch is under way: MLflow takes seconds to import."""
        self.due = dict.fromkeys(keys, time.monotonic() + START_AFTER_S)
        self.start()

    def close(self, keys: list[str]) -> int:
        """Project all these trials once more and stop; return how many are not up to date in MLflow."""
        with self.wake:
            self.due = dict.fromkeys(keys, 0.0)
            self.closing_since = time.monotonic()
            self.wake.notify()
        self.join()
        return len(self.due.keys() | self.refused)

    def run(self) -> None:
        """Project until closed and level, or closed and MLflow stays away."""
        while True:
            key = self._next()
            if key is None:
                return
            try:
                if self.projection is None:
                    self.projection = self.connect()
                self.projection.project(key)
            except Exception as error:
                self._failed(key, error)
            else:
                self._succeeded(key)

    def _next(self) -> str | None:
        with self.wake:
            while True:
                now = time.monotonic()
                if self.closing_since is not None and (not self.due or self._given_up(now)):
                    return None
                key = min(self.due, key=self.due.__getitem__, default=None)
                if key is not None and (self.due[key] <= now or (self.closing_since is not None and not self.failures)):
                    del self.due[key]
                    return key
                self.wake.wait(None if key is None else self.due[key] - now)

    def _given_up(self, now: float) -> bool:
        return bool(self.failures) and self.closing_since is not None and now - self.closing_since > LAST_TRIES_S

    def _failed(self, key: str, error: Exception) -> None:
        """Try again: at once if MLflow answers otherwise, giving the trial up the second time; else after a wait."""
        if self._answers():
            if key in self.doubtful:
                self.refused.add(key)
                self.warn(f"MLflow refuses trial {key[:12]}: {_one_line(error)}; the sweep goes on")
                return
            self.doubtful.add(key)
            self.changed(key, ended=True)
            return
        if not self.failures:
            self.warn(f"MLflow does not answer: {_one_line(error)}; the sweep goes on and I keep trying")
        self.projection = None
        self.failures += 1
        retry = time.monotonic() + min(2.0**self.failures, LONGEST_WAIT_S)
        with self.wake:
            self.due = {other: max(at, retry) for other, at in self.due.items()} | {key: retry}

    def _answers(self) -> bool:
        try:
            if self.projection is None:
                return False
            self.projection.client.search_experiments(max_results=1)
        except Exception:
            return False
        return True

    def _succeeded(self, key: str) -> None:
        self.doubtful.discard(key)
        self.refused.discard(key)
        if self.failures:
            self.warn("MLflow answers again")
            self.failures = 0


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {error}".splitlines()[0][:200]
