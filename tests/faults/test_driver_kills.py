"""A trial's process or the launch itself is killed, or asked to stop: nothing is lost, nothing runs twice."""

import json
import os
import random
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.faults.scenes import ENDLESS, Scene, measured, softaug, tiny_sweep, until

RUNNING_AGAIN_S = 10.0  # where a process of another trial is at hand; else a new one has to import torch first
NEW_PROCESS_S = 60.0
OUT_S = 30.0
AT_ONCE_S = 5.0
SEED = 20250701

WRITE, CREATE, RENAME = (f"trainables.folder_store:FolderStore.{name}" for name in ("write", "create", "rename"))
BESIDE = "trainables.folder_store:_write_beside"  # a write's temporary file, before it gets its name
MLFLOW = "mlflow.tracking.client:MlflowClient"
ARTIFACT = "mlflow.store.artifact.local_artifact_repo:LocalArtifactRepository.log_artifacts"


def points() -> list[dict[str, Any]]:
    """Return where the launch is killed: a function, a file, which call of it, by whose hand. Seeded."""
    draw = random.Random(SEED)

    def point(at: str, when: str, path: str, by: str, latest: int = 1) -> dict[str, Any]:
        return {"at": at, "when": when, "path": path, "by": by, "nth": draw.randint(1, latest)}

    return [
        # Before the first trial.
        point(CREATE, "before", "launches/*.json", "driver"),
        point(CREATE, "after", "launches/*.json", "driver"),
        point(BESIDE, "torn", "*/sweeps/*.json", "driver"),
        point(BESIDE, "after", "*/recipe.json", "driver", 6),
        point(CREATE, "before", "*/attempt-0001.json", "trial"),
        # In an epoch.
        point(CREATE, "after", "*/attempt-0001.json", "trial", 3),
        point("softaug.supervised:Supervised._step", "before", "", "trial", 10),
        point("softaug.supervised:Supervised._step", "after", "", "trial", 40),
        # While writing, in a trial's process or in the launch's.
        point(BESIDE, "torn", "*/epochs.jsonl", "trial", 20),
        point(BESIDE, "after", "*/epochs.jsonl", "trial", 20),
        point(BESIDE, "torn", "*/checkpoint.new", "trial", 20),
        point(RENAME, "before", "*/checkpoint.new", "trial", 20),
        point(BESIDE, "torn", "*/launches/*.json", "driver", 2),
        # Between end and report.
        point(WRITE, "before", "*/reliability.json", "trial", 2),
        point(BESIDE, "torn", "*/end.json", "trial", 2),
        point(CREATE, "after", "*/end.json", "trial", 2),
        # During the projection to MLflow.
        point(f"{MLFLOW}.create_run", "after", "", "any", 6),
        point(f"{MLFLOW}.log_batch", "after", "", "any", 5),
        point(f"{MLFLOW}.set_terminated", "before", "", "any", 6),
        point(ARTIFACT, "before", "", "any", 6),
    ]


def name(kill: dict[str, Any]) -> str:
    """Return a point as a test's name."""
    where = kill["path"].strip("*/") or kill["at"].partition(":")[2]
    return f"{kill['when']} {where} {kill['nth']}"


def ends(scene: Scene) -> dict[Path, bytes]:
    """Return what says that trials have ended."""
    return {path: path.read_bytes() for path in scene.store.glob("trials/*/*/end.json")}


