"""Ray for one launch: what it says when it does not start becomes a line, and nothing is left of it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import psutil
import pytest
import ray

from sweeps.launch.cluster import cluster, remove_abandoned
from sweeps.launch.preflight import Refused


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


def test_rays_folder_is_for_its_user_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Ray opens its folder to everybody, so it lies in one that it does not touch."""
    modes: list[int] = []

    def init(**options: Any) -> None:
        folder = Path(options["_temp_dir"])
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
        modes.extend(each.stat().st_mode & 0o777 for each in (folder, *folder.parents) if tmp_path in each.parents)

    tmp_path.chmod(0o777)
    monkeypatch.setattr(ray, "init", init)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with cluster("local"):
        assert 0o700 in modes
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_launch_left_running_is_ended_and_deleted(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    killed = subprocess.Popen([sys.executable, "-c", ""])
    killed.wait()
    abandoned, alive = tmp_path / f"softaug-ray-{killed.pid}-a", tmp_path / f"softaug-ray-{os.getpid()}-b"
    opened = {}
    for folder, mode in ((abandoned, "a"), (abandoned, "r"), (alive, "a")):
        log = folder / "r" / "logs" / "worker.out"
        log.parent.mkdir(parents=True, exist_ok=True)
        log.touch()
        script = f"import sys; file = open({str(log)!r}, {mode!r}); print('opened', flush=True); sys.stdin.read()"
        opened[folder, mode] = subprocess.Popen(
            [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
    try:
        assert [each.stdout.readline() for each in opened.values() if each.stdout] == [b"opened\n"] * 3
        remove_abandoned()
        there = {how: psutil.pid_exists(each.pid) for how, each in opened.items()}
        assert there == {(abandoned, "a"): False, (abandoned, "r"): True, (alive, "a"): True}
        assert list(tmp_path.iterdir()) == [alive]
    finally:
        for each in opened.values():
            each.communicate()
