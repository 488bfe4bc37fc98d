"""The contract of a store, kept by a folder and by a bucket: whole files, exclusive creation, many processes."""

import itertools
import multiprocessing
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from trainables.store import Store, StoreRefused, open_store

NUMBERS = itertools.count()


def test_written_files_are_read_back_and_replaced(store: Store) -> None:
    store.write("a/b.json", b"1")
    store.write("a/b.json", b"2")
    assert store.read("a/b.json") == b"2"
    assert store.names("a") == ["b.json"]


def test_a_file_is_created_once(store: Store) -> None:
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"
    assert store.names("", hidden=True) == ["a"], "no temporary files are left"


def test_even_the_same_content_is_created_once(store: Store) -> None:
    assert store.create("a", b"")
    assert not store.create("a", b"")


def test_what_was_deleted_can_be_created_again(store: Store) -> None:
    assert store.create("a", b"1")
    store.delete("a")
    assert store.create("a", b"2")
    assert store.read("a") == b"2"


def _create(place: str, number: int, barrier: "multiprocessing.synchronize.Barrier", won: "multiprocessing.Queue[int]"):
    barrier.wait()
    if open_store(place).create("one", str(number).encode() * 100_000):
        won.put(number)


def test_of_many_processes_one_creates_and_its_content_is_whole(place: str) -> None:
    store = open_store(place)
    store.names("")  # a connection that the forked processes must not share
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(4), context.Queue()
    processes = [context.Process(target=_create, args=(place, n, barrier, won)) for n in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert store.read("one") == str(won.get(timeout=5)).encode() * 100_000
    assert won.empty()


@pytest.mark.slow
def test_fifty_times_of_four_racers_one_wins(store: Store) -> None:
    def race(number: int, barrier: threading.Barrier, name: str) -> bool:
        barrier.wait()
        return store.create(name, str(number).encode())

    with ThreadPoolExecutor(4) as pool:
        for turn in range(50):
            barrier = threading.Barrier(4)
            racing = [pool.submit(race, number, barrier, f"race-{turn}") for number in range(4)]
            winners = [number for number, each in enumerate(racing) if each.result()]
            assert len(winners) == 1
            assert store.read(f"race-{turn}") == str(winners[0]).encode()


def test_a_name_that_is_known_late_is_the_only_one_that_is_left(store: Store) -> None:
    store.write_as("a/provisional", b"content", lambda: "a/final")
    assert store.names("a") == ["final"]
    assert store.read("a/final") == b"content"


def test_deleting_twice_is_fine_and_missing_folders_are_empty(store: Store) -> None:
    store.write("a", b"")
    store.delete("a")
    store.delete("a")
    assert not store.exists("a")
    assert store.names("nowhere") == []
    assert store.bytes_in("nowhere") == 0
    with pytest.raises(FileNotFoundError):
        store.read("nowhere/a")


def test_names_are_those_of_a_folder_alone(store: Store) -> None:
    for path in ("b/2", "b/1", "b/c/3", "ab/4", "b.json", "b-"):
        store.write(path, b"x" * 10)
    assert store.names("b") == ["1", "2", "c"]
    assert store.names("") == ["ab", "b", "b-", "b.json"]
    assert store.bytes_in("b") == 30
    assert not store.exists("b"), "a folder is no file"


def test_a_file_has_a_size_and_an_age(store: Store) -> None:
    store.write("a/b", b"12345")
    found = store.status("a/b")
    assert found is not None
    assert found.size == 5
    assert abs(time.time() - found.modified) < 20
    assert store.status("a/c") is None


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=5000))
def test_any_bytes_survive(store: Store, content: bytes) -> None:
    path = f"x/{next(NUMBERS)}"
    store.write(path, content)
    assert store.read(path) == content


@pytest.mark.slow
def test_what_is_larger_than_a_part_of_an_upload_survives_too(store: Store) -> None:
    content = bytes(range(256)) * (120 * 2**12)  # 120 MiB; fsspec would cut it up from 100 on
    store.write("large", content)
    assert store.read("large") == content
    assert not store.create("large", content)
    found = store.status("large")
    assert found is not None
    assert found.size == len(content)


