"""The ledger: what is known of every trial, as plain files; the only truth, from which MLflow can be rebuilt.

    trials/<key[:2]>/<key>/
        recipe.json                             what the key is the SHA-256 of
        attempt-0001.json                       created exclusively by whoever starts the attempt
        0001/epochs.jsonl                       a row per epoch
        0001/checkpoint-000120-<digest>.safetensors    at epoch ends; the digest is of its content
        0001/weights.safetensors  0001/reliability.json  0001/samples.png    left by a finished attempt
        0001/evaluation.json                    what its weights do on test images covered in part
        0001/crash.txt  0001/death.json         if its process crashed or was killed: its stack, and why
        0001/end.json                           how a failed attempt ended, once the trial is tried again
        end.json                                created exclusively; exists if and only if the trial has ended

An attempt writes only into its own folder and ends the trial by exclusive creation, so one that was given up for
dead and comes back can harm nothing. JSON is sealed (`trainables.sealed`): a damaged file is named, not believed, and
not overwritten. No torch and no Ray here: tensors come and go as bytes.
"""

import hashlib
import json
import re
from collections.abc import Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal

from pydantic import Field

from softaug.recipe import Recipe, identity, identity_key
from trainables.sealed import Damaged, Entry
from trainables.store import Store

EndState = Literal["finished", "diverged", "failed", "stopped"]
CHECKPOINTS_KEPT = 2
CHECKPOINT = re.compile(r"checkpoint-([0-9]{6})-([0-9a-f]{16})\.safetensors")
ATTEMPT = re.compile(r"(?:attempt-)?([0-9]{4})(?:\.json)?")


class Attempt(Entry):
    """One start of a trial: by which launch, where, when (Unix seconds), from which code. `node`: Ray's id of it."""

    number: int
    launch: str
    host: str
    pid: int
    started: float
    git_commit: str
    git_dirty: bool
    node: str = "unknown"  # so it is where an older softaug began the attempt


class Row(Entry):
    """What one epoch reported. `epoch` counts completed epochs, `time` is Unix seconds.

    `seconds`: time inside fit up to here, earlier attempts included as far as this one builds on them.
    """

    epoch: int
    time: float
    seconds: float
    metrics: dict[str, float]


class Death(Entry):
    """How the process of an attempt died, as the launch saw it; `time` is Unix seconds."""

    cause: Literal["crashed", "out of memory", "silent"]
    reason: str
    time: float


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
    versions: dict[str, str] = Field(default={})
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
        text = json.dumps(identity(recipe), indent=1, sort_keys=True)
        self.store.create(f"{self.path}/recipe.json", text.encode())

    def recipe(self) -> dict[str, Any]:
        """Return the recipe's canonical values. Raises FileNotFoundError, and Damaged if the key is not theirs."""
        path = f"{self.path}/recipe.json"
        content = self.store.read(path)
        try:
            found = json.loads(content)
            key = identity_key(found)
        except (ValueError, TypeError) as error:
            raise Damaged(path, "is cut off, or no JSON" if content else "is empty") from error
        if key != self.key:
            raise Damaged(path, "holds another recipe than the trial's: it was damaged, edited, or copied")
        recipe: dict[str, Any] = found["recipe"]
        return recipe

    def check(self) -> None:
        """Raise Damaged if the trial cannot be trained or told about as it is: its recipe or its end is damaged."""
        if self.store.exists(f"{self.path}/recipe.json"):
            self.recipe()
        self.end()

    def begin(self, attempt: Attempt) -> "AttemptFolder | None":
        """Start an attempt. Return None if another process has just started the one of this number."""
        path = self.attempt_path(attempt.number)
        return AttemptFolder(self, attempt.number) if self.store.create(path, attempt.sealed(path)) else None

    def numbers(self) -> list[int]:
        """Return the numbers of all attempts, first to last, those whose file is damaged or gone included."""
        found = (ATTEMPT.fullmatch(name) for name in self.store.names(self.path))
        return sorted({int(match[1]) for match in found if match})

    def attempt(self, number: int) -> Attempt | None:
        """Return an attempt, None if its file is damaged or gone."""
        try:
            return Attempt.read(self.store, self.attempt_path(number))
        except (FileNotFoundError, Damaged):
            return None

    def attempts(self) -> list[Attempt]:
        """Return all attempts whose file is intact, first to last."""
        return [attempt for number in self.numbers() if (attempt := self.attempt(number)) is not None]

    def owner(self) -> str | None:
        """Return the launch that started the newest attempt, None if there was none or its file is damaged."""
        numbers = self.numbers()
        newest = self.attempt(numbers[-1]) if numbers else None
        return None if newest is None else newest.launch

    def end(self) -> End | None:
        """Return how the trial ended, None if it has not. Raises Damaged."""
        try:
            return End.read(self.store, self._end_path)
        except FileNotFoundError:
            return None

    def finish(self, end: End) -> bool:
        """End the trial. Return False if it had ended already, or a newer attempt has begun since this one was given up
        for dead: then this attempt's results count for nothing.
        """
        if AttemptFolder(self, end.attempt).is_superseded():
            return False
        return self.store.create(self._end_path, end.sealed(self._end_path, indent=1))

    def reopen(self, states: Collection[str] = ("failed", "diverged")) -> None:
        """Let a trial that ended in one of these states be tried again: move its end into its last attempt's folder.

        One that has ended well meanwhile, in another launch, stays as it is.
        """
        end = self.end()
        if end is not None and end.state in states:
            path = f"{self.path}/{end.attempt:04d}/end.json"
            self.store.write(path, end.sealed(path, indent=1))
            self.store.delete(self._end_path)

    def rows(self) -> list[Row]:
        """Return the newest attempt's rows, which begin with those of earlier attempts that it built on."""
        numbers = self.numbers()
        return AttemptFolder(self, numbers[-1]).rows() if numbers else []

    @property
    def _end_path(self) -> str:
        return f"{self.path}/end.json"

    def attempt_path(self, number: int) -> str:
        """Return where the attempt of this number is entered."""
        return f"{self.path}/attempt-{number:04d}.json"


