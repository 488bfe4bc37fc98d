"""What befalls one trial stays with it: the others finish, it has its true end and reason, and can be tried again."""

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.faults.evidence import read_runs
from tests.faults.scenes import Scene, measured, softaug, tiny_sweep, trial_keys

ARMS = ("standard crop", "soft target")
GB = 1_000_000_000


@dataclass(frozen=True)
class Expected:
    """How a trial ends that this kind of poison befalls in its second epoch."""

    state: str
    reason: str  # a regular expression that all of it fits
    attempts: int = 1
    trace: str = ""  # what its traceback holds, among other lines


NUMBERS = "train/kl, train/cross_entropy, train/confidence"
TOLD = {  # by the trial's own process, which lives on
    "exception": Expected("failed", "ValueError: poisoned on purpose", trace="in _raise"),
    "exit": Expected("failed", "SystemExit: 3", trace="in _exit"),
    "GPU memory": Expected("failed", r"out of GPU memory; .*OutOfMemoryError: CUDA out of memory.*"),
    "nan": Expected("diverged", "epoch 2: train/kl is nan; lower optim.lr"),
    "inf": Expected("diverged", "epoch 2: train/kl is inf; lower optim.lr"),
    "text": Expected("failed", "BadMetric: epoch 2 reported train/kl as str; a metric is a number"),
    "missing": Expected("failed", f"BadMetric: epoch 2 reported no train/lr; reported: {NUMBERS}"),
}
DEATHS = {  # seen by the launch alone
    "killed": Expected("failed", r"its process died 4 times: killed from outside .*", attempts=4),
    "exit at once": Expected("failed", r"its process died 4 times: .*", attempts=4),
    "crash": Expected("failed", r"its process died 4 times: Segmentation fault", attempts=4, trace="in _crash"),
    "hang": Expected("failed", r"silent for more than 15 s: .*", trace="in _hang"),
}
MEMORY = {"memory": Expected("failed", r"out of memory: .*", attempts=2)}


def poisoned(sweep: Path, kinds: Mapping[str, Expected]) -> dict[str, str]:
    """Return which trial each kind befalls: from seed 1 on, one arm after the other."""
    trials = [key for (arm, seed), key in sorted(trial_keys(sweep).items(), key=lambda each: each[0][1]) if seed > 0]
    return dict(zip(kinds, trials, strict=False))


