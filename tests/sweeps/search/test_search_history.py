"""A search's history is what the ledger says, and its study is what Optuna would have made of it."""

import json
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import optuna
import optuna_dashboard
import pytest
from optuna.trial import TrialState

from softaug.estimate import Estimate
from sweeps.files.expand import load
from sweeps.search.cells import with_ask
from sweeps.search.export import quiet_optuna, study, write_study
from sweeps.search.history import history
from sweeps.search.search import Outcome
from sweeps.search.study import Asker
from tests.conftest import Softaug
from tests.sweeps import ledgers, searched
from trainables.store import Store


def test_asks_are_as_their_trials_ended(store: Store) -> None:
    sweep = searched.sweep(6)
    for cell, (error, state) in zip(
        sweep.search_cells,
        [(40.0, "finished"), (30.0, "stopped"), (20.0, "diverged"), (35.0, "finished")],
        strict=False,
    ):
        searched.end(store, cell, error, state)
    ledgers.begin(store, next(iter(sweep.search_cells[4].trials.values())))
    now = history(store, sweep)
    assert [each.state for each in now.asked] == ["complete", "pruned", "failed", "complete", "open", "open"]
    assert now.asked[0].values == (Estimate(40.0, None, 1),)
    assert now.asked[1].steps == {1: 40.0, 2: 30.0}
    assert now.asked[1].values == ()
    assert (now.asked[3].started, now.asked[3].ended, now.asked[3].seconds) == (1000.0, 1002.0, 2.0)
    assert now.front == {3}
    assert [winner.asked.number for winner in now.winners] == [3, 0]
    assert [winner.cell for winner in now.winners] == [None, None]
    assert not now.over
    assert [each.number for each in now.ended_first()] == [0, 1, 2, 3]


def test_a_search_is_over_once_its_budget_is_spent_and_all_has_ended(store: Store) -> None:
    sweep = searched.sweep(12)  # the budget
    for number, cell in enumerate(sweep.search_cells[:-1]):
        searched.end(store, cell, 50.0 + number)
    assert history(store, sweep).spent == "12 cells"
    assert not history(store, sweep).over
    searched.end(store, sweep.search_cells[-1], 40.0)
    assert history(store, sweep).over
    best = sweep.search.asks[-1].values if sweep.search else {}
    (first, second) = history(store, searched.confirm(store, sweep, best, 1)).winners
    assert first.cell is not None
    assert (first.cell.title[:8], second.cell) == ("winner 1", None)


def test_an_ask_twice_is_two_trials_of_one_cell_and_paid_once(store: Store) -> None:
    sweep = searched.sweep(2)
    assert sweep.search is not None
    sweep = with_ask(sweep, sweep.search.asks[0].values)
    for number, cell in enumerate(sweep.search_cells):
        searched.end(store, cell, 40.0 + number)
    now = history(store, sweep)
    assert [each.means for each in now.asked] == [(40.0,), (41.0,), (40.0,)]
    assert now.seconds == 4.0
    assert [winner.asked.number for winner in now.winners] == [0, 1]


def test_values_are_means_over_the_seeds_with_their_error(store: Store) -> None:
    sweep = searched.sweep(1, seeds=[100, 102])
    searched.end(store, sweep.search_cells[0], 40.0)
    assert history(store, sweep).asked[0].values == (Estimate(41.0, 1.0, 2),)


def test_the_papers_setting_is_the_sweeps_own_cell_that_the_search_might_have_found(store: Store) -> None:
    assert history(store, searched.sweep(0)).arms == {
        "paper's setting": {"alpha": 0.0, "k": 2.0, "policy": "none", "sigma": 0.3}
    }


def test_names_of_cells_are_short_and_why_knows_them(store: Store, softaug: Softaug) -> None:
    sweep = searched.sweep(1)
    (cell,) = sweep.search_cells
    searched.end(store, cell, 40.0)
    searched.save(store, sweep)
    assert len(str(cell.axes["k"])) > 10
    rounded = float(f"{float(cell.axes['k']):.3g}")
    assert f"k {rounded}" in cell.title
    for text in (cell.title, cell.title.replace("k ", "k = "), cell.cell_key[:12]):
        ran = softaug("why", text, "--store", store.root)
        assert ran.returncode == 0, ran.stdout + ran.stderr
        assert cell.cell_key in ran.stdout


def test_a_sweep_without_a_search_has_no_history(store: Store) -> None:
    with pytest.raises(ValueError, match="quickstart has no search"):
        history(store, load("quickstart", scale="smoke"))


@pytest.mark.parametrize("objectives", [["val/top1_error"], ["val/top1_error", "val/ece"]])
def test_the_study_is_the_one_that_a_search_asks_from(store: Store, objectives: list[str]) -> None:
    """Oracle: Optuna told by ask and tell, as the search does it; its best trials are ours."""
    sweep = searched.sweep(9, minimize=objectives)
    assert sweep.search is not None
    errors = [40.0, 38.5, 44.0, 38.5, 41.0, 39.0, 60.0, 20.0]
    states = ["finished"] * 7 + ["failed"]
    for cell, error, state in zip(sweep.search_cells, errors, states, strict=False):
        searched.end(store, cell, error, state)
    now = history(store, sweep)
    asker = Asker(sweep.search)
    for each in now.asked:
        asker.again(each.ask.values)
    for error, state in zip(errors, states, strict=True):
        told = (error, 100 - error)[: len(objectives)]
        asker.tell(Outcome("complete", told) if state == "finished" else Outcome("failed"))
    ours, theirs = study(now), asker.study
    assert [trial.state for trial in ours.trials] == [trial.state for trial in theirs.trials]
    assert [trial.params for trial in ours.trials] == [trial.params for trial in theirs.trials]
    assert [trial.distributions for trial in ours.trials] == [trial.distributions for trial in theirs.trials]
    assert [trial.values for trial in ours.trials] == [trial.values for trial in theirs.trials]
    assert {trial.number for trial in ours.best_trials} == {trial.number for trial in theirs.best_trials} == now.front
    assert ours.trials[8].state == TrialState.RUNNING


