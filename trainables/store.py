"""The store: where the ledger lies. one contract, kept by a folder and by an S3 bucket.

A write replaces a whole file, atomically and durably. A creation is exclusive and atomic at once: the content is
complete before the name exists, so of several processes exactly one succeeds and a reader never sees half a file.
What one process has written every other reads and lists at once. `probe` tries all of that before anything starts.
"""

import errno
import re
import socket
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://(.*)")
BUCKET_AND_PREFIX = re.compile(r"([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])((?:/[A-Za-z0-9._=+-]+)*)/*")
ALLOWED = "give the path of a folder that every node sees, or s3://bucket/prefix"


class StoreRefused(Exception):
    """The store cannot hold a ledger; the message says why and what to do."""


class StoreFailed(OSError):
    """A store that is a URL does not do what it was asked; the message says why. `code`: the server's word for it."""

    def __init__(self, location: str, why: str, code: str = "") -> None:
        super().__init__(errno.EIO, why)
        self.location = location
        self.code = code

    def __str__(self) -> str:
        """Return a sentence that a person understands."""
        return f"the store {self.location} cannot be used: {self.strerror}"


class FileStatus(NamedTuple):
    """Size in bytes, and when the file was last written, in Unix seconds."""

    size: int
    modified: float


class Store(ABC):
    """A ledger's root. Paths are relative to it, with forward slashes; whatever goes wrong is an OSError.

    `location` is what opens it again, here and on every node, and what people are shown: it holds no secrets.
    `everywhere`: how every node of a cluster comes to see the same store. `otherwise`: what to do if it is refused.
    """

    location: str
    everywhere: str
    otherwise: str
    needs: str

    @abstractmethod
    def read(self, path: str) -> bytes:
        """Return a file's content. Raises FileNotFoundError."""

    @abstractmethod
    def write(self, path: str, content: bytes) -> None:
        """Create or replace a file: afterwards it holds `content`, or, after a crash, what it held before."""

    @abstractmethod
    def write_as(self, provisional: str, content: bytes, path: Callable[[], str]) -> None:
        """Write a file whose path is known only once `path` returns, which may take as long as writing does.

        Meanwhile the content may lie at `provisional`.
        """

    @abstractmethod
    def create(self, path: str, content: bytes) -> bool:
        """Create a file that does not exist yet. Return False, changing nothing, if it does."""

    @abstractmethod
    def names(self, folder: str, *, hidden: bool = False) -> list[str]:
        """Return the sorted names in a folder, none if it does not exist; those that begin with a dot if asked to."""

    @abstractmethod
    def status(self, path: str) -> FileStatus | None:
        """Return size and age of a file, None if there is none."""

    @abstractmethod
    def bytes_in(self, folder: str) -> int:
        """Return the size of all files in a folder and the folders in it."""

    @abstractmethod
    def delete(self, path: str) -> None:
        """Delete a file; one that is gone already is fine."""

    @abstractmethod
    def place(self, path: str) -> str:
        """Return where a person finds this file or folder: an absolute path, or a URL."""

    @abstractmethod
    def local(self, path: str, folder: Path) -> Path:
        """Return a file of this machine with this file's content: itself, or a copy of it in `folder`."""

    @abstractmethod
    def scratch(self, path: str) -> Path:
        """Return the file of this machine that a dying process writes `path` to; another one has to be brought."""

    @abstractmethod
    def problems(self) -> list[str]:
        """Return what keeps the store from being used, as far as can be said without leaving a trace in it."""

    @abstractmethod
    def explain(self, error: OSError) -> str:
        """Return in a sentence why the store could not be used, and what to do."""

    @abstractmethod
    def is_in_memory(self) -> bool:
        """Say whether the store lies in this machine's memory (tmpfs), which the next start of the machine empties."""

    def exists(self, path: str) -> bool:
        """Say whether a file is there."""
        return self.status(path) is not None

    def set_aside(self, path: str) -> str:
        """Move a damaged file out of the way, to damaged/..., where nothing reads it; return its new path."""
        content, number = self.read(path), 1
        while not self.create(f"damaged/{path}.{number}", content):
            number += 1
        self.delete(path)
        return f"damaged/{path}.{number}"

    def probe(self) -> None:
        """Look for a file, create it, create it again, replace it, read and list it, delete it.

        Raises StoreRefused with the reason.
        """
        path = f"probe-{socket.gethostname()}-{uuid.uuid4().hex}"
        try:
            found = self.exists(path)
            created, again = self.create(path, b"1"), self.create(path, b"2")
            self.write(path, b"3")
            content, listed = self.read(path), path in self.names("")
            self.delete(path)
        except OSError as error:
            raise StoreRefused(f"{self.explain(error)}; {self.otherwise}") from error
        if found or not created or again or content != b"3":
            raise StoreRefused(
                f"the store {self.location} does not keep exclusive creation (two writers both succeeded); {self.needs}"
            )
        if not listed:
            raise StoreRefused(f"the store {self.location} does not list what was just written; {self.needs}")


def open_store(location: str | Path) -> Store:
    """Return the store at a folder, made absolute, or at s3://bucket/prefix; nothing is asked of either yet.

    Raises StoreRefused for no name at all, another kind of URL, one with a password, or without the packages for it.
    """
    from trainables.folder_store import FolderStore

    text = str(location)
    if not text:
        raise StoreRefused("the store has no name; give the path of a folder, with --store or SOFTAUG_STORE")
    place = place_in_s3(text)
    if place is None:
        return FolderStore(Path(text).expanduser().absolute())
    from trainables import object_store

    return object_store.at(*place)


def place_in_s3(location: str) -> tuple[str, str] | None:
    """Return bucket and prefix, "" for none, of an s3:// URL; None of a path. Raises StoreRefused for other URLs."""
    url = URL.fullmatch(location)
    if url is None:
        return None
    scheme, rest = url[1].lower(), url[2]
    if scheme != "s3":
        raise StoreRefused(f"the store is a URL that begins with {scheme}://, which is not supported; {ALLOWED}")
    if "@" in rest.partition("/")[0]:
        raise StoreRefused(
            "the store's URL holds a user or a password, which would be shown and kept; write s3://bucket/prefix, and "
            "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write them into ~/.aws/credentials"
        )
    found = BUCKET_AND_PREFIX.fullmatch(rest)
    if found is None or {".", ".."} & set(found[2].split("/")):
        raise StoreRefused(
            f"the store {location} is no bucket with a prefix; write it as in s3://results/softaug: a bucket of 3 to "
            "63 lower-case letters, digits, dots and hyphens, folders of letters, digits and . _ = + -"
        )
    return found[1], found[2].strip("/")
