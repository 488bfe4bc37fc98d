"""A store in a folder that every node of a cluster sees: a local disk, or a shared file system with hard links.

A write is a temporary file, fsync and rename; a creation is a temporary file, fsync and a hard link.
"""

import errno
import os
import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from stat import S_ISREG

from typing_extensions import override

from trainables.store import FileStatus, Store


class FolderStore(Store):
    """The store in the folder `root`, an absolute path."""

    everywhere = "mount one shared folder at the same path on every node, or name it with --store"
    otherwise = "or choose a folder you may write to, with --store"
    needs = "choose a local disk or a shared file system with hard links, with --store"

    def __init__(self, root: Path) -> None:
        if not root.is_absolute():
            raise ValueError(f"root must be absolute, got {root}: trials run in another working directory")
        self.root = root
        self.location = str(root)

    def read(self, path: str) -> bytes:
        """Return a file's content."""
        return (self.root / path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        """Create or replace a file."""
        target = self.root / path
        temporary = _write_beside(target, content)
        os.replace(temporary, target)

    def write_as(self, provisional: str, content: bytes, path: Callable[[], str]) -> None:
        """Write a file, then give it its name."""
        self.write(provisional, content)
        self.rename(provisional, path())

    def rename(self, path: str, new: str) -> None:
        """Give a file another name, replacing what has it."""
        os.replace(self.root / path, self.root / new)

    def create(self, path: str, content: bytes) -> bool:
        """Create a file that does not exist yet."""
        target = self.root / path
        temporary = _write_beside(target, content)
        try:
            os.link(temporary, target)
        except FileExistsError:
            return False
        finally:
            temporary.unlink()
        _sync_folder(target.parent)
        return True

    def names(self, folder: str, *, hidden: bool = False) -> list[str]:
        """Return the sorted names in a folder."""
        try:
            names = os.listdir(self.root / folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if hidden or not name.startswith("."))

    def status(self, path: str) -> FileStatus | None:
        """Return size and age of a file."""
        try:
            found = os.stat(self.root / path)
        except (FileNotFoundError, NotADirectoryError):
            return None
        return FileStatus(found.st_size, found.st_mtime) if S_ISREG(found.st_mode) else None

    def bytes_in(self, folder: str) -> int:
        """Return the size of all files in a folder."""
        return sum(path.stat().st_size for path in (self.root / folder).rglob("*") if path.is_file())

    def delete(self, path: str) -> None:
        """Delete a file."""
        (self.root / path).unlink(missing_ok=True)

    def place(self, path: str) -> str:
        """Return the absolute path."""
        return str(self.root / path)

    @override
    def local(self, path: str, folder: Path) -> Path:
        """Return the file itself."""
        return self.root / path

    def scratch(self, path: str) -> Path:
        """Return the file itself; its folder is there."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        return file

    def problems(self) -> list[str]:
        """Return a problem if the folder, or the one it would be made in, cannot be written to; create nothing."""
        return unwritable(self.root, "store", "--store")

    def explain(self, error: OSError) -> str:
        """Return in a sentence why the folder could not be used."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            disk = shutil.disk_usage(next(path for path in (self.root, *self.root.parents) if path.exists()))
            return (
                f"the store {self.root} is full ({disk.free:,} of {disk.total:,} bytes free, or its quota is used up); "
                "free some space, then launch again: every trial goes on from its last checkpoint"
            )
        return f"the store {self.root} cannot be used: {error.strerror or error}"

    def is_in_memory(self) -> bool:
        """Say whether the folder lies in a tmpfs."""
        mounts = Path("/proc/self/mounts")
        if not mounts.exists():  # no Linux
            return False
        root = self.root.resolve()
        place = next(path for path in (root, *root.parents) if path.is_mount())
        kinds = [kind for _, where, kind, *_ in map(str.split, mounts.read_text().splitlines()) if where == str(place)]
        return kinds[-1:] == ["tmpfs"]


def unwritable(folder: Path, what: str, option: str) -> list[str]:
    """Return a problem if this folder, or the one it would be made in, cannot be written to; create nothing."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return [f"{what} {folder}: {existing} is a file, not a folder; choose another with {option}"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"{what} {folder}: you may not write to {existing}; choose another with {option}"]
    return []


def _write_beside(target: Path, content: bytes) -> Path:
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    return temporary


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
