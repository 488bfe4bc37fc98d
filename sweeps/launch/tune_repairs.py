"""Repairs of Ray 2.60's Tune, which would end a whole sweep for the death of one process. A test of each goes red when
Ray changes it.

A process that was ended for lack of memory: Ray answers the call with OutOfMemoryError, which is neither of the two
kinds of error that Tune's actor manager knows. It is told as what it is, the death of an actor.

A process that dies while it takes on another trial (`reset`): Tune handles that twice, as the actor's failure and as
the call's, and the second time finds a trial that waits already; and it remembers the trial as one that is about to
be taken on, so it would not start it again. The second time is left out, and the trial is forgotten.
"""

from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError
from ray.tune.execution.tune_controller import TuneController
from ray.tune.experiment import Trial

_task_failed = RayActorManager._actor_task_failed
_trial_failed = TuneController._trial_task_failure


def _lack_of_memory_is_a_death(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    if isinstance(exception, OutOfMemoryError):
        exception = RayActorError(error_msg=f"OutOfMemoryError: {exception}")
    _task_failed(self, tracked_actor_task, exception)


def _a_death_is_told_once(self: TuneController, trial: Trial, exception: Exception) -> None:
    self._resetting_trials.discard(trial)
    if trial.status == Trial.PENDING and trial not in self._trial_to_actor:
        return
    _trial_failed(self, trial, exception)


def repair() -> None:
    """Let Tune outlive the death of any trial's process; doing so again changes nothing."""
    RayActorManager._actor_task_failed = _lack_of_memory_is_a_death  # type: ignore[method-assign]
    TuneController._trial_task_failure = _a_death_is_told_once  # type: ignore[method-assign]
