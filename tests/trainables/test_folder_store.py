"""What only a store in a folder can be asked."""

from pathlib import Path

import pytest

from trainables.folder_store import FolderStore
from trainables.store import StoreRefused, open_store


@pytest.fixture
def store(tmp_path: Path) -> FolderStore:
    return FolderStore(tmp_path)


def test_a_failed_write_leaves_the_old_content_and_no_rubbish(
    store: FolderStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.write("a", b"old")

    def fail(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="No space"):
        store.write("a", b"new")
    assert store.read("a") == b"old"
    assert [path.name for path in store.root.iterdir()] == ["a"]


def test_a_store_knows_that_it_is_in_memory(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/shm")
    assert open_store(tmp_path / "link" / "runs").is_in_memory()
    assert open_store("/dev/shm/softaug/runs").is_in_memory()
    assert not open_store("/proc/self").is_in_memory()


def test_probe_refuses_a_folder_it_cannot_write_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StoreRefused, match="choose a folder you may write to"):
        open_store(tmp_path / "file").probe()


def test_probe_refuses_a_folder_without_exclusive_links(store: FolderStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.link", lambda source, target: Path(target).write_bytes(Path(source).read_bytes()))
    with pytest.raises(StoreRefused, match="exclusive creation"):
        store.probe()


def test_the_root_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("runs").location == str(tmp_path / "runs")
    with pytest.raises(ValueError, match="absolute"):
        FolderStore(Path("runs"))
