"""What does a suggestion of a search cost, and are its slots busy?   python benchmarks/search_overhead.py

Questions: milliseconds from a free slot to the next trial's configuration when 1,000 cells are told, everything that a
launch does for it included (the study, the recipe, the trial's folder, the sweep's file); beside Optuna's own ask and
suggests over the same study. And the share of the slots that is idle during `search-joint --scale smoke`, two at a
time: 1 - seconds inside fit / (slots x wall from the first trial's start to the last end). Targets: at most 50 ms;
under 10 %; the whole command with its report under two minutes. Cost: three to four minutes.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import optuna
import yaml

from softaug.recipe import Recipe
from sweeps.files.catalog import CATALOG
from sweeps.files.expand import resolve
from sweeps.launch.searcher import LedgerSearcher
from sweeps.launched import Kept, save
from sweeps.resolved import Cell, ResolvedSweep, recipes_of
from sweeps.search.run import SearchRun
from sweeps.search.study import STARTUP_CELLS, distribution
from trainables import launches
from trainables.attempt import cpu_name
from trainables.ledger import Attempt, End, Row, TrialFolder
from trainables.store import Store, open_store

SLOTS = 2
TARGET_MS, TARGET_IDLE, TARGET_S = 50.0, 0.10, 120.0
SUGGESTIONS = 30


def told(store: Store, cells: int) -> ResolvedSweep:
    """Return search-joint at scale laptop with so many cells that have ended, drawn at random, in the store."""
    text = yaml.safe_load((CATALOG / "search-joint.yaml").read_text())
    text["search"]["sampler"] = "random"
    text["scales"]["laptop"]["search"]["budget"] = {"cells": cells + 10 * SUGGESTIONS}
    sweep = resolve(yaml.safe_dump(text, allow_unicode=True), "search-joint.yaml", scale="laptop")
    filling = SearchRun(store, sweep, "none", grown=lambda *_: None, say=print)
    while len(filling.sweep.search_cells) < cells:
        for recipe in filling.more():
            finish(store, recipe)
    assert filling.sweep.search is not None
    search = filling.sweep.search.model_copy(update={"sampler": "tpe"})
    return filling.sweep.model_copy(update={"search": search})


def finish(store: Store, recipe: Recipe) -> None:
    """End a trial as one that ran does, with an error that depends on sigma and k."""
    trial = TrialFolder(store, recipe.key)
    trial.write_recipe(recipe)
    attempt = Attempt(number=1, launch="none", host="h", pid=1, started=0.0, git_commit="c", git_dirty=False)
    folder = trial.begin(attempt)
    if folder is None:
        raise SystemExit("the store was not empty")
    crop = recipe.model_dump()["crop"]
    error = 20 + 30 * abs(crop["sigma"] - 0.15)
    folder.write_rows([Row(epoch=1, time=1.0, seconds=1.0, metrics={"val/top1_error": error})])
    trial.finish(End(state="finished", attempt=1, epochs=1, metrics={"test/top1_error": 1.0}, ended=1.0, seconds=1.0))


@dataclass
class Times:
    """Seconds on the clock and seconds of this thread's CPU time, of each of several calls."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)

    @contextmanager
    def one(self) -> Iterator[None]:
        """Time one call."""
        wall, cpu = time.perf_counter(), time.thread_time()
        yield
        self.wall.append(time.perf_counter() - wall)
        self.cpu.append(time.thread_time() - cpu)

    def __str__(self) -> str:
        """Return medians and the largest in milliseconds."""
        wall, most, cpu = (1000 * each for each in (median(self.wall), max(self.wall), median(self.cpu)))
        return f"{wall:6.1f} ms (most {most:.1f}; {cpu:.1f} ms of CPU time)"


