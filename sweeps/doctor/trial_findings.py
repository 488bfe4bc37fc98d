"""What may be wrong with a trial's files, what it means, and the repair: nothing that holds a result is ever deleted.

Only trials that no running launch may be writing to are looked at.
"""

import re
import time
from collections.abc import Callable, Iterator, Mapping
from functools import partial

from softaug.recipe import Recipe
from sweeps.doctor.findings import Finding, counted, unreadable
from sweeps.resolved import ResolvedSweep
from trainables.evaluation import Evaluation, path_of
from trainables.launches import DEAD_AFTER_S
from trainables.ledger import Attempt, AttemptFolder, Death, End, TrialFolder
from trainables.sealed import Damaged, Entry
from trainables.store import Store

KEY = re.compile(r"[0-9a-f]{64}")
# What a write leaves that was cut off; the journal is that of a database of MLflow that was being made.
CUT_OFF = re.compile(r"\..+\.[0-9a-f]{32}(-journal)?|checkpoint\.new")
RESULTS = ("weights.safetensors", "reliability.json", "samples.png")
CURVE = (
    "Results stand, but of the curve only the epochs up to {epochs} can be believed; a trial that goes on needs them "
    "up to its checkpoint."
)
ENDED = (
    "Its trial counts as not ended, and runs again with the next launch of its sweep{where}. What it left stays in the "
    "folder of its attempt."
)


def trial_keys(store: Store) -> list[str]:
    """Return the keys of all trials of the store, whether a sweep has them or not."""
    shelves = [shelf for shelf in store.names("trials") if re.fullmatch(r"[0-9a-f]{2}", shelf)]
    return [key for shelf in shelves for key in store.names(f"trials/{shelf}") if KEY.fullmatch(key)]


def recipes(sweeps: list[ResolvedSweep]) -> Mapping[str, Callable[[], Recipe]]:
    """Return for every trial of these sweeps a function that makes its recipe."""
    return {
        key: partial(Recipe.model_validate, {**cell.recipe, "seed": seed})
        for sweep in sweeps
        for cell in sweep.cells
        for seed, key in cell.trials.items()
    }


def look_at_trial(trial: TrialFolder, recipe: Callable[[], Recipe] | None) -> Iterator[Finding]:
    """Yield what is wrong with a trial; `recipe` makes its recipe if a sweep has the trial."""
    yield from _recipe(trial, recipe)
    end = None
    try:
        end = trial.end()
    except Damaged as damaged:
        yield unreadable(trial.store, damaged, ENDED.format(where=_goes_on(trial)))
    for number in trial.numbers():
        yield from _attempt(AttemptFolder(trial, number), end)
    if end is not None and end.state == "finished":
        yield from _results(AttemptFolder(trial, end.attempt), end)
    for folder in (trial.path, *(f"{trial.path}/{number:04d}" for number in trial.numbers())):
        yield from cut_off_writes(trial.store, folder, older_than_s=DEAD_AFTER_S)


def cut_off_writes(store: Store, folder: str, *, older_than_s: float) -> Iterator[Finding]:
    """Yield the temporary files in a folder, "" for the root, that nobody writes to any more."""
    for name in store.names(folder, hidden=True):
        path = f"{folder}/{name}" if folder else name
        found = store.status(path) if CUT_OFF.fullmatch(name) else None
        if found is not None and time.time() - found.modified > older_than_s:
            what = "The beginning of a write that was cut off; what it was to replace is as it was."
            yield _delete(store, [path], path, what)


def _delete(store: Store, paths: list[str], where: str, what: str) -> Finding:
    def repair() -> str:
        for path in paths:
            store.delete(path)
        return "deleted"

    return Finding("leftover", where, what, "deletes it", repair)