def test_trials_of_the_study_say_which_of_the_ledger_they_are(store: Store) -> None:
    sweep = searched.sweep(3)
    searched.end(store, sweep.search_cells[0], 40.0, "stopped")
    searched.end(store, sweep.search_cells[1], 41.0)
    pruned, complete, _ = study(history(store, sweep)).trials
    assert pruned.state == TrialState.PRUNED
    assert pruned.intermediate_values == {1: 50.0, 2: 40.0}
    cell = sweep.search_cells[1]
    expected = {"cell_key": cell.cell_key, "trial of seed 100": cell.trials[100], "winner 1": True}
    assert complete.user_attrs == expected


def test_what_no_recipe_can_be_is_a_failed_trial_with_the_reason(store: Store) -> None:
    sweep = searched.sweep(1)
    assert sweep.search is not None
    refused = sweep.search.asks[0].model_copy(update={"cell_key": "", "refused": "k without softening"})
    search = sweep.search.model_copy(update={"asks": [refused]})
    now = history(store, sweep.model_copy(update={"search": search, "search_cells": []}))
    (trial,) = study(now).trials
    assert trial.state == TrialState.FAIL
    assert trial.user_attrs["refused"] == "k without softening"


def test_a_written_study_is_read_back_whole_and_replaced_whole(store: Store, tmp_path: Path) -> None:
    sweep, file = searched.sweep(4), tmp_path / "folder" / "study.db"
    for number, cell in enumerate(sweep.search_cells[:3]):
        searched.end(store, cell, 40.0 - number)
    for _ in range(2):
        write_study(history(store, sweep), file)
    read = optuna.load_study(study_name="search-joint@smoke", storage=f"sqlite:///{file}")
    made = study(history(store, sweep))
    for name in ("state", "values", "params", "distributions", "user_attrs", "datetime_start", "datetime_complete"):
        assert [getattr(trial, name) for trial in read.trials] == [getattr(trial, name) for trial in made.trials], name
    with quiet_optuna():
        assert read.metric_names == ["val/top1_error"]
    assert list(file.parent.iterdir()) == [file]


def test_export_refuses_what_it_must_not_do(store: Store, softaug: Softaug, tmp_path: Path) -> None:
    sweep, file = searched.sweep(1), tmp_path / "study.db"
    searched.end(store, sweep.search_cells[0], 40.0)
    searched.save(store, sweep)
    searched.save(store, ledgers.small_sweep())

    def export(name: str, *more: object) -> tuple[int, str]:
        ran = softaug("export", name, "--scale", "smoke", "--store", store.root, "--optuna", file, *more)
        return ran.returncode, ran.stdout + ran.stderr

    assert export("small")[0] == 2
    assert "sweep small has no search" in export("small")[1]
    assert not file.exists()
    assert export("search-joint")[0] == 0
    content = file.read_bytes()
    code, said = export("search-joint")
    assert code == 2
    assert "is there already; replace it with --force" in said
    assert file.read_bytes() == content
    assert export("search-joint", "--force")[0] == 0


def test_optuna_dashboard_opens_what_export_writes(store: Store, tmp_path: Path) -> None:
    """Ask the dashboard's own server, as its page does, for the study and its trials."""
    sweep, file = searched.sweep(4), tmp_path / "study.db"
    for cell, state in zip(sweep.search_cells, ("finished", "finished", "stopped"), strict=False):
        searched.end(store, cell, 40.0, state)
    write_study(history(store, sweep), file)
    storage = optuna.storages.RDBStorage(f"sqlite:///{file}")
    application = optuna_dashboard.wsgi(storage)

    def ask(path: str) -> dict[str, object]:
        environment: dict[str, object] = {"PATH_INFO": path}
        setup_testing_defaults(environment)
        answers: list[str] = []
        body = b"".join(application(environment, lambda status, _headers, *_: answers.append(status)))
        assert answers == ["200 OK"], (path, body)
        found: dict[str, object] = json.loads(body)
        return found

    (summary,) = ask("/api/studies")["study_summaries"]
    assert summary["study_name"] == "search-joint@smoke"
    shown = ask(f"/api/studies/{summary['study_id']}")
    trials: list[dict[str, object]] = shown["trials"]
    assert [trial["state"] for trial in trials] == ["Complete", "Complete", "Pruned", "Running"]
    keys = {attribute["value"] for attribute in trials[0]["user_attrs"] if attribute["key"] == "cell_key"}
    assert keys == {sweep.search_cells[0].cell_key}
    storage.remove_session()
    storage.engine.dispose()
