"""The sweeps that were launched into a store, as last launched: what status, report and sync work on."""

import threading
import time
from collections.abc import Callable, Iterator
from types import TracebackType
from typing import Self

from sweeps.files.expand import load
from sweeps.launch.preflight import Refused
from sweeps.resolved import ResolvedSweep
from trainables.sealed import Damaged
from trainables.store import Store

KEEP_EVERY_S = 1.0
KEEPING_SHARE = 20.0  # waits this many times as long as keeping took


def save(store: Store, sweep: ResolvedSweep) -> None:
    """Keep a sweep as it is launched; a damaged file in its place is set aside."""
    path = _path(sweep)
    try:
        ResolvedSweep.read(store, path)
    except FileNotFoundError:
        pass
    except Damaged:
        store.set_aside(path)
    store.write(path, sweep.sealed(path, indent=1))


class Kept:
    """Keeps a sweep that grows, in a thread: at once, but not more often than once a second.

    What a killed launch had no time to keep is asked for again, with the same answers. The context's end, or `close`,
    keeps the last of it.
    """

    def __init__(self, store: Store, *, say: Callable[[str], None]) -> None:
        self.store = store
        self.say = say
        self.newest: ResolvedSweep | None = None
        self.grown = threading.Event()
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._keep, name="sweep's file", daemon=True)

    def put(self, sweep: ResolvedSweep) -> None:
        """Take the sweep as it stands; this never waits."""
        self.newest = sweep
        self.grown.set()

    def close(self) -> None:
        """Keep what is left and stop; closing again changes nothing."""
        self.over.set()
        self.grown.set()
        if self.thread.is_alive():
            self.thread.join()

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _keep(self) -> None:
        written: ResolvedSweep | None = None
        while True:
            self.grown.wait()
            self.grown.clear()
            started = time.monotonic()
            last, sweep = self.over.is_set(), self.newest
            if sweep is not None and sweep is not written:
                try:
                    self.store.write(_path(sweep), sweep.sealed(_path(sweep), indent=1))
                    written = sweep
                except OSError as error:
                    self.say(self.store.explain(error))
            if last:
                return
            self.over.wait(max(KEEP_EVERY_S, KEEPING_SHARE * (time.monotonic() - started)))


def read(store: Store, experiment: str) -> ResolvedSweep | None:
    """Return a sweep at a scale as last launched, None if it never was or its file is damaged."""
    try:
        return ResolvedSweep.read(store, f"sweeps/{experiment}.json")
    except (FileNotFoundError, Damaged):
        return None


def saved(store: Store) -> list[ResolvedSweep]:
    """Return all sweeps of a store whose file is intact."""
    return [sweep for sweep in _read(store) if isinstance(sweep, ResolvedSweep)]


def damaged(store: Store) -> list[Damaged]:
    """Return what is wrong with the sweeps' files."""
    return [problem for problem in _read(store) if isinstance(problem, Damaged)]


def _read(store: Store) -> Iterator[ResolvedSweep | Damaged]:
    for name in store.names("sweeps"):
        if name.endswith(".json"):
            try:
                yield ResolvedSweep.read(store, f"sweeps/{name}")
            except Damaged as problem:
                yield problem


def all_launched(store: Store) -> list[ResolvedSweep]:
    """Return all sweeps of a store whose file is intact. Raises Refused if there are none."""
    found = saved(store)
    if not found:
        nothing = f"no sweep was launched into the store {store.location} yet; see `softaug launch --help`"
        raise Refused([told(problem) for problem in damaged(store)] or [nothing])
    return found


def told(problem: Damaged) -> str:
    """Return what is wrong with a sweep's file, and the way out."""
    return f"{problem}; launch that sweep again to have it written anew"


def launched(store: Store, sweep: str, scale: str | None) -> ResolvedSweep:
    """Return a sweep, by name or file, as last launched, or as its file says if it never was."""
    found = saved(store)
    named = [each for each in found if each.name == sweep and scale in (None, each.scale)]
    if len(named) == 1:
        return named[0]
    resolved = load(sweep, scale=scale)
    return next((each for each in found if each.experiment == resolved.experiment), resolved)


def chosen(store: Store, names: list[str] | None, scale: str | None) -> list[ResolvedSweep]:
    """Return the sweeps of these names, or all, that were launched (at a scale). Raises Refused if one was not."""
    if not names:
        return [sweep for sweep in all_launched(store) if scale in (None, sweep.scale)]
    wanted = [launched(store, name, scale) for name in names]
    known = {sweep.experiment for sweep in saved(store)}
    missing = [sweep.experiment for sweep in wanted if sweep.experiment not in known]
    if missing:
        never = [f"{name} was never launched into the store {store.location}" for name in missing]
        raise Refused([told(problem) for problem in damaged(store)] or never)
    return wanted


def _path(sweep: ResolvedSweep) -> str:
    return f"sweeps/{sweep.experiment}.json"
