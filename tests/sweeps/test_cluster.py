"""Ray for one launch: what it says when it does not start becomes a line, and nothing is left of it."""

import tempfile
from pathlib import Path

import pytest
import ray

from sweeps.cluster import cluster
from sweeps.preflight import Refused


def test_a_ray_that_does_not_start_is_told_in_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def init(**_options: object) -> None:
        raise Exception("The current node timed out during startup.\nIt may be\n  overloaded.")

    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(Refused) as caught, cluster("local"):
        pytest.fail("there is no Ray")
    (problem,) = caught.value.problems
    assert problem.startswith(f"Ray does not start on this machine, in {tmp_path}/softaug-ray-")
    assert problem.endswith(
        "(TMPDIR makes it another folder): The current node timed out during startup. It may be overloaded."
    )
    assert list(tmp_path.iterdir()) == []
    with (
        pytest.raises(Refused, match=r"^Ray address 10\.0\.0\.5:6379: The current node timed out during startup"),
        cluster("10.0.0.5:6379"),
    ):
        pytest.fail("there is no Ray")


def test_what_fails_in_a_launch_is_no_failure_of_ray(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray, "init", lambda **_options: None)
    with pytest.raises(ZeroDivisionError), cluster("local"):
        raise ZeroDivisionError
