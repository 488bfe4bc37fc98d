"""A store in a bucket of S3, or of anything that speaks it and keeps conditional PUTs: `s3://bucket/prefix`.

A write is one PUT, a creation one PUT with `If-None-Match: *`, whatever the size: fsspec's own `pipe_file` cuts large
content into parts, and looks names up in listings that it remembers, so the requests are made by name here. Endpoint
and credentials are those of every AWS tool: the environment (AWS_ENDPOINT_URL, AWS_ACCESS_KEY_ID, ...) or ~/.aws.
"""

import os
import secrets
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from typing_extensions import override

from trainables.object_errors import (
    CONFLICTS,
    MISSING_BUCKET,
    NO_CREDENTIALS,
    PRECONDITION_FAILED,
    code_of,
    failure,
    unreachable,
)
from trainables.store import FileStatus, Store, StoreFailed, StoreRefused

if TYPE_CHECKING:
    from s3fs import S3FileSystem

CREATOR = "softaug-creator"  # the metadata that tells an object's creator from all others
CONNECT_TIMEOUT_S = 5
READ_TIMEOUT_S = 60
ATTEMPTS = 6  # of a request, by botocore: about 15 s of pauses in all
CONFLICT_PAUSES_S = (0.05, 0.1, 0.2, 0.4, 0.8)


def at(bucket: str, prefix: str) -> "ObjectStore":
    """Return the store there; nothing is asked of it yet. Raises StoreRefused without the package for it."""
    if find_spec("s3fs") is None:
        raise StoreRefused(f"the store s3://{bucket}/{prefix} needs the package s3fs; pip install 'softaug[s3]'")
    return ObjectStore(bucket, prefix)


