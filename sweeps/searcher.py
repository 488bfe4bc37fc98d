"""The launch's own Tune Searcher: hands out the trials that are still to do, in order, each once.

A trial that another live launch is running (two sweeps may share trials) is put off until that launch has ended it
or died. Tune's copy of the configuration holds only the trial's key and recipe; everything else is in the ledger.
"""

import time
from collections import deque
from collections.abc import Callable
from typing import Any

from ray.tune.search import Searcher

from softaug.recipe import Recipe, canonical
from trainables import launches
from trainables.ledger import TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

LOOK_ELSEWHERE_EVERY_S = 1.0


class LedgerSearcher(Searcher):
    """Suggests `recipes` whose trial has not ended; `changed(key, ended)` is called whenever one moved on.

    `unsaved`: why the store could not be written to, once it could not.
    """

    def __init__(
        self,
        store: Store,
        launch: str,
        recipes: list[Recipe],
        *,
        changed: Callable[[str, bool], None],
        warn: Callable[[str], None],
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.store = store
        self.launch = launch
        self.waiting = deque(recipes)
        self.running: dict[str, Recipe] = {}
        self.changed = changed
        self.warn = warn
        self.looked_elsewhere = 0.0
        self.unsaved: str | None = None

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration, None while the only ones left run elsewhere, or FINISHED."""
        if launches.stop_requested(self.store, self.launch):
            self.waiting.clear()
        if not self.waiting:
            return None if self.running else Searcher.FINISHED
        recipe = self._next_free()
        if recipe is None:
            return None
        self.running[trial_id] = recipe
        return {"trial_key": recipe.key, "recipe": canonical(recipe)}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Tell that a trial has new rows, and what its process wants told."""
        key = self.running[trial_id].key
        if result.get("note"):
            self.warn(f"trial {key[:12]} {result['note']}")
        self.changed(key, False)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell that a trial ended; one that turned out to run elsewhere waits again."""
        recipe = self.running.pop(trial_id)
        said = {} if result is None else result
        if said.get("state") == "elsewhere":
            self.waiting.append(recipe)
        elif said.get("state") == "unsaved":
            self.unsaved = said["note"]  # no trial can be kept now, so no more are begun
            self.waiting.clear()
        elif said.get("note"):
            self.warn(f"trial {recipe.key[:12]} {said['note']}")
        if not error:  # else the launch is about to write how it ended
            self.changed(recipe.key, True)

    def __getstate__(self) -> dict[str, Any]:
        """Return nothing: Tune pickles its searcher to restore from, which is never done."""
        return {}

    def save(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger says what is left."""

    def restore(self, checkpoint_path: str) -> None:
        """Do nothing: the ledger says what is left."""

    def _next_free(self) -> Recipe | None:
        if time.monotonic() - self.looked_elsewhere < LOOK_ELSEWHERE_EVERY_S:
            return None
        others = launches.alive(self.store).keys() - {self.launch}
        for _ in range(len(self.waiting)):
            recipe = self.waiting.popleft()
            trial = TrialFolder(self.store, recipe.key)
            if self._has_ended(trial):
                self.changed(recipe.key, True)
            elif others and trial.owner() in others:
                self.waiting.append(recipe)
            else:
                return recipe
        self.looked_elsewhere = time.monotonic()
        return None

    def _has_ended(self, trial: TrialFolder) -> bool:
        try:
            return trial.end() is not None
        except Damaged as damaged:
            self.warn(f"trial {trial.key[:12]} is left alone: {damaged}")
            return True
