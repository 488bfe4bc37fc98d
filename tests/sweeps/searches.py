"""Searches without training: a small space, a surface with seed noise, and a ledger that a loop fills as a launch does.

The surface is shaped like the paper's Figure 3: least near sigma 0.3, k 2.
"""

import hashlib
import math
import random
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import yaml

from softaug.recipe import Recipe
from sweeps.files.expand import resolve
from sweeps.resolved import Cell, ResolvedSweep
from sweeps.search.run import SearchRun
from sweeps.search.search import Search, Values
from trainables.ledger import Attempt, End, EndState, Row, TrialFolder
from trainables.store import Store

LAUNCH = "seek@paper-0001"
SPACE: Mapping[str, Any] = {
    "sigma": {"field": "crop.sigma", "low": 0.05, "high": 0.8, "step": 0.05},
    "k": {"field": "softening.k", "low": 0.5, "high": 6.0, "log": True},
    "width": {"field": "model.width", "low": 4, "high": 16, "step": 4},
    "target": {"field": "softening.apply_to", "values": ["target", "both"]},
    "policy": {"choices": {"none": {"policy": None}, "RandAugment": {"policy": {"kind": "rand-augment"}}}},
    "magnitude": {"field": "policy.magnitude", "low": 1, "high": 15, "when": {"policy": ["RandAugment"]}},
}
GRID: Mapping[str, Any] = {
    "sigma": {"field": "crop.sigma", "low": 0.1, "high": 0.3, "step": 0.1},
    "policy": SPACE["policy"],
    "magnitude": {"field": "policy.magnitude", "values": [3, 9], "when": {"policy": ["RandAugment"]}},
}


def sweep(space: Mapping[str, Any] = SPACE, *, base: Mapping[str, Any] | None = None, **search: Any) -> ResolvedSweep:
    """Return a sweep that searches this space on the digits; `search` are further fields of its `search:`."""
    recipe = {
        "data": {"name": "digits", "train_images": 300},
        "model": {"name": "resnet8", "width": 4},
        "crop": {"kind": "gaussian", "sigma": 0.3},
        "softening": {"apply_to": "target", "k": 2.0},
        "optim": {"epochs": 9, "batch_size": 50},
    }
    given = {
        "space": dict(space),
        "seeds": [100],
        "budget": {"cells": 16},
        "base": base or {"data": {"validation_images": 50}, "optim": {"epochs": 6}},
    }
    text = {
        "name": "seek",
        "question": "Where is the least error?",
        "seeds": [0, 1],
        "baseline": "standard crop",
        "base": recipe,
        "arms": [
            {"name": "standard crop", "set": {"crop": {"kind": "uniform", "radius_px": 1}, "softening": None}},
            {"name": "paper", "set": {}},
        ],
        "search": {**given, **search},
    }
    return resolve(yaml.safe_dump(text, sort_keys=False), "seek.yaml")


def search_of(grown: ResolvedSweep) -> Search:
    """Return a sweep's search."""
    assert grown.search is not None
    return grown.search


def error(values: Mapping[str, Any]) -> float:
    """Return the true top-1 error, in percent."""
    sigma, k = float(values.get("sigma", 0.3)), float(values.get("k", 2.0))
    bowl = 12 * (math.log(sigma / 0.3)) ** 2 / (1 + math.log(sigma / 0.3) ** 2) + 1.5 * math.log(k / 2) ** 2
    return 20 + bowl + 0.1 * float(values.get("magnitude", 5)) + (values.get("target") == "both")


def ece(values: Mapping[str, Any]) -> float:
    """Return a true calibration error that pulls the other way: larger crops are calibrated better."""
    return 8 - 6 * float(values.get("sigma", 0.3)) + 0.1 * float(values.get("k", 2.0))


def noise(key: str) -> float:
    """Return a trial's seed noise: normal, standard deviation 0.2, a function of its key."""
    return random.Random(int(hashlib.sha256(key.encode()).hexdigest()[:8], 16)).gauss(0, 0.2)


