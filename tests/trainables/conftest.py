"""Where the ledger's contract is tested: in a folder, and in a bucket of a real S3 server."""

import itertools
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import s3
from trainables import object_store
from trainables.store import Store, open_store

NUMBERS = itertools.count()


@pytest.fixture(scope="session")
def s3_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Return the URL of a real S3 server with an empty bucket."""
    with s3.seaweed(tmp_path_factory.mktemp("seaweed")) as url:
        yield url


@pytest.fixture
def anew(monkeypatch: pytest.MonkeyPatch) -> Iterator[pytest.MonkeyPatch]:
    """Let this process connect anew, in the environment of this test alone."""
    object_store._connection_of.cache_clear()
    yield monkeypatch
    object_store._connection_of.cache_clear()


@pytest.fixture
def bucket(s3_url: str, anew: pytest.MonkeyPatch) -> str:
    """Return a place of its own in the bucket."""
    for name, value in s3.settings(s3_url).items():
        anew.setenv(name, value)
    return f"s3://{s3.BUCKET}/place-{next(NUMBERS)}"


@pytest.fixture(params=["folder", "bucket"])
def place(request: pytest.FixtureRequest) -> str:
    """Return the location of an empty store of either kind."""
    if request.param == "bucket":
        found: str = request.getfixturevalue("bucket")
        return found
    folder: Path = request.getfixturevalue("tmp_path")
    return str(folder)


@pytest.fixture
def store(place: str) -> Store:
    """Return an empty store of either kind."""
    return open_store(place)
