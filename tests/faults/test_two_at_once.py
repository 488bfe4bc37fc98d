"""Two launches at once: of one sweep exactly one runs, of two sweeps each runs what the other does not."""

import re
import signal
import time

import psutil
import pytest

from tests.faults.evidence import AGENTS, read_runs
from tests.faults.scenes import Launch, Scene, gate, measured, open_gate, tiny_sweep, trial_keys, until
from tests.raylets import gone

LAUNCHERS = 8
REFUSED_S = 10.0  # eight processes on a small machine
TAKEN_OVER_S = 20.0  # the start of a launch; nobody waits for a heartbeat to run out


@pytest.mark.slow
@pytest.mark.alone
def test_of_eight_launches_of_a_sweep_exactly_one_runs(scene: Scene) -> None:
    sweep = scene.sweep(tiny_sweep(epochs=60, seeds=[0]))
    shut = gate(scene.folder, "trainables.launches:acquire", "driver")
    launches = [scene.launch(sweep, gates=[shut]) for _ in range(LAUNCHERS)]
    open_gate(scene, shut, LAUNCHERS)
    opened = time.monotonic()
    until(lambda: sum(each.process.poll() is not None for each in launches) >= LAUNCHERS - 1, "seven refusals")
    (owner,) = [launch for launch in launches if launch.process.poll() is None]
    measured("F25: seven of eight launches refused", time.monotonic() - opened)
    assert time.monotonic() - opened < REFUSED_S
    for launch in launches:
        if launch is not owner:
            launch.ended(3)
            said = rf"error: tiny@paper is already running: \S+ on \S+, process {owner.process.pid}, since \d{{4}}-"
            assert re.search(said, launch.output), launch.output
            assert "starting Ray" not in launch.output
    owner.ended(0)
    assert len(scene.events("start")) == 2
    scene.check(checkpoint_every_s=60)


@pytest.mark.slow
@pytest.mark.alone
def test_a_killed_owner_is_taken_over_at_once(scene: Scene) -> None:
    sweep = scene.sweep(tiny_sweep(epochs=60, seeds=[0]))
    first = scene.launch(sweep, "--checkpoint-every", 0)
    until(lambda: scene.events("saved"), "a checkpoint")
    children = psutil.Process(first.process.pid).children(recursive=True)
    first.process.kill()
    first.ended(-signal.SIGKILL)
    _, alive = psutil.wait_procs(children, timeout=10)
    assert {child.name() for child in alive} <= AGENTS, "what trains or holds memory is gone at once"
    second = scene.launch(sweep, "--checkpoint-every", 0)
    until(lambda: "starting Ray" in second.output, "the take-over")
    measured("F25: a killed launch taken over", time.time() - second.started)
    assert time.time() - second.started < TAKEN_OVER_S
    until(lambda: all(map(gone, children)), "the end of what the first left running, agents too", within_s=10)
    second.ended(0)
    scene.doctor()
    scene.check()


def starts(scene: Scene, launch: Launch) -> set[str]:
    """Return the trials that a launch's processes ran."""
    mine = {event["pid"] for event in scene.events("process", launch=launch.process.pid)}
    return {event["trial"] for event in scene.events("start") if event["pid"] in mine}


@pytest.mark.slow
def test_two_sweeps_that_share_trials_run_each_once_and_both_show_it(scene: Scene) -> None:
    files = {name: scene.sweep(tiny_sweep(name, epochs=40), name) for name in ("one", "other")}
    gates = {
        name: gate(scene.folder, "trainables.ledger:TrialFolder.numbers", "trial", f"gate-{name}") for name in files
    }
    launches = {name: scene.launch(file, "--max-concurrent", 1, gates=[gates[name]]) for name, file in files.items()}
    # Both have chosen the same first trial before either has begun it: the worst that can happen.
    until(lambda: len(scene.events("at gate")) == 2, "both launches before the same trial")
    open_gate(scene, gates["one"], 1)
    until(lambda: scene.events("start"), "the first trial's start in one launch")
    open_gate(scene, gates["other"], 1)
    for launch in launches.values():
        launch.ended(0)
    keys = set(trial_keys(files["one"]).values())
    assert keys == set(trial_keys(files["other"]).values())
    assert sorted(event["trial"] for event in scene.events("start")) == sorted(keys), "each trial ran exactly once"
    shares = {name: len(starts(scene, launch)) for name, launch in launches.items()}
    assert sum(shares.values()) == len(keys)
    assert all(shares.values()), "both launches had a part"
    runs = read_runs(f"sqlite:///{scene.store / 'mlflow.db'}")
    for experiment in ("one@paper", "other@paper"):
        shown = [run.tags["trial_key"] for run in runs if (run.experiment, run.tags["kind"]) == (experiment, "trial")]
        assert sorted(shown) == sorted(keys)
    scene.check(checkpoint_every_s=60)


@pytest.mark.slow
def test_what_ends_while_another_launch_starts_is_not_run_again(scene: Scene) -> None:
    one, other = (scene.sweep(tiny_sweep(name, seeds=[0]), name) for name in ("one", "other"))
    shut = gate(scene.folder, "sweeps.launched:save", "driver")
    waiting = scene.launch(other, gates=[shut])
    until(lambda: scene.events("at gate"), "a launch that knows what is to do and has not begun")
    scene.launch(one).ended(0)
    assert len(scene.events("end", state="finished", counts=True)) == 2
    open_gate(scene, shut, 1)
    waiting.ended(0)
    assert len(scene.events("start")) == 2
    scene.check(checkpoint_every_s=60)
