"""The store: a folder that every node of a cluster sees, and the five operations the ledger needs of it.

A write replaces a whole file atomically and durably (temporary file, fsync, rename). A creation is exclusive and
atomic at once: the content is complete before the name exists (temporary file, fsync, hard link), so of several
processes exactly one succeeds and a reader never sees half a file. `probe` tries both before anything starts.
"""

import errno
import os
import shutil
import socket
import uuid
from pathlib import Path


class StoreRefused(Exception):
    """The store cannot hold a ledger; the message says why and what to do."""


class Store:
    """A ledger's root folder. Paths are relative to it, with forward slashes."""

    def __init__(self, root: Path) -> None:
        if not root.is_absolute():
            raise ValueError(f"root must be absolute, got {root}: trials run in another working directory")
        self.root = root

    def read(self, path: str) -> bytes:
        """Return a file's content. Raises FileNotFoundError."""
        return (self.root / path).read_bytes()

    def write(self, path: str, content: bytes) -> None:
        """Create or replace a file: afterwards it holds `content`, or, after a crash, what it held before."""
        target = self.root / path
        temporary = _write_beside(target, content)
        os.replace(temporary, target)

    def rename(self, path: str, new: str) -> None:
        """Give a file another name, replacing what has it."""
        os.replace(self.root / path, self.root / new)

    def create(self, path: str, content: bytes) -> bool:
        """Create a file that does not exist yet. Return False, changing nothing, if it does."""
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

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder, none if it does not exist."""
        try:
            names = os.listdir(self.root / folder)
        except FileNotFoundError:
            return []
        return sorted(name for name in names if not name.startswith("."))

    def exists(self, path: str) -> bool:
        """Say whether a file is there."""
        return (self.root / path).exists()

    def delete(self, path: str) -> None:
        """Delete a file; one that is gone already is fine."""
        (self.root / path).unlink(missing_ok=True)

    def set_aside(self, path: str) -> str:
        """Move a damaged file out of the way, to damaged/..., where nothing reads it; return its new path."""
        content, number = self.read(path), 1
        while not self.create(f"damaged/{path}.{number}", content):
            number += 1
        self.delete(path)
        return f"damaged/{path}.{number}"

    def explain(self, error: OSError) -> str:
        """Return in a sentence why the store could not be written to, and what to do."""
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            disk = shutil.disk_usage(next(path for path in (self.root, *self.root.parents) if path.exists()))
            return (
                f"the store {self.root} is full ({disk.free:,} of {disk.total:,} bytes free, or its quota is used up); "
                "free some space, then launch again: every trial goes on from its last checkpoint"
            )
        return f"the store {self.root} cannot be used: {error.strerror or error}"

    def is_in_memory(self) -> bool:
        """Say whether the store lies in this machine's memory (tmpfs), which the next start of the machine empties."""
        mounts = Path("/proc/self/mounts")
        if not mounts.exists():  # no Linux
            return False
        root = self.root.resolve()
        place = next(path for path in (root, *root.parents) if path.is_mount())
        kinds = [kind for _, where, kind, *_ in map(str.split, mounts.read_text().splitlines()) if where == str(place)]
        return kinds[-1:] == ["tmpfs"]

    def probe(self) -> None:
        """Write, create, create again, read back, delete. Raises StoreRefused with the reason."""
        path = f"probe-{socket.gethostname()}-{uuid.uuid4().hex}"
        try:
            created, again = self.create(path, b"1"), self.create(path, b"2")
            self.write(path, b"3")
            content = self.read(path)
            self.delete(path)
        except OSError as error:
            raise StoreRefused(f"{self.explain(error)}; or choose a folder you may write to, with --store") from error
        if not created or again or content != b"3":
            raise StoreRefused(
                f"the store {self.root} does not keep exclusive creation (two writers both succeeded); "
                "choose a local disk or a shared file system with hard links, with --store"
            )


def open_store(location: str | Path) -> Store:
    """Return the store at a folder, made absolute. Raises StoreRefused for a URL or no name at all."""
    text = str(location)
    if not text:
        raise StoreRefused("the store has no name; give the path of a folder, with --store or SOFTAUG_STORE")
    if "://" in text:
        raise StoreRefused(
            f"the store {text} is a URL; a ledger needs a folder that every node sees (a local disk, or a shared "
            "file system for several nodes): give its path"
        )
    return Store(Path(text).expanduser().absolute())


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
