"""A search is killed, stopped, grown, halved, and meets cells that fail: it ends as if nothing had been."""

import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.faults.evidence import read_runs, read_sweeps, read_trials
from tests.faults.scenes import Launch, Scene, measured, softaug, until
from tests.faults.test_driver_kills import BESIDE, CREATE, MLFLOW, RENAME, WRITE, ends, name

SEED = 20250702
CELLS = 16  # the first ten of which are drawn at random


def search_sweep(*, epochs: int = 3, **search: Any) -> str:
    """Return a sweep file whose search asks for `CELLS` cells of two parameters and confirms the best one."""
    given = {
        "space": {
            "sigma": {"field": "crop.sigma", "low": 0.05, "high": 0.5, "step": 0.05},
            "k": {"field": "softening.k", "low": 0.5, "high": 6.0, "log": True},
        },
        "seeds": [100],
        "budget": {"cells": CELLS},
        "in_flight": 3,
        "base": {"data": {"validation_images": 40}, "optim": {"epochs": epochs}},
    }
    sweep = {
        "name": "seek",
        "question": "Is a search a function of its file?",
        "expect": "It is.",
        "seeds": [0],
        "baseline": "standard crop",
        "base": {
            "data": {"name": "digits", "train_images": 100},
            "model": {"name": "resnet8", "width": 4},
            "crop": {"kind": "gaussian", "sigma": 0.3},
            "softening": {"apply_to": "target", "k": 2.0},
            "optim": {"epochs": 4, "batch_size": 30},
        },
        "arms": [{"name": "standard crop", "set": {"crop": {"kind": "uniform", "radius_px": 1}, "softening": None}}],
        "search": {**given, **search},
        "resources": {"cpus": 1},
    }
    return yaml.safe_dump(sweep, allow_unicode=True, sort_keys=False)


def kept(scene: Scene) -> dict[str, Any]:
    """Return the sweep as its file in the store has it."""
    (sweep,) = read_sweeps(scene.store)
    return sweep


def found(scene: Scene) -> dict[str, Any]:
    """Return what a search came to: what it asked for, its cells, and the cells that enter tables."""
    sweep = kept(scene)
    return {"asks": sweep["search"]["asks"], "searched": sweep["search_cells"], "cells": sweep["cells"]}


def searched(scene: Scene) -> list[str]:
    """Return the trials of the search's cells, in the order in which they were asked for."""
    return [key for cell in kept(scene)["search_cells"] for key in cell["trials"].values()]


def one_run_per_trial(scene: Scene) -> dict[str, str]:
    """Return the status of each trial's run in MLflow; there is exactly one for each."""
    runs = [run for run in read_runs(f"sqlite:///{scene.store / 'mlflow.db'}") if run.tags["kind"] == "trial"]
    keys = [run.tags["trial_key"] for run in runs]
    assert sorted(keys) == sorted(read_trials(scene.store))
    return dict(zip(keys, (run.status for run in runs), strict=True))


