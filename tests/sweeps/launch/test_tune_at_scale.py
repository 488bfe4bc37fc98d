"""Tune with thousands of trials: the next one is the one that Tune would choose, and ended ones hold no reports."""

import random
from dataclasses import dataclass, field

import pytest
from ray.tune.experiment import Trial
from ray.tune.schedulers import FIFOScheduler

from sweeps.launch.tune_at_scale import Forget, InOrder

STATES = (Trial.PENDING, Trial.RUNNING, Trial.TERMINATED, Trial.ERROR)


@dataclass(eq=False)
class Stub:
    trial_id: str
    status: str


@dataclass
class Controller:
    """As much of Tune's controller as schedulers ask; `looked_at` counts the trials it handed out."""

    trials: list[Stub]
    looked_at: int = field(default=0)

    def get_trials(self) -> list[Stub]:
        return self.trials

    def get_live_trials(self) -> set[Stub]:
        live = {trial for trial in self.trials if trial.status in (Trial.PENDING, Trial.RUNNING)}
        self.looked_at += len(live)
        return live


@pytest.mark.parametrize("seed", range(20))
def test_the_next_trial_is_the_one_that_tune_would_choose(seed: int) -> None:
    draw = random.Random(seed)
    first = draw.choice([0, 95, 99_990])  # numbers have five digits, and more when they are used up
    controller = Controller([Stub(f"c0ffee_{first + n:05d}", draw.choice(STATES)) for n in range(draw.randrange(12))])
    assert InOrder().choose_trial_to_run(controller) is FIFOScheduler().choose_trial_to_run(controller)


def test_trials_that_have_ended_are_not_looked_at() -> None:
    ended = [Stub(f"c0ffee_{n:05d}", Trial.TERMINATED) for n in range(10_000)]
    controller = Controller([*ended, Stub("c0ffee_10000", Trial.RUNNING), Stub("c0ffee_10001", Trial.PENDING)])
    chosen = InOrder().choose_trial_to_run(controller)
    assert chosen is controller.trials[-1]
    assert controller.looked_at == 2


def test_an_ended_trial_holds_no_reports() -> None:
    trial = Trial("stub", stub=True)
    trial.update_last_result({"epoch": 3, "trial_key": "k" * 64, "training_iteration": 1, "done": True})
    before = len(trial.get_json_state()[1])
    assert trial.run_metadata.last_result
    assert trial.metric_analysis
    Forget().on_trial_complete(1, [trial], trial)
    assert trial.run_metadata.last_result == {}
    assert trial.metric_analysis == {}
    assert len(trial.get_json_state()[1]) < before / 2
