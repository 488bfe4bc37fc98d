"""`softaug stop` ends a launch from another shell and says how that went."""

import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sweeps.launch import stop as stopping
from sweeps.launch.preflight import Refused
from sweeps.launch.stop import running_launch, stop
from tests.conftest import Softaug
from tests.faults.scenes import ENDLESS
from tests.sweeps import ledgers
from tests.sweeps.launch.test_launch import checkpoints, files, started, until, write_sweep
from trainables import launches
from trainables.store import Store


def test_a_launch_is_stopped_from_another_shell_and_keeps_its_last_epoch(softaug: Softaug, tmp_path: Path) -> None:
    sweep, store = write_sweep(tmp_path, **ENDLESS), tmp_path / "runs"
    launch = started(sweep, store, "--seeds", "0")
    until(lambda: files(store, "0001/epochs.jsonl"), "the first rows")
    stopped = softaug("stop", "tiny", "--store", store)
    output, _ = launch.communicate(timeout=60)
    assert stopped.returncode == 0, stopped.stdout + stopped.stderr
    asked, over = stopped.stdout.splitlines()
    assert asked.startswith("asked tiny@paper to stop (")
    assert f"process {launch.pid}, since " in asked
    assert over == "tiny@paper has stopped; launch it again to go on"
    assert launch.returncode == 130, output
    assert checkpoints(store), "the last epoch was kept"
    again = softaug("stop", "tiny", "--store", store)
    assert again.returncode == 2
    assert "tiny@paper is not running: its last launch" in again.stderr


def test_the_launch_that_runs_is_found_by_name_scale_and_file(store: Store, tmp_path: Path) -> None:
    paper = ledgers.record_launch(store, "tiny@paper-0003", pid=os.getpid())
    ledgers.record_launch(store, "tiny@smoke-0001", pid=os.getpid(), ended=True)
    ledgers.record_launch(store, "other@paper-0001", pid=os.getpid())
    for sweep in ("tiny", "tiny@paper", str(write_sweep(tmp_path, epochs=2))):
        assert running_launch(store, sweep, None) == paper
    assert running_launch(store, "tiny", "paper") == paper
    with pytest.raises(Refused, match="tiny@smoke is not running: its last launch, by somebody on h, is over since"):
        running_launch(store, "tiny", "smoke")
    ledgers.record_launch(store, "tiny@smoke-0002", pid=os.getpid())
    with pytest.raises(Refused, match=r"tiny runs at several scales \(paper, smoke\): say which with --scale"):
        running_launch(store, "tiny", None)


def test_nothing_to_stop_says_why(store: Store) -> None:
    with pytest.raises(Refused, match=r"tiny was never launched into the store .*known: none"):
        running_launch(store, "tiny", None)
    ledgers.record_launch(store, "tiny@paper-0001", pid=ledgers.dead_process())
    with pytest.raises(Refused, match=r"tiny@paper .* was killed: its last sign of life was 2"):
        running_launch(store, "tiny", None)
    with pytest.raises(Refused, match=r"tony was never launched .*known: tiny@paper"):
        running_launch(store, "tony", None)


def test_a_launch_that_does_not_stop_in_time_is_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "STOPS_WITHIN_S", 0.5)
    launch, said = ledgers.record_launch(store, "tiny@paper-0001", pid=os.getpid()), []
    assert not stop(store, launch, said.append)
    assert launches.stop_requested(store, launch.id)
    assert "still runs after" in said[-1]
    assert "`softaug status tiny --scale paper`" in said[-1]


def test_a_launch_that_dies_meanwhile_is_told(store: Store) -> None:
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    launch, said = ledgers.record_launch(store, "tiny@paper-0001", pid=process.pid), []

    def kill_once_asked() -> None:
        until(lambda: launches.stop_requested(store, launch.id), "the request")
        process.kill()
        process.communicate()

    killer = threading.Thread(target=kill_once_asked)
    killer.start()
    assert stop(store, launch, said.append)
    killer.join()
    assert "the process of tiny@paper is gone" in said[-1]
