"""SIGINT, SIGTERM and `softaug stop`, as the launch obeys them: in order if that works, and out in time if not.

First: trials keep their last epoch and end. Second signal: the launch ends at once. Not over `LEAVE_AFTER_S` after the
first, whoever asked, because a trial, Ray or MLflow does not answer: it marks itself as ended and leaves.
"""

import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NoReturn

from trainables import launches
from trainables.launches import Launch
from trainables.store import Store

STOPPING = (signal.SIGINT, signal.SIGTERM)
NO_SIGNAL = bytes(1)
LEAVE_AFTER_S = 25.0  # of the 30 that a stop may take
LOOK_EVERY_S = 1.0


@contextmanager
def stop_on_signals(store: Store, owned: Launch, say: Callable[[str], None]) -> Iterator[None]:
    """Obey SIGINT and SIGTERM in a thread of its own: the main one may be waiting for a Ray that is gone."""
    heard, told = socket.socketpair()
    told.setblocking(False)
    before = signal.set_wakeup_fd(told.fileno())
    thread = threading.Thread(target=_obey, args=(heard, store, owned, say), name="signals", daemon=True)
    thread.start()
    try:
        with caught_signals():
            yield
    finally:
        signal.set_wakeup_fd(before)
        told.close()
        thread.join()
        heard.close()


@contextmanager
def caught_signals() -> Iterator[None]:
    """Keep SIGINT and SIGTERM from ending this process."""
    before = {number: signal.signal(number, lambda *_: None) for number in STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _obey(heard: socket.socket, store: Store, owned: Launch, say: Callable[[str], None]) -> None:
    heard.settimeout(LOOK_EVERY_S)
    leave_at: float | None = None
    while True:
        try:
            number = heard.recv(1)
        except TimeoutError:
            number = NO_SIGNAL
        if not number:
            return
        stopping = leave_at is not None or launches.stop_requested(store, owned.id)
        if number[0] in STOPPING:
            if stopping:
                os._exit(130)
            stopping = True
            say("stopping: trials keep their last epoch; once more ends them at once")
            try:
                launches.request_stop(store, owned.id)
            except OSError as error:
                say(store.explain(error))
        if stopping and leave_at is None:
            leave_at = time.monotonic() + LEAVE_AFTER_S
        if leave_at is not None and time.monotonic() >= leave_at:
            _leave(store, owned, say)


def _leave(store: Store, owned: Launch, say: Callable[[str], None]) -> NoReturn:
    say(f"not over after {LEAVE_AFTER_S:.0f} s: leaving what does not answer. Launch again and it goes on;")
    say("`softaug sync` brings MLflow level")
    with suppress(OSError):
        launches.beat(store, owned, ended=True)
    os._exit(130)
