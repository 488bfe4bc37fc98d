"""All that MLflow holds of an experiment, comparable: runs by kind and key, without MLflow's own ids."""

from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

SEEDS_APART_MS = 5_000
Contents = dict[tuple[str, str], dict[str, Any]]


def contents(uri: str, experiment: str, downloads: Path) -> Contents:
    """Return every run of an experiment; two of the same trial or cell, or a metric twice at a step, are an error."""
    client = MlflowClient(uri)
    assert client.search_runs(["0"], run_view_type=ViewType.ALL) == [], "nothing is in the experiment Default"
    runs = client.search_runs([client.get_experiment_by_name(experiment).experiment_id])
    cell_of = {run.info.run_id: run.data.tags["cell_key"] for run in runs if run.data.tags["kind"] == "cell"}
    found = {_place(run): _one(client, run, cell_of, downloads) for run in runs}
    assert len(found) == len(runs), "one run per trial and cell"
    return found


def _place(run: Run) -> tuple[str, str]:
    kind = run.data.tags["kind"]
    return kind, run.data.tags[f"{kind}_key"]


def _one(client: MlflowClient, run: Run, cell_of: dict[str, str], downloads: Path) -> dict[str, Any]:
    tags = dict(run.data.tags)
    if "mlflow.parentRunId" in tags:
        tags["mlflow.parentRunId"] = cell_of[tags["mlflow.parentRunId"]]
    history = {
        name: [(row.step, row.timestamp, row.value) for row in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }
    for name, rows in history.items():
        assert len({step for step, *_ in rows}) == len(rows), f"{name} has a step twice"
    folder = downloads / run.info.run_id
    folder.mkdir(parents=True)
    names = sorted(item.path for item in client.list_artifacts(run.info.run_id))
    files = {name: Path(client.download_artifacts(run.info.run_id, name, str(folder))).read_bytes() for name in names}
    return {
        "name": run.info.run_name,
        "status": run.info.status,
        "times": (run.info.start_time, run.info.end_time),
        "params": dict(run.data.params),
        "tags": tags,
        "metrics": history,
        "files": files,
    }


def differing(one: Contents, other: Contents) -> list[str]:
    """Return what differs between two experiments that were filled in different ways, in words.

    A cell begins when the first of its seeds is seen to: of two that begin at once, which that is may differ.
    """
    found = [f"{place} is in one only" for place in one.keys() ^ other.keys()]
    for place in one.keys() & other.keys():
        for name, value in one[place].items():
            theirs = other[place][name]
            if name == "times" and place[0] == "cell" and value[1] == theirs[1]:
                if abs(value[0] - theirs[0]) > SEEDS_APART_MS:
                    found.append(f"{place} begins at {value[0]} and {theirs[0]}")
            elif value != theirs:
                found.append(f"{place} has {name} {_short(value, theirs)}")
    return found


def _short(value: Any, theirs: Any) -> str:
    if isinstance(value, dict):
        names = [name for name in {**value, **theirs} if value.get(name) != theirs.get(name)]
        value, theirs = ({name: str(each.get(name))[:300] for name in names} for each in (value, theirs))
    return f"{value} and {theirs}"
