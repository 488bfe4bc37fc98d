"""Asynchronous successive halving (ASHA; Li et al. 2020) as a Tune scheduler: which trials of a search go on at a rung.

What counts at a rung are the values of all of the search's trials that came to it, in this launch or an earlier one, as
the ledger has them. A trial that does not go on is ended there, in state `stopped`.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from ray.tune.experiment import Trial
from ray.tune.schedulers import TrialScheduler

from sweeps.launch.tune_at_scale import InOrder
from sweeps.search.run import SearchRun
from trainables.ledger import AttemptFolder, End, TrialFolder
from trainables.store import Store


class HalvingScheduler(InOrder):
    """Judges every trial that reports a rung; without rungs all go on."""

    def __init__(self, store: Store, search: SearchRun, *, warn: Callable[[str], None]) -> None:
        super().__init__()
        self.store = store
        self.search = search
        self.warn = warn
        self.rungs: dict[int, dict[str, float]] = {}  # epoch -> trial key -> value
        if search.search.halving is not None:
            for key in search.trial_keys:
                for row in TrialFolder(store, key).rows():
                    if (value := row.metrics.get(search.search.minimize[0])) is not None:
                        self.rungs.setdefault(row.epoch, {})[key] = value

    def on_trial_result(self, _controller: Any, _trial: Trial, result: dict[str, Any]) -> str:
        """Stop a trial that is not among the best so far at its rung."""
        rung, key, halving = result.get("rung", 0), result.get("trial_key", ""), self.search.search.halving
        if not rung or halving is None:
            return TrialScheduler.CONTINUE
        values = self.rungs.setdefault(rung, {})
        values[key] = result["value"]
        if goes_on(list(values.values()), values[key], halving.reduction):
            return TrialScheduler.CONTINUE
        try:
            ended = self._stop(
                TrialFolder(self.store, key), f"not among the best 1/{halving.reduction} at epoch {rung}"
            )
        except OSError as error:
            self.warn(self.store.explain(error))
            return TrialScheduler.CONTINUE
        return TrialScheduler.STOP if ended else TrialScheduler.CONTINUE

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its scheduler to restore from, which is never done."""
        return {}

    def _stop(self, folder: TrialFolder, reason: str) -> bool:
        attempts = [AttemptFolder(folder, number) for number in folder.numbers()]
        attempt, rows = attempts[-1], attempts[-1].rows()
        ended = folder.finish(
            End(
                state="stopped",
                attempt=attempt.number,
                epochs=rows[-1].epoch if rows else 0,
                metrics={},
                ended=time.time(),
                seconds=rows[-1].seconds if rows else 0.0,
                reason=reason,
            )
        )
        if ended:
            for each in attempts:
                each.delete_checkpoints()
        return ended


def goes_on(values: Sequence[float], own: float, reduction: int) -> bool:
    """Say whether a value is among the best 1/`reduction` of those that came so far, itself included; the best always.

    Smaller is better; of equal values all are as good as the best of them.
    """
    return sum(value < own for value in values) < max(1, len(values) // reduction)
