"""Ledgers without training: a small resolved sweep, and trials that began, went on and ended as a test says."""

import os
import subprocess
import sys
import time

from softaug.recipe import Recipe, canonical
from softaug.versions import EVALUATION
from sweeps.resolved import Axis, Cell, Figure, Prior, ResolvedSweep, Resources
from trainables import evaluation
from trainables.evaluation import Condition, Evaluation, Measurement, Origin, conditions
from trainables.launches import Launch, this_machine
from trainables.ledger import Attempt, AttemptFolder, End, Row, TrialFolder
from trainables.store import Store

LAUNCH = "small@smoke-0001"
WEIGHTS = b"weights"
FORTY = conditions([40], "mean", 3)
RECIPES: dict[str, Recipe] = {}  # of all cells made so far, by key


def cell(arm: str, sigma: float | None, seeds: list[int]) -> Cell:
    """Return a cell of a standard crop, or of a Gaussian one."""
    crop = {"kind": "uniform", "radius_px": 1} if sigma is None else {"kind": "gaussian", "sigma": sigma}
    fields = {"data": {"name": "digits", "train_images": 100}, "model": {"name": "resnet8", "width": 4}, "crop": crop}
    recipes = {seed: Recipe.model_validate({**fields, "seed": seed}) for seed in seeds}
    RECIPES.update({recipe.key: recipe for recipe in recipes.values()})
    values = canonical(recipes[seeds[0]])
    del values["seed"]
    return Cell(
        arm=arm,
        axes={} if sigma is None else {"sigma": sigma},
        cell_key=recipes[seeds[0]].cell_key,
        recipe=values,
        trials={seed: recipe.key for seed, recipe in recipes.items()},
    )


def small_sweep(seeds: list[int] | None = None, name: str = "small", prior: Prior | None = None) -> ResolvedSweep:
    """Return two cells, baseline first, with two seeds each unless others are given."""
    seeds = seeds or [0, 1]
    return ResolvedSweep(
        name=name,
        scale="smoke",
        question="Is it small?",
        expect="Yes.",
        cost="",
        baseline="standard crop",
        seeds=seeds,
        axes={"sigma": Axis(field="crop.sigma", label="σ", values=[0.3])},
        cells=[cell("standard crop", None, seeds), cell("hard Gaussian crop", 0.3, seeds)],
        figure=Figure(kind="softening-over-sigma", x="sigma"),
        resources=Resources(),
        source="name: small\n",
        prior=prior,
    )


def record_launch(store: Store, launch_id: str = LAUNCH, *, pid: int = 1, ended: bool = False) -> Launch:
    """Write a launch of this machine that has just shown a sign of life."""
    now, sweep = time.time(), launch_id.rpartition("-")[0]
    launch = Launch(
        id=launch_id,
        sweep=sweep,
        user="somebody",
        host="h",
        machine=this_machine(),
        pid=pid,
        since=now - 60,
        beat=now,
        ended=ended,
    )
    path = f"launches/{launch_id}.json"
    store.write(path, launch.sealed(path))
    return launch


def dead_process() -> int:
    """Return the id of a process of this machine that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def make_old(path: "os.PathLike[str]", seconds: float = 7200.0) -> None:
    """Let a file have been changed so many seconds ago."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def begin(store: Store, key: str, *, launch: str = LAUNCH, node: str = "unknown") -> AttemptFolder:
    """Start the next attempt at a trial."""
    trial = TrialFolder(store, key)
    trial.write_recipe(RECIPES[key])
    number = len(trial.attempts()) + 1
    folder = trial.begin(
        Attempt(
            number=number,
            launch=launch,
            host="h",
            pid=1,
            started=1000.0,
            git_commit="c0ffee",
            git_dirty=False,
            node=node,
        )
    )
    assert folder is not None
    return folder


def rows(epochs: int) -> list[Row]:
    """Return that many rows with two metrics each."""
    return [
        Row(epoch=n, time=1000.0 + n, seconds=float(n), metrics={"train/kl": 1 / n, "train/lr": 0.1 / n})
        for n in range(1, epochs + 1)
    ]


def finish(folder: AttemptFolder, error: float, *, epochs: int = 3) -> None:
    """End a trial with this top-1 error, in percent."""
    folder.write_rows(rows(epochs))
    folder.write_results(weights=WEIGHTS, reliability={"test": {}}, samples=b"png")
    end_trial(folder, "finished", epochs, {"test/top1_error": error, "test/ece": error / 2})


def fail(folder: AttemptFolder, state: str, reason: str, *, epochs: int = 2) -> None:
    """End a trial as failed or diverged."""
    folder.write_rows(rows(epochs))
    end_trial(folder, state, epochs, {}, reason)


def end_trial(
    folder: AttemptFolder, state: str, epochs: int, metrics: dict[str, float], reason: str | None = None
) -> None:
    """Write the end as it is."""
    folder.trial.finish(
        End.model_validate(
            {
                "state": state,
                "attempt": folder.number,
                "epochs": epochs,
                "metrics": metrics,
                "ended": 1000.0 + epochs,
                "seconds": float(epochs),
                "weights_bytes": len(WEIGHTS) if state == "finished" else 0,
                "versions": {"torch": "2.14.1"},
                "reason": reason,
            }
        )
    )


def evaluate(folder: AttemptFolder, error: float = 7.0, wanted: list[Condition] = FORTY) -> None:
    """Write an evaluation of a finished trial as if its weights had been asked."""
    evaluation.write(folder, made_up_evaluation(error, wanted))


def made_up_evaluation(
    error: float = 7.0, wanted: list[Condition] = FORTY, *, version: int = EVALUATION, commit: str = "c0ffee"
) -> Evaluation:
    """Return an evaluation without a network: top-1 error is `error` if nothing is covered, else it plus the seed."""
    origin = Origin(
        git_commit=commit, git_dirty=False, device="cpu", cpu="c", threads=1, data_fingerprint="f", versions={}
    )
    measurements = [
        Measurement(
            percent=percent,
            fill=fill,
            seed=seed,
            area=float(percent),
            measured=2000.0 + (seed or 0),
            metrics={"top1_error": error + (seed or 0), "adaptive_ece": error / 2},
            reliability={},
            data=data,
        )
        for percent, fill, seed, data in wanted
    ]
    return Evaluation(version=version, origin=origin, measurements=measurements)
