"""The supervisor of a submitted sweep: when its job or the whole head is lost, it launches again.

Launching is the only recovery there is, so all it does is submit the same once more, as a job with the next number.
It never judges whether the lost launch lives on: the new one asks the store, and exits 3 while the old one's heartbeat
is fresh; then it is tried again. Kubernetes does the same for a RayJob, by its `backoffLimit`.
"""

import time
from collections.abc import Callable

from sweeps.jobs import dashboard, submit
from sweeps.jobs.dashboard import JobEntry
from sweeps.jobs.submit import JobLost, Submission
from sweeps.jobs.submitted import JobRuns
from sweeps.launch.preflight import Refused

ENDED = (0, 1, 2, 3, submit.INTERRUPTED)  # what a launch exits with when it comes to its end
NOT_YET = (2, 3)  # after a loss: no node is back, or the lost launch's heartbeat is still fresh
FIRST_PAUSE_S, LONGEST_PAUSE_S = 2.0, 16.0
LASTED_S = 300.0  # a job that ran for so long was well
GIVE_UP_S = 3600.0


def keep(cluster: str, wanted: Submission, job: str, *, show: Callable[[str], None], say: Callable[[str], None]) -> int:
    """Follow a job, and launch again whenever it is lost; return the exit code of the launch that came to its end.

    Gives up after an hour in which no job lasted. Raises KeyboardInterrupt: what runs then goes on.
    """
    lost: float | None = None
    pause = FIRST_PAUSE_S
    while True:
        begun = time.monotonic()
        code, why = _end(cluster, job, show)
        now = time.monotonic()
        if now - begun > LASTED_S:
            lost, pause = None, FIRST_PAUSE_S
        if code in ENDED and (lost is None or code not in NOT_YET):
            return code
        lost = now if lost is None else lost
        say(f"{why}; launching again")
        again = None
        while again is None:
            if time.monotonic() - lost > GIVE_UP_S:
                say(f"given up: for {GIVE_UP_S / 60:.0f} min no launch lasted")
                return code if code in ENDED else 1
            time.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_S)
            again = _again(cluster, wanted, job)
        say(f"submitted to {cluster} as job {again}")
        job = again


def _end(cluster: str, job: str, show: Callable[[str], None]) -> tuple[int, str]:
    """Return how a job ended, and what to say if that is not how a launch ends."""
    try:
        code = submit.follow(cluster, job, show)
    except JobLost as lost:
        return submit.LOST, str(lost)
    return code, f"job {job} ended with exit code {code}"


def _again(cluster: str, wanted: Submission, job: str) -> str | None:
    """Submit once more, under a number after that of the lost job; None while the cluster does not take it.

    A job of the sweep that runs, the lost one or somebody's, is the one to follow.
    """
    try:
        jobs = dashboard.jobs(cluster)
        running = submit.job_that_runs(jobs, wanted.experiment)
        lost = JobEntry(job, "FAILED", since=0.0, metadata={})
        return running.id if running is not None else submit.submit(cluster, [*jobs, lost], wanted)
    except (Refused, JobRuns):
        return None
