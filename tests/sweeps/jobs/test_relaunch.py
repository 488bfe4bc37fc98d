"""The supervisor launches again when a job is lost, waits for what is not back yet, and ends as the launch ends."""

from dataclasses import dataclass, field

import pytest

from sweeps.jobs import dashboard, relaunch, submit
from sweeps.jobs.dashboard import JobEntry
from sweeps.jobs.submit import JobLost, Submission
from sweeps.launch.preflight import Refused
from tests.conftest import Softaug

WANTED = Submission("tiny@paper", ("softaug", "launch", "tiny"), {"sweep": "tiny@paper"}, {})
LOST = JobLost("http://h knows no job tiny@paper-0001: the head that ran it is gone")
AWAY = Refused(["cluster http://h: Connection refused"])


@dataclass
class Cluster:
    """A cluster whose jobs end like this, one after the other, each after `lasts_s`; only waiting moves its clock."""

    ends: list[int | JobLost]
    listed: list[list[JobEntry] | Refused] = field(default_factory=list)
    lasts_s: float = 1.0
    now: float = 1000.0
    followed: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def follow(self, _cluster: str, job: str, _show: object) -> int:
        self.followed.append(job)
        self.now += self.lasts_s
        end = self.ends.pop(0) if len(self.ends) > 1 else self.ends[0]
        if isinstance(end, JobLost):
            raise end
        return end

    def jobs(self, _cluster: str) -> list[JobEntry]:
        answer = self.listed.pop(0) if self.listed else []
        if isinstance(answer, Refused):
            raise answer
        return answer

    def sleep(self, seconds: float) -> None:
        self.now += seconds

    def kept(self) -> int:
        return relaunch.keep("http://h", WANTED, "tiny@paper-0001", show=lambda _text: None, say=self.said.append)


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> Cluster:
    found = Cluster([0])
    monkeypatch.setattr(submit, "follow", found.follow)
    monkeypatch.setattr(submit, "_submit", lambda _cluster, job, *_what: job)
    monkeypatch.setattr(dashboard, "jobs", found.jobs)
    monkeypatch.setattr(relaunch.time, "sleep", found.sleep)
    monkeypatch.setattr(relaunch.time, "monotonic", lambda: found.now)
    return found


@pytest.mark.parametrize("code", [0, 1, 2, 3, 130])
def test_a_launch_that_comes_to_its_end_is_the_end(cluster: Cluster, code: int) -> None:
    cluster.ends = [code]
    assert cluster.kept() == code
    assert cluster.followed == ["tiny@paper-0001"]
    assert cluster.said == []


@pytest.mark.parametrize("loss", [LOST, 137, 139, -9, 143])
def test_a_lost_job_is_launched_again_under_the_next_number(cluster: Cluster, loss: int | JobLost) -> None:
    cluster.ends = [loss, loss, 1]
    assert cluster.kept() == 1
    assert cluster.followed == [f"tiny@paper-000{number}" for number in (1, 2, 3)]
    assert cluster.said[1] == "submitted to http://h as job tiny@paper-0002"
    why = str(LOST) if loss is LOST else f"job tiny@paper-0001 ended with exit code {loss}"
    assert cluster.said[0] == f"{why}; launching again"


def test_what_is_not_back_yet_is_waited_for(cluster: Cluster) -> None:
    cluster.ends = [LOST, 3, 2, 0]
    cluster.listed = [AWAY, AWAY]
    assert cluster.kept() == 0
    assert len(cluster.followed) == 4


def test_a_job_that_runs_after_all_is_followed_and_no_second_one_begun(cluster: Cluster) -> None:
    cluster.ends = [LOST, 0]
    cluster.listed = [
        [JobEntry("tiny@paper-0007", "RUNNING", 0.0, {}), JobEntry("other@paper-0009", "RUNNING", 0.0, {})]
    ]
    assert cluster.kept() == 0
    assert cluster.followed == ["tiny@paper-0001", "tiny@paper-0007"]


@pytest.mark.parametrize(("end", "code"), [(LOST, 1), (3, 3)])
def test_it_gives_up_when_for_an_hour_no_launch_lasted(cluster: Cluster, end: int | JobLost, code: int) -> None:
    cluster.ends = [LOST, end]
    assert cluster.kept() == code
    assert 3600 < cluster.now - 1000 < 3700
    assert cluster.said[-1] == "given up: for 60 min no launch lasted"
    assert len(cluster.followed) < 300, "it waits between its tries"


def test_it_never_gives_up_while_launches_last(cluster: Cluster) -> None:
    cluster.ends, cluster.lasts_s = [LOST] * 50 + [0], 301.0
    assert cluster.kept() == 0
    assert len(cluster.followed) == 51


def test_it_has_to_follow(softaug: Softaug) -> None:
    ran = softaug("submit", "quickstart", "--cluster", "http://127.0.0.1:1", "--relaunch", "--no-follow")
    assert ran.returncode == 2
    assert "--relaunch: it has to follow the job" in ran.stderr
