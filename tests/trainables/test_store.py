"""The store keeps whole files: atomic writes, exclusive creation, also between processes."""

import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainables.store import Store, StoreRefused, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def test_written_files_are_read_back_and_replaced(store: Store) -> None:
    store.write("a/b.json", b"1")
    store.write("a/b.json", b"2")
    assert store.read("a/b.json") == b"2"
    assert store.names("a") == ["b.json"]


def test_a_file_is_created_once(store: Store) -> None:
    assert store.create("a", b"first")
    assert not store.create("a", b"second")
    assert store.read("a") == b"first"
    assert store.names("") == ["a"], "no temporary files are left"


def _create(root: Path, number: int, barrier: "multiprocessing.synchronize.Barrier", won: "multiprocessing.Queue[int]"):
    barrier.wait()
    if open_store(root).create("one", str(number).encode() * 100_000):
        won.put(number)


def test_of_many_processes_one_creates_and_its_content_is_whole(store: Store) -> None:
    context = multiprocessing.get_context("fork")
    barrier, won = context.Barrier(6), context.Queue()
    processes = [context.Process(target=_create, args=(store.root, n, barrier, won)) for n in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert store.read("one") == str(won.get(timeout=5)).encode() * 100_000
    assert won.empty()


def test_a_failed_write_leaves_the_old_content_and_no_rubbish(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    store.write("a", b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        store.write("a", b"new")
    assert store.read("a") == b"old"
    assert [path.name for path in store.root.iterdir()] == ["a"]


def test_deleting_twice_is_fine_and_missing_folders_are_empty(store: Store) -> None:
    store.write("a", b"")
    store.delete("a")
    store.delete("a")
    assert not store.exists("a")
    assert store.names("nowhere") == []


@settings(max_examples=25, deadline=None)
@given(content=st.binary(max_size=5000))
def test_any_bytes_survive(tmp_path_factory: pytest.TempPathFactory, content: bytes) -> None:
    store = open_store(tmp_path_factory.mktemp("store"))
    store.write("x", content)
    assert store.read("x") == content


def test_probe_leaves_nothing_behind(store: Store) -> None:
    store.probe()
    assert store.names("") == []


def test_a_store_knows_that_it_is_in_memory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/shm")
    assert open_store(tmp_path / "link" / "runs").is_in_memory()
    assert open_store("/dev/shm/softaug/runs").is_in_memory()
    assert not open_store("/proc/self").is_in_memory()


def test_probe_refuses_a_folder_it_cannot_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefused, match="choose a folder you may write to"):
        open_store(tmp_path / "file").probe()


def test_probe_refuses_a_store_without_exclusive_creation(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.link", lambda source, target: Path(target).write_bytes(Path(source).read_bytes()))
    with pytest.raises(StoreRefused, match="exclusive creation"):
        store.probe()


def test_a_url_is_refused_with_the_way_out() -> None:
    with pytest.raises(StoreRefused, match="give its path"):
        open_store("s3://bucket/runs")


def test_no_name_is_refused_rather_than_the_working_folder_taken() -> None:
    with pytest.raises(StoreRefused, match="has no name"):
        open_store("")


def test_the_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("runs").root == tmp_path / "runs"
    with pytest.raises(ValueError, match="absolute"):
        Store(Path("runs"))
