"""What is left after faults, read independently of the code under test: the ledger as raw JSON, MLflow by its client.

The history is what the trials' own processes wrote outside the store (see site/injected.py).
"""

import json
import tempfile
from collections.abc import Container, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
from mlflow import MlflowClient

Json = dict[str, Any]
Point = tuple[int, float]  # step, value

AGENTS = {"ray::DashboardAgent", "ray::RuntimeEnvAgent"}  # they notice the death of their raylet after a minute
STARTED_WITHIN_S = 120.0  # a process notes that it is there so soon after its start


@dataclass(frozen=True)
class Trial:
    """A trial's folder: attempts and rows by attempt number, how it ended, and how given up attempts had."""

    recipe: Json | None
    attempts: dict[int, Json]
    rows: dict[int, list[Json]]
    end: Json | None
    earlier_ends: dict[int, Json]

    @property
    def newest_rows(self) -> list[Json]:
        """Return the rows of the newest attempt."""
        return self.rows.get(max(self.attempts), []) if self.attempts else []


@dataclass(frozen=True)
class Run:
    """An MLflow run with the whole history of each of its metrics."""

    experiment: str
    status: str
    tags: dict[str, str]
    metrics: dict[str, list[Point]]


@dataclass(frozen=True)
class Evidence:
    """Everything an invariant may look at. `runs` None: there is no MLflow.

    `cut_off`: attempts (trial, number) that were given up for dead and trained on, where their launch cannot see them.
    """

    events: list[Json]
    trials: dict[str, Trial]
    sweeps: list[Json]
    runs: list[Run] | None
    leftovers: list[str] = field(default_factory=list)
    cut_off: frozenset[tuple[str, int]] = frozenset()

    def trial_events(self, *kinds: str) -> dict[str, list[Json]]:
        """Return the events of these kinds by trial, in order."""
        found: dict[str, list[Json]] = {}
        for event in self.events:
            if event["event"] in kinds:
                found.setdefault(event["trial"], []).append(event)
        return found


def read_events(history: Path) -> list[Json]:
    """Return the history so far, none if nothing was written yet."""
    lines = history.read_text().split("\n")[:-1] if history.exists() else []
    return [json.loads(line) for line in lines]


def read_trials(store: Path) -> dict[str, Trial]:
    """Return every trial's folder by key."""
    return {folder.name: _trial(folder) for folder in sorted(store.glob("trials/*/*"))}


def _trial(folder: Path) -> Trial:
    rows = {int(path.parent.name): _lines(path) for path in folder.glob("0*/epochs.jsonl")}
    return Trial(
        recipe=_json(folder / "recipe.json"),
        attempts={int(path.stem[-4:]): json.loads(path.read_text()) for path in folder.glob("attempt-*.json")},
        rows=rows,
        end=_json(folder / "end.json"),
        earlier_ends={int(path.parent.name): json.loads(path.read_text()) for path in folder.glob("0*/end.json")},
    )


def _json(path: Path) -> Json | None:
    return json.loads(path.read_text()) if path.exists() else None


def _lines(path: Path) -> list[Json]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def read_sweeps(store: Path) -> list[Json]:
    """Return the resolved sweeps that were launched into a store."""
    return [json.loads(path.read_text()) for path in sorted(store.glob("sweeps/*.json"))]


def read_runs(tracking_uri: str) -> list[Run]:
    """Return all runs of all experiments, deleted ones included."""
    client = MlflowClient(tracking_uri)
    return [
        Run(
            experiment.name,
            run.info.status,
            dict(run.data.tags),
            {
                name: [(row.step, row.value) for row in client.get_metric_history(run.info.run_id, name)]
                for name in run.data.metrics
            },
        )
        for experiment in client.search_experiments()
        for run in client.search_runs([experiment.experiment_id], max_results=10_000)
    ]


def leftovers(store: Path, history: Path, launched: list[int], running: Container[int] = ()) -> Iterator[str]:
    """Say what launches with these process ids left behind: processes, folders of Ray and Tune, temporary files.

    The processes `running` are a cluster's, which goes on.
    """
    for process in alive(history, history.parent, agents=False, running=running):
        yield f"process {process}"
    folders = [path for pid in launched for path in Path(tempfile.gettempdir()).glob(f"softaug-ray-{pid}-*")]
    folders += [path for path in store.rglob("tune-*") if path.is_dir()]
    for path in folders:
        yield f"folder {path}"
    for path in cut_off(store):
        yield f"temporary file {path.relative_to(store)}"


def cut_off(store: Path) -> list[Path]:
    """Return the temporary files of writes that were cut off."""
    return sorted(path for pattern in (".*", "checkpoint.new") for path in store.rglob(pattern) if path.is_file())


def alive(history: Path, plans: Path, *, agents: bool, running: Container[int] = ()) -> list[str]:
    """Return the processes of launches with plans in this folder that run still; with or without Ray's agents.

    They are known by the history, which every Python process enters, and by their environment. Those `running` are
    meant to, and left out.
    """
    noted = {event["pid"]: event["time"] for event in read_events(history) if event["event"] == "process"}
    found = []
    for process in psutil.process_iter():
        with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.pid in running or process.status() == psutil.STATUS_ZOMBIE:
                continue
            if not (_is_noted(process, noted) or _has(process, plans)):
                continue
            if agents or (process.name() not in AGENTS and not set(process.cmdline()) & AGENTS):
                found.append(f"{process.pid} {process.name()}")
    return found


def _is_noted(process: psutil.Process, noted: dict[int, float]) -> bool:
    return process.pid in noted and 0 <= noted[process.pid] - process.create_time() + 1 <= STARTED_WITHIN_S


def _has(process: psutil.Process, plans: Path) -> bool:
    return process.environ().get("SOFTAUG_FAULTS", "").startswith(f"{plans}/")