def end(
    store: Store,
    recipe: Recipe,
    metrics: Mapping[str, float],
    *,
    state: EndState = "finished",
    judged: Sequence[float] = (),
    seconds: float = 1.0,
) -> None:
    """Write a trial as it is when it has ended; `judged` are the top-1 errors of its epochs before the last."""
    trial = TrialFolder(store, recipe.key)
    trial.write_recipe(recipe)
    number = len(trial.numbers()) + 1
    folder = trial.begin(
        Attempt(number=number, launch=LAUNCH, host="h", pid=1, started=1.0, git_commit="c", git_dirty=False)
    )
    assert folder is not None
    each = [{"val/top1_error": value} for value in judged] + ([dict(metrics)] if metrics else [])
    folder.write_rows(
        [Row(epoch=n, time=float(n), seconds=float(n), metrics=row) for n, row in enumerate(each, start=1)]
    )
    final = {"test/top1_error": metrics.get("val/top1_error", 0.0)} if state == "finished" else {}
    trial.finish(End(state=state, attempt=number, epochs=len(each), metrics=final, ended=time.time(), seconds=seconds))


def surface(store: Store, values_of: Callable[[Recipe], Values]) -> Callable[[Recipe], None]:
    """Return what ends a trial with the surface's values and its seed's noise."""

    def finish(recipe: Recipe) -> None:
        values, drawn = values_of(recipe), noise(recipe.key)
        end(store, recipe, {"val/top1_error": error(values) + drawn, "val/ece": ece(values) + drawn})

    return finish


def values_in(recipe: Recipe) -> Values:
    """Return what the surface looks at in a recipe."""
    found = recipe.model_dump(mode="json")
    values: Values = {"sigma": (found["crop"] or {}).get("sigma", 0.3)}
    if found["softening"]:
        values |= {"k": found["softening"]["k"], "target": found["softening"]["apply_to"]}
    if found["policy"] and found["policy"]["kind"] == "rand-augment":
        values["magnitude"] = found["policy"]["magnitude"]
    return values


class Loop:
    """In a launch's place: hands what a search asks for to `finish`, in an order of its own.

    `said`: what the search told; `begun`: the trials in the order they were asked for; `most`: open cells at once.
    """

    def __init__(self, store: Store, finish: Callable[[Recipe], None] | None = None) -> None:
        self.store = store
        self.finish = finish or surface(store, values_in)
        self.said: list[str] = []
        self.begun: list[Recipe] = []
        self.most = 0

    def run(self, sweep: ResolvedSweep, **how: Any) -> SearchRun:
        """Return a search that is ready to ask."""
        return SearchRun(self.store, sweep, LAUNCH, grown=how.pop("grown", _nothing), say=self.said.append, **how)

    def drive(
        self, run: SearchRun, *, order: random.Random | None = None, slots: int = 4, until: int = 10**6
    ) -> ResolvedSweep:
        """Run a search to its end, or until so many trials have ended; return the sweep as it has grown."""
        running: list[Recipe] = []
        waiting: list[Recipe] = []
        for _ in range(until):
            while len(running) < slots and (waiting or (waiting := self._new(run))):
                running.append(waiting.pop(0))
                self.begun.append(running[-1])
            if not running:
                assert run.over, "nothing runs, nothing comes, and it is not over"
                break
            self.most = max(self.most, len(open_cells(self.store, run.sweep)))
            self.finish(running.pop(order.randrange(len(running)) if order else 0))
        return run.sweep

    def _new(self, run: SearchRun) -> list[Recipe]:
        recipes = run.more()
        return [recipe for recipe in recipes if TrialFolder(self.store, recipe.key).end() is None]


def open_cells(store: Store, sweep: ResolvedSweep) -> list[Cell]:
    """Return the cells of a search of which a trial has not ended."""
    return [
        cell
        for cell in sweep.search_cells
        if any(TrialFolder(store, key).end() is None for key in cell.trials.values())
    ]


def asked(grown: ResolvedSweep) -> list[Values]:
    """Return the values asked for, in order."""
    return [ask.values for ask in search_of(grown).asks]


def winners_of(grown: ResolvedSweep) -> list[Values]:
    """Return the values of the winners, best first."""
    return [cell.axes for cell in grown.cells if cell.arm.startswith("winner")]


def _nothing(*_: object) -> None:
    pass
