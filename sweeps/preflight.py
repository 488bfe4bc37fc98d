"""What is checked before anything starts, so that a launch is refused within seconds and nothing has been written.

Nothing here imports torch, ray or mlflow.
"""

import os
from pathlib import Path

from softaug import datasets
from softaug.datasets import MissingData
from sweeps.preflight_ray import unreachable_ray
from sweeps.preflight_tracking import tracking_problems
from sweeps.resolved import ResolvedSweep
from trainables.store import Store


class Refused(Exception):
    """A launch cannot start; `.problems` are sentences, one each."""

    def __init__(self, problems: list[str]) -> None:
        super().__init__("\n".join(problems))
        self.problems = problems


def check(sweep: ResolvedSweep, *, store: Store, data: Path | None, tracking_uri: str | None, address: str) -> None:
    """Check data, store, tracking URI (None: not wanted) and Ray address. Raises Refused with every problem."""
    problems = [*missing_data(sweep, data), *unwritable(store.root, "store", "--store")]
    if tracking_uri is not None:
        found = unreachable_tracking(tracking_uri, sweep.experiment)
        if found and problems and str(store.root) in tracking_uri:
            found = []  # beside the store it stands or falls with it
        problems += found
    if address != "local":
        problems += unreachable_ray(address)
    if problems:
        raise Refused(problems)


def missing_data(sweep: ResolvedSweep, data: Path | None) -> list[str]:
    """Return a problem for every data set of the sweep that is not there."""
    problems = []
    for name in sorted(sweep.data_names):
        try:
            datasets.locate(name, data)
        except MissingData as error:
            problems.append(str(error))
    return problems


def unwritable(folder: Path, what: str, option: str) -> list[str]:
    """Return a problem if this folder, or the one it would be made in, cannot be written to; create nothing."""
    existing = next(path for path in (folder, *folder.parents) if path.exists())
    if not existing.is_dir():
        return [f"{what} {folder}: {existing} is a file, not a folder; choose another with {option}"]
    if not os.access(existing, os.W_OK | os.X_OK):
        return [f"{what} {folder}: you may not write to {existing}; choose another with {option}"]
    return []


def unreachable_tracking(uri: str, experiment: str | None = None) -> list[str]:
    """Return a problem if no MLflow answers at this URI within seconds, or its experiment of this name was deleted."""
    problems = tracking_problems(uri, experiment)
    if not problems and uri.startswith("sqlite:"):
        folder = Path(uri.removeprefix("sqlite:///").partition("?")[0]).parent
        return unwritable(folder, "MLflow database folder", "--tracking-uri")
    return problems
