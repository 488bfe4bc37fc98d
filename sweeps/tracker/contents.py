"""What MLflow shall show of a trial and of a cell, as values: read from the ledger, without a call to MLflow.

Texts longer than MLflow takes are cut visibly and say where the whole is. A cell's mean is written at step 0; `as_of`
is its time in milliseconds and only ever grows, since of several values at a step MLflow shows the latest in time.
An evaluation may come, and grow, long after a run has finished: its tag `evaluation` says which one has arrived.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import NamedTuple

from mlflow.entities import Metric

from softaug.estimate import Estimate
from softaug.recipe import flatten
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.survey import estimates, evaluation_estimates
from trainables import evaluation
from trainables.evaluation import Evaluation
from trainables.ledger import Attempt, AttemptFolder, End, Row, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

STATUS = {
    "finished": "FINISHED",
    "diverged": "FAILED",
    "failed": "FAILED",
    "stopped": "KILLED",
    "interrupted": "KILLED",
    "running": "RUNNING",
}
ENDED = ("finished", "diverged", "failed", "stopped")
FORM = {"form": "1"}  # tag of a run that is complete; raised when runs are written otherwise, which renews them
LONGEST_NAME = 250  # characters, of a run's name
LONGEST_PARAM = 6000
LONGEST_TAG = 8000
ARTIFACTS = ("samples.png", "reliability.json")
WEIGHTS = "weights.safetensors"


class Seen(NamedTuple):
    """A trial as its cell sees it. `attempt`: the one that ended it; `started`, `last`: Unix seconds.

    `evaluation`: the digest of its evaluation, empty if there is none.
    """

    state: str
    attempt: int = 0
    launch: str = ""
    started: float = math.inf
    last: float = 0.0
    evaluation: str = ""


class LedgerTrial:
    """A trial as the ledger has it at this moment; rows are read when asked for. Raises Damaged if its end is."""

    def __init__(self, store: Store, key: str, is_running: Callable[[str], bool]) -> None:
        self.store = store
        self.folder = TrialFolder(store, key)
        self.end: End | None = self.folder.end()
        self.numbers = self.folder.numbers()
        self.newest: Attempt | None = self.folder.attempt(self.numbers[-1]) if self.numbers else None
        running = self.end is None and self.newest is not None and is_running(self.newest.launch)
        self.state = self.end.state if self.end else "running" if running else "interrupted"

    @property
    def begun(self) -> bool:
        """Whether there is anything to show."""
        return bool(self.numbers) or self.end is not None

    @cached_property
    def rows(self) -> list[Row]:
        """Rows of the attempt that ended the trial, or of the newest one."""
        if not self.begun:
            return []
        return AttemptFolder(self.folder, self.end.attempt if self.end else self.numbers[-1]).rows()

    @cached_property
    def evaluation(self) -> Evaluation | None:
        """What was measured of its weights after it had finished, None if that is nothing or cannot be believed."""
        finished = self.end is not None and self.state == "finished"
        return evaluation.current(AttemptFolder(self.folder, self.end.attempt)) if self.end and finished else None

    @property
    def started(self) -> float:
        """Unix seconds; if no attempt's file is intact, as near as the rest of the ledger says."""
        first = next((attempt for number in self.numbers if (attempt := self.folder.attempt(number))), None)
        if first is not None:
            return first.started
        return self.rows[0].time - self.rows[0].seconds if self.rows else self.last

    @property
    def last(self) -> float:
        """Unix seconds of the trial's end or, so far, of its last row or start."""
        if self.end is not None:
            return self.end.ended
        return self.rows[-1].time if self.rows else self.newest.started if self.newest else 0.0

    @property
    def seen(self) -> Seen:
        """What its cell needs of it."""
        if not self.begun:
            return Seen("pending")
        attempt = self.end.attempt if self.end else self.numbers[-1]
        digest = self.evaluation.digest if self.evaluation else ""
        return Seen(self.state, attempt, self.newest.launch if self.newest else "", self.started, self.last, digest)

    def tags(self) -> dict[str, str]:
        """Return the tags that follow the trial."""
        epochs = self.end.epochs if self.end else self.rows[-1].epoch if self.rows else 0
        attempt = self.numbers[-1] if self.numbers else 0
        tags = {"attempt": str(attempt), "epochs": str(epochs), "state": self.state, "reason": ""}
        if self.newest is not None:
            dirty = str(self.newest.git_dirty).lower()
            tags |= {"host": self.newest.host, "git_commit": self.newest.git_commit, "git_dirty": dirty}
        if self.end is not None:
            tags |= _end_tags(self.end)
        if self.state == "finished":
            tags["weights"] = self.store.place(self._file(WEIGHTS))
        if self.evaluation is not None:
            tags["evaluation"] = self.evaluation.digest
        return tags

    def metrics(self, after: int, known: set[tuple[str, int]]) -> list[Metric]:
        """Return what rows after this epoch, the end and the evaluation say, but for the (name, step) that are known.

        What the end says, the evaluation does not say again.
        """
        final = self.end.metrics if self.end else {}
        found = [
            (name, value, row.time, row.epoch)
            for row in self.rows
            if row.epoch > after
            for name, value in row.metrics.items()
            if self.end is None or row.epoch != self.end.epochs or name not in final
        ]
        if self.end is not None:
            found += [(name, value, self.end.ended, self.end.epochs) for name, value in final.items()]
            measured = self.evaluation.values() if self.evaluation else {}
            found += [(name, *value, self.end.epochs) for name, value in measured.items() if name not in final]
        return [metric(*each) for each in found if (each[0], each[3]) not in known]

    def files(self, *, weights: bool) -> list[str]:
        """Return the store's paths of what becomes artifacts. Raises Damaged if one is gone."""
        if self.state != "finished":
            return []
        names = (*ARTIFACTS, WEIGHTS) if weights else ARTIFACTS
        evaluated = (evaluation.FILE,) if self.evaluation else ()
        paths = [f"{self.folder.path}/recipe.json", *map(self._file, (*names, *evaluated))]
        for path in paths:
            if not self.store.exists(path):
                raise Damaged(path, "is gone")
        return paths

    def _file(self, name: str) -> str:
        return f"{self.folder.path}/{self.end.attempt if self.end else 0:04d}/{name}"


