"""How a sweep stands is read from the ledger alone: states, holes, means over finished seeds."""

import json
from pathlib import Path

import pytest

from softaug.estimate import Estimate
from sweeps.survey import Surveyor, evaluation_estimates, status_json, survey
from tests.sweeps import ledgers
from trainables import launches
from trainables.evaluation import conditions
from trainables.ledger import TrialFolder
from trainables.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def test_an_empty_store_holds_only_what_is_to_do(store: Store) -> None:
    now = survey(store, ledgers.small_sweep())
    assert now.count("pending") == 4
    assert now.ended == 0
    assert status_json(now)["cells"][0]["metrics"] == {}


def test_a_trial_runs_while_its_launch_is_alive_and_is_to_do_after(store: Store) -> None:
    sweep = ledgers.small_sweep()
    launch = launches.acquire(store, sweep.experiment)
    ledgers.begin(store, sweep.trial_keys[0], launch=launch.id)
    assert survey(store, sweep).count("running") == 1
    launches.beat(store, launch, ended=True)
    assert survey(store, sweep).count("running") == 0
    assert survey(store, sweep).count("pending") == 4


def test_status_has_means_over_finished_seeds_and_says_how_many(store: Store) -> None:
    sweep = ledgers.small_sweep()
    first, second, third, fourth = sweep.trial_keys
    ledgers.finish(ledgers.begin(store, first), 2.0)
    ledgers.finish(ledgers.begin(store, second), 4.0)
    ledgers.finish(ledgers.begin(store, third), 5.0)
    ledgers.fail(ledgers.begin(store, fourth), "diverged", "the loss is nan")
    status = json.loads(json.dumps(status_json(survey(store, sweep))))
    assert status["trials"] == {"finished": 3, "failed": 0, "diverged": 1, "running": 0, "pending": 0}
    baseline, other = status["cells"]
    assert (baseline["arm"], baseline["expected"], baseline["n"]) == ("standard crop", 2, 2)
    assert baseline["metrics"]["test/top1_error"] == {"mean": 3.0, "se": 1.0}
    assert (other["expected"], other["n"]) == (2, 1)
    assert other["metrics"]["test/top1_error"] == {"mean": 5.0, "se": None}
    assert set(status) == {"sweep", "scale", "trials", "cells"}
    assert set(baseline) == {"arm", "cell_key", "expected", "n", "metrics"}


def test_an_ended_trial_is_read_only_once(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = ledgers.small_sweep()
    ledgers.finish(ledgers.begin(store, sweep.trial_keys[0]), 2.0)
    surveyor = Surveyor(store, sweep)
    surveyor.survey()
    read: list[str] = []
    monkeypatch.setattr(
        Store, "read", lambda _self, path: read.append(path) or (_ for _ in ()).throw(FileNotFoundError)
    )
    surveyor.survey()
    assert not any(sweep.trial_keys[0] in path for path in read)


def test_what_was_begun_says_how_far_it_is(store: Store) -> None:
    sweep = ledgers.small_sweep()
    first, second, third, _ = sweep.trial_keys
    launch = launches.acquire(store, sweep.experiment)
    ledgers.begin(store, first, launch=launch.id).write_rows(ledgers.rows(7))
    ledgers.begin(store, second, launch=launch.id)
    ledgers.finish(ledgers.begin(store, third), 2.0, epochs=3)
    begun, started, ended, not_begun = survey(store, sweep).trials.values()
    assert (begun.state, begun.epochs, begun.seconds) == ("running", 7, 7.0)
    assert (started.state, started.epochs, started.seconds) == ("running", 0, 0.0)
    assert (ended.state, ended.epochs, ended.seconds) == ("finished", 3, 3.0)
    assert (not_begun.state, not_begun.epochs, not_begun.seconds) == ("pending", 0, 0.0)
    launches.beat(store, launch, ended=True)
    assert survey(store, sweep).trials[first].state == "pending"
    assert survey(store, sweep).trials[first].epochs == 7


def test_evaluations_have_means_over_the_seeds_that_finished_and_a_hole_where_one_lacks_a_metric(store: Store) -> None:
    keys = list(ledgers.small_sweep([0, 1, 2]).cells[0].trials.values())
    first, second, third = (ledgers.begin(store, key) for key in keys)
    trials = [TrialFolder(store, key) for key in keys]
    ledgers.finish(first, 2.0)
    ledgers.evaluate(first, 2.0, conditions([20, 40], "mean", 3))
    ledgers.fail(third, "failed", "because")
    assert evaluation_estimates(trials)["test/occlusion_40/top1_error"] == Estimate(3.0, None, 1)
    ledgers.finish(second, 4.0)
    assert evaluation_estimates(trials) == {}, "of two that finished one has no evaluation"
    ledgers.evaluate(second, 4.0, conditions([40, 60], "mean", 3))
    assert evaluation_estimates(trials) == {
        "test/adaptive_ece": Estimate(1.5, 0.5, 2),
        "test/occlusion_40/top1_error": Estimate(4.0, 1.0, 2),
        "test/occlusion_40/adaptive_ece": Estimate(1.5, 0.5, 2),
    }
