"""What the launch makes of a trial whose process died: try again, or end the trial with the reason.

Tune starts a trial again whose process died, up to `MAX_PROCESS_DEATHS` times; a node that was lost is not held against
its trials. A trial that was silent for too long is not tried again, and one that ran out of memory once only: an end in
the ledger is all it takes, since a trial that has ended does not begin.
"""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from typing_extensions import override

from sweeps.launch import last_words
from sweeps.launch.cluster import alive_nodes
from trainables.ledger import AttemptFolder, Death, End, TrialFolder
from trainables.store import Store
from trainables.watchdog import SILENT

MAX_PROCESS_DEATHS = 3
MAX_OUT_OF_MEMORY = 2
FATAL = "Fatal Python error: "
UNKNOWN = "killed from outside (by the system, for lack of memory, or by somebody), or it ended itself"
LOW_MEMORY = ("OutOfMemoryError", "running low on memory")


class Deaths(Callback):
    """Records every death of a trial's process in the ledger; `changed(key, True)` follows the last one."""

    def __init__(
        self,
        store: Store,
        launch: str,
        *,
        silent_after_s: float,
        changed: Callable[[str, bool], None],
        warn: Callable[[str], None],
        nodes: Callable[[], list[dict[str, Any]]] = alive_nodes,
    ) -> None:
        self.store = store
        self.launch = launch
        self.silent_after_s = silent_after_s
        self.changed = changed
        self.warn = warn
        self.nodes = nodes

    @override
    def on_trial_recover(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record a death after which Tune starts the trial again."""
        self._died(trial, last=False)

    @override
    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **info: Any) -> None:
        """Record the last death Tune allows."""
        self._died(trial, last=True)

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its callbacks to restore from, which is never done."""
        return {}

    def _died(self, trial: Trial, *, last: bool) -> None:
        folder = TrialFolder(self.store, trial.config["trial_key"])
        try:
            mine = [attempt for attempt in folder.attempts() if attempt.launch == self.launch]
            alive = {node["NodeID"] for node in self.nodes()}
            on_lost_nodes = {attempt.number for attempt in mine if attempt.node not in alive}
            trial.max_failures = MAX_PROCESS_DEATHS + len(on_lost_nodes)  # Tune counts as if the trial were to blame
            self._record(folder, [attempt.number for attempt in mine], on_lost_nodes, _what_ray_says(trial), last=last)
        except Exception as error:  # Tune ends the whole sweep if a callback raises
            self.warn(f"trial {folder.key[:12]}: its process died, and that could not be kept: {error}")
        self.changed(folder.key, last)

    def _record(
        self, folder: TrialFolder, mine: list[int], on_lost_nodes: set[int], ray_says: str, *, last: bool
    ) -> None:
        if folder.end() is not None:
            return
        deaths = []
        for number in mine:
            attempt = AttemptFolder(folder, number)
            if attempt.death() is None:
                attempt.record_death(self._death(attempt, ray_says))
            if number not in on_lost_nodes:
                deaths += [death for death in (attempt.death(),) if death is not None]
        causes = [death.cause for death in deaths]
        if last or "silent" in causes or causes.count("out of memory") >= MAX_OUT_OF_MEMORY:
            self._end(folder, mine, deaths)

    def _death(self, attempt: AttemptFolder, ray_says: str) -> Death:
        last_words.bring(attempt)
        crash = attempt.crash()
        now = time.time()
        if crash.startswith(SILENT):
            return Death(cause="silent", reason=f"no sign of life for {self.silent_after_s:g} s", time=now)
        if any(text in ray_says for text in LOW_MEMORY):
            return Death(cause="out of memory", reason="Ray ended it before the machine ran out of memory", time=now)
        crashed = crash.startswith(FATAL)
        reason = crash.splitlines()[0].removeprefix(FATAL) if crashed else UNKNOWN
        return Death(cause="crashed", reason=reason, time=now)

    def _end(self, folder: TrialFolder, attempts: list[int], deaths: list[Death]) -> None:
        rows = folder.rows()
        crash = AttemptFolder(folder, attempts[-1]).crash() if attempts else ""
        folder.finish(
            End(
                state="failed",
                attempt=folder.numbers()[-1] if folder.numbers() else 0,
                epochs=rows[-1].epoch if rows else 0,
                metrics={},
                ended=time.time(),
                seconds=rows[-1].seconds if rows else 0.0,
                reason=_reason(deaths, self.silent_after_s),
                traceback=crash or None,
            )
        )


def _reason(deaths: list[Death], silent_after_s: float) -> str:
    if not deaths:
        return f"its process died {MAX_PROCESS_DEATHS + 1} times before it could begin"
    last = deaths[-1]
    if last.cause == "silent":
        return f"silent for more than {silent_after_s:g} s: it hung, or a step takes longer; see --silent-after"
    if last.cause == "out of memory":
        return f"out of memory: {last.reason}, {len(deaths)} times; lower optim.batch_size or --max-concurrent"
    return f"its process died {f'{len(deaths)} times' if len(deaths) > 1 else 'once'}: {last.reason}"


def _what_ray_says(trial: Trial) -> str:
    """Return what Tune wrote down about the trial's last failure: it keeps them all in one file."""
    file = trial.error_file
    said = Path(file).read_text(errors="replace") if file and Path(file).exists() else ""
    return said.rpartition("Failure # ")[2]
