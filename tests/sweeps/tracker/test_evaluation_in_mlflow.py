"""An evaluation comes to MLflow long after its run has finished: once, by any sync, and the doctor finds that well."""

import shutil
from pathlib import Path

import pytest

from sweeps import launched
from sweeps.doctor.doctor import examine
from sweeps.doctor.findings import Checkup
from sweeps.tracker.tracker import sync
from tests.sweeps import ledgers, mlflow_contents
from tests.sweeps.mlflow_contents import Contents
from trainables import evaluation
from trainables.evaluation import conditions
from trainables.ledger import AttemptFolder, TrialFolder
from trainables.store import Store

SWEEP = ledgers.small_sweep()
FIRST, SECOND, *_ = SWEEP.trial_keys
CELL = ("cell", SWEEP.cells[0].cell_key)


@pytest.fixture
def synced(store: Store, uri: str) -> Store:
    """Return a store with the two finished seeds of the first cell, level with MLflow."""
    launched.save(store, SWEEP)
    ledgers.record_launch(store, ended=True)
    for key, error in ((FIRST, 2.0), (SECOND, 4.0)):
        ledgers.finish(ledgers.begin(store, key), error)
    assert sync(store, SWEEP, uri, upload_weights=False) == []
    return store


def folder(store: Store, key: str) -> AttemptFolder:
    return AttemptFolder(TrialFolder(store, key), 1)


def held(store: Store, uri: str, downloads: Path) -> Contents:
    """Bring MLflow level and return what it holds; a metric twice at a step is an error."""
    assert sync(store, SWEEP, uri, upload_weights=False) == []
    shutil.rmtree(downloads, ignore_errors=True)
    return mlflow_contents.contents(uri, SWEEP.experiment, downloads)


def look(store: Store, uri: str, *, fix: bool = False) -> Checkup:
    return examine(store, uri, fix=fix)


def test_it_arrives_at_a_finished_run_and_changes_nothing_else_of_it(synced: Store, uri: str, tmp_path: Path) -> None:
    before = held(synced, uri, tmp_path / "d")["trial", FIRST]
    ledgers.evaluate(folder(synced, FIRST))
    after = held(synced, uri, tmp_path / "d")["trial", FIRST]
    assert {name: rows for name, rows in after["metrics"].items() if name not in before["metrics"]} == {
        "test/adaptive_ece": [(3, 2_000_000, 3.5)],
        "test/occlusion_40/top1_error": [(3, 2_002_000, 8.0)],
        "test/occlusion_40/adaptive_ece": [(3, 2_002_000, 3.5)],
    }
    assert after["metrics"]["test/top1_error"] == before["metrics"]["test/top1_error"], (
        "the end's, not the evaluation's"
    )
    assert after["metrics"]["train/kl"] == before["metrics"]["train/kl"]
    assert after["tags"] == {**before["tags"], "evaluation": ledgers.made_up_evaluation().digest}
    file = synced.read(evaluation.path_of(folder(synced, FIRST)))
    assert after["files"] == {**before["files"], "evaluation.json": file}
    assert [after[name] for name in ("status", "times", "params")] == [
        before[name] for name in ("status", "times", "params")
    ]


def test_one_that_grows_is_sent_once(synced: Store, uri: str, tmp_path: Path) -> None:
    for percents in ([40], [20, 40], [20, 40]):
        ledgers.evaluate(folder(synced, FIRST), wanted=conditions(percents, "mean", 3))
        found = held(synced, uri, tmp_path / "d")["trial", FIRST]["metrics"]
    assert [len(found[f"test/occlusion_{percent}/top1_error"]) for percent in (20, 40)] == [1, 1]


def test_a_cell_has_means_once_all_its_finished_seeds_are_evaluated(synced: Store, uri: str, tmp_path: Path) -> None:
    before = held(synced, uri, tmp_path / "d")[CELL]["metrics"]
    ledgers.evaluate(folder(synced, FIRST), 2.0)
    half = held(synced, uri, tmp_path / "d")[CELL]
    assert half["metrics"] == before, "a hole stays a hole"
    assert half["tags"]["evaluations"] == "1 of 2 seeds"
    ledgers.evaluate(folder(synced, SECOND), 4.0)
    for _ in range(2):
        whole = held(synced, uri, tmp_path / "d")[CELL]["metrics"]
        assert {
            name: [(step, value) for step, _, value in rows] for name, rows in whole.items() if name not in before
        } == {
            "mean/test/adaptive_ece": [(0, 1.5)],
            "se/test/adaptive_ece": [(0, 0.5)],
            "mean/test/occlusion_40/top1_error": [(0, 4.0)],
            "se/test/occlusion_40/top1_error": [(0, 1.0)],
            "mean/test/occlusion_40/adaptive_ece": [(0, 1.5)],
            "se/test/occlusion_40/adaptive_ece": [(0, 0.5)],
        }
        assert {name: whole[name] for name in before} == before


def test_an_empty_mlflow_gets_the_same(synced: Store, uri: str, tmp_path: Path, empty_database: Path) -> None:
    for key in (FIRST, SECOND):
        ledgers.evaluate(folder(synced, key))
    one = held(synced, uri, tmp_path / "d")
    other = held(synced, f"sqlite:///{shutil.copy(empty_database, tmp_path / 'other.db')}", tmp_path / "d")
    for key in (FIRST, SECOND):
        assert other["trial", key] == one["trial", key]
    values = [{name: rows[-1][2] for name, rows in each[CELL]["metrics"].items()} for each in (one, other)]
    assert values[0] == values[1]


def test_the_doctor_finds_nothing_wrong_before_and_after_it_arrives(synced: Store, uri: str) -> None:
    assert (look(synced, uri).findings, look(synced, uri).notes) == ((), ())
    for key in (FIRST, SECOND):
        ledgers.evaluate(folder(synced, key))
    for fix in (False, True):
        checkup = look(synced, uri, fix=fix)
        assert checkup.findings == checkup.repaired == ()
        assert checkup.notes == ("2 evaluations not in MLflow yet: `softaug sync` brings them",)
    assert sync(synced, SWEEP, uri, upload_weights=False) == []
    assert (look(synced, uri).findings, look(synced, uri).notes) == ((), ())


def test_a_damaged_one_hides_nothing_else_and_is_set_aside(synced: Store, uri: str, tmp_path: Path) -> None:
    for key in (FIRST, SECOND):
        ledgers.evaluate(folder(synced, key))
    before = held(synced, uri, tmp_path / "d")
    path = evaluation.path_of(folder(synced, FIRST))
    synced.write(path, synced.read(path).replace(b"7.0", b"6.0"))
    after = held(synced, uri, tmp_path / "d")
    assert after["trial", FIRST] == before["trial", FIRST]
    (finding,) = look(synced, uri).findings
    assert (finding.kind, finding.where) == ("unreadable", path)
    assert "the next `softaug evaluate` measures this again" in finding.what
    assert look(synced, uri, fix=True).findings == ()
    assert not synced.exists(path)
    assert look(synced, uri).findings == ()
