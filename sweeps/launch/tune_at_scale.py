"""Tune with thousands of trials: what it need not look through, and what it need not remember.

Ray 2.60 goes through all trials, ended ones too, whenever it chooses the next, and keeps the history of every number
that each of them reported. Nothing here reads either: what matters is in the ledger.
"""

from collections.abc import Callable
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler
from typing_extensions import override


class InOrder(FIFOScheduler):
    """Runs trials in the order in which they came, looking only at those that have not ended."""

    def __init__(self) -> None:
        begin: Callable[[], None] = super().__init__  # which Tune gives no types
        begin()

    def choose_trial_to_run(self, tune_controller: Any) -> Trial | None:
        """Return the oldest trial that waits, None if there is none."""
        waiting = [trial for trial in tune_controller.get_live_trials() if trial.status == Trial.PENDING]
        return min(waiting, key=lambda trial: (len(trial.trial_id), trial.trial_id), default=None)  # numbered by Tune


class Forget(Callback):
    """Drops what Tune holds of the reports of a trial that has ended."""

    @override
    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Keep the trial, without its reports."""
        kept = trial.run_metadata
        kept.last_result, kept.metric_analysis, kept.metric_n_steps = {}, {}, {}