def common_tags(store: Store, sweep: ResolvedSweep, cell: Cell) -> dict[str, str]:
    """Return the tags that a cell's run and its trials' have alike."""
    return {
        "sweep": sweep.name,
        "scale": sweep.scale,
        "arm": cell.arm,
        "cell_key": cell.cell_key,
        "store": store.location,
        "mlflow.source.name": f"softaug launch {sweep.name} --scale {sweep.scale}",
    }


def cell_metrics(store: Store, cell: Cell, as_of: int) -> list[Metric]:
    """Return mean, standard error and n of every final metric over the seeds that finished. Raises Damaged."""
    known = estimates(TrialFolder(store, key).end() for key in cell.trials.values())
    n = Metric("n", float(max((value.n for value in known.values()), default=0)), as_of, 0)
    return [n, *_means(known, as_of)]


def cell_evaluation_metrics(store: Store, cell: Cell, as_of: int) -> list[Metric]:
    """Return mean and standard error over the same seeds of what their evaluations add. Raises Damaged."""
    return _means(evaluation_estimates(TrialFolder(store, key) for key in cell.trials.values()), as_of)


def _means(known: Mapping[str, Estimate], as_of: int) -> list[Metric]:
    means = [Metric(f"mean/{name}", value.mean, as_of, 0) for name, value in known.items()]
    return means + [Metric(f"se/{name}", value.se, as_of, 0) for name, value in known.items() if value.se is not None]


def cell_status(seen: list[Seen], is_running: Callable[[str], bool]) -> str:
    """Return MLflow's status of a cell: as its seeds ended, or whether a launch of one of them goes on."""
    states = {each.state for each in seen}
    if states <= set(ENDED):
        return "FINISHED" if states == {"finished"} else "FAILED"
    return "RUNNING" if any(map(is_running, {each.launch for each in seen if each.launch})) else "KILLED"


def outcome(cell: Cell, seen: list[Seen]) -> str:
    """Return a digest of how all seeds of a cell ended, which changes whenever its mean might."""
    ends = [f"{key}:{each.state}:{each.attempt}" for key, each in zip(cell.trials.values(), seen, strict=True)]
    return hashlib.sha256(" ".join(ends).encode()).hexdigest()[:16]


def evaluations(cell: Cell, seen: list[Seen]) -> str:
    """Return a digest of the evaluations of a cell's finished seeds, which changes whenever their mean might.

    How many have one, in words, as long as some have none: then there is no mean. Empty if none has one.
    """
    finished = {key: each for key, each in zip(cell.trials.values(), seen, strict=True) if each.state == "finished"}
    evaluated = [f"{key}:{each.evaluation}" for key, each in finished.items() if each.evaluation]
    if evaluated and len(evaluated) < len(finished):
        return f"{len(evaluated)} of {len(finished)} seeds"
    return hashlib.sha256(" ".join(evaluated).encode()).hexdigest()[:16] if evaluated else ""


def metric(name: str, value: float, time: float, step: int) -> Metric:
    """Return a metric's value at a step; `time` in Unix seconds."""
    return Metric(name, value, round(time * 1000), step)


def params(recipe: dict[str, object]) -> dict[str, str]:
    """Return a recipe as MLflow's parameters."""
    return {name: cut(str(value), LONGEST_PARAM, "recipe.json") for name, value in flatten(recipe).items()}


def fitted(tags: dict[str, str]) -> dict[str, str]:
    """Return tags as MLflow takes them."""
    return {name: cut(value, LONGEST_TAG, "the store") for name, value in tags.items()}


def cut(text: str, longest: int, where: str) -> str:
    """Return the text as MLflow takes it: at most this many characters, and if it was cut, where the whole is."""
    text = text.replace("\0", "�")  # PostgreSQL takes none
    if len(text) <= longest:
        return text
    note = f"… (shortened; whole text in {where})"
    return text[: longest - len(note)] + note


def _end_tags(end: End) -> dict[str, str]:
    return {
        "device": end.device,
        "cpu": end.cpu,
        "threads": str(end.threads),
        "data_fingerprint": end.data_fingerprint,
        "seconds": f"{end.seconds:.3f}",
        "reason": cut(end.reason or "", LONGEST_TAG, "end.json"),
        **end.versions,
    }