def _recipe(trial: TrialFolder, recipe: Callable[[], Recipe] | None) -> Iterator[Finding]:
    def write() -> str:
        if recipe is not None:
            trial.write_recipe(recipe())
        return "written anew"

    try:
        trial.recipe()
    except Damaged as damaged:
        means = "Launches leave its trial alone; its results stand."
        anew = "writes it anew from its sweep" if recipe else "the next launch that needs it writes it anew"
        yield unreadable(trial.store, damaged, means, fix=f"sets it aside, and {anew}", then=write)
    except FileNotFoundError:
        if recipe is not None and trial.store.names(trial.path) and recipe().key == trial.key:
            path = f"{trial.path}/recipe.json"
            what = "The trial's recipe is gone, and MLflow cannot get it."
            yield Finding("incomplete", path, what, "writes it anew from its sweep", write)


def _goes_on(trial: TrialFolder) -> str:
    numbers = reversed(trial.numbers())
    kept = any(AttemptFolder(trial, number).checkpoint_names() for number in numbers)
    return ", from its newest checkpoint" if kept else ", from its beginning"


def _attempt(attempt: AttemptFolder, end: End | None) -> Iterator[Finding]:
    store, trial = attempt.store, attempt.trial
    path = f"{trial.path}/attempt-{attempt.number:04d}.json"
    entries: list[tuple[type[Entry], str, str]] = [
        (End, f"{attempt.path}/end.json", "How that attempt failed is lost, and nothing else: it was tried again."),
        (Death, f"{attempt.path}/death.json", "Why that process died is lost, and nothing else."),
        (Evaluation, path_of(attempt), "The trial's results stand; the next `softaug evaluate` measures this again."),
    ]
    if store.exists(path):
        yield from _attempt_file(store, path)
    for entry, each, means in entries:
        try:
            entry.read(store, each)
        except FileNotFoundError:
            continue
        except Damaged as damaged:
            yield unreadable(store, damaged, means)
    yield from _rows(attempt)
    yield from _checkpoints(attempt, end)


def _attempt_file(store: Store, path: str) -> Iterator[Finding]:
    try:
        Attempt.read(store, path)
    except Damaged as damaged:
        means = "Who started that attempt is lost; its number stays taken, and its epochs and results stand."
        yield unreadable(store, damaged, means)


def _rows(attempt: AttemptFolder) -> Iterator[Finding]:
    """Yield the finding of damaged rows. Their intact beginning goes on being read, so it is written back."""
    try:
        for _row in attempt.checked_rows():
            pass
    except Damaged as damaged:
        epochs = len(attempt.rows())
        lines = attempt.store.read(attempt.rows_path).splitlines(keepends=True)[:epochs]
        yield unreadable(
            attempt.store,
            damaged,
            CURVE.format(epochs=epochs),
            fix="sets it aside, and writes its intact beginning in its place",
            then=lambda: attempt.store.write(attempt.rows_path, b"".join(lines)),
        )


def _checkpoints(attempt: AttemptFolder, end: End | None) -> Iterator[Finding]:
    names = attempt.checkpoint_names()
    if names and end is not None and end.state == "finished":
        what = f"{counted(len(names), 'checkpoint')} of a finished trial, which nothing goes on from."
        yield _delete(attempt.store, [f"{attempt.path}/{name}" for name in names], f"{attempt.path}/checkpoint-*", what)
        return
    for name in names:
        try:
            attempt.checkpoint(name)
        except Damaged as damaged:
            means = "The trial goes on from the one before or, if there is none, from its beginning."
            yield unreadable(attempt.store, damaged, means)


def _results(attempt: AttemptFolder, end: End) -> Iterator[Finding]:
    """Yield what a finished trial lacks. It cannot be had again without training, which is a person's decision."""
    for name in RESULTS:
        path = f"{attempt.path}/{name}"
        file = attempt.store.status(path)
        if file is not None and (name != RESULTS[0] or file.size == end.weights_bytes):
            continue
        lacking = "has another size than the trial's end says" if file is not None else "is gone"
        what = (
            f"This file of a finished trial {lacking}. Its numbers stand, in end.json; only training again brings "
            "the file back."
        )
        way_out = "if you want that, delete the trial's end.json and launch its sweep again; --fix leaves it as it is"
        yield Finding("incomplete", path, what, way_out)
