"""Whether a node of a cluster sees the store that the launch writes to; runs on that node, in a process of its own."""

import platform
import socket
from importlib import metadata
from typing import NamedTuple

from trainables.store import Store, StoreRefused, open_store


class NodeReport(NamedTuple):
    """What a node says of itself. `problem`: why it cannot take trials of this store, None if it can."""

    host: str
    softaug: str
    python: str
    problem: str | None


def look(location: str, name: str, content: bytes) -> NodeReport:
    """Say whether this node sees the file that the launch just wrote, and may create files exclusively beside it."""
    try:
        problem = _problem(open_store(location), name, content)
    except StoreRefused as refused:
        problem = str(refused)
    return NodeReport(
        host=socket.gethostname(),
        softaug=metadata.version("softaug"),
        python=platform.python_version(),
        problem=problem,
    )


def _problem(store: Store, name: str, content: bytes) -> str | None:
    try:
        found = store.read(name)
    except FileNotFoundError:
        return (
            f"the store {store.location} is another one there: it lacks what this launch just wrote; {store.everywhere}"
        )
    except OSError as error:
        return f"{store.explain(error)}; {store.everywhere}"
    if found != content:
        return f"the store {store.location} shows old content of a file this launch just wrote; {store.everywhere}"
    try:
        store.probe()
    except StoreRefused as refused:
        return str(refused)
    return None