def suggestions(store: Store, sweep: ResolvedSweep, number: int) -> tuple[float, Times]:
    """Return the seconds of the first suggestion, which rebuilds the study, and the times of the next ones."""
    launch = launches.acquire(store, sweep.experiment)
    save(store, sweep)
    first, times = Times(), Times()
    with Kept(store, say=print) as kept:

        def grown(sweep: ResolvedSweep, cell: Cell) -> None:
            for recipe in recipes_of(cell):
                TrialFolder(store, recipe.key).write_recipe(recipe)
            kept.put(sweep)

        run = SearchRun(store, sweep, launch.id, grown=grown, asked=kept.put, say=print)
        searcher = LedgerSearcher(store, launch.id, [], changed=lambda *_: None, warn=print, search=run)
        for count in range(number + 1):
            with (times if count else first).one():
                found = searcher.suggest(str(count))
            finish(store, Recipe.model_validate(found["recipe"]))
            searcher.on_trial_complete(str(count))
    launches.beat(store, launch, ended=True)
    return first.wall[0], times


def optunas(sweep: ResolvedSweep, number: int) -> Times:
    """Return the times of Optuna's own ask and suggests with the same sampler over the same cells."""
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    search = sweep.search
    assert search is not None
    sampler = optuna.samplers.TPESampler(
        seed=0, n_startup_trials=STARTUP_CELLS, multivariate=True, group=True, constant_liar=True
    )
    study = optuna.create_study(sampler=sampler)
    known = {parameter.name: parameter for parameter in search.parameters}
    study.add_trials(
        [
            optuna.create_trial(
                params=dict(ask.values),
                distributions={name: distribution(known[name]) for name in ask.values},
                value=20 + 30 * abs(float(ask.values["sigma"]) - 0.15),
            )
            for ask in search.asks
        ]
    )
    times = Times()
    for _ in range(number):
        with times.one():
            trial = study.ask()
            values: dict[str, float | int | str] = {}
            for parameter in search.parameters:
                if parameter.is_there(values):
                    values[parameter.name] = trial._suggest(parameter.name, distribution(parameter))
        study.tell(trial, 20.0)
    return times


def idle(folder: Path) -> None:
    """Launch search-joint at scale smoke and print the idle share of its slots, and the seconds to its report."""
    store = folder / "runs"
    softaug = [str(Path(sys.executable).with_name("softaug"))]
    started = time.perf_counter()
    launched = subprocess.run(
        [*softaug, "launch", "search-joint", "--scale", "smoke", "--store", str(store), "--max-concurrent", str(SLOTS)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if launched.returncode:
        raise SystemExit(launched.stdout + launched.stderr)
    after = time.perf_counter()
    reported = subprocess.run(
        [*softaug, "report", "search-joint", "--scale", "smoke", "--store", str(store),
         "--out", str(folder / "report")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if reported.returncode:
        raise SystemExit(reported.stdout + reported.stderr)
    done = time.perf_counter()
    ends = [json.loads(path.read_text()) for path in store.glob("trials/*/*/end.json")]
    starts = [json.loads(path.read_text())["started"] for path in store.glob("trials/*/*/attempt-0001.json")]
    wall, inside = max(end["ended"] for end in ends) - min(starts), sum(end["seconds"] for end in ends)
    share = 1 - inside / (SLOTS * wall)
    print(f"search-joint --scale smoke: {len(ends)} trials of {inside / len(ends):.2f} s on average, {wall:.1f} s")
    print(f"  idle share of {SLOTS} slots {share:8.1%}   (target: under {TARGET_IDLE:.0%})")
    print(f"  launch {after - started:.1f} s, report {done - after:.1f} s   (target: under {TARGET_S:.0f} s together)")


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--no-launch", action="store_true", help="leave out the launch of search-joint")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
    print(f"{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        store = open_store(Path(folder) / "told")
        sweep = told(store, arguments.cells)
        first, times = suggestions(store, sweep, SUGGESTIONS)
        print(f"{arguments.cells} cells told; the first suggestion, which rebuilds the study: {1000 * first:.0f} ms")
        print(f"softaug {times}   (target: at most {TARGET_MS:.0f} ms)")
        print(f"Optuna  {optunas(sweep, SUGGESTIONS)}, its own ask and suggests alone")
        if not arguments.no_launch:
            idle(Path(folder))


if __name__ == "__main__":
    main()
