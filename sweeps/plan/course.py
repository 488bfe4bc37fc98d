"""How good the estimate of a launch was: what was expected when it started, and what its attempts took inside fit."""

from dataclasses import dataclass

from sweeps.plan.budget import hours_text, number
from sweeps.plan.forecast import Span
from sweeps.resolved import ResolvedSweep
from trainables import launches
from trainables.launches import CostEstimate, Launch
from trainables.ledger import Attempt, AttemptFolder, End, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store


@dataclass(frozen=True)
class Course:
    """One launch's estimate and what it took, in hours of the estimate's unit; `ended`: its trials that have ended.

    `since` is in Unix seconds.
    """

    launch: str
    since: float
    estimate: CostEstimate
    took: float
    ended: int

    @property
    def complete(self) -> bool:
        """Whether all trials that the estimate is for have ended: only then can the two be compared."""
        return self.ended >= self.estimate.trials

    @property
    def ratio(self) -> float | None:
        """What it took over what was expected, None unless complete."""
        return self.took / self.estimate.hours if self.complete else None

    @property
    def inside(self) -> bool | None:
        """Whether it took what the interval says, None unless complete."""
        return self.estimate.low <= self.took <= self.estimate.high if self.complete else None


def courses(store: Store, sweep: ResolvedSweep, only: Launch | None = None) -> list[Course]:
    """Return the course of every launch of a sweep that had an estimate, or of one, oldest first.

    A launch's trials are those it started an attempt at, as far as the sweep still has them.
    """
    found = [only] if only is not None else launches.launches(store, sweep.experiment)
    estimated = {launch.id: launch for launch in found if launch.estimate is not None}
    took, ended = dict.fromkeys(estimated, 0.0), dict.fromkeys(estimated, 0)
    for key in sweep.trial_keys if estimated else ():
        trial = TrialFolder(store, key)
        attempts = [attempt for attempt in trial.attempts() if attempt.launch in estimated]
        end = _end(trial) if attempts else None
        for attempt in attempts:
            took[attempt.launch] += _seconds(trial, attempt, end)
        if end is not None and attempts:
            ended[attempts[-1].launch] += end.attempt == attempts[-1].number
    return [
        Course(name, launch.since, launch.estimate, took[name] * launch.estimate.devices / 3600, ended[name])
        for name, launch in estimated.items()
        if launch.estimate is not None
    ]


def course_text(course: Course) -> str:
    """Return in a line what was expected and what it took."""
    took = f"took {number(course.took)}"
    if not course.complete:
        took += f" so far, {course.ended} of them ended"
    elif not course.inside:
        took += f", {'more' if course.took > course.estimate.high else 'less'} than its 95 % interval says"
    return f"{estimate_text(course.estimate)}, {took}"


def estimate_text(estimate: CostEstimate) -> str:
    """Return "estimated 1.2 (0.9–1.6) CPU-hours for 36 trials"."""
    hours = hours_text(Span(estimate.hours, estimate.low, estimate.high))
    return f"estimated {hours} {estimate.unit} for {estimate.trials} trials"


def _end(trial: TrialFolder) -> End | None:
    try:
        return trial.end()
    except Damaged:
        return None


def _seconds(trial: TrialFolder, attempt: Attempt, end: End | None) -> float:
    """Return the seconds inside fit of one attempt: what it ended with, less what the rows it goes on from had."""
    rows = AttemptFolder(trial, attempt.number).rows()
    before = max((row.seconds for row in rows if row.time < attempt.started), default=0.0)
    last = rows[-1].seconds if rows else 0.0
    if end is not None and end.attempt == attempt.number:
        last = max(last, end.seconds)
    return max(last - before, 0.0)
