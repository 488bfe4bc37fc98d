"""F15: a disk that fills up under the store ends the launch in a clear line; with room again the next one finishes."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import Softaug
from tests.faults.scenes import tiny_sweep
from trainables.ledger import CHECKPOINT, AttemptFolder, TrialFolder
from trainables.store import open_store


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Yield the root of a file system that has room for two or three of the six trials."""
    disk = tmp_path / "disk"
    disk.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=5m", "tmpfs", str(disk)], check=True)
    yield disk
    subprocess.run(["umount", str(disk)], check=True)


def fill(filler: Path) -> None:
    """Use up what room there is."""
    with pytest.raises(OSError, match="No space left"):
        filler.write_bytes(bytes(6_000_000))


def cells(softaug: Softaug, sweep: Path, store: Path) -> Any:
    status = softaug("status", sweep, "--store", store, "--json")
    assert status.returncode == 0, status.stderr
    return json.loads(status.stdout)["cells"]


@pytest.mark.slow
def test_a_full_disk_ends_the_launch_in_a_line_and_costs_no_more_than_the_last_epochs(
    small_disk: Path, softaug: Softaug, tmp_path: Path
) -> None:
    sweep, runs = tmp_path / "full.yaml", small_disk / "runs"
    sweep.write_text(tiny_sweep("full", epochs=30, width=16))
    started = time.monotonic()
    first = softaug("launch", sweep, "--store", runs, "--checkpoint-every", 0)
    print(f"measured F15: {time.monotonic() - started:.1f} s to the launch's end")
    assert first.returncode == 1, first.stdout + first.stderr
    assert f"the store {runs} is in memory (tmpfs)" in first.stdout
    assert f"the store {runs} is full (" in first.stdout
    assert "free some space, then launch again" in first.stdout
    store = open_store(runs)
    trials = [TrialFolder(store, path.name) for path in (runs / "trials").glob("*/*")]
    ended = {trial.key: store.read(f"{trial.path}/end.json") for trial in trials if trial.end() is not None}
    assert 1 <= len(ended) < 6, "the disk was full in the middle"
    begun = [AttemptFolder(trial, 1) for trial in trials if trial.end() is None and trial.numbers()]
    assert any(attempt.checkpoint_names() for attempt in begun)
    for attempt in begun:
        for name in attempt.checkpoint_names():
            assert attempt.checkpoint(name)[0] <= len(attempt.rows()), "the checkpoints kept are whole"
    assert [path.name for path in runs.rglob(".*")] == [], "no half files"
    assert all(CHECKPOINT.fullmatch(path.name) for path in runs.rglob("checkpoint-*"))

    fill(small_disk / "filler")
    still_full = softaug("launch", sweep, "--store", runs)
    assert still_full.returncode == 2, still_full.stdout
    assert still_full.stderr.startswith(f"error: the store {runs} is full (")
    subprocess.run(["mount", "-o", "remount,size=100m", str(small_disk)], check=True)
    second = softaug("launch", sweep, "--store", runs)
    assert second.returncode == 0, second.stdout + second.stderr
    assert ended == {key: store.read(f"{TrialFolder(store, key).path}/end.json") for key in ended}
    elsewhere = softaug("launch", sweep, "--store", tmp_path / "undisturbed", "--offline")
    assert elsewhere.returncode == 0, elsewhere.stdout
    assert cells(softaug, sweep, runs) == cells(softaug, sweep, tmp_path / "undisturbed")
