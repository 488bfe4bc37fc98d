"""A trial's process or the launch itself is killed, or asked to stop: nothing is lost, nothing runs twice."""

from tests.faults.scenes import Scene, measured

RUNNING_AGAIN_S = 10.0  # where a process of another trial is at hand; else a new one has to import torch first
NEW_PROCESS_S = 60.0


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
