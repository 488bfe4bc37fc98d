"""Says that a launch waits because no node is left that can take a trial, and that one is back."""

import time
from collections.abc import Callable
from typing import Any

from ray.exceptions import RayError
from ray.tune import Callback
from ray.tune.experiment import Trial
from typing_extensions import override

from sweeps.launch.cluster import alive_nodes, fitting
from sweeps.resolved import Resources

LOOK_EVERY_S = 5.0


class Waiting(Callback):
    """Looks at the cluster's nodes every few seconds; trials that wait are Tune's to place once there is room."""

    def __init__(self, needs: Resources, say: Callable[[str], None]) -> None:
        self.needs = needs
        self.say = say
        self.waits = False
        self.looked = time.monotonic()

    @override
    def on_step_end(self, iteration: int, trials: list[Trial], **info: Any) -> None:
        """Say it once, when it changes."""
        if time.monotonic() - self.looked < LOOK_EVERY_S:
            return
        self.looked = time.monotonic()
        try:
            slots = sum(fitting(node["Resources"], self.needs) for node in alive_nodes())
        except (RayError, RuntimeError):
            return  # the head is away: Tune will say so, and a callback that raises ends the sweep
        if self.waits != (slots == 0):
            self.waits = slots == 0
            self.say(self._waiting() if self.waits else f"going on: there is room for {slots} trials at once")

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its callbacks to restore from, which is never done."""
        return {}

    def _waiting(self) -> str:
        gpus = f" and {self.needs.gpus:g} GPUs" if self.needs.gpus else ""
        return f"waiting for a node: none is left that has {self.needs.cpus} CPUs{gpus} for a trial"