@pytest.fixture(scope="module")
def seek(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return a scene with one launch of the search that ran to its end."""
    opened = Scene(tmp_path_factory.mktemp("seek"))
    opened.launch(opened.sweep(search_sweep()), "--checkpoint-every", 0).ended(0)
    yield opened
    opened.close()


@pytest.mark.slow
def test_an_undisturbed_search_asks_runs_each_trial_once_and_confirms(seek: Scene) -> None:
    assert len(kept(seek)["search"]["asks"]) == CELLS
    assert [cell["arm"] for cell in kept(seek)["cells"]] == ["standard crop", "winner 1"]
    errors = {key: trial.newest_rows[-1]["metrics"]["val/top1_error"] for key, trial in read_trials(seek.store).items()
              if key in searched(seek)}  # fmt: skip
    best = min(searched(seek), key=lambda key: errors[key])
    values = next(cell["axes"] for cell in kept(seek)["search_cells"] if best in cell["trials"].values())
    assert kept(seek)["cells"][-1]["axes"] == values
    assert len(seek.events("start")) == CELLS + 2
    assert set(one_run_per_trial(seek).values()) == {"FINISHED"}
    seek.check()


def points() -> dict[str, list[dict[str, Any]]]:
    """Return ten points, seeded, in two chains: each launch is killed at the next point of its chain."""
    draw = random.Random(SEED)

    def point(at: str, when: str, path: str, by: str, earliest: int = 1, latest: int = 1) -> dict[str, Any]:
        return {"at": at, "when": when, "path": path, "by": by, "nth": draw.randint(earliest, latest)}

    return {
        # Between a cell's being asked for, its recipe, the sweep's file, and its first trial; at the confirmation.
        "the search": [
            point(CREATE, "after", "*/recipe.json", "driver", 2, 4),
            point("sweeps.search.study:Asker.tell", "before", "", "driver", 2, 3),
            point("sweeps.search.study:Asker.ask", "after", "", "driver", 2, 3),
            point(BESIDE, "torn", "*/sweeps/*.json", "driver", 2, 2),
            point("sweeps.search.run:SearchRun._confirm", "after", "", "driver"),
        ],
        # In training, at its end, and in the projection.
        "its trials": [
            point(BESIDE, "torn", "*/checkpoint.new", "trial", 2, 4),
            point(CREATE, "after", "*/end.json", "trial", 1, 2),
            point(WRITE, "before", "*/reliability.json", "trial", 1, 2),
            point(RENAME, "before", "*/checkpoint.new", "trial", 2, 4),
            point(f"{MLFLOW}.log_batch", "after", "", "any", 2, 6),
        ],
    }


@pytest.mark.slow
@pytest.mark.timeout(900)  # six launches one after the other
@pytest.mark.parametrize("chain", points())
def test_a_search_that_is_killed_again_and_again_asks_for_what_an_undisturbed_one_does(
    scene: Scene, seek: Scene, chain: str
) -> None:
    sweep = scene.sweep(search_sweep())
    ended: dict[Path, bytes] = {}
    for kill in points()[chain]:
        killed = scene.launch(sweep, "--checkpoint-every", 0, kills=[kill])
        died(killed)
        assert ended == {path: path.read_bytes() for path in ended}, f"what had ended ran again after {name(kill)}"
        ended = ends(scene)
        assert kept_or_nothing(scene) == found(seek)["asks"][: len(kept_or_nothing(scene))], name(kill)
    assert [event["victim"] for event in scene.events("kill")] == [each.process.pid for each in scene.launches]
    again = scene.launch(sweep, "--checkpoint-every", 0)
    measured(f"search, seed {SEED}, killed five times in {chain}: whole again", again.ended(0))
    assert ended == {path: path.read_bytes() for path in ended}, "what had ended did not run again"
    assert found(scene) == found(seek)
    assert scene.cells(sweep) == seek.cells(sweep)
    assert scene.table(sweep) == seek.table(sweep)
    assert set(one_run_per_trial(scene).values()) == {"FINISHED"}
    scene.doctor()
    scene.check()


def died(launch: Launch) -> None:
    """Wait until a launch was killed."""
    until(lambda: launch.process.poll() is not None, "the end of the launch")
    assert launch.process.returncode == -signal.SIGKILL, launch.output


def kept_or_nothing(scene: Scene) -> list[Any]:
    """Return what the sweep's file in the store says the search has asked for; nothing if there is none yet."""
    return [ask for sweep in read_sweeps(scene.store) for ask in sweep["search"]["asks"]]


@pytest.mark.slow
def test_a_search_that_is_asked_to_stop_goes_on_and_grows_by_budget_and_seed(scene: Scene, seek: Scene) -> None:
    sweep = scene.sweep(search_sweep())
    launch = scene.launch(sweep, "--checkpoint-every", 0, "--max-concurrent", 1)
    until(lambda: len(scene.events("end")) >= 3, "three cells that have ended")
    assert "has stopped" in softaug("stop", sweep, "--store", scene.store)
    launch.ended(130)
    assert 3 <= len(kept(scene)["search"]["asks"]) < CELLS
    assert not [cell for cell in kept(scene)["cells"] if cell["arm"].startswith("winner")]
    before = found(seek)
    scene.launch(scene.sweep(search_sweep(budget={"cells": CELLS + 2})), "--checkpoint-every", 0).ended(0)
    assert found(scene)["asks"][:CELLS] == before["asks"]
    assert len(found(scene)["asks"]) == CELLS + 2
    ran = len(scene.events("start", attempt=1))
    assert ran == CELLS + 2 + 2, "each cell of the search, the baseline, the winner"

    seeds = scene.launch(
        scene.sweep(search_sweep(budget={"cells": CELLS + 2}, seeds=[100, 101])), "--checkpoint-every", 0
    )
    seeds.ended(0)
    assert [ask["values"] for ask in found(scene)["asks"]][:CELLS] == [ask["values"] for ask in before["asks"]]
    assert all(set(cell["trials"]) == {"100", "101"} for cell in found(scene)["searched"])
    again = len(scene.events("start", attempt=1)) - ran
    assert again - (CELLS + 2) in (0, 1), "a trial more for each cell, and another winner if one is better"
    scene.check()


@pytest.mark.slow
def test_a_cell_that_diverges_fails_alone(scene: Scene, seek: Scene) -> None:
    bad = searched(seek)[2]
    sweep = scene.sweep(search_sweep(budget={"cells": 11}))
    launch = scene.launch(sweep, "--checkpoint-every", 0, poisons=[{"kind": "nan", "key": bad}])
    launch.ended(0)
    assert scene.state(bad)["state"] == "diverged"
    assert "1 of 11 cells of the search failed:" in launch.output
    assert "diverged: " in launch.output
    assert searched(scene)[:3] == searched(seek)[:3]
    assert kept(scene)["cells"][-1]["arm"] == "winner 1"
    statuses = one_run_per_trial(scene)
    assert [key for key, status in statuses.items() if status == "FAILED"] == [bad]
    scene.check()


@pytest.mark.slow
def test_when_all_cells_fail_there_are_reasons_and_tried_again_they_are_searched(scene: Scene) -> None:
    sweep = scene.sweep(search_sweep())
    launch = scene.launch(sweep, "--checkpoint-every", 0, poisons=[{"kind": "exception", "seed": 100}])
    launch.ended(1)
    for said in (
        "the search ends: its first 10 cells all failed",
        "of the search failed, and none ended well:",
        "failed: ValueError: poisoned on purpose",
        "no cell of the search ended well: there is no winner to confirm",
        "the search found nothing; try its cells again with --retry-failed, or change its space",
    ):
        assert said in launch.output, launch.output
    assert 10 <= len(kept(scene)["search"]["asks"]) < CELLS
    assert [cell["n"] for cell in scene.cells(sweep)] == [1], "the baseline is there"
    # Tried again, the cells end well and it is the winner that fails: of a confirmed cell that is an exit code.
    again = scene.launch(sweep, "--checkpoint-every", 0, "--retry-failed", poisons=[{"kind": "exception", "seed": 0}])
    again.ended(1)
    assert "some trials failed; try them again with --retry-failed" in again.output
    assert "of the search failed" not in again.output
    assert len(kept(scene)["search"]["asks"]) == CELLS
    assert [cell["n"] for cell in scene.cells(sweep)] == [1, 0]
    scene.check()


@pytest.mark.slow
def test_a_halved_search_stops_trials_and_goes_on_where_it_was(scene: Scene) -> None:
    asha = {"kind": "asha", "grace_epochs": 1, "reduction": 2}
    sweep = scene.sweep(search_sweep(epochs=6, scheduler=asha))
    kill = {"at": CREATE, "when": "after", "path": "*/end.json", "by": "driver", "nth": 2}
    killed = scene.launch(sweep, "--checkpoint-every", 0, kills=[kill])
    died(killed)
    before = ends(scene)
    scene.launch(sweep, "--checkpoint-every", 0).ended(0)
    assert before == {path: path.read_bytes() for path in before}
    trials = read_trials(scene.store)
    states = {key: (trials[key].end or {})["state"] for key in searched(scene)}
    stopped = [key for key, state in states.items() if state == "stopped"]
    assert {*states.values()} == {"stopped", "finished"}
    assert len(stopped) >= CELLS / 4
    for key in stopped:
        end = trials[key].end or {}
        assert end["epochs"] in (1, 2, 4), "at a rung"
        assert end["reason"].startswith("not among the best 1/2 at epoch")
    statuses = one_run_per_trial(scene)
    assert {key for key, status in statuses.items() if status == "KILLED"} == set(stopped)
    assert [cell["arm"] for cell in scene.cells(sweep)] == ["standard crop", "winner 1"]
    rows = [line.split(",")[0] for line in scene.table(sweep).splitlines() if line]
    assert rows == ["arm", "standard crop", "winner 1"]
    scene.doctor()
    scene.check()
