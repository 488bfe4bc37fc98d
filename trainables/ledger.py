"""The ledger: what is known of every trial, as plain files; the only truth, from which MLflow can be rebuilt.

    trials/<key[:2]>/<key>/
        recipe.json
        attempt-0001.json                       created exclusively by whoever starts the attempt
        0001/epochs.jsonl                       a row per epoch
        0001/checkpoint-000120-<digest>.safetensors    at epoch ends; the digest is of its content
        0001/weights.safetensors  0001/reliability.json  0001/samples.png    left by a finished attempt
        0001/end.json                           how a failed attempt ended, once the trial is tried again
        end.json                                created exclusively; exists if and only if the trial has ended

An attempt writes only into its own folder and ends the trial by exclusive creation, so one that was given up for
dead and comes back can harm nothing. No torch and no Ray here: tensors come and go as bytes.
"""

import hashlib
import json
from collections.abc import Iterator
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from softaug.recipe import Recipe, canonical
from trainables.store import Store

EndState = Literal["finished", "diverged", "failed", "stopped"]
CHECKPOINTS_KEPT = 2


class Entry(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Attempt(Entry):
    """One start of a trial: by which launch, where, when (Unix seconds), from which code."""

    number: int
    launch: str
    host: str
    pid: int
    started: float
    git_commit: str
    git_dirty: bool


class Row(Entry):
    """What one epoch reported. `epoch` counts completed epochs, `time` is Unix seconds.

    `seconds`: time inside fit up to here, earlier attempts included as far as this one builds on them.
    """

    epoch: int
    time: float
    seconds: float
    metrics: dict[str, float]


class End(Entry):
    """How a trial ended. `metrics` are the final ones (test/..., val/...), `seconds` those inside fit."""

    state: EndState
    attempt: int
    epochs: int
    metrics: dict[str, float]
    ended: float
    seconds: float
    weights_bytes: int = 0
    device: str = "unknown"  # so are the others when the process died and the launch had to write this
    cpu: str = "unknown"
    threads: int = 0
    data_fingerprint: str = "unknown"
    versions: dict[str, str] = {}
    reason: str | None = None
    traceback: str | None = None


class TrialFolder:
    """A trial's folder in the store."""

    def __init__(self, store: Store, key: str) -> None:
        self.store = store
        self.key = key
        self.path = f"trials/{key[:2]}/{key}"

    def write_recipe(self, recipe: Recipe) -> None:
        """Keep the recipe; the second time nothing happens, since equal keys are equal recipes."""
        text = json.dumps(canonical(recipe), indent=1, sort_keys=True)
        self.store.create(f"{self.path}/recipe.json", text.encode())

    def begin(self, attempt: Attempt) -> "AttemptFolder | None":
        """Start an attempt. Return None if another process has just started the one of this number."""
        if self.store.create(f"{self.path}/attempt-{attempt.number:04d}.json", attempt.model_dump_json().encode()):
            return AttemptFolder(self, attempt.number)
        return None

    def attempts(self) -> list[Attempt]:
        """Return all attempts, first to last."""
        names = [name for name in self.store.names(self.path) if name.startswith("attempt-")]
        return [Attempt.model_validate_json(self.store.read(f"{self.path}/{name}")) for name in names]

    def owner(self) -> str | None:
        """Return the launch that started the newest attempt, None if there was none."""
        names = [name for name in self.store.names(self.path) if name.startswith("attempt-")]
        return Attempt.model_validate_json(self.store.read(f"{self.path}/{names[-1]}")).launch if names else None

    def end(self) -> End | None:
        """Return how the trial ended, None if it has not."""
        try:
            return End.model_validate_json(self.store.read(f"{self.path}/end.json"))
        except FileNotFoundError:
            return None

    def finish(self, end: End) -> bool:
        """End the trial. Return False if it had ended already: then this attempt's results count for nothing."""
        return self.store.create(f"{self.path}/end.json", end.model_dump_json(indent=1).encode())

    def reopen(self) -> None:
        """Let a failed trial be tried again: move its end into the folder of the attempt that ended so."""
        end = self.end()
        if end is not None:
            self.store.write(f"{self.path}/{end.attempt:04d}/end.json", end.model_dump_json(indent=1).encode())
            self.store.delete(f"{self.path}/end.json")

    def rows(self) -> list[Row]:
        """Return the newest attempt's rows, which begin with those of earlier attempts that it built on."""
        attempts = self.attempts()
        return AttemptFolder(self, attempts[-1].number).rows() if attempts else []


class AttemptFolder:
    """What one attempt writes: rows, checkpoints, results; nothing outside its own folder."""

    def __init__(self, trial: TrialFolder, number: int) -> None:
        self.trial = trial
        self.number = number
        self.store = trial.store
        self.path = f"{trial.path}/{number:04d}"

    def write_rows(self, rows: list[Row]) -> None:
        """Replace the attempt's rows."""
        self.store.write(f"{self.path}/epochs.jsonl", "".join(row.model_dump_json() + "\n" for row in rows).encode())

    def rows(self) -> list[Row]:
        """Return the attempt's rows, none if it wrote none yet."""
        try:
            text = self.store.read(f"{self.path}/epochs.jsonl").decode()
        except FileNotFoundError:
            return []
        return [Row.model_validate_json(line) for line in text.splitlines()]

    def write_checkpoint(self, epoch: int, content: bytes) -> None:
        """Keep a checkpoint of this epoch's end, and of the earlier ones only the newest."""
        digest = hashlib.sha256(content).hexdigest()[:16]
        self.store.write(f"{self.path}/checkpoint-{epoch:06d}-{digest}.safetensors", content)
        for name in self._checkpoint_names()[CHECKPOINTS_KEPT:]:
            self.store.delete(f"{self.path}/{name}")

    def checkpoints(self) -> Iterator[tuple[int, bytes]]:
        """Yield epoch and content of the intact checkpoints, newest first; damaged ones are passed over."""
        for name in self._checkpoint_names():
            _, epoch, digest = name.removesuffix(".safetensors").split("-")
            content = self.store.read(f"{self.path}/{name}")
            if hashlib.sha256(content).hexdigest()[:16] == digest:
                yield int(epoch), content

    def delete_checkpoints(self) -> None:
        """Delete all checkpoints of this attempt."""
        for name in self._checkpoint_names():
            self.store.delete(f"{self.path}/{name}")

    def write_results(self, *, weights: bytes, reliability: dict[str, Any], samples: bytes) -> None:
        """Keep what a finished trial leaves: weights (safetensors), reliability arrays, sample images (PNG)."""
        self.store.write(f"{self.path}/weights.safetensors", weights)
        self.store.write(f"{self.path}/reliability.json", json.dumps(reliability).encode())
        self.store.write(f"{self.path}/samples.png", samples)

    def _checkpoint_names(self) -> list[str]:
        names = self.store.names(self.path)
        return sorted((name for name in names if name.startswith("checkpoint-")), reverse=True)
