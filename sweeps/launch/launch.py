"""Launch a sweep: make the ledger match it. What has ended is kept, what is missing runs, what was cut off goes on.

Relaunching is the only recovery there is: every launch is a fresh Tuner over what the ledger lacks. Ray, torch and
MLflow are imported only once there is something for them to do.
"""

import threading
from collections.abc import Callable, Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from softaug.recipe import Recipe
from sweeps.launch import cluster, nodes, preflight
from sweeps.launch.preflight import Refused
from sweeps.launch.signals import caught_signals, stop_on_signals
from sweeps.launched import Kept, save
from sweeps.plan.budget import launch_estimate
from sweeps.plan.course import Course, courses, estimate_text
from sweeps.resolved import Cell, ResolvedSweep, recipes_of
from sweeps.search.growth import with_winners
from sweeps.survey import Survey, survey
from sweeps.tracker.process import TrackerProcess
from trainables import launches
from trainables.ledger import EndState, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

if TYPE_CHECKING:
    from sweeps.search.run import SearchRun

UNKNOWN = 10**6  # trials to do, of a search
UNKNOWN_COST = "cost unknown: the sweep file has no prior, and no such trial has finished"


@dataclass(frozen=True)
class Settings:
    """Where and how to launch. `tracking_uri` None: offline. `max_concurrent` None: as many as fit.

    `budget_hours`: what is expected to take longer is refused; in CPU-hours, or GPU-hours if trials need GPUs.
    """

    store: Store
    data: Path | None
    tracking_uri: str | None
    address: str = "local"
    max_concurrent: int | None = None
    retry_failed: bool = False
    checkpoint_every_s: float = 60.0
    silent_after_s: float = 600.0
    upload_weights: bool = False
    budget_hours: float | None = None


class View(Protocol):
    """Shows a launch to a person."""

    def say(self, text: str) -> None:
        """Show one line."""

    def watch(self, slots: int) -> None:
        """Start showing how the sweep stands, with this many trials at once."""

    def grow(self, sweep: ResolvedSweep) -> None:
        """Show the sweep as it stands now that a search has asked for another cell."""


@dataclass(frozen=True)
class Outcome:
    """How a launch ended. `missing_in_mlflow`: trials that `softaug sync` has yet to bring there.

    `trouble`: why it could not go on to the end, None if it could. `course`: how good its estimate was, if it had one.
    """

    survey: Survey
    interrupted: bool
    missing_in_mlflow: int
    trouble: str | None
    course: Course | None = None


def launch(sweep: ResolvedSweep, settings: Settings, view: View) -> Outcome:
    """Run what the ledger lacks of `sweep`.

    Raises Refused or StoreRefused before anything starts, AlreadyRunning while another launch of it is alive.
    """
    store = settings.store
    preflight.check(
        sweep,
        store=store,
        data=settings.data,
        tracking_uri=settings.tracking_uri,
        address=settings.address,
        say=view.say,
    )
    estimate = launch_estimate(
        survey(store, with_winners(store, sweep)),
        settings.budget_hours,
        view.say,
        retry_failed=settings.retry_failed,
    )
    store.probe()
    if store.is_in_memory():
        view.say(f"the store {store.location} is in memory (tmpfs): when this machine restarts, all results are gone")
    with ExitStack() as stack:
        owned = stack.enter_context(_owned(store, sweep, estimate, view.say))
        stack.enter_context(stop_on_signals(store, owned, view.say))
        retried = _retried(sweep, settings)
        to_do = _to_do(sweep, store, retried, view.say)
        tracker = _Offline() if settings.tracking_uri is None else TrackerProcess(say=view.say)
        stack.callback(tracker.kill)
        slots = 0
        cluster.remove_abandoned()
        kept = stack.enter_context(Kept(store, say=view.say))
        search = _search(store, sweep, owned.id, retried, kept, tracker, view)
        most = UNKNOWN if search is not None and (to_do or search.anything_to_come()) else len(to_do)
        if most:
            and_more = "" if search is None else ", and what the search asks for"
            view.say(f"{len(to_do)} of {len(sweep.trial_keys)} trials to do{and_more}; starting Ray")
            view.say(UNKNOWN_COST if estimate is None else estimate_text(estimate))
            stack.enter_context(cluster.cluster(settings.address))
            stack.enter_context(caught_signals())  # again: Ray has its own handler of SIGTERM
            slots = min(_slots(sweep, settings), most)
        _prepare(store, sweep, to_do, retried)
        tracker.start(store, sweep, settings.tracking_uri or "", owned.id, upload_weights=settings.upload_weights)
        trouble = None
        if most:
            from sweeps.launch.train import train

            view.watch(slots)
            trouble = train(sweep, to_do, search, settings, owned.id, slots, changed=tracker.changed, warn=view.say)
        elif search is not None:
            search.more()  # nothing to run: it is over, and its winners are known
        kept.close()
        final = sweep if search is None else search.sweep
        missing = tracker.close(final.trial_keys)
        course = next(iter(courses(store, final, only=owned)), None)
        return Outcome(survey(store, final), launches.stop_requested(store, owned.id), missing, trouble, course)


