"""What is checked before anything starts, so that a launch is refused within seconds and nothing has been written.

Nothing here imports torch, ray or mlflow.
"""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

from softaug import datasets
from softaug.datasets import MissingData
from sweeps.launch.preflight_ray import unreachable_ray
from sweeps.launch.preflight_tracking import OFFLINE, NoAnswer, shown, tracking_problems
from sweeps.resolved import ResolvedSweep
from trainables import launches
from trainables.folder_store import FolderStore
from trainables.store import Store


class Refused(Exception):
    """A launch cannot start; `.problems` are sentences, one each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def check(
    sweep: ResolvedSweep,
    *,
    store: Store,
    data: Path | None,
    tracking_uri: str | None,
    address: str,
    say: Callable[[str], None],
) -> None:
    """Check data, store, tracking URI (None: not wanted) and Ray address. Raises Refused with every problem.

    An MLflow that does not answer is said, not refused, if the sweep's last launch was lost: its trials go on.
    """
    problems = [*missing_data(sweep.data_names, data), *store.problems()]
    silence = None
    if tracking_uri is not None and (unfit := unfit_tracking(store, tracking_uri)):
        problems += unfit
    elif tracking_uri is not None:
        found = []
        try:
            found = tracking_problems(tracking_uri, sweep.experiment)
        except NoAnswer as heard:
            silence = str(heard)
        if not (problems and store.location in tracking_uri):  # beside the store it stands or falls with it
            problems += found
    of_ray = [] if address == "local" else unreachable_ray(address)
    if silence is not None and not problems and not of_ray and _was_lost(store, sweep):
        say(f"{silence}; this sweep's last launch was lost, so it goes on all the same, and I keep trying")
    elif silence is not None:
        problems.append(f"{silence}; {OFFLINE}")
    problems += of_ray
    if problems:
        raise Refused(problems)


def missing_data(names: Iterable[str], data: Path | None) -> list[str]:
    """Return a problem for every one of these data sets that is not there."""
    problems = []
    for name in sorted(names):
        try:
            datasets.locate(name, data)
        except MissingData as error:
            problems.append(str(error))
    return problems


def unfit_tracking(store: Store, uri: str) -> list[str]:
    """Return a problem if this MLflow, "" for none named, is of this machine and the store is not."""
    if isinstance(store, FolderStore) or uri.startswith(("http://", "https://")):
        return []
    named = f"the tracking URI {shown(uri)} is none" if uri else "none is named"
    return [
        f"the store {store.location} is a URL, which many machines can use, so MLflow has to be a server, and {named}; "
        "give its address with --tracking-uri, as in http://10.0.0.5:5000, or launch with --offline"
    ]


def unreachable_tracking(uri: str, experiment: str | None = None) -> list[str]:
    """Return a problem if no MLflow answers at this URI within seconds, or its experiment of this name was deleted."""
    try:
        return tracking_problems(uri, experiment)
    except NoAnswer as silence:
        return [f"{silence}; {OFFLINE}"]


def _was_lost(store: Store, sweep: ResolvedSweep) -> bool:
    last = launches.newest(store, sweep.experiment)
    return last is not None and not last.ended and not last.is_alive(time.time())
