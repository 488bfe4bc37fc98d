"""A sweep that grows is kept at once and at its end, in between not more often than once a second."""

import errno
import threading

import pytest

from sweeps.launched import Kept, read
from sweeps.search.cells import with_ask
from tests.faults.scenes import until
from tests.sweeps.searches import search_of, sweep
from trainables.folder_store import FolderStore
from trainables.store import Store

SPACE = {"sigma": {"field": "crop.sigma", "low": 0.1, "high": 0.5}}


def never(_: str) -> None:
    raise AssertionError("nothing is to be told")


def asks(store: Store) -> int:
    found = read(store, "seek@paper")
    return -1 if found is None else len(search_of(found).asks)


def test_the_last_state_is_kept_at_the_end_and_few_of_those_before(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    written: list[str] = []
    write = FolderStore.write
    monkeypatch.setattr(FolderStore, "write", lambda *a: (written.append(a[1]), write(*a))[-1])
    grown = sweep(SPACE)
    with Kept(store, say=never) as kept:
        for number in range(30):
            grown = with_ask(grown, {"sigma": 0.1 + number / 100})
            kept.put(grown)
    assert read(store, "seek@paper") == grown
    assert len(written) < 10
    kept.close()
    assert not kept.thread.is_alive()


def test_what_grows_while_nothing_else_happens_is_kept_soon(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sweeps.launched.KEEP_EVERY_S", 0.01)
    grown = sweep(SPACE)
    with Kept(store, say=never) as kept:
        for number in range(3):
            grown = with_ask(grown, {"sigma": 0.1 + number / 100})
            kept.put(grown)
            until(lambda count=number + 1: asks(store) == count, "the sweep's file", within_s=10)


def test_putting_never_waits_for_the_store(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    free = threading.Event()
    write = FolderStore.write
    monkeypatch.setattr(FolderStore, "write", lambda *a: (free.wait(10), write(*a))[-1])
    grown = with_ask(sweep(SPACE), {"sigma": 0.2})
    with Kept(store, say=never) as kept:
        kept.put(sweep(SPACE))
        kept.put(grown)
        assert asks(store) == -1
        free.set()
    assert asks(store) == 1


def test_a_store_that_cannot_be_written_to_is_told_and_tried_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[str] = []
    write = FolderStore.write
    failing = iter([True, False])

    def flaky(self: Store, path: str, content: bytes) -> None:
        if next(failing):
            raise OSError(errno.EIO, "Input/output error")
        write(self, path, content)

    monkeypatch.setattr(FolderStore, "write", flaky)
    with Kept(store, say=told.append) as kept:
        kept.put(with_ask(sweep(SPACE), {"sigma": 0.2}))
        until(lambda: told, "the complaint", within_s=10)
    assert asks(store) == 1
    assert told == [f"the store {store.root} cannot be used: Input/output error"]
