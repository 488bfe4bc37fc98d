"""A search while a launch runs it: which trials come next, as the ledger's results allow.

What is kept of it is the sweep's file alone. A launch that is killed before the newest cells are in there asks for the
same ones again.
"""

from collections.abc import Callable, Collection
from itertools import islice

from softaug.recipe import Recipe
from sweeps.resolved import Cell, ResolvedSweep, recipes_of
from sweeps.search.cells import confirming, winner_cell, with_ask
from sweeps.search.outcomes import FAILED, Outcomes, spent, winners
from sweeps.search.search import Ask, Outcome, Search
from sweeps.search.study import STARTUP_CELLS, Asker
from trainables.ledger import TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

MAX_FRUITLESS = 100  # asks in a row that bring no new cell: the space has no more, or hardly any


class SearchRun:
    """Asks for cells, and for the winners at the end.

    `grown(sweep, cell)` is called for every new cell, `asked(sweep)` for every other ask. `retried`: states of
    ends that do not count, since those trials are tried again.
    """

    def __init__(
        self,
        store: Store,
        sweep: ResolvedSweep,
        launch: str,
        *,
        grown: Callable[[ResolvedSweep, Cell], None],
        asked: Callable[[ResolvedSweep], None] = lambda _: None,
        say: Callable[[str], None],
        retried: Collection[str] = (),
    ) -> None:
        assert sweep.search is not None
        self.sweep = sweep
        self.launch = launch
        self.grown = grown
        self.asked = asked
        self.say = say
        self.retried = retried
        self.outcomes = Outcomes(store, sweep.search)
        self.cells = {cell.cell_key: cell for cell in sweep.search_cells}
        self.fruitless = _fruitless(sweep.search)
        self.ended = 0  # cells that have, from the first one on
        self.asker: Asker | None = None
        self.finding = True  # cells may still be asked for
        self.over = False  # nothing more will come

    def anything_to_come(self) -> bool:
        """Say whether a trial is to run yet; nothing is kept of what is asked for to know that."""
        trying = SearchRun(self.outcomes.store, self.sweep, self.launch, grown=lambda *_: None, say=lambda _: None)
        recipes = trying.more()
        return not trying.over or any(self._is_to_run(recipe) for recipe in recipes)

    def _is_to_run(self, recipe: Recipe) -> bool:
        try:
            end = TrialFolder(self.outcomes.store, recipe.key).end()
        except Damaged:
            return False
        return end is None or end.state in self.retried

    @property
    def search(self) -> Search:
        """The search as it stands."""
        assert self.sweep.search is not None
        return self.sweep.search

    @property
    def trial_keys(self) -> set[str]:
        """Keys of the trials of all cells asked for so far."""
        return {key for cell in self.cells.values() for key in cell.trials.values()}

    def rungs_of(self, recipe: Recipe) -> list[int]:
        """Return the epochs at which a trial is judged: of one that the search asked for, not of a winner or an arm."""
        halving = self.search.halving
        return halving.rungs(recipe.optim.epochs) if halving is not None and recipe.key in self.trial_keys else []

    def more(self) -> list[Recipe]:
        """Return trials that may begin now, none if that must wait for those that run, or if it is over."""
        while self.finding and self._may_ask():
            cell = self._ask()
            if cell is not None and self.outcomes.of(cell) is None:  # else the ledger has held it all along
                return list(recipes_of(cell))
        if self.finding or self.over or any(self._outcome(ask) is None for ask in self.search.asks):
            return []
        self.over = True
        return self._confirm()

    def stop(self) -> None:
        """Ask for nothing more."""
        self.finding, self.over = False, True

    def _may_ask(self) -> bool:
        """Say whether another cell may be asked for now; end the search when its budget is spent."""
        if reason := self._reason_to_end():
            self.finding = False
            self.say(reason)
            return False
        asks = self.search.asks
        while self.ended < len(asks) and self._outcome(asks[self.ended]) is not None:
            self.ended += 1
        return self.ended >= self._to_be_told

    def _reason_to_end(self) -> str:
        asks = self.search.asks
        if limit := spent(self.sweep, self.outcomes, self.launch):
            return f"the search has spent its budget of {limit}"
        first = [self._outcome(ask) for ask in islice(asks, STARTUP_CELLS)]
        if len(first) == STARTUP_CELLS and all(outcome == FAILED for outcome in first):
            return f"the search ends: its first {STARTUP_CELLS} cells all failed"
        if self.fruitless >= MAX_FRUITLESS:
            return f"the search ends: its last {MAX_FRUITLESS} suggestions brought no new cell"
        return ""

    @property
    def _to_be_told(self) -> int:
        """How many cells must have ended before the next one can be asked for, and be the only ones told."""
        return max(0, len(self.search.asks) - self.search.in_flight + 1)

    def _outcome(self, ask: Ask) -> Outcome | None:
        return self.outcomes.of(self.cells[ask.cell_key]) if ask.cell_key else FAILED

    def _told(self, ask: Ask) -> Outcome:
        outcome = self._outcome(ask)
        assert outcome is not None
        return outcome

    def _ask(self) -> Cell | None:
        """Ask for one more cell and keep it; return it if it is new."""
        asker, asks = self._asker(), self.search.asks
        while asker.told < self._to_be_told:
            asker.tell(self._told(asks[asker.told]))
        values = asker.ask()
        if values is None:
            self.finding = False
            self.say(f"the search has been over its whole grid of {len(asks)} cells")
            return None
        before = len(self.sweep.search_cells)
        self.sweep = with_ask(self.sweep, values)
        if len(self.sweep.search_cells) == before:
            self.fruitless += 1
            self.asked(self.sweep)
            return None
        self.fruitless = 0
        cell = self.sweep.search_cells[-1]
        self.cells[cell.cell_key] = cell
        self.grown(self.sweep, cell)
        return cell

    def _asker(self) -> Asker:
        """Return what asks, with all the study knows so far; made anew in every launch."""
        if self.asker is None:
            self.asker = Asker(self.search)
            asks, told = self.search.asks, max(0, self._to_be_told - 1)
            self.asker.ended([(ask.values, self._told(ask)) for ask in asks[:told]])
            for ask in asks[told:]:
                self.asker.again(ask.values)
        return self.asker

    def _confirm(self) -> list[Recipe]:
        found = winners(self.search, self.outcomes.known)
        if not found:
            self.say("no cell of the search ended well: there is no winner to confirm")
        recipes = []
        for number, each in enumerate(found, start=1):
            cell = winner_cell(self.search, each.ask.values, number, self.sweep.seeds)
            twin = next((known for known in self.sweep.cells if known.cell_key == cell.cell_key), None)
            if twin is not None:
                self.say(f"winner {number} of the search is the cell {twin.title}")
                continue
            self.sweep = confirming(self.sweep, [cell])
            self.grown(self.sweep, cell)
            recipes += list(recipes_of(cell))
        return recipes


def _fruitless(search: Search) -> int:
    """Return how many asks have come since the last new cell."""
    known: set[str] = {""}
    since = 0
    for ask in search.asks:
        since = since + 1 if ask.cell_key in known else 0
        known.add(ask.cell_key)
    return since