class AttemptFolder:
    """What one attempt writes: rows, checkpoints, results; nothing outside its own folder."""

    def __init__(self, trial: TrialFolder, number: int) -> None:
        self.trial = trial
        self.number = number
        self.store = trial.store
        self.path = f"{trial.path}/{number:04d}"
        self.rows_path = f"{self.path}/epochs.jsonl"
        self.sealed_rows: list[bytes] = []

    def is_superseded(self) -> bool:
        """Say whether the next attempt has begun: this one was given up for dead, rightly or not."""
        return self.store.exists(self.trial.attempt_path(self.number + 1))

    def write_rows(self, rows: list[Row]) -> None:
        """Replace the attempt's rows by these, which begin with those written before."""
        self.sealed_rows += [row.sealed(self.rows_path) + b"\n" for row in rows[len(self.sealed_rows) :]]
        self.store.write(self.rows_path, b"".join(self.sealed_rows))

    def rows(self) -> list[Row]:
        """Return the attempt's rows from the first on, as far as they are intact; none if it wrote none yet."""
        rows: list[Row] = []
        try:
            for row in self.checked_rows():
                rows.append(row)
        except Damaged:
            pass
        return rows

    def checked_rows(self) -> Iterator[Row]:
        """Yield the attempt's rows. Raises Damaged at the first that is damaged or not the next epoch's."""
        try:
            lines = self.store.read(self.rows_path).splitlines()
        except FileNotFoundError:
            return
        for number, line in enumerate(lines, start=1):
            row = Row.unsealed(self.rows_path, line)
            if row.epoch != number:
                raise Damaged(self.rows_path, f"has epoch {row.epoch} in line {number}")
            yield row

    def write_checkpoint(self, epoch: int, content: bytes) -> None:
        """Keep a checkpoint of this epoch's end, and of the earlier ones only the newest."""
        with ThreadPoolExecutor(1) as other:  # the digest takes as long as the disk does
            digest = other.submit(_digest, content)
            self.store.write_as(
                f"{self.path}/checkpoint.new",
                content,
                lambda: f"{self.path}/checkpoint-{epoch:06d}-{digest.result()}.safetensors",
            )
        for name in self.checkpoint_names()[CHECKPOINTS_KEPT:]:
            self.store.delete(f"{self.path}/{name}")

    def checkpoint_names(self) -> list[str]:
        """Return the names of the checkpoints, newest first."""
        return sorted((name for name in self.store.names(self.path) if CHECKPOINT.fullmatch(name)), reverse=True)

    def checkpoint(self, name: str) -> tuple[int, bytes]:
        """Return epoch and content of a checkpoint. Raises Damaged if its content does not fit its name."""
        _, epoch, digest = name.removesuffix(".safetensors").split("-")
        path = f"{self.path}/{name}"
        try:
            content = self.store.read(path)
        except FileNotFoundError as error:
            raise Damaged(path, "is gone") from error
        if _digest(content) != digest:
            raise Damaged(path, "does not fit the digest in its name: it was damaged or cut off")
        return int(epoch), content

    def delete_checkpoints(self) -> None:
        """Delete all checkpoints of this attempt."""
        for name in self.checkpoint_names():
            self.store.delete(f"{self.path}/{name}")

    def write_results(self, *, weights: bytes, reliability: dict[str, Any], samples: bytes) -> None:
        """Keep what a finished trial leaves: weights (safetensors), reliability arrays, sample images (PNG)."""
        self.store.write(f"{self.path}/weights.safetensors", weights)
        self.store.write(f"{self.path}/reliability.json", json.dumps(reliability).encode())
        self.store.write(f"{self.path}/samples.png", samples)

    def record_death(self, death: Death) -> None:
        """Keep how the attempt's process died."""
        path = f"{self.path}/death.json"
        self.store.create(path, death.sealed(path))

    def death(self) -> Death | None:
        """Return how the attempt's process died, None if it did not or that is damaged."""
        try:
            return Death.read(self.store, f"{self.path}/death.json")
        except (FileNotFoundError, Damaged):
            return None

    @property
    def crash_path(self) -> str:
        """Where the process writes while it crashes."""
        return f"{self.path}/crash.txt"

    def crash(self) -> str:
        """Return what the process wrote while it crashed: a Python stack, or nothing."""
        try:
            return self.store.read(self.crash_path).decode(errors="replace")
        except FileNotFoundError:
            return ""


def _digest(content: bytes) -> str:
    return hashlib.blake2b(content, digest_size=8).hexdigest()
