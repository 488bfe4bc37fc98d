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
from sweeps.search.run import SearchRun
from trainables import launches
from trainables.ledger import TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

LOOK_ELSEWHERE_EVERY_S = 1.0


class Waiting(deque[Recipe]):
    """Trials that have not begun. `looked_at`: when all of them were running elsewhere, on the monotonic clock."""

    looked_at = -LOOK_ELSEWHERE_EVERY_S


class LedgerSearcher(Searcher):
    """Suggests `recipes` whose trial has not ended; `changed(key, ended)` is called whenever one moved on.

    Trials that a `search` asks for go before the others, which keep the slots busy while it waits.
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
        search: SearchRun | None = None,
    ) -> None:
        super().__init__(metric=None, mode=None)
        self.store = store
        self.launch = launch
        asked = set() if search is None else search.trial_keys
        self.asked = Waiting(recipe for recipe in recipes if recipe.key in asked)
        self.waiting = Waiting(recipe for recipe in recipes if recipe.key not in asked)
        self.running: dict[str, Recipe] = {}
        self.changed = changed
        self.warn = warn
        self.search = search
        self.unsaved: str | None = None

    def suggest(self, trial_id: str) -> Any:
        """Return the next trial's configuration, None while the only ones left run elsewhere, or FINISHED."""
        if launches.stop_requested(self.store, self.launch):
            self._end()
        try:
            recipe = self._next_free()
        except OSError as error:
            self.unsaved = self.store.explain(error)
            self._end()
            return None
        if recipe is None:
            return None if self._goes_on else Searcher.FINISHED
        self.running[trial_id] = recipe
        rungs = [] if self.search is None else self.search.rungs_of(recipe)
        objective = self.search.search.minimize[0] if self.search is not None else ""
        return {"trial_key": recipe.key, "recipe": canonical(recipe), "rungs": rungs, "objective": objective}

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
            self._end()
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

    @property
    def _goes_on(self) -> bool:
        """Whether a trial may come yet."""
        return bool(self.running or self.asked or self.waiting or not (self.search is None or self.search.over))

    def _end(self) -> None:
        """Begin no more trials."""
        self.asked.clear()
        self.waiting.clear()
        if self.search is not None:
            self.search.stop()

    def _next_free(self) -> Recipe | None:
        """Return the next trial that is not running elsewhere, None if there is none now."""
        if self.search is not None and not self.asked:
            self.asked.extend(self.search.more())
        return self._first_free(self.asked) or self._first_free(self.waiting)

    def _first_free(self, waiting: Waiting) -> Recipe | None:
        if time.monotonic() - waiting.looked_at < LOOK_ELSEWHERE_EVERY_S:
            return None
        others = launches.alive(self.store).keys() - {self.launch} if waiting else set()
        for _ in range(len(waiting)):
            recipe = waiting.popleft()
            trial = TrialFolder(self.store, recipe.key)
            if self._has_ended(trial):
                self.changed(recipe.key, True)
            elif others and trial.owner() in others:
                waiting.append(recipe)
            else:
                return recipe
        if waiting:
            waiting.looked_at = time.monotonic()
        return None

    def _has_ended(self, trial: TrialFolder) -> bool:
        try:
            return trial.end() is not None
        except Damaged as damaged:
            self.warn(f"trial {trial.key[:12]} is left alone: {damaged}")
            return True
