"""One attempt at a trial: what `softaug.fit` yields goes into the ledger. No Ray here, so a test is a `for` loop."""

import json
import platform
import time
import traceback
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load as tensors_from_bytes
from safetensors.torch import save as tensors_to_bytes

from softaug import samples
from softaug.data import Splits
from softaug.data_parallel import fit_parallel
from softaug.fit import Epoch, fit
from softaug.recipe import Recipe
from softaug.training import Diverged, Final, State
from trainables.guard import AT_THE_END, EVERY_EPOCH, checked
from trainables.ledger import AttemptFolder, End, EndState, Row
from trainables.sealed import Damaged

WRITE_ROWS_EVERY_S = 1.0
LONGEST_REASON = 500
CHECKPOINTS_SHARE = 0.02  # of the time, at most

AttemptState = Literal["running", "interrupted"] | EndState


@dataclass(frozen=True)
class Place:
    """Where a trial runs: its device, torch threads, and the fingerprint of the data it sees.

    `devices`: all of them if there are several, of which the first is `device`; then each has a process of its own.
    """

    device: torch.device
    threads: int
    data_fingerprint: str
    devices: tuple[torch.device, ...] = ()


class _NotTheStore(Exception):
    """An OSError of training or of loading its data, told from those of the store; the cause is it."""