def _slots(sweep: ResolvedSweep, settings: Settings) -> int:
    """Return how many trials run at once. Raises Refused if none can, or a node does not see the store.

    On a cluster, `max_concurrent` may be more than fits now: an autoscaler starts nodes for trials that wait.
    """
    if settings.address == "local":
        found = cluster.slots(sweep.resources)
        return min(found, settings.max_concurrent or found)
    found = nodes.ready_slots(settings.store, sweep.resources, settings.tracking_uri)
    return settings.max_concurrent or found


def _search(
    store: Store,
    sweep: ResolvedSweep,
    launch: str,
    retried: Collection[str],
    kept: Kept,
    tracker: "TrackerProcess | _Offline",
    view: View,
) -> "SearchRun | None":
    """Return the sweep's search, ready to ask."""
    if sweep.search is None:
        return None
    from sweeps.search.run import SearchRun

    def grown(sweep: ResolvedSweep, cell: Cell) -> None:
        for recipe in recipes_of(cell):
            trial = TrialFolder(store, recipe.key)
            trial.write_recipe(recipe)
            with suppress(Damaged):  # it is told, and left alone, when its turn comes
                trial.reopen(retried)
        kept.put(sweep)
        tracker.add(cell)
        view.grow(sweep)

    return SearchRun(store, sweep, launch, grown=grown, asked=kept.put, say=view.say, retried=retried)


def _retried(sweep: ResolvedSweep, settings: Settings) -> Collection[EndState]:
    """Return the states of trials that are tried again.

    Those that failed, if asked to; those that the scheduler of another sweep's search stopped, unless this has one too.
    """
    failed: tuple[EndState, ...] = ("failed", "diverged") if settings.retry_failed else ()
    return failed if sweep.search is not None and sweep.search.halving is not None else (*failed, "stopped")


def _to_do(sweep: ResolvedSweep, store: Store, retried: Collection[str], say: Callable[[str], None]) -> list[Recipe]:
    """Return the recipes whose trial has not ended, or in one of the states `retried`.

    A trial whose recipe or end is damaged is told and left alone.
    """
    to_do = []
    former = {key for cell in sweep.former for key in cell.trials.values()}
    for recipe in sweep.recipes():
        if recipe.key in former:
            continue
        trial = TrialFolder(store, recipe.key)
        try:
            trial.check()
            end = trial.end()
        except Damaged as damaged:
            say(f"trial {recipe.key[:12]} is left alone: {damaged}; `softaug doctor --fix` sets that file aside")
            continue
        if end is None or end.state in retried:
            to_do.append(recipe)
    return to_do


def _prepare(store: Store, sweep: ResolvedSweep, to_do: list[Recipe], retried: Collection[str]) -> None:
    save(store, sweep)
    for recipe in to_do:
        trial = TrialFolder(store, recipe.key)
        trial.write_recipe(recipe)
        trial.reopen(retried)


class _Offline:
    """In the tracker's place when none is wanted."""

    def start(self, *_what: object, **_options: object) -> None:
        """Start nothing."""

    def add(self, cell: Cell) -> None:
        """Note nothing."""

    def changed(self, key: str, ended: bool) -> None:
        """Note nothing."""

    def close(self, keys: list[str]) -> int:
        """Return how many trials `softaug sync` will bring to MLflow."""
        return len(keys)

    def kill(self) -> None:
        """End nothing."""


@contextmanager
def _owned(
    store: Store, sweep: ResolvedSweep, estimate: launches.CostEstimate | None, say: Callable[[str], None]
) -> Iterator[launches.Launch]:
    """Be the sweep's launch: beat, and say so when it is over. One that is refused leaves nothing."""
    owned = launches.acquire(store, sweep.experiment, estimate)
    over = threading.Event()
    heart = threading.Thread(target=_beat, args=(store, owned, over, say), name="heartbeat", daemon=True)
    heart.start()
    refused = False
    try:
        yield owned
    except Refused:
        refused = True
        raise
    finally:
        over.set()
        heart.join()
        try:
            launches.withdraw(store, owned) if refused else launches.beat(store, owned, ended=True)
        except OSError as error:
            say(store.explain(error))


def _beat(store: Store, owned: launches.Launch, over: threading.Event, say: Callable[[str], None]) -> None:
    failing = False
    while not over.wait(launches.BEAT_EVERY_S):
        try:
            launches.beat(store, owned)
            newest = launches.newest(store, owned.sweep)
        except OSError as error:
            if not failing:
                say(store.explain(error))
            failing = True
            continue
        failing = False
        if newest is not None and newest.id != owned.id:
            say(f"{newest.user} on {newest.host} took this launch over, having found it dead; stopping")
            launches.request_stop(store, owned.id)
            return
