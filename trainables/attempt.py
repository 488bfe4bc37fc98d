"""One attempt at a trial: what `softaug.fit` yields goes into the ledger. No Ray here, so a test is a `for` loop."""

import json
import platform
import time
import traceback
from collections.abc import Callable, Iterator
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
from softaug.fit import Diverged, Epoch, Final, State, fit
from softaug.recipe import Recipe
from trainables.ledger import AttemptFolder, End, EndState, Row

WRITE_ROWS_EVERY_S = 1.0

AttemptState = Literal["running", "interrupted"] | EndState


@dataclass(frozen=True)
class Place:
    """Where a trial runs: its device, torch threads, and the fingerprint of the data it sees."""

    device: torch.device
    threads: int
    data_fingerprint: str


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
        self.rows, self.resume = _continue_from(folder)
        self.seconds_before = self.rows[-1].seconds if self.rows else 0.0
        self.started = self.rows_written = self.checkpoint_written = time.monotonic()
        self.boundary: Epoch | None = None
        self.epochs: Iterator[Epoch] | None = None

    @property
    def epoch(self) -> int:
        """Completed epochs."""
        return self.rows[-1].epoch if self.rows else 0

    @property
    def seconds(self) -> float:
        """Time inside fit so far, in seconds, earlier attempts included."""
        return self.seconds_before + time.monotonic() - self.started

    def advance(self, seconds: float) -> AttemptState:
        """Train whole epochs until `seconds` have passed or the trial ends; say how it stands then."""
        deadline = time.monotonic() + seconds
        try:
            if self.epochs is None:
                self.epochs = self._fit()
            for epoch in self.epochs:
                self._keep(epoch)
                if epoch.final is not None:
                    return self._finish(epoch.final)
                if time.monotonic() >= deadline:
                    return "running"
        except Diverged as error:
            return self._end("diverged", reason=str(error))
        except OSError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            return self._end("failed", reason=reason, trace=traceback.format_exc())
        self._write_checkpoint()
        return "interrupted"

    def _fit(self) -> Iterator[Epoch]:
        return fit(self.recipe, self.splits(), device=self.place.device, resume=self.resume, stop=self.stop)

    def _keep(self, epoch: Epoch) -> None:
        self.boundary = epoch
        if epoch.metrics:
            self.rows.append(Row(epoch=epoch.number, time=time.time(), seconds=self.seconds, metrics=epoch.metrics))
        now = time.monotonic()
        if now - self.checkpoint_written >= self.checkpoint_every_s and epoch.final is None:
            self._write_checkpoint()
        elif now - self.rows_written >= WRITE_ROWS_EVERY_S:
            self._write_rows()

    def _write_rows(self) -> None:
        self.folder.write_rows(self.rows)
        self.rows_written = time.monotonic()

    def _write_checkpoint(self) -> None:
        self._write_rows()  # first, so that a checkpoint never lacks the rows it builds on
        if self.boundary is not None:
            metadata = {"trial": self.folder.trial.key, "epoch": str(self.boundary.number)}
            self.folder.write_checkpoint(self.boundary.number, to_bytes(self.boundary.state(), metadata))
        self.checkpoint_written = time.monotonic()

    def _finish(self, final: Final) -> AttemptState:
        weights = to_bytes(final.weights, {"trial": self.folder.trial.key})
        self.folder.write_results(
            weights=weights, reliability=final.reliability, samples=samples.draw(final.samples, self.recipe.data.name)
        )
        return self._end("finished", metrics=final.metrics, weights_bytes=len(weights))

    def _end(
        self,
        state: EndState,
        *,
        metrics: dict[str, float] | None = None,
        weights_bytes: int = 0,
        reason: str | None = None,
        trace: str | None = None,
    ) -> EndState:
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
        self.folder.trial.finish(end)
        self.folder.delete_checkpoints()
        return state


def _continue_from(folder: AttemptFolder) -> tuple[list[Row], State | None]:
    """Return rows and state of the newest intact checkpoint of an earlier attempt, nothing if there is none."""
    for number in range(folder.number - 1, 0, -1):
        earlier = AttemptFolder(folder.trial, number)
        for epoch, content in earlier.checkpoints():
            if metadata(content).get("trial") == folder.trial.key:
                rows = [row for row in earlier.rows() if row.epoch <= epoch]
                return rows, tensors_from_bytes(content)
    return [], None


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
    packages = ("softaug", "torch", "torchvision", "numpy", "ray")
    return {"python": platform.python_version()} | {name: version(name) for name in packages}
