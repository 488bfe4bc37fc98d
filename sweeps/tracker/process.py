"""The tracker's own process: MLflow's seconds of imports, its memory and its crashes are none of the launch's.

The launch writes a line of JSON per event to the process, which answers in lines of JSON: {"say": ...} while it
runs, {"open": n} every second while it catches up at the end, {"left": n} last. It ends by itself when the launch is
gone. The launch never waits for MLflow, but at the end, and there only as long as trials keep arriving.
"""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import IO, TYPE_CHECKING, Any

from sweeps.resolved import Cell, ResolvedSweep
from trainables import launches
from trainables.store import Store, open_store

if TYPE_CHECKING:
    from sweeps.tracker.thread import TrackerThread
    from sweeps.tracker.tracker import Projection

PATIENCE_S = 75.0  # the thread's last tries, a request that times out, and pictures under way
SIGKILLED = -9
DIED = "the tracker's process died; the sweep goes on, and `softaug sync` makes up for it"


class TrackerProcess:
    """The launch's end: `changed` returns at once, whatever the process is doing."""

    def __init__(self, *, say: Callable[[str], None]) -> None:
        """Start the process. It imports MLflow while Ray starts, and touches nothing until `start`."""
        # -P: a folder called sweeps where the user stands is not taken for this package.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "sweeps.tracker.process"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
            start_new_session=True,  # Ctrl-C is for the launch
        )
        self.say = say
        self.started = False
        self.left: int | None = None
        self.open = 0
        self.progressed = time.monotonic()
        self.events: dict[str, Any] = {}  # yet to be sent, by what they are about: never more than one per trial
        self.wake = threading.Condition()
        self.reader = threading.Thread(target=self._read, name="tracker says", daemon=True)
        self.writer = threading.Thread(target=self._write, name="tracker hears", daemon=True)
        self.reader.start()
        self.writer.start()

    def start(self, store: Store, sweep: ResolvedSweep, uri: str, launch: str, *, upload_weights: bool) -> None:
        """Say what to project where."""
        self.started = True
        what = {"store": store.location, "sweep": sweep.model_dump_json(), "uri": uri, "launch": launch}
        self._send("start", {**what, "upload_weights": upload_weights})

    def add(self, cell: Cell) -> None:
        """Say that a search has asked for another cell; before `start`, which knows of it, there is nothing to say."""
        if self.started:
            self._send(f"cell {cell.cell_key}", {"cell": cell.model_dump_json()})

    def changed(self, key: str, ended: bool) -> None:
        """Note that a trial moved on."""
        self._send(key, {"key": key, "ended": ended})

    def close(self, keys: list[str]) -> int:
        """Let it project all trials once more; return how many are not up to date in MLflow."""
        self._send("close", {"close": True})
        self.progressed = time.monotonic()
        while self.reader.is_alive() and time.monotonic() - self.progressed < PATIENCE_S:
            self.reader.join(timeout=1.0)
        self.kill()
        return len(keys) if self.left is None else self.left

    def kill(self) -> None:
        """End the process now."""
        self._send("end", None)
        self.process.kill()
        for thread in (self.reader, self.writer):
            thread.join()
        for pipe in (self.process.stdin, self.process.stdout):
            if pipe is not None:
                with suppress(BrokenPipeError):
                    pipe.close()

    def _send(self, about: str, event: Any) -> None:
        with self.wake:
            self.events[about] = event
            self.wake.notify()

    def _write(self) -> None:
        assert self.process.stdin is not None
        while True:
            with self.wake:
                while not self.events:
                    self.wake.wait()
                events, self.events = list(self.events.values()), {}
            try:
                for event in events:
                    if event is None:
                        return
                    self.process.stdin.write(json.dumps(event) + "\n")
                self.process.stdin.flush()
            except BrokenPipeError:
                return

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            said = json.loads(line)
            if "say" in said:
                self.say(said["say"])
            elif said.get("open", self.open) != self.open:
                self.open, self.progressed = said["open"], time.monotonic()
            self.left = said.get("left")
        if self.process.wait() != SIGKILLED and self.left is None:
            self.say(DIED)


def serve(hears: IO[str], says: IO[str]) -> None:
    """Be the process: follow the launch's events to their end, or to the launch's."""
    from sweeps.tracker.thread import SEARCH
    from sweeps.tracker.tracker import be_brief

    def say(**what: Any) -> None:
        print(json.dumps(what), file=says, flush=True)

    be_brief()
    order = hears.readline()
    if not order:
        return
    training = threading.Event()
    training.set()
    thread, keys = _thread(json.loads(order), training, warn=lambda text: say(say=text))
    for line in hears:
        event = json.loads(line)
        if "cell" in event:
            cell = Cell.model_validate_json(event["cell"])
            keys[:0] = cell.trials.values()
            thread.add(cell)
            continue
        if "close" in event:
            training.clear()
            threading.Thread(target=_tick, args=(thread, say), daemon=True).start()
            say(left=thread.close(keys))
            return
        thread.changed(event["key"], event["ended"])
        if event["ended"] and SEARCH in keys[-1:]:
            thread.changed(SEARCH, False)


def _thread(
    order: dict[str, Any], training: threading.Event, *, warn: Callable[[str], None]
) -> "tuple[TrackerThread, list[str]]":
    from sweeps.tracker.thread import TrackerThread, keys_of
    from sweeps.tracker.tracker import Projection

    store, sweep = open_store(order["store"]), ResolvedSweep.model_validate_json(order["sweep"])

    def is_running(launch: str) -> bool:
        return training.is_set() if launch == order["launch"] else launches.is_alive(store, launch)

    first = iter([True])  # as long as nothing has failed, no run of ours can appear that we do not know of

    def connect() -> "Projection":
        weights, alone = order["upload_weights"], next(first, False)
        return Projection(store, sweep, order["uri"], is_running=is_running, upload_weights=weights, alone=alone)

    thread = TrackerThread(connect, warn=warn)
    keys = keys_of(sweep)
    thread.start_with(keys)
    return thread, keys


def _tick(thread: "TrackerThread", say: Callable[..., None]) -> None:
    while thread.is_alive():
        say(open=len(thread.due))
        time.sleep(1.0)


if __name__ == "__main__":
    serve(sys.stdin, sys.stdout)
