"""Ending a launch from another shell, on this machine or any other that sees the store.

The request is a file beside the launch's own. Its trials look there while they train, keep their last epoch and end;
the launch then ends as after Ctrl-C, with exit code 130.
"""

import os
import time
from collections.abc import Callable

from sweeps.launch.preflight import Refused
from sweeps.launched import launched
from sweeps.problems import known
from trainables import launches
from trainables.launches import Launch
from trainables.store import Store

STOPS_WITHIN_S = 60.0
LOOK_EVERY_S = 0.2


def running_launch(store: Store, sweep: str, scale: str | None) -> Launch:
    """Return the launch of a sweep that runs now. Raises Refused if none does, or at several scales."""
    name, scale = _name_and_scale(store, sweep, scale)
    running = [each for each in launches.alive(store).values() if _is_of(each, name, scale)]
    if len(running) > 1:
        scales = ", ".join(sorted(each.sweep.rpartition("@")[2] for each in running))
        raise Refused([f"sweep {name} runs at several scales ({scales}): say which with --scale"])
    if not running:
        raise Refused([_none_runs(store, name, scale)])
    return running[0]


def stop(store: Store, launch: Launch, say: Callable[[str], None]) -> bool:
    """Ask a launch to stop and wait until it has. Return False if it still runs after a minute."""
    say(f"asked {launch.sweep} to stop ({whereabouts(launch)}); waiting until its trials have kept their last epoch")
    launches.request_stop(store, launch.id)
    deadline = time.monotonic() + STOPS_WITHIN_S
    while launches.is_alive(store, launch.id):
        if time.monotonic() >= deadline:
            name, _, scale = launch.sweep.rpartition("@")
            say(
                f"{launch.sweep} still runs after {STOPS_WITHIN_S:.0f} s; it ends at its next step: look with "
                f"`softaug status {name} --scale {scale}`, or on {launch.host} at process {launch.pid}"
            )
            return False
        time.sleep(LOOK_EVERY_S)
    last = launches.read(store, launch.id)
    if last is None or last.ended:
        say(f"{launch.sweep} has stopped; launch it again to go on")
    else:
        say(f"the process of {launch.sweep} is gone; launch it again to go on from the last checkpoints")
    return True


def whereabouts(launch: Launch) -> str:
    """Return who launched it, where it runs, and since when."""
    return f"{launch.user} on {launch.host}, process {launch.pid}, since {moment(launch.since)}"


def moment(seconds: float) -> str:
    """Return a time (Unix seconds) as this machine's clock shows it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _name_and_scale(store: Store, sweep: str, scale: str | None) -> tuple[str, str | None]:
    """Return the sweep's name and scale; it may be given as a file, or as `status` shows it: name@scale."""
    if sweep.endswith((".yaml", ".yml")) or os.path.isfile(sweep):  # False also for a name no file can have
        return launched(store, sweep, scale).name, scale
    name, _, shown = sweep.partition("@")
    return name, scale or shown or None


def _is_of(launch: Launch, name: str, scale: str | None) -> bool:
    own_name, _, own_scale = launch.sweep.rpartition("@")
    return own_name == name and scale in (None, own_scale)


def _none_runs(store: Store, name: str, scale: str | None) -> str:
    """Return since when the sweep's last launch is over, or that there was none."""
    every = launches.launches(store)
    last = max((each for each in every if _is_of(each, name, scale)), key=lambda each: each.since, default=None)
    if last is None:
        wanted = f"{name}@{scale}" if scale else name
        hint = known(wanted, sorted({each.sweep for each in every}))
        return f"{wanted} was never launched into the store {store.location} ({hint})"
    over = "is over" if last.ended else "was killed: its last sign of life was"
    since = f"{over} {'since ' if last.ended else ''}{moment(last.beat)}"
    return f"{last.sweep} is not running: its last launch, by {last.user} on {last.host}, {since}"