class RunningAttempt:
    """A trial being trained; `advance` takes it on, writing to the ledger as it goes.

    `splits` loads the data and `stop` is polled before every training step. Own failures, loading included, end
    the trial (`failed`, `diverged`) and never raise; only a store that cannot be written to does (OSError).
    """

    def __init__(
        self,
        folder: AttemptFolder,
        recipe: Recipe,
        splits: Callable[[], Splits],
        *,
        place: Place,
        stop: Callable[[], bool],
        checkpoint_every_s: float,
    ) -> None:
        self.folder = folder
        self.recipe = recipe
        self.splits = splits
        self.place = place
        self.stop = stop
        self.checkpoint_every_s = checkpoint_every_s
        self.checkpoint_cost_s = 0.0
        self.rows, self.resume, self.note = _continue_from(folder)
        self.seconds_before = self.rows[-1].seconds if self.rows else 0.0
        self.started = self.rows_written = self.checkpoint_written = time.monotonic()
        self.boundary: Epoch | None = None
        self.epochs: Generator[Epoch, None, None] | None = None
        if self.rows:
            self._write_rows()  # the newest attempt's rows are the trial's: none of them may be lost meanwhile

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self.rows[-1].epoch if self.rows else 0

    @property
    def seconds(self) -> float:
        """Time inside fit so far, in seconds, earlier attempts included."""
        return self.seconds_before + time.monotonic() - self.started

    def advance(self, seconds: float, rungs: Sequence[int] = ()) -> AttemptState:
        """Train whole epochs until `seconds` have passed, one of the epochs `rungs` is completed, or the trial ends.

        Returns how it stands then. At a rung all rows are in the ledger.
        """
        deadline = time.monotonic() + seconds
        try:
            if self.epochs is None:
                self.epochs = self._fit()
            for epoch in self.epochs:
                self._keep(epoch)
                if epoch.final is not None:
                    return self._finish(epoch.final)
                if epoch.number in rungs:
                    self._write_rows()
                    return "running"
                if time.monotonic() >= deadline:
                    return "running"
        except Diverged as error:
            return self._end("diverged", reason=str(error))
        except OSError:
            raise
        except (Exception, SystemExit) as error:
            return self._end("failed", reason=_reason(error), trace=traceback.format_exc())
        self._write_checkpoint()
        return "interrupted"

    def _fit(self) -> Generator[Epoch, None, None]:
        place = self.place
        try:
            if len(place.devices) > 1:
                threads = max(1, place.threads // len(place.devices))
                splits, devices = self.splits(), place.devices
                yield from fit_parallel(
                    self.recipe, splits, devices=devices, threads=threads, resume=self.resume, stop=self.stop
                )
            else:
                yield from fit(self.recipe, self.splits(), device=place.device, resume=self.resume, stop=self.stop)
        except OSError as error:
            raise _NotTheStore from error

    def _keep(self, epoch: Epoch) -> None:
        if epoch.metrics:
            metrics = checked(epoch.metrics, epoch.number, expected=EVERY_EPOCH)
            self.rows.append(Row(epoch=epoch.number, time=time.time(), seconds=self.seconds, metrics=metrics))
        self.boundary = epoch
        now = time.monotonic()
        if now - self.checkpoint_written >= self.checkpoint_due_s and epoch.final is None:
            self._write_checkpoint()
        elif now - self.rows_written >= WRITE_ROWS_EVERY_S:
            self._write_rows()

    def _write_rows(self) -> None:
        self.folder.write_rows(self.rows)
        self.rows_written = time.monotonic()

    @property
    def checkpoint_due_s(self) -> float:
        """Seconds from one checkpoint to the next: as asked for, longer if writing one takes long; 0: every epoch."""
        longer = self.checkpoint_cost_s / CHECKPOINTS_SHARE if self.checkpoint_every_s > 0 else 0.0
        return max(self.checkpoint_every_s, longer)

    def _write_checkpoint(self) -> None:
        started = time.monotonic()
        self._write_rows()  # first, so that a checkpoint never lacks the rows it builds on
        if self.boundary is not None:
            metadata = {"trial": self.folder.trial.key, "epoch": str(self.boundary.number)}
            self.folder.write_checkpoint(self.boundary.number, to_bytes(self.boundary.state(), metadata))
        self.checkpoint_written = time.monotonic()
        self.checkpoint_cost_s = self.checkpoint_written - started

    def _finish(self, final: Final) -> AttemptState:
        metrics = checked(final.metrics, self.epoch, expected=AT_THE_END)
        weights = to_bytes(final.weights, {"trial": self.folder.trial.key})
        self.folder.write_results(
            weights=weights, reliability=final.reliability, samples=samples.draw(final.samples, self.recipe.data.name)
        )
        return self._end("finished", metrics=metrics, weights_bytes=len(weights))

    def _end(
        self,
        state: EndState,
        *,
        metrics: dict[str, float] | None = None,
        weights_bytes: int = 0,
        reason: str | None = None,
        trace: str | None = None,
    ) -> EndState:
        if self.epochs is not None:
            self.epochs.close()  # now, not when it is collected: it may have processes
        self.folder.write_rows(self.rows)
        end = End(
            state=state,
            attempt=self.folder.number,
            epochs=self.epoch,
            metrics=metrics or {},
            ended=time.time(),
            seconds=self.seconds,
            weights_bytes=weights_bytes,
            device=device_name(self.place.device),
            cpu=cpu_name(),
            threads=self.place.threads,
            data_fingerprint=self.place.data_fingerprint,
            versions=versions(),
            reason=reason,
            traceback=trace,
        )
        if self.folder.trial.finish(end) and state != "failed":  # a failed trial may be tried again from there
            for number in self.folder.trial.numbers():
                AttemptFolder(self.folder.trial, number).delete_checkpoints()
        return state


def _continue_from(folder: AttemptFolder) -> tuple[list[Row], State | None, str]:
    """Return rows and state of the newest intact checkpoint of an earlier attempt, nothing if there is none.

    The text says where training goes on if damaged files were passed over, and names them; else it is empty.
    """
    passed_over: list[str] = []
    for number in reversed([each for each in folder.trial.numbers() if each < folder.number]):
        earlier = AttemptFolder(folder.trial, number)
        rows = earlier.rows()
        for name in earlier.checkpoint_names():
            try:
                epoch, state = _checkpoint(earlier, name, epochs_of_rows=len(rows))
            except Damaged as damaged:
                passed_over.append(str(damaged))
            else:
                return rows[:epoch], state, _note(f"goes on from epoch {epoch} of attempt {number}", passed_over)
    return [], None, _note("begins anew", passed_over)


def _checkpoint(attempt: AttemptFolder, name: str, *, epochs_of_rows: int) -> tuple[int, State]:
    epoch, content = attempt.checkpoint(name)
    if metadata(content).get("trial") != attempt.trial.key:
        raise Damaged(f"{attempt.path}/{name}", "is another trial's")
    if epoch > epochs_of_rows:
        raise Damaged(attempt.rows_path, f"is intact up to epoch {epochs_of_rows} only, the checkpoint is of {epoch}")
    return epoch, tensors_from_bytes(content)


def _note(where: str, passed_over: list[str]) -> str:
    return f"{where}, since {'; '.join(passed_over)}" if passed_over else ""


def _reason(error: BaseException) -> str:
    """Return an error in a line, beginning with what ran out if it was memory."""
    if isinstance(error, _NotTheStore) and error.__cause__ is not None:
        error = error.__cause__
    text = " ".join(f"{type(error).__name__}: {error}".split())
    if isinstance(error, torch.OutOfMemoryError):
        text = f"out of GPU memory; lower optim.batch_size, or give a trial more of the GPU with --gpus ({text})"
    elif isinstance(error, MemoryError) or "DefaultCPUAllocator: can't allocate memory" in text:
        text = f"out of memory; lower optim.batch_size or --max-concurrent ({text})"
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}…"


def to_bytes(tensors: State, metadata: dict[str, str]) -> bytes:
    """Return tensors and metadata as one safetensors file's content."""
    content: bytes = tensors_to_bytes({name: tensor.cpu().contiguous() for name, tensor in tensors.items()}, metadata)
    return content


def metadata(content: bytes) -> dict[str, str]:
    """Return the metadata in a safetensors file's content."""
    length = int.from_bytes(content[:8], "little")
    found: dict[str, str] = json.loads(content[8 : 8 + length]).get("__metadata__", {})
    return found


def device_name(device: torch.device) -> str:
    """Return "cpu" or the GPU's name."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else device.type


@cache
def cpu_name() -> str:
    """Return the processor's model name."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


@cache
def versions() -> dict[str, str]:
    """Return the versions of what a trial's numbers depend on."""
    packages = ("softaug", "torch", "torchvision", "pillow", "numpy", "ray")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