def test_damaged_files_are_set_aside_one_after_the_other(store: Store) -> None:
    for number in (1, 2):
        store.write("a/b.json", b"damaged")
        assert store.set_aside("a/b.json") == f"damaged/a/b.json.{number}"
    assert store.names("a") == []
    assert store.names("damaged/a") == ["b.json.1", "b.json.2"]


def test_what_another_process_writes_is_seen_at_once(place: str) -> None:
    store = open_store(place)
    assert store.names("a") == []
    assert not store.exists("a/b")
    code = "import sys; from trainables.store import open_store; open_store(sys.argv[1]).write('a/b', b'1')"
    subprocess.run([sys.executable, "-c", code, place], check=True, timeout=120)
    assert store.names("a") == ["b"]
    assert store.exists("a/b")
    assert store.read("a/b") == b"1"


def test_a_store_can_be_opened_again_by_its_location(store: Store) -> None:
    store.write("a", b"1")
    assert open_store(store.location).read("a") == b"1"
    assert store.place("a") == f"{store.location}/a"


def test_a_file_can_be_had_on_this_machine(store: Store, tmp_path: Path) -> None:
    store.write("a/b.png", b"picture")
    folder = tmp_path / "copies"
    folder.mkdir()
    found = store.local("a/b.png", folder)
    assert (found.name, found.read_bytes()) == ("b.png", b"picture")


def test_last_words_can_be_written_to_a_file_of_this_machine(store: Store) -> None:
    file = store.scratch("a/0001/crash.txt")
    assert file == store.scratch("a/0001/crash.txt")
    assert file != store.scratch("a/0002/crash.txt")
    file.write_text("last words")
    assert file.read_text() == "last words"
    file.unlink()


def test_probe_leaves_nothing_behind(store: Store) -> None:
    assert store.problems() == []
    store.probe()
    assert store.names("", hidden=True) == []


def _one_more(call: Callable[..., bool]) -> Callable[..., bool]:
    return lambda self, path, content: (call(self, path, content), True)[1]


def test_probe_refuses_a_store_where_two_creators_succeed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(store), "create", _one_more(type(store).create))
    with pytest.raises(StoreRefused, match="does not keep exclusive creation"):
        store.probe()


def test_probe_refuses_a_store_whose_listings_are_old(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(type(store), "names", lambda *_what, **_how: [])
    with pytest.raises(StoreRefused, match="does not list what was just written"):
        store.probe()


def test_no_name_is_refused_rather_than_the_working_folder_taken() -> None:
    with pytest.raises(StoreRefused, match="has no name"):
        open_store("")


@pytest.mark.parametrize("scheme", ["gs", "file", "http", "AZ"])
def test_other_urls_are_refused_with_what_is_allowed(scheme: str) -> None:
    with pytest.raises(StoreRefused, match=rf"{scheme.lower()}://, which is not supported; give the path.*s3://bucket"):
        open_store(f"{scheme}://bucket/runs")


@pytest.mark.parametrize(
    "url", ["s3://", "s3:///runs", "s3://b", "s3://Bucket", "s3://buck/../x", "s3://buck/a b", "s3://buck/a?x=1"]
)
def test_what_is_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(StoreRefused, match="is no bucket with a prefix; write it as in s3://results/softaug"):
        open_store(url)


def test_a_url_with_a_password_is_refused_and_not_shown() -> None:
    with pytest.raises(StoreRefused, match="holds a user or a password") as refused:
        open_store("s3://me:hunter2@bucket/runs")
    assert "hunter2" not in str(refused.value)


def test_without_its_package_a_bucket_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("trainables.object_store.find_spec", lambda _name: None)
    with pytest.raises(StoreRefused, match=r"needs the package s3fs; pip install 'softaug\[s3\]'"):
        open_store("s3://bucket/runs")


def test_a_slash_at_the_end_makes_no_difference() -> None:
    assert open_store("s3://bucket/runs/").location == open_store("S3://bucket/runs").location == "s3://bucket/runs"
    assert open_store("s3://bucket/").location == "s3://bucket"