class ObjectStore(Store):
    """The store below a prefix, "" for none, of a bucket; it can be handed to other processes."""

    everywhere = "set the same AWS_ENDPOINT_URL and credentials on every node, before Ray starts there"
    otherwise = "or choose another store, with --store"
    needs = "a ledger needs a server with atomic conditional PUTs (If-None-Match) and listings that are up to date"

    def __init__(self, bucket: str, prefix: str) -> None:
        self.bucket = bucket
        self.root = f"{prefix}/" if prefix else ""
        self.location = f"s3://{bucket}/{self.root}".rstrip("/")

    def read(self, path: str) -> bytes:
        """Return an object's content."""
        with self._told():
            content: bytes = _connection().cat_file(f"{self.bucket}/{self.root}{path}")
        return content

    def write(self, path: str, content: bytes) -> None:
        """Create or replace an object."""
        self._ask("put_object", path, Body=content)

    @override
    def write_as(self, provisional: str, content: bytes, path: Callable[[], str]) -> None:
        """Write an object under its name at once: it is whole or not there."""
        self.write(path(), content)

    def create(self, path: str, content: bytes) -> bool:
        """Create an object that does not exist yet.

        A request whose answer was lost is sent again, and then finds what it had created itself: so an object knows
        its creator.
        """
        creator = secrets.token_hex(16)
        for pause_s in (*CONFLICT_PAUSES_S, None):
            try:
                self._ask("put_object", path, Body=content, IfNoneMatch="*", Metadata={CREATOR: creator})
            except StoreFailed as error:
                if error.code in PRECONDITION_FAILED:
                    return self._creator(path) == creator
                if error.code not in CONFLICTS or pause_s is None:
                    raise
                time.sleep(pause_s)  # S3 says so if another request for it was under way: it is to be sent again
            else:
                return True
        raise AssertionError("unreachable: the last try returns or raises")

    def names(self, folder: str, *, hidden: bool = False) -> list[str]:
        """Return the sorted names in a folder."""
        below = self._key(folder)
        below = f"{below}/" if below and not below.endswith("/") else below
        names = set()
        for page in self._pages(below, Delimiter="/"):
            found = [each["Key"] for each in page.get("Contents", [])]
            found += [each["Prefix"] for each in page.get("CommonPrefixes", [])]
            names |= {key[len(below) :].rstrip("/") for key in found}
        return sorted(name for name in names if name and (hidden or not name.startswith(".")))

    def status(self, path: str) -> FileStatus | None:
        """Return size and age of an object."""
        try:
            found = self._ask("head_object", path)
        except FileNotFoundError:
            return None
        return FileStatus(found["ContentLength"], found["LastModified"].timestamp())

    def bytes_in(self, folder: str) -> int:
        """Return the size of all objects in a folder."""
        pages = self._pages(f"{self._key(folder)}/")
        return sum(each["Size"] for page in pages for each in page.get("Contents", []))

    def delete(self, path: str) -> None:
        """Delete an object."""
        self._ask("delete_object", path)

    def place(self, path: str) -> str:
        """Return the URL."""
        return f"s3://{self.bucket}/{self._key(path)}"

    def local(self, path: str, folder: Path) -> Path:
        """Return a copy of the object."""
        copy = folder / Path(path).name
        copy.write_bytes(self.read(path))
        return copy

    def scratch(self, path: str) -> Path:
        """Return a file in a folder of temporary files that only this user can read."""
        folder = Path(tempfile.gettempdir()) / f"softaug-{os.getuid()}"
        folder.mkdir(mode=0o700, exist_ok=True)
        if folder.is_symlink() or folder.stat().st_uid != os.getuid():
            raise PermissionError(f"{folder} belongs to somebody else; delete it, or set TMPDIR to another folder")
        return folder / sha256(self.place(path).encode()).hexdigest()

    def problems(self) -> list[str]:
        """Return why the bucket cannot hold a ledger; an object is created and deleted, for nothing less tells."""
        try:
            endpoint, has_credentials = self._connected()
        except OSError as error:
            return [self.explain(error)]
        found = [] if has_credentials else [f"the store {self.location} cannot be used: {NO_CREDENTIALS}"]
        found += unreachable(self.location, endpoint, CONNECT_TIMEOUT_S)
        if not found:
            try:
                self.probe()
            except StoreRefused as refused:
                found.append(str(refused))
        return found

    def explain(self, error: OSError) -> str:
        """Return in a sentence why the bucket could not be used."""
        return str(
            error if isinstance(error, StoreFailed) else StoreFailed(self.location, str(error.strerror or error))
        )

    def is_in_memory(self) -> bool:
        """Return False: a bucket is elsewhere."""
        return False

    def _key(self, path: str) -> str:
        return f"{self.root}{path}" if path else self.root

    def _creator(self, path: str) -> str | None:
        try:
            creator: str | None = self._ask("head_object", path)["Metadata"].get(CREATOR)
        except FileNotFoundError:
            return None
        return creator

    def _pages(self, prefix: str, **more: str) -> Iterator[dict[str, Any]]:
        token: dict[str, str] = {}
        while True:
            with self._told():
                page = _connection().call_s3("list_objects_v2", Bucket=self.bucket, Prefix=prefix, **more, **token)
            yield page
            if not page.get("IsTruncated"):
                return
            token = {"ContinuationToken": page["NextContinuationToken"]}

    def _connected(self) -> tuple[str, bool]:
        """Return the endpoint's URL, and whether there are credentials; nothing is sent to it."""
        from fsspec.asyn import sync

        connection = _connection()
        with self._told():
            client = connection.connect()
            credentials = sync(connection.loop, connection.session.get_credentials)
        return str(client.meta.endpoint_url), credentials is not None

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Let every failure be StoreFailed, but FileNotFoundError if it is the object that is not there."""
        from botocore.exceptions import BotoCoreError

        try:
            yield
        except FileNotFoundError as error:
            if code_of(error) in MISSING_BUCKET:
                raise failure(error, self.location, self.bucket) from error
            raise
        except (OSError, BotoCoreError, ValueError) as error:
            raise failure(error, self.location, self.bucket) from error

    def _ask(self, what: str, path: str, **how: object) -> dict[str, Any]:
        with self._told():
            answer: dict[str, Any] = _connection().call_s3(what, Bucket=self.bucket, Key=self._key(path), **how)
        return answer


def _connection() -> "S3FileSystem":
    """Return this process' connections, which threads share; a forked process makes its own."""
    return _connection_of(os.getpid())


@cache
def _connection_of(_pid: int) -> "S3FileSystem":
    from s3fs import S3FileSystem

    connection = S3FileSystem(
        use_listings_cache=False,
        skip_instance_cache=True,
        max_concurrency=1,
        config_kwargs={
            "retries": {"mode": "standard", "total_max_attempts": ATTEMPTS},
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": READ_TIMEOUT_S,
        },
    )
    connection.retries = 2  # on top of botocore's own, which do not cover an answer that is cut off
    return connection
