"""The Ray Tune trainable: one actor that trains one trial after another and never raises for their failures.

A step runs whole epochs for about a second and reports where the trial stands; everything worth keeping goes to
the ledger at once. Only a process that dies looks like a failure to Tune (`max_failures`), which then starts the
trial again, from its checkpoint. Data comes read-only from Ray's object store, once per node. The launch only names
this class, so torch is imported by the process that trains.
"""

import errno
import os
import signal
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import ray
from ray import tune

from softaug.arrays import Arrays
from softaug.image_folder import Folders
from softaug.recipe import Data, Recipe
from trainables import launches
from trainables.ledger import Attempt, AttemptFolder, TrialFolder
from trainables.sealed import Damaged
from trainables.store import open_store
from trainables.watchdog import Watchdog

if TYPE_CHECKING:
    import torch

    from softaug.data import Splits
    from trainables.attempt import RunningAttempt

STEP_S = 1.0
POLL_STOP_EVERY_S = 0.5


@dataclass(frozen=True)
class Job:
    """What all trials of one launch share. `fingerprints`: data set -> its digest. `cpus` are also torch's threads; all
    but one of them get a process that decodes image files, if the data are such.

    `silent_after_s`: a trial that shows no sign of life for so many seconds is ended.
    """

    store: str
    launch: str
    cpus: int
    gpus: float
    checkpoint_every_s: float
    silent_after_s: float
    git_commit: str
    git_dirty: bool
    fingerprints: Mapping[str, str]


class Trial(tune.Trainable):
    """Trains the recipe in its config: {"trial_key": ..., "recipe": {...}, "rungs": [...], "objective": ...}.

    After each of the epochs `rungs` it reports the objective, a metric, and waits to be told whether to go on.
    """

    attempt: "RunningAttempt | None" = None
    watchdog: Watchdog | None = None

    def setup(  # type: ignore[override]  # tune.with_parameters adds the last two
        self, config: dict[str, Any], job: Job, data: dict[str, "ray.ObjectRef[Arrays | Folders]"]
    ) -> None:
        """Take what all trials share; `data` holds the arrays, or the index of image files, of every data set by name.

        Torch is imported with the first step: a process that takes long to set up loses its trial to one that has
        just become free, and Tune ends it before it is ready, again and again while trials are short.
        """
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # Ray's handler would make the trial fail with its SystemExit
        self.job = job
        self.data = data
        self.loaded: tuple[Data, Splits] | None = None
        self.store = open_store(job.store)
        self.reset_config(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Be ready for another trial. It begins with its first step: Tune may yet give it to another process."""
        self.key = new_config["trial_key"]
        self.recipe = Recipe.model_validate(new_config["recipe"])
        self.rungs, self.objective = new_config["rungs"], new_config["objective"]
        self._let_go()
        self.begun = False
        return True

    def step(self) -> dict[str, Any]:
        """Train for about a second, or up to a rung.

        Reports the trial's key, state, completed epochs, and what is worth telling; at a rung also its value there.
        """
        note = ""
        try:
            if not self.begun:
                note = self._begin()
            if self.attempt is None or self.watchdog is None:
                return self._report("elsewhere", 0)
            with self.watchdog.watching():
                state = self.attempt.advance(STEP_S, self.rungs)
        except OSError as error:
            return self._report("unsaved", 0, self.store.explain(error))
        except Damaged as damaged:
            return self._report("damaged", 0, f"is left alone: {damaged}")
        last = self.attempt.rows[-1] if state == "running" and self.attempt.epoch in self.rungs else None
        report = self._report(state, self.attempt.epoch, note)
        return report if last is None else {**report, "rung": last.epoch, "value": last.metrics[self.objective]}

    def cleanup(self) -> None:
        """Let go of the data and the model."""
        self._let_go()
        self.loaded = None

    def _report(self, state: str, epoch: int, note: str = "") -> dict[str, Any]:
        done = state != "running"
        if done:
            self._let_go()
        return {"trial_key": self.key, "state": state, "epoch": epoch, "note": note, "done": done}

    def _let_go(self) -> None:
        if self.watchdog is not None:
            self.watchdog.close()
        self.attempt = self.watchdog = None

    def _begin(self) -> str:
        """Start an attempt unless the trial has ended or is running elsewhere; return what is worth telling."""
        import torch

        if not launches.is_recorded(self.store, self.job.launch):  # a node that joined after the launch's probe
            raise FileNotFoundError(
                errno.ENOENT, f"on {socket.gethostname()} it is not the store that this launch writes to"
            )
        self.begun = True
        self.stop_polled, self.stopping = 0.0, False
        torch.set_num_threads(self.job.cpus)
        if self.job.gpus > 0:
            torch.cuda.empty_cache()
        if 0 < self.job.gpus < 1:  # to Ray a fraction is bookkeeping: one trial could take all of the GPU's memory
            torch.cuda.set_per_process_memory_fraction(self.job.gpus)
        trial = TrialFolder(self.store, self.key)
        numbers = trial.numbers()
        if trial.end() is not None or self._is_elsewhere(trial):
            return ""
        folder = trial.begin(self._new_attempt(numbers[-1] + 1 if numbers else 1))
        if folder is None:
            return ""
        self.watchdog = Watchdog(self.store.scratch(folder.crash_path), self.job.silent_after_s)
        self.attempt = self._running(folder)
        return self.attempt.note

    def _is_elsewhere(self, trial: TrialFolder) -> bool:
        """Say whether another launch that lives has begun it since this one chose it: two sweeps may share trials."""
        owner = trial.owner()
        return owner not in (None, self.job.launch) and launches.is_alive(self.store, str(owner))

    def _running(self, folder: AttemptFolder) -> "RunningAttempt":
        import torch

        from trainables.attempt import Place, RunningAttempt

        device = torch.device("cuda" if self.job.gpus > 0 else "cpu")
        several = (
            tuple(torch.device("cuda", number) for number in range(int(self.job.gpus))) if self.job.gpus > 1 else ()
        )
        home = torch.device("cpu") if several else device  # the processes take the data to their own devices
        return RunningAttempt(
            folder,
            self.recipe,
            lambda: self._splits(self.recipe.data, home),
            place=Place(device, self.job.cpus, self.job.fingerprints[self.recipe.data.name], several),
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
            node=ray.get_runtime_context().get_node_id(),
        )

    def _splits(self, data: Data, device: "torch.device") -> "Splits":
        from softaug.data import split

        if self.loaded is None or self.loaded[0] != data:
            loaded = ray.get(self.data[data.name])
            self.loaded = (data, split(loaded, data, workers=self.job.cpus - 1).to(device))
        return self.loaded[1]

    def _stop_requested(self) -> bool:
        now = time.monotonic()
        if not self.stopping and now - self.stop_polled >= POLL_STOP_EVERY_S:
            stop = launches.stop_requested(self.store, self.job.launch)
            self.stopping = stop or (self.attempt is not None and self.attempt.folder.is_superseded())
            self.stop_polled = now
            if self.watchdog is not None:
                self.watchdog.beat()
        return self.stopping
