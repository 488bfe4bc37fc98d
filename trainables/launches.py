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

from pydantic import BaseModel, ConfigDict

from trainables.store import Store

DEAD_AFTER_S = 30.0
BEAT_EVERY_S = 5.0


class Launch(BaseModel):
    """One launch's heartbeat. `machine` names a host's boot and process namespace; times are Unix seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    sweep: str
    user: str
    host: str
    machine: str
    pid: int
    since: float
    beat: float
    ended: bool = False

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


def check_free(store: Store, sweep: str) -> None:
    """Raise AlreadyRunning while a launch of this sweep is alive."""
    earlier = launches(store, sweep)
    if earlier and earlier[-1].is_alive(time.time()):
        raise AlreadyRunning(earlier[-1])


def acquire(store: Store, sweep: str) -> Launch:
    """Become the sweep's launch. Raises AlreadyRunning while another one is alive."""
    check_free(store, sweep)
    earlier = launches(store, sweep)
    number = int(earlier[-1].id.rpartition("-")[2]) + 1 if earlier else 1
    now = time.time()
    launch = Launch(
        id=f"{sweep}-{number:04d}",
        sweep=sweep,
        user=getpass.getuser(),
        host=socket.gethostname(),
        machine=this_machine(),
        pid=os.getpid(),
        since=now,
        beat=now,
    )
    if not store.create(_path(launch.id), launch.model_dump_json().encode()):
        raise AlreadyRunning(launches(store, sweep)[-1])
    return launch


def beat(store: Store, launch: Launch, *, ended: bool = False) -> None:
    """Renew the launch's heartbeat, for the last time if it has ended."""
    update = {"beat": time.time(), "ended": ended}
    store.write(_path(launch.id), launch.model_copy(update=update).model_dump_json().encode())


def launches(store: Store, sweep: str | None = None) -> list[Launch]:
    """Return a sweep's launches, or those of all sweeps, oldest number first."""
    names = [name for name in store.names("launches") if name.endswith(".json")]
    if sweep is not None:
        names = [name for name in names if name.rpartition("-")[0] == sweep]
    return [Launch.model_validate_json(store.read(f"launches/{name}")) for name in names]


def alive(store: Store) -> dict[str, Launch]:
    """Return the launches that run now, by their id."""
    now = time.time()
    return {launch.id: launch for launch in launches(store) if launch.is_alive(now)}


def is_alive(store: Store, launch_id: str) -> bool:
    """Say whether this launch runs now."""
    return Launch.model_validate_json(store.read(_path(launch_id))).is_alive(time.time())


def request_stop(store: Store, launch_id: str) -> None:
    """Ask a launch to stop at the next epoch boundary; asking twice is fine."""
    store.create(f"launches/{launch_id}.stop", b"")


def stop_requested(store: Store, launch_id: str) -> bool:
    """Say whether somebody asked this launch to stop."""
    return store.exists(f"launches/{launch_id}.stop")


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


def _path(launch_id: str) -> str:
    return f"launches/{launch_id}.json"
