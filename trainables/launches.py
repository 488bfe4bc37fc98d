"""Launches in the store: who is making the ledger match a sweep, since when, and who asked it to stop.

`launches/<sweep>@<scale>-0001.json` is the sweep's first launch, and so on. Whoever creates the next number is the
launch, so two cannot run at once; taking over a dead launch is creating the number after its own.
"""

import getpass
import os
import socket
import time
from functools import cache
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from trainables.sealed import Damaged, Entry
from trainables.store import Store

DEAD_AFTER_S = 30.0
BEAT_EVERY_S = 5.0


class CostEstimate(BaseModel):
    """What a launch was expected to take when it started: hours with their 95 % interval, for so many trials.

    `unit` is CPU-hours or GPU-hours; a trial takes `devices` of them per hour inside fit.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    unit: Literal["CPU-hours", "GPU-hours"]
    devices: float
    trials: int
    hours: float
    low: float
    high: float


class Launch(Entry):
    """One launch's heartbeat. `machine` names a host's boot and process namespace; times are Unix seconds."""

    id: str
    sweep: str
    user: str
    host: str
    machine: str
    pid: int
    since: float
    beat: float
    ended: bool = False
    estimate: CostEstimate | None = None  # None also where nothing was known, or for a launch before there were any

    def is_alive(self, now: float) -> bool:
        """Say whether this launch still runs: on this machine its process exists, elsewhere it beat lately."""
        if self.ended or now - self.beat > DEAD_AFTER_S:
            return False
        return self.machine != this_machine() or process_exists(self.pid)


class AlreadyRunning(Exception):
    """Another launch of the same sweep is alive; `.owner` is it."""

    def __init__(self, owner: Launch) -> None:
        since = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(owner.since))
        super().__init__(
            f"{owner.sweep} is already running: {owner.user} on {owner.host}, process {owner.pid}, since {since}"
        )
        self.owner = owner


def acquire(store: Store, sweep: str, estimate: CostEstimate | None = None) -> Launch:
    """Become the sweep's launch, of which so much is expected. Raises AlreadyRunning while another one is alive."""
    numbers = _numbers(store, sweep)
    last = read(store, _id(sweep, numbers[-1])) if numbers else None
    if last is not None and last.is_alive(time.time()):
        raise AlreadyRunning(last)
    now = time.time()
    launch = Launch(
        id=_id(sweep, numbers[-1] + 1 if numbers else 1),
        sweep=sweep,
        user=getpass.getuser(),
        host=socket.gethostname(),
        machine=this_machine(),
        pid=os.getpid(),
        since=now,
        beat=now,
        estimate=estimate,
    )
    # The numbers were read once: whoever acquired since then has taken this one.
    if not store.create(_path(launch.id), launch.sealed(_path(launch.id))):
        raise AlreadyRunning(read(store, launch.id) or launch)
    return launch


def withdraw(store: Store, launch: Launch) -> None:
    """Take a launch back that turned out to be refused: nothing started."""
    store.delete(_path(launch.id))
    store.delete(_stop_path(launch.id))


def beat(store: Store, launch: Launch, *, ended: bool = False) -> None:
    """Renew the launch's heartbeat, for the last time if it has ended."""
    update = {"beat": time.time(), "ended": ended}
    store.write(_path(launch.id), launch.model_copy(update=update).sealed(_path(launch.id)))


def read(store: Store, launch_id: str) -> Launch | None:
    """Return a launch, None if its file is gone or damaged: one that runs renews it within seconds."""
    try:
        return Launch.read(store, _path(launch_id))
    except (FileNotFoundError, Damaged):
        return None


def launches(store: Store, sweep: str | None = None) -> list[Launch]:
    """Return a sweep's launches, or those of all sweeps, oldest number first; damaged files are left out."""
    found = (read(store, _id(name, number)) for name, number in _ids(store) if sweep in (None, name))
    return [launch for launch in found if launch is not None]


def newest(store: Store, sweep: str) -> Launch | None:
    """Return a sweep's newest launch, None if there is none or its file is damaged."""
    numbers = _numbers(store, sweep)
    return read(store, _id(sweep, numbers[-1])) if numbers else None


def alive(store: Store) -> dict[str, Launch]:
    """Return the launches that run now, by their id."""
    now = time.time()
    newest_of = dict(_ids(store))  # of several numbers the last one wins, and only that one can be alive
    found = (read(store, _id(name, number)) for name, number in newest_of.items())
    return {launch.id: launch for launch in found if launch is not None and launch.is_alive(now)}


def is_recorded(store: Store, launch_id: str) -> bool:
    """Say whether this launch has a file here: it does in the store that it writes to."""
    return store.exists(_path(launch_id))


def is_alive(store: Store, launch_id: str) -> bool:
    """Say whether this launch runs now."""
    launch = read(store, launch_id)
    return launch is not None and launch.is_alive(time.time())


def request_stop(store: Store, launch_id: str) -> None:
    """Ask a launch to stop at the next epoch boundary; asking twice is fine."""
    store.create(_stop_path(launch_id), b"")


def stop_requested(store: Store, launch_id: str) -> bool:
    """Say whether somebody asked this launch to stop."""
    return store.exists(_stop_path(launch_id))


def process_exists(pid: int) -> bool:
    """Say whether a process of this machine is there."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@cache
def this_machine() -> str:
    """Return a name for this boot of this host and this process namespace: process ids mean something only here."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    if not boot.exists():
        return f"{socket.gethostname()}:unknown-boot"
    return f"{boot.read_text().strip()}:{os.stat('/proc/self/ns/pid').st_ino}"


def _ids(store: Store) -> list[tuple[str, int]]:
    """Return sweep and number of every launch there is a file of, the numbers of a sweep ascending."""
    names = (name.removesuffix(".json").rpartition("-") for name in store.names("launches") if name.endswith(".json"))
    return sorted((sweep, int(number)) for sweep, _, number in names if number.isdigit())


def _numbers(store: Store, sweep: str) -> list[int]:
    return [number for name, number in _ids(store) if name == sweep]


def _id(sweep: str, number: int) -> str:
    return f"{sweep}-{number:04d}"


def _path(launch_id: str) -> str:
    return f"launches/{launch_id}.json"


def _stop_path(launch_id: str) -> str:
    return f"launches/{launch_id}.stop"
