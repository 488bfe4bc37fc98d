"""A repair of Ray 2.60: a trial's process that was ended for lack of memory is a process that died.

Ray answers the call then with OutOfMemoryError, which is neither of the two kinds of error that Tune's actor manager
knows; it raises, and the whole sweep is over. Here it is told as what it is, the death of an actor. A test with a
trial that eats the memory goes red when Ray changes this.
"""

from typing import Any

from ray.air.execution._internal.actor_manager import RayActorManager
from ray.exceptions import OutOfMemoryError, RayActorError

_tell = RayActorManager._actor_task_failed


def _tell_death(self: RayActorManager, tracked_actor_task: Any, exception: Exception) -> None:
    if isinstance(exception, OutOfMemoryError):
        exception = RayActorError(error_msg=f"OutOfMemoryError: {exception}")
    _tell(self, tracked_actor_task, exception)


def repair() -> None:
    """Let Tune outlive a trial that runs out of memory; doing so again changes nothing."""
    RayActorManager._actor_task_failed = _tell_death  # type: ignore[method-assign]
