"""The Ray Tune trainable: one actor that trains one trial after another and never raises for their failures.

A step runs whole epochs for about a second and reports where the trial stands; everything worth keeping goes to
the ledger at once. Only a process that dies looks like a failure to Tune (`max_failures`), which then starts the
trial again, from its checkpoint. Data comes read-only from Ray's object store, once per node. The launch only names
this class, so torch is imported by the process that trains.
"""

import os
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from softaug.arrays import Arrays
from softaug.recipe import Data, Recipe
from trainables import launches
from trainables.ledger import Attempt, TrialFolder
from trainables.store import open_store

if TYPE_CHECKING:
    from softaug.data import Splits
    from trainables.attempt import RunningAttempt

STEP_S = 1.0
POLL_STOP_EVERY_S = 0.5


@dataclass(frozen=True)
class Job:
    """What all trials of one launch share. `cpus` are also torch's threads; `fingerprints`: data set -> its digest."""

    store: str
    launch: str
    cpus: int
    gpus: float
    checkpoint_every_s: float
    git_commit: str
    git_dirty: bool
    fingerprints: Mapping[str, str]


class Trial(tune.Trainable):
    """Trains the recipe in its config: {"trial_key": ..., "recipe": {...}}."""

    attempt: "RunningAttempt | None"

    def setup(  # type: ignore[override]  # tune.with_parameters adds the last two
        self, config: dict[str, Any], job: Job, data: dict[str, "ray.ObjectRef[Arrays]"]
    ) -> None:
        """Take what all trials share; `data` holds the arrays of every data set of the sweep by name."""
        import torch

        torch.set_num_threads(job.cpus)
        self.job = job
        self.data = data
        self.device = torch.device("cuda" if job.gpus > 0 else "cpu")
        self.loaded: tuple[Data, Splits] | None = None
        self.store = open_store(job.store)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Be ready for another trial. It begins with its first step: Tune may yet give it to another process."""
        self.key = new_config["trial_key"]
        self.recipe = Recipe.model_validate(new_config["recipe"])
        self.attempt = None
        self.begun = False
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second. Reports the trial's key, state and completed epochs."""
        if not self.begun:
            self._begin()
        if self.attempt is None:
            return {"trial_key": self.key, "state": "elsewhere", "epoch": 0, "done": True}
        try:
            state = self.attempt.advance(STEP_S)
        except OSError as error:
            return {"trial_key": self.key, "state": "unsaved", "epoch": 0, "reason": str(error), "done": True}
        return {"trial_key": self.key, "state": state, "epoch": self.attempt.epoch, "done": state != "running"}

    def cleanup(self) -> None:
        """Let go of the data and the model."""
        self.attempt = self.loaded = None

    def _begin(self) -> None:
        import torch

        from trainables.attempt import Place, RunningAttempt

        self.begun = True
        self.stop_polled, self.stopping = 0.0, False
        if self.device.type == "cuda":
            torch.cuda.empty_cache()
        trial = TrialFolder(self.store, self.key)
        folder = None if trial.end() else trial.begin(self._new_attempt(len(trial.attempts()) + 1))
        if folder is not None:
            self.attempt = RunningAttempt(
                folder,
                self.recipe,
                lambda: self._splits(self.recipe.data),
                place=Place(self.device, self.job.cpus, self.job.fingerprints[self.recipe.data.name]),
                stop=self._stop_requested,
                checkpoint_every_s=self.job.checkpoint_every_s,
            )

    def _new_attempt(self, number: int) -> Attempt:
        return Attempt(
            number=number,
            launch=self.job.launch,
            host=socket.gethostname(),
            pid=os.getpid(),
            started=time.time(),
            git_commit=self.job.git_commit,
            git_dirty=self.job.git_dirty,
        )

    def _splits(self, data: Data) -> "Splits":
        from softaug.data import split

        if self.loaded is None or self.loaded[0] != data:
            self.loaded = (data, split(ray.get(self.data[data.name]), data).to(self.device))
        return self.loaded[1]

    def _stop_requested(self) -> bool:
        now = time.monotonic()
        if not self.stopping and now - self.stop_polled >= POLL_STOP_EVERY_S:
            self.stopping = launches.stop_requested(self.store, self.job.launch)
            self.stop_polled = now
        return self.stopping