def chains() -> list[list[dict[str, Any]]]:
    """Return four points each, from early to late in a sweep, that strike one sweep one after the other."""
    every = points()
    return [every[first :: len(every) // 4] for first in range(len(every) // 4)]


@pytest.mark.slow
@pytest.mark.timeout(900)  # five launches one after the other
@pytest.mark.parametrize("kills", chains(), ids=lambda kills: ", ".join(map(name, kills)))
def test_a_launch_killed_again_and_again_goes_on_and_ends_as_if_nothing_had_been(
    scene: Scene, undisturbed: Scene, kills: list[dict[str, Any]]
) -> None:
    sweep = scene.sweep(tiny_sweep())
    ended: dict[Path, bytes] = {}
    for number, kill in enumerate(kills, start=1):
        killed = scene.launch(sweep, "--checkpoint-every", 0, kills=[kill])
        until(lambda killed=killed: killed.process.poll() is not None, f"the end of the launch\n{killed.output}")
        assert killed.process.returncode == -signal.SIGKILL
        assert scene.events("kill")[-1]["victim"] == killed.process.pid
        assert len(scene.events("kill")) == number
        assert ended == {path: path.read_bytes() for path in ended}, "what had ended did not run again"
        ended = ends(scene)
    again = scene.launch(sweep, "--checkpoint-every", 0)
    told = ", ".join(map(name, kills))
    measured(f"F7 seed {SEED}, {told}: killed, {len(ended)} of 6 ended, whole again", again.ended(0))
    assert ended == {path: path.read_bytes() for path in ended}, "what had ended did not run again"
    assert scene.cells(sweep) == undisturbed.cells(sweep)
    assert scene.table(sweep) == undisturbed.table(sweep)
    scene.doctor()
    scene.check()


@pytest.mark.slow
@pytest.mark.alone
def test_a_trial_whose_process_is_killed_runs_again_within_seconds(killed_trial: Scene) -> None:
    strikes = killed_trial.events("strike")
    assert len(strikes) == 2, "both trials of seed 1 were killed"
    waits = []
    for strike in strikes:
        (again,) = killed_trial.events("start", trial=strike["trial"], attempt=2)
        assert again["pid"] != strike["pid"]
        assert again["epoch"] == strike["epoch"] - 1, "one epoch is done again"
        waits.append(again["time"] - strike["time"])
        measured("F1", waits[-1])
    assert min(waits) < RUNNING_AGAIN_S
    assert max(waits) < NEW_PROCESS_S
    killed_trial.check()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_launch_that_is_asked_to_stop_is_out_in_time(scene: Scene, number: signal.Signals) -> None:
    sweep = scene.sweep(tiny_sweep(**ENDLESS, seeds=[0]))
    launch = scene.launch(sweep)
    until(lambda: len({event["trial"] for event in scene.events("kept")}) == 2, "rows of both trials")
    asked = time.monotonic()
    launch.process.send_signal(number)
    launch.ended(130)
    measured(f"F26 {number.name}", time.monotonic() - asked)
    assert time.monotonic() - asked < OUT_S
    assert len({event["trial"] for event in scene.events("saved")}) == 2, "both kept their last epoch"
    scene.check(complete=False, checkpoint_every_s=60)


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)  # five launches one after the other
def test_a_launch_whose_trials_hear_nothing_is_out_in_time_all_the_same_and_at_once_if_asked_twice(
    scene: Scene,
) -> None:
    sweep = scene.sweep(tiny_sweep(seeds=[0]))
    for attempt, how in enumerate(["softaug stop", "SIGTERM to Ray too", "SIGINT twice", "SIGTERM twice"], start=1):
        hang = {"kind": "hang", "epoch": 4 + attempt, "attempts": [attempt]}
        launch = scene.launch(sweep, "--checkpoint-every", 0, poisons=[hang])
        until(lambda attempt=attempt: len(scene.events("strike")) == 2 * attempt, "trials that hear nothing")
        asked, within_s = time.monotonic(), OUT_S
        if how == "softaug stop":
            assert "has stopped" in softaug("stop", sweep, "--store", scene.store)
        elif how == "SIGTERM to Ray too":  # as `timeout`, batch systems and service managers do
            os.killpg(launch.process.pid, signal.SIGTERM)
        else:
            number = signal.Signals[how.removesuffix(" twice")]
            launch.process.send_signal(number)
            until(lambda launch=launch: "stopping" in launch.output, "the launch to have heard")
            assert launch.process.poll() is None
            asked, within_s = time.monotonic(), AT_ONCE_S
            launch.process.send_signal(number)
        launch.ended(130)
        measured(f"F26 {how}, trials that hang", time.monotonic() - asked)
        assert time.monotonic() - asked < within_s
        if within_s == OUT_S:
            newest = max(scene.store.glob("launches/*.json"))
            assert json.loads(newest.read_text())["ended"]
    scene.launch(sweep, "--checkpoint-every", 0).ended(0)
    for attempt in range(2, 6):
        assert {start["epoch"] for start in scene.events("start", attempt=attempt)} == {2 + attempt}
    scene.check()