def plan(chosen: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the poisons."""
    return [{"kind": kind, "key": key, "epoch": 2} for kind, key in chosen.items()]


def check_ends(scene: Scene, chosen: Mapping[str, str], kinds: Mapping[str, Expected], trials: int) -> None:
    """Assert that every poison struck, its trial ended as expected, and all others finished."""
    for kind, key in chosen.items():
        strikes, expected, end = scene.events("strike", trial=key), kinds[kind], scene.state(key)
        assert [strike["kind"] for strike in strikes] == [kind] * expected.attempts, kind
        assert end["state"] == expected.state, kind
        assert re.fullmatch(expected.reason, end["reason"]), f"{kind}: {end['reason']}"
        assert expected.trace in (end["traceback"] or ""), f"{kind}: {end['traceback']}"
        assert end["metrics"] == {}
        # In an epoch that follows at once: nothing of the poisoned one was kept.
        assert end["epochs"] == 1, kind
        ended = [event["time"] for event in scene.events("end", trial=key)]
        measured(f"{kind}: from the first strike to the trial's end", ended[0] - strikes[0]["time"])
    finished = {event["trial"] for event in scene.events("end", state="finished", counts=True)}
    assert len(finished) == trials - len(chosen)
    assert not finished & set(chosen.values())


def check_shown(scene: Scene, sweep: Path, chosen: Mapping[str, str], kinds: Mapping[str, Expected]) -> None:
    """Assert that status, MLflow, table, figure and report show the holes, with their reasons."""
    status = json.loads(softaug("status", sweep, "--store", scene.store, "--json"))
    for state in ("failed", "diverged"):
        assert status["trials"][state] == sum(kinds[kind].state == state for kind in chosen)
    shown = " ".join(softaug("status", sweep, "--store", scene.store).split())
    runs = {run.tags.get("trial_key"): run for run in read_runs(f"sqlite:///{scene.store / 'mlflow.db'}")}
    for kind, key in chosen.items():
        reason = scene.state(key)["reason"]
        assert runs[key].status == "FAILED"
        assert runs[key].tags["reason"] == reason, kind
        assert " ".join(reason.split())[:40] in shown, kind
    rows = scene.table(sweep).splitlines()
    holes = [cell["n"] < cell["expected"] for cell in status["cells"]]
    assert any(holes)
    for cell, hole, row in zip(status["cells"], holes, rows[1:], strict=False):
        assert (f"{cell['n']},{cell['expected']},,," in row) == hole, "a hole has no mean"
        assert ("seed 1 failed" in row) == hole, "and says why"
    softaug("report", sweep, "--store", scene.store, "--out", scene.folder / "report")
    page = next((scene.folder / "report").glob("*/index.html")).read_text()
    softaug("figure", sweep, "--store", scene.store, "--out", scene.folder / "figure")
    numbers = next((scene.folder / "figure").glob("*/softening-over-sigma.csv")).read_text()
    for cell, hole in zip(status["cells"], holes, strict=True):
        assert f"{cell['n']}/{cell['expected']}" in page or not hole
        assert (f",,,{cell['n']}/{cell['expected']}," in numbers) == hole, "no value is drawn for a hole"


def check_holes(
    scene: Scene, sweep: Path, chosen: Mapping[str, str], kinds: Mapping[str, Expected], trials: int
) -> None:
    """Assert that only what was poisoned failed, that the holes show everywhere, and that they can be mended."""
    check_ends(scene, chosen, kinds, trials)
    scene.check()
    check_shown(scene, sweep, chosen, kinds)
    heal(scene, sweep, chosen)


def heal(scene: Scene, sweep: Path, chosen: Mapping[str, str]) -> None:
    """Launch again: as it is, nothing runs; with --retry-failed and no poison all finish."""
    before = len(scene.events("start"))
    scene.launch(sweep).ended(1)
    assert len(scene.events("start")) == before, "what failed is not tried again unasked"
    scene.launch(sweep, "--retry-failed", "--checkpoint-every", 0).ended(0)
    assert {event["trial"] for event in scene.events("start")[before:]} == set(chosen.values())
    assert {scene.state(key)["state"] for key in chosen.values()} == {"finished"}
    scene.doctor()
    scene.check()


@pytest.mark.slow
def test_failures_that_a_trial_can_tell_stay_with_it(scene: Scene) -> None:
    sweep = scene.sweep(tiny_sweep(epochs=4, seeds=range(5)))
    chosen = poisoned(sweep, TOLD)
    noisy = trial_keys(sweep)[ARMS[1], 0]
    launch = scene.launch(sweep, "--checkpoint-every", 0, poisons=[*plan(chosen), {"kind": "noise", "key": noisy}])
    measured(f"F19, F20, F22, F23: a launch with {len(chosen)} poisoned trials of 10", launch.ended(1))
    assert scene.events("strike", trial=noisy, kind="noise")
    check_holes(scene, sweep, chosen, TOLD, trials=10)


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_deaths_of_a_trial_s_process_stay_with_it(scene: Scene) -> None:
    sweep = scene.sweep(tiny_sweep(epochs=4, seeds=range(3)))
    chosen = poisoned(sweep, DEATHS)
    launch = scene.launch(sweep, "--checkpoint-every", 0, "--silent-after", 15, poisons=plan(chosen))
    measured("F23: a launch with 13 deaths", launch.ended(1, within_s=400))
    scene.doctor()
    check_holes(scene, sweep, chosen, DEATHS, trials=6)


@pytest.mark.slow
def test_a_process_that_dies_while_it_takes_on_another_trial_ends_neither_trial_nor_launch(scene: Scene) -> None:
    sweep = scene.sweep(tiny_sweep(epochs=2))
    kill = {"at": "trainables.trial:Trial.reset_config", "nth": 2, "when": "before", "by": "trial", "victim": "self"}
    launch = scene.launch(sweep, "--checkpoint-every", 0, kills=[kill])
    measured("a launch with a process that dies between two trials", launch.ended(0))
    assert len(scene.events("kill")) == 1
    assert {scene.state(key)["state"] for key in trial_keys(sweep).values()} == {"finished"}
    scene.check()


@pytest.mark.slow
@pytest.mark.alone
@pytest.mark.timeout(600)
def test_a_trial_that_eats_the_memory_is_ended_before_the_machine_suffers(scene: Scene) -> None:
    sweep = scene.sweep(tiny_sweep(epochs=4, seeds=range(2)))
    chosen = poisoned(sweep, MEMORY)
    memory = psutil.virtual_memory()
    share = (memory.total - memory.available + 4 * GB) / memory.total
    env = {"RAY_memory_usage_threshold": f"{share:.3f}", "RAY_memory_monitor_refresh_ms": "100"}
    begun = time.monotonic()
    scene.launch(sweep, "--checkpoint-every", 0, poisons=plan(chosen), env=env).ended(1, within_s=300)
    measured("F21: a launch with a trial that runs out of memory twice", time.monotonic() - begun)
    scene.doctor()
    check_holes(scene, sweep, chosen, MEMORY, trials=4)
