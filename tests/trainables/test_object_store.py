"""What only a store in a bucket can be asked: what it sends, what it makes of answers, and why one is refused."""

import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from tests import s3
from tests.s3 import BUCKET, Careless, careless
from tests.servers import free_port
from trainables import launches, object_store
from trainables.object_store import ObjectStore
from trainables.store import StoreFailed, StoreRefused, open_store


@pytest.fixture
def server(anew: pytest.MonkeyPatch) -> Iterator[Careless]:
    """Return a server that can be made to fail; this process connects to it."""
    state = Careless()
    with careless(state) as url:
        for name, value in s3.settings(url).items():
            anew.setenv(name, value)
        yield state


@pytest.fixture
def store(server: Careless) -> ObjectStore:
    """Return the store on the careless server."""
    assert server.objects == {}
    return ObjectStore(BUCKET, "")


def test_a_write_is_one_request_and_a_creation_is_conditional(server: Careless, store: ObjectStore) -> None:
    large = bytes(101 * 2**20)  # fsspec would send it in parts
    store.write("a", large)
    assert store.create("b", large)
    assert server.asked == [("PUT", "a"), ("PUT", "b")]
    assert [headers.get("If-None-Match") for headers in server.headers] == [None, "*"]


def test_a_read_is_one_request(server: Careless, store: ObjectStore) -> None:
    server.objects["a"] = (b"content", "")
    assert store.read("a") == b"content"
    assert server.asked == [("GET", "a")]


def test_a_creation_whose_answer_was_lost_knows_that_it_succeeded(server: Careless, store: ObjectStore) -> None:
    server.before = lambda method, _key, number: "lose" if method == "PUT" and number == 1 else None
    assert store.create("a", b"mine")
    assert server.asked.count(("PUT", "a")) == 2, "it was sent again, and found itself"
    assert not store.create("a", b"mine"), "another creator with the same content does not take it for its own"


def test_a_conflict_is_tried_again_and_then_decided(server: Careless, store: ObjectStore) -> None:
    server.before = lambda method, _key, number: 409 if method == "PUT" and number < 3 else None
    assert store.create("a", b"1")
    server.before = lambda method, _key, _number: 409 if method == "PUT" else None
    with pytest.raises(StoreFailed, match="so it says"):
        store.create("b", b"1")


def test_a_server_that_is_busy_for_a_moment_is_asked_again(server: Careless, store: ObjectStore) -> None:
    server.before = lambda _method, _key, number: 503 if number <= 3 else None
    store.write("a", b"1")
    assert store.read("a") == b"1"


def test_a_server_without_conditional_puts_is_refused(server: Careless, store: ObjectStore) -> None:
    server.conditional = False
    with pytest.raises(StoreRefused, match=r"does not keep exclusive creation .* atomic conditional PUTs"):
        store.probe()
    assert server.objects == {}, "nothing is left"
    (problem,) = store.problems()
    assert "does not keep exclusive creation" in problem
    server.conditional = True
    assert store.problems() == []


def test_a_server_that_rejects_the_header_is_refused(server: Careless, store: ObjectStore) -> None:
    server.before = lambda method, _key, _number: 501 if method == "PUT" else None
    (problem,) = store.problems()
    assert "it does not know what a ledger needs, conditional PUTs" in problem


@pytest.mark.parametrize(("status", "meaning"), [(507, "it is full; free some space"), (403, "ask for these four")])
def test_why_a_write_failed_is_told_with_the_way_out(
    server: Careless, store: ObjectStore, status: int, meaning: str
) -> None:
    server.before = lambda method, _key, _number: status if method == "PUT" else None
    with pytest.raises(StoreFailed) as failed:
        store.write("a", b"1")
    assert store.explain(failed.value).startswith(f"the store s3://{BUCKET} cannot be used: ")
    assert meaning in store.explain(failed.value)


def test_threads_share_one_connection_pool(server: Careless, store: ObjectStore) -> None:
    threads = [threading.Thread(target=store.write, args=(f"a/{number}", b"1")) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(server.objects) == 8


def test_a_store_that_goes_away_and_comes_back(anew: pytest.MonkeyPatch) -> None:
    state, port = Careless(), free_port()
    with ExitStack() as stack:
        for name, value in s3.settings(f"http://127.0.0.1:{port}").items():
            anew.setenv(name, value)
        back = threading.Timer(0.5, lambda: stack.enter_context(careless(state, port)))
        back.start()
        ObjectStore(BUCKET, "").write("a", b"1")
        back.join()
        assert state.objects["a"][0] == b"1"


def test_all_that_is_wrong_with_endpoint_and_credentials_is_told_at_once(anew: pytest.MonkeyPatch) -> None:
    port = free_port()
    for name, value in s3.settings(f"http://127.0.0.1:{port}").items():
        anew.setenv(name, value)
    for name in s3.KEYS:
        anew.delenv(name)
    started = time.monotonic()
    no_keys, no_server = ObjectStore("runs", "a").problems()
    assert time.monotonic() - started < 30, "it does not wait for a server that is not there"
    assert no_keys.startswith("the store s3://runs/a cannot be used: there are no credentials; set AWS_ACCESS_KEY_ID")
    assert f"nothing answers at http://127.0.0.1:{port} (Connection refused)" in no_server
    anew.setattr("trainables.object_store.ATTEMPTS", 1)
    object_store._connection_of.cache_clear()
    anew.setenv("AWS_ACCESS_KEY_ID", "a")
    anew.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(StoreFailed, match=rf'"http://127.0.0.1:{port}"; start it, or correct AWS_ENDPOINT_URL'):
        ObjectStore("runs", "a").names("sweeps")
    anew.setenv("AWS_ENDPOINT_URL", "nonsense")
    object_store._connection_of.cache_clear()
    (problem,) = ObjectStore("runs", "a").problems()
    assert "Invalid endpoint: nonsense" in problem


def test_a_bucket_that_is_missing_is_told_apart_from_a_missing_file(bucket: str) -> None:
    missing = open_store("s3://nowhere/runs")
    (problem,) = missing.problems()
    assert "there is no bucket nowhere; create it, or correct --store" in problem
    for ask in (lambda: missing.read("a"), lambda: missing.names("a"), lambda: missing.write("a", b"")):
        with pytest.raises(StoreFailed, match="no bucket nowhere"):
            ask()
    with pytest.raises(FileNotFoundError):
        open_store(bucket).read("a")


@pytest.mark.parametrize(
    ("name", "meaning"),
    [("AWS_ACCESS_KEY_ID", "the access key is not known"), ("AWS_SECRET_ACCESS_KEY", "the secret key is not that")],
)
def test_wrong_credentials_are_refused_and_not_shown(
    name: str, meaning: str, bucket: str, anew: pytest.MonkeyPatch
) -> None:
    anew.setenv(name, "hunter2")
    (problem,) = open_store(bucket).problems()
    assert "refused" in problem or meaning in problem
    assert "hunter2" not in problem
    with pytest.raises(StoreFailed, match=meaning):
        open_store(bucket).write("a", b"")


def test_a_launch_that_lost_its_answer_does_not_take_itself_for_a_rival(server: Careless, store: ObjectStore) -> None:
    server.before = lambda method, _key, number: "lose" if method == "PUT" and number == 1 else None
    assert launches.acquire(store, "a@b").id == "a@b-0001"
