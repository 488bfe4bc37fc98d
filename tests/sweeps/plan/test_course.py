"""How good a launch's estimate was: what its own attempts took, whatever others did before and after."""

from pathlib import Path

import pytest

from sweeps.plan.course import Course, course_text, courses, estimate_text
from tests.sweeps import ledgers
from trainables import launches
from trainables.launches import CostEstimate, Launch
from trainables.ledger import Attempt, AttemptFolder, End, Row, TrialFolder
from trainables.store import Store, open_store

SWEEP = ledgers.small_sweep()
FIRST, SECOND, THIRD, FOURTH = SWEEP.trial_keys
ESTIMATE = CostEstimate(unit="CPU-hours", devices=2, trials=2, hours=1.0, low=0.5, high=2.0)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return open_store(tmp_path)


def launched(store: Store, estimate: CostEstimate | None = ESTIMATE) -> Launch:
    launch = launches.acquire(store, SWEEP.experiment, estimate)
    launches.beat(store, launch, ended=True)
    return launch


def attempted(store: Store, key: str, launch: Launch, *, at: float, rows: list[Row]) -> AttemptFolder:
    trial = TrialFolder(store, key)
    number = len(trial.numbers()) + 1
    begun = Attempt(number=number, launch=launch.id, host="h", pid=1, started=at, git_commit="c", git_dirty=False)
    folder = trial.begin(begun)
    assert folder is not None
    if rows:
        folder.write_rows(rows)
    return folder


def row(epoch: int, time: float, seconds: float) -> Row:
    return Row(epoch=epoch, time=time, seconds=seconds, metrics={})


def ended(folder: AttemptFolder, seconds: float, state: str = "finished") -> None:
    values = {"state": state, "attempt": folder.number, "epochs": 2, "metrics": {}, "ended": 1.0, "seconds": seconds}
    folder.trial.finish(End.model_validate(values))


def test_what_two_attempts_took_is_each_launchs_own(store: Store) -> None:
    one, two = launched(store), launched(store)
    before = [row(1, 110.0, 900.0), row(2, 120.0, 1800.0)]
    attempted(store, FIRST, one, at=100.0, rows=before)
    ended(attempted(store, FIRST, two, at=200.0, rows=[before[0], row(2, 210.0, 2700.0)]), 2900.0)
    ended(attempted(store, SECOND, one, at=100.0, rows=[row(1, 110.0, 50.0)]), 100.0)
    first, second = courses(store, SWEEP)
    assert (first.launch, first.ended) == (one.id, 1)
    assert first.took == pytest.approx((1800 + 100) * 2 / 3600)
    assert not first.complete
    assert (first.ratio, first.inside) == (None, None)
    assert (second.launch, second.ended) == (two.id, 1)
    assert second.took == pytest.approx(2000 * 2 / 3600), "not what the attempt before had done already"
    assert courses(store, SWEEP, only=two) == [second]


def test_launches_without_an_estimate_are_left_out_and_attempts_without_rows_took_nothing(store: Store) -> None:
    none, some = launched(store, None), launched(store)
    ended(attempted(store, FIRST, none, at=100.0, rows=[row(1, 110.0, 50.0)]), 100.0)
    attempted(store, SECOND, some, at=100.0, rows=[])
    attempted(store, THIRD, some, at=100.0, rows=[row(1, 110.0, 36.0)])
    ended(attempted(store, THIRD, none, at=200.0, rows=[row(1, 110.0, 36.0)]), 72.0)
    (found,) = courses(store, SWEEP)
    assert (found.launch, found.took, found.ended) == (some.id, pytest.approx(0.02), 0)


def test_a_trial_that_failed_and_was_tried_again_counts_for_both(store: Store) -> None:
    one, two = launched(store), launched(store)
    ended(attempted(store, FIRST, one, at=100.0, rows=[row(1, 110.0, 360.0)]), 360.0, "failed")
    TrialFolder(store, FIRST).reopen()
    ended(attempted(store, FIRST, two, at=200.0, rows=[row(1, 210.0, 720.0)]), 720.0)
    first, second = courses(store, SWEEP)
    assert (first.took, second.took) == (pytest.approx(0.2), pytest.approx(0.4))
    assert (first.ended, second.ended) == (0, 1)


@pytest.mark.parametrize(
    ("took", "ended", "said"),
    [
        (1.1, 2, "took 1.1"),
        (2.5, 2, "took 2.5, more than its 95 % interval says"),
        (0.25, 2, "took 0.25, less than its 95 % interval says"),
        (0.25, 1, "took 0.25 so far, 1 of them ended"),
    ],
)
def test_one_line_compares(took: float, ended: int, said: str) -> None:
    course = Course("x", 0.0, ESTIMATE, took, ended)
    assert course_text(course) == f"estimated 1.0 (0.50–2.0) CPU-hours for 2 trials, {said}"
    assert estimate_text(ESTIMATE) == "estimated 1.0 (0.50–2.0) CPU-hours for 2 trials"


def test_the_launch_keeps_its_estimate_while_it_beats_and_old_ones_have_none(store: Store) -> None:
    launch = launches.acquire(store, SWEEP.experiment, ESTIMATE)
    launches.beat(store, launch)
    kept = launches.read(store, launch.id)
    assert kept is not None
    assert kept.estimate == ESTIMATE
    old = launch.model_dump_json(exclude={"estimate"})
    assert Launch.model_validate_json(old).estimate is None
