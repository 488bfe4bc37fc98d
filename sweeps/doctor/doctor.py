"""Find and explain what is wrong with a store, and repair it: damaged files, dead launches, leftovers, and MLflow.

Nothing is destroyed. A damaged file is moved to damaged/, a run in MLflow is only marked as deleted; what is deleted
for good are beginnings of writes, and checkpoints of trials that have finished. What a running launch may be writing
to is not looked at.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from sweeps import launched
from sweeps.doctor.findings import Checkup, Finding, Repaired, counted, repair, unreadable
from sweeps.doctor.trial_findings import cut_off_writes, look_at_trial, recipes, trial_keys
from sweeps.launch.preflight import Refused, unreachable_tracking
from sweeps.launch.stop import whereabouts
from sweeps.resolved import ResolvedSweep
from trainables import launches
from trainables.folder_store import FolderStore
from trainables.launches import DEAD_AFTER_S, Launch
from trainables.ledger import TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

ABANDONED_AFTER_S = 3600.0


@dataclass(frozen=True)
class Busy:
    """What running launches may write to. `launches`: their ids; `sweeps`: name@scale; `keys`: None means any trial."""

    launches: frozenset[str]
    sweeps: frozenset[str]
    keys: frozenset[str] | None

    def has(self, trial: TrialFolder) -> bool:
        """Say whether a running launch may write to this trial."""
        if self.keys is None or trial.key in self.keys:
            return True
        return any(attempt.launch in self.launches for attempt in trial.attempts()) if self.launches else False


def examine(store: Store, tracking_uri: str | None, *, fix: bool) -> Checkup:
    """Look at the store and at MLflow (None: not at MLflow); with `fix`, repair, and look again.

    Raises Refused if MLflow does not answer, nothing was ever launched, or a launch begins meanwhile.
    """
    problems = [] if tracking_uri is None else unreachable_tracking(tracking_uri)
    if problems:
        raise Refused(problems)
    if not any(store.names(folder) for folder in ("sweeps", "trials", "launches")):
        raise Refused([f"no sweep was launched into the store {store.location} yet; see `softaug launch --help`"])
    repaired: tuple[Repaired, ...] = ()
    if fix:
        busy = _busy(store)
        findings = _look_at_store(store, busy).findings
        if _busy(store) != busy:
            raise Refused(["a launch has just begun or ended; nothing was repaired: look again"])
        repaired = repair(findings)
        if tracking_uri is not None:
            repaired += _repair_mlflow(store, tracking_uri)
    checkup = replace(_look_at_store(store, _busy(store)), repaired=repaired)
    if tracking_uri is None:
        return checkup
    wrong, notes = _look_at_mlflow(store, tracking_uri)
    return replace(checkup, findings=(*checkup.findings, *wrong), notes=(*checkup.notes, *notes))


def _repair_mlflow(store: Store, tracking_uri: str) -> tuple[Repaired, ...]:
    sweeps = _quiet_sweeps(store)
    if not sweeps:
        return ()
    from sweeps.doctor import mlflow_findings

    return mlflow_findings.repair_runs(store, sweeps, tracking_uri)


def _look_at_mlflow(store: Store, tracking_uri: str) -> tuple[list[Finding], list[str]]:
    sweeps = _quiet_sweeps(store)
    if not sweeps:
        return [], []
    from sweeps.doctor import mlflow_findings

    return mlflow_findings.look_at_runs(store, sweeps, tracking_uri)


def _quiet_sweeps(store: Store) -> list[ResolvedSweep]:
    """Return the sweeps that no launch runs now; a launch keeps MLflow level by itself."""
    busy = _busy(store).sweeps
    return [sweep for sweep in launched.saved(store) if sweep.experiment not in busy]


def _busy(store: Store) -> Busy:
    now = time.time()
    running = [launch for launch in launches.launches(store) if launch.is_alive(now)]
    unsure = [launch_id for launch_id, _, fresh in _damaged_launches(store) if fresh]
    sweeps = frozenset({*(launch.sweep for launch in running), *(each.rpartition("-")[0] for each in unsure)})
    known = {sweep.experiment: sweep.trial_keys for sweep in launched.saved(store)}
    keys = frozenset(key for name in sweeps for key in known.get(name, ()))
    ids = frozenset({*(launch.id for launch in running), *unsure})
    return Busy(ids, sweeps, keys if sweeps <= known.keys() else None)


def _look_at_store(store: Store, busy: Busy) -> Checkup:
    findings = [*_sweeps(store), *_launches(store), *_leftovers(store, busy)]
    known = launched.saved(store)
    make = recipes(known)
    trials = [TrialFolder(store, key) for key in trial_keys(store)]
    quiet = [trial for trial in trials if not busy.has(trial)]
    cut_off = 0
    for trial in quiet:
        findings += look_at_trial(trial, make.get(trial.key))
        cut_off += _is_cut_off(trial)
    notes = [
        f"running: {each.id}, {whereabouts(each)}" for each in launches.launches(store) if each.id in busy.launches
    ]
    if len(quiet) < len(trials):
        notes.append(f"{counted(len(trials) - len(quiet), 'trial')} of running launches not looked at")
    if cut_off:
        notes.append(f"{counted(cut_off, 'trial')} interrupted: the next launch goes on from the last checkpoint")
    return Checkup(len(known), len(quiet), tuple(findings), tuple(notes))


def _is_cut_off(trial: TrialFolder) -> bool:
    try:
        return trial.end() is None and bool(trial.numbers())
    except Damaged:
        return False


def _sweeps(store: Store) -> Iterator[Finding]:
    for damaged in launched.damaged(store):
        means = "status, report and sync do without that sweep; its trials and their results stand."
        yield unreadable(store, damaged, means, fix="sets it aside; launch the sweep again to have it written anew")


def _launches(store: Store) -> Iterator[Finding]:
    now = time.time()
    for launch in launches.launches(store):
        if not launch.ended and not launch.is_alive(now):
            yield _dead(store, launch)
    for launch_id, damaged, fresh in _damaged_launches(store):
        yield _damaged_launch(store, launch_id, damaged, fresh=fresh)


def _dead(store: Store, launch: Launch) -> Finding:
    path = f"launches/{launch.id}.json"

    def repair() -> str:
        store.write(path, launch.model_copy(update={"ended": True}).sealed(path))
        return "marked as ended"

    what = f"Killed before it could say that it is over ({whereabouts(launch)}); the next launch takes over."
    return Finding("dead launch", path, what, "marks it as ended", repair)


def _damaged_launches(store: Store) -> Iterator[tuple[str, Damaged, bool]]:
    """Yield id and damage of launch files, and whether they are so new that the launch may be running.

    One that runs writes its file anew within seconds.
    """
    for name in store.names("launches"):
        path = f"launches/{name}"
        if not name.endswith(".json"):
            continue
        try:
            Launch.read(store, path)
        except FileNotFoundError:
            continue
        except Damaged as damaged:
            file = store.status(path)
            if file is not None:
                yield name.removesuffix(".json"), damaged, time.time() - file.modified <= DEAD_AFTER_S


def _damaged_launch(store: Store, launch_id: str, damaged: Damaged, *, fresh: bool) -> Finding:
    """Return the finding of a damaged launch file. Its number must stay taken: attempts and stop requests name it."""
    if fresh:
        what = f"The file {damaged.why}. If its launch runs, it writes it anew within seconds."
        return Finding("unreadable", damaged.path, what, f"look again in {DEAD_AFTER_S:.0f} s")
    file = store.status(damaged.path)
    changed = time.time() if file is None else file.modified
    sweep = launch_id.rpartition("-")[0]
    unknown = "unknown"
    over = Launch(
        id=launch_id,
        sweep=sweep,
        user=unknown,
        host=unknown,
        machine=unknown,
        pid=0,
        since=changed,
        beat=changed,
        ended=True,
    )
    return unreadable(
        store,
        damaged,
        "That launch counts as dead; nothing of its trials is lost.",
        fix="sets it aside, and notes in its place that the launch has ended",
        then=lambda: store.write(damaged.path, over.sealed(damaged.path)),
    )


def _leftovers(store: Store, busy: Busy) -> Iterator[Finding]:
    for folder in ("", "sweeps", "launches"):
        yield from cut_off_writes(store, folder, older_than_s=ABANDONED_AFTER_S)
    if busy.launches:
        return
    for name in store.names(""):
        file = store.status(name) if name.startswith("probe-") else None
        if file is not None and time.time() - file.modified > ABANDONED_AFTER_S:
            yield _deletion(
                name, "A file that a launch tried the store with, and was killed.", partial(store.delete, name)
            )
    if isinstance(store, FolderStore):
        yield from _folders_of_tune(store.root)


def _folders_of_tune(root: Path) -> Iterator[Finding]:
    """Yield the folders of earlier versions, which had Ray Tune keep its state in the store."""
    for path in sorted(root.glob("tune-*")):
        old = path.is_dir() and time.time() - path.stat().st_mtime > ABANDONED_AFTER_S
        if old and (
            not any(path.iterdir()) or any(path.rglob("experiment_state-*.json")) or any(path.rglob("tuner.pkl"))
        ):
            what = "Ray Tune's own state of a launch that was killed; nothing reads it."
            yield _deletion(path.name, what, partial(shutil.rmtree, path))


def _deletion(name: str, what: str, delete: Callable[[], None]) -> Finding:
    def repair() -> str:
        delete()
        return "deleted"

    return Finding("leftover", name, what, "deletes it", repair)
