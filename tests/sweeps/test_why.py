"""`softaug why` finds a cell by what a reader has in hand and tells what its number rests on."""

import json
import os
import shutil
from pathlib import Path

import pytest

from sweeps import launched
from sweeps.launch.preflight import Refused
from sweeps.tracker import tracker
from sweeps.why import NO_ANSWER, NOT_THERE, Why, why, why_json
from tests import servers
from tests.conftest import Softaug
from tests.sweeps import ledgers
from trainables.ledger import Death, TrialFolder
from trainables.store import Store, open_store

SWEEP = ledgers.small_sweep()
BASELINE, CROP = SWEEP.cells
FIRST, SECOND = CROP.trials.values()


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store in which the second cell has a finished trial and one that runs at its third attempt."""
    store = open_store(tmp_path / "store")
    launched.save(store, SWEEP)
    ledgers.record_launch(store, ended=True)
    ledgers.finish(ledgers.begin(store, FIRST), 2.5)
    ledgers.fail(ledgers.begin(store, SECOND), "failed", "because")
    TrialFolder(store, SECOND).reopen()
    ledgers.begin(store, SECOND).record_death(Death(cause="crashed", reason="for a test", time=1.0))
    ledgers.record_launch(store, "small@smoke-0002", pid=os.getpid())
    for _ in range(2):
        ledgers.begin(store, SECOND, launch="small@smoke-0002")
    return store


def ask(store: Store, text: str, *, sweep: str | None = None, scale: str | None = None, uri: str | None = None) -> Why:
    return why(store, text, sweep=sweep, scale=scale, tracking_uri=uri or f"sqlite:///{store.root / 'mlflow.db'}")


@pytest.mark.parametrize(
    "text",
    [
        "hard Gaussian crop, sigma 0.3",
        "hard Gaussian crop, σ = 0.3",
        "Hard gaussian crop,  σ=0.3",
        CROP.cell_key,
        CROP.cell_key[:6],
        FIRST[:6],
        SECOND,
    ],
)
def test_a_cell_is_found_by_title_and_by_the_beginning_of_a_key(store: Store, text: str) -> None:
    answer = ask(store, text)
    assert answer.cell_key == CROP.cell_key
    assert [(each.sweep.experiment, each.cell) for each in answer.occurrences] == [("small@smoke", CROP)]


def test_the_number_its_runs_and_their_attempts_are_told(store: Store) -> None:
    answer = ask(store, "hard Gaussian crop, sigma 0.3")
    (occurrence,) = answer.occurrences
    assert (occurrence.estimates["test/top1_error"].mean, occurrence.estimates["test/top1_error"].n) == (2.5, 1)
    assert occurrence.differs["crop.kind"] == ("gaussian", "uniform")
    assert occurrence.differs["crop.radius_px"] == (None, 1)
    assert [(run.seed, run.trial_key, run.status.state) for run in answer.runs] == [
        (0, FIRST, "finished"),
        (1, SECOND, "running"),
    ]
    assert [each.ending for run in answer.runs for each in run.attempts] == [
        "finished", "failed: because", "crashed: for a test", "interrupted", "running",
    ]  # fmt: skip
    told = why_json(answer)["runs"][0]
    assert told["end"]["versions"] == {"torch": "2.14.1"}
    assert told["attempts"][0]["git_commit"] == "c0ffee"
    assert told["folder"] == str(store.root / TrialFolder(store, FIRST).path)


def test_damaged_files_are_told_and_hide_nothing_else(store: Store) -> None:
    store.write(f"{TrialFolder(store, FIRST).path}/end.json", b"")
    store.write(f"{TrialFolder(store, FIRST).path}/attempt-0001.json", b"")
    run = ask(store, FIRST[:8]).runs[0]
    assert (run.status.state, run.attempts[0].attempt) == ("damaged", None)
    assert "is empty" in run.status.reason


def test_a_cell_that_several_sweeps_share_is_one_cell(store: Store) -> None:
    launched.save(store, ledgers.small_sweep([0], name="other"))
    answer = ask(store, CROP.title)
    assert [each.sweep.experiment for each in answer.occurrences] == ["other@smoke", "small@smoke"]
    assert [run.seed for run in answer.runs] == [0, 1]
    assert [each.sweep.name for each in ask(store, CROP.title, sweep="other").occurrences] == ["other"]


def test_a_title_of_several_cells_lists_them(store: Store) -> None:
    other = SWEEP.model_copy(update={"name": "other", "cells": [CROP, BASELINE.model_copy(update={"axes": {}})]})
    renamed = CROP.model_copy(update={"arm": "standard crop", "axes": {}})
    launched.save(store, other.model_copy(update={"cells": [BASELINE, renamed]}))
    with pytest.raises(Refused) as refused:
        ask(store, "standard crop")
    assert "--sweep" in refused.value.problems[0]
    assert sorted(line.strip() for line in refused.value.problems[1:]) == sorted(
        [
            f"{BASELINE.cell_key[:12]}: standard crop, in small@smoke",
            f"{BASELINE.cell_key[:12]}: standard crop, in other@smoke",
            f"{CROP.cell_key[:12]}: standard crop, in other@smoke",
        ]
    )
    assert ask(store, "standard crop", sweep="small").cell_key == BASELINE.cell_key


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hard Gausian crop, sigma 0.3", "did you mean hard Gaussian crop"),
        (FIRST[:5], "six or more digits"),
        ("", "no"),
    ],
)
def test_an_unknown_cell_is_refused(store: Store, text: str, said: str) -> None:
    with pytest.raises(Refused, match=said):
        ask(store, text)


def test_an_unknown_sweep_is_refused(store: Store) -> None:
    with pytest.raises(Refused, match=r"smal was never launched .*known: small@smoke"):
        ask(store, CROP.title, sweep="smal")
    with pytest.raises(Refused, match="a sweep at scale paper was never launched"):
        ask(store, CROP.title, scale="paper")


def test_pages_are_linked_if_mlflow_answers_and_missed_if_not(
    store: Store, tmp_path: Path, empty_database: Path
) -> None:
    uri = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'mlflow.db')}"

    def pages(uri: str | None) -> list[dict[str, str]]:
        return [dict(run.pages) for run in ask(store, CROP.title, uri=uri).runs]

    for away in (None, uri):
        assert pages(away) == [{"small@smoke": NOT_THERE}] * 2
    assert not (store.root / "mlflow.db").exists()
    assert pages(f"http://127.0.0.1:{servers.free_port()}") == [{"small@smoke": NO_ANSWER}] * 2
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    assert pages(f"sqlite:///{tmp_path / 'broken.db'}") == [{"small@smoke": NO_ANSWER}] * 2
    tracker.sync(store, ledgers.small_sweep([0]), uri, upload_weights=False)
    first, second = pages(uri)
    assert first["small@smoke"].startswith("http://127.0.0.1:5000/#/experiments/1/runs/")
    assert second == {"small@smoke": NOT_THERE}


def test_the_command_line_shows_it_within_the_width_and_in_json(store: Store, softaug: Softaug) -> None:
    ran = softaug("why", "hard Gaussian crop, σ = 0.3", "--store", store.root)
    assert ran.returncode == 0, ran.stderr
    lines = ran.stdout.splitlines()
    assert lines[:2] == ["hard Gaussian crop, sigma 0.3, in small@smoke", "  top-1 error 2.50 % (n = 1 of 2)"]
    assert "  3 epochs in 3.0 s on unknown (unknown, 0 threads)" in lines
    assert f"  trial {FIRST}" in lines
    assert "commit c0ffee" in ran.stdout
    told = json.loads(softaug("why", FIRST[:6], "--json", "--store", store.root).stdout)
    assert told["cell_key"] == CROP.cell_key
    ran = softaug("why", "nothing", "--store", store.root)
    assert (ran.returncode, ran.stdout, ran.stderr.count("\n")) == (2, "", 1)
