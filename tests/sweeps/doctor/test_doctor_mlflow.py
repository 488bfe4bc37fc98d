"""The doctor finds every way in which MLflow departs from the ledger, repairs it, and touches no other store's runs."""

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType

from sweeps import launched
from sweeps.doctor.doctor import examine
from sweeps.doctor.findings import Checkup, Finding
from sweeps.launch.preflight import Refused
from sweeps.tracker import tracker
from tests import servers
from tests.conftest import Softaug
from tests.sweeps import ledgers
from trainables.ledger import TrialFolder
from trainables.store import Store, open_store

SWEEP = ledgers.small_sweep()
FIRST, SECOND, THIRD, CUT_OFF = SWEEP.trial_keys


@pytest.fixture
def store(tmp_path: Path, empty_database: Path) -> Store:
    """Return a store with three finished trials and an interrupted one, level with an MLflow database inside."""
    store = open_store(tmp_path / "store")
    launched.save(store, SWEEP)
    ledgers.record_launch(store, ended=True)
    for key in (FIRST, SECOND, THIRD):
        ledgers.finish(ledgers.begin(store, key), 2.0)
    ledgers.begin(store, CUT_OFF).write_rows(ledgers.rows(2))
    shutil.copy(empty_database, store.root / "mlflow.db")
    tracker.sync(store, SWEEP, own(store), upload_weights=False)
    return store


def own(store: Store) -> str:
    return f"sqlite:///{store.root / 'mlflow.db'}"


@pytest.fixture
def client(store: Store) -> MlflowClient:
    return MlflowClient(own(store))


def look(store: Store, uri: str | None = None) -> tuple[Finding, ...]:
    return examine(store, uri or own(store), fix=False).findings


def repaired(store: Store) -> Checkup:
    """Repair and return what that says; MLflow then shows the ledger and the second look finds nothing."""
    checkup = examine(store, own(store), fix=True)
    assert checkup.findings == ()
    assert look(store) == ()
    assert shown(MlflowClient(own(store))) == LEVEL
    return checkup


LEVEL = {FIRST: "FINISHED", SECOND: "FINISHED", THIRD: "FINISHED", CUT_OFF: "KILLED"} | {
    SWEEP.cells[0].cell_key: "FINISHED",
    SWEEP.cells[1].cell_key: "KILLED",
}


def runs(client: MlflowClient, view: int = ViewType.ACTIVE_ONLY) -> list[Run]:
    experiment = client.get_experiment_by_name(SWEEP.experiment)
    return list(client.search_runs([experiment.experiment_id], run_view_type=view))


def key_of(run: Run) -> str:
    return str(run.data.tags.get(f"{run.data.tags.get('kind')}_key"))


def shown(client: MlflowClient) -> dict[str, str]:
    """Return the status of every run by key; two of one key, or a child of no cell, are an error."""
    found = {key_of(run): run for run in runs(client)}
    assert len(found) == len(runs(client))
    for cell in SWEEP.cells:
        for key in cell.trials.values():
            if key in found:
                assert found[key].data.tags["mlflow.parentRunId"] == found[cell.cell_key].info.run_id
    return {key: run.info.status for key, run in found.items()}


def run_of(client: MlflowClient, key: str) -> Run:
    (run,) = [each for each in runs(client) if key_of(each) == key]
    return run


def copy(client: MlflowClient, run: Run, **tags: str) -> str:
    """Make another run with the tags of this one, of a later start; return its id."""
    kept = {**run.data.tags, **tags}
    made = client.create_run(run.info.experiment_id, start_time=run.info.start_time + 1, tags=kept)
    return str(made.info.run_id)


def content(client: MlflowClient) -> list[Any]:
    """Return everything that the runs of all experiments say."""
    experiments = [each.experiment_id for each in client.search_experiments(view_type=ViewType.ALL)]
    return sorted(
        [run.info.run_id, run.info.status, run.info.lifecycle_stage, run.data.tags, run.data.metrics]
        for run in client.search_runs(experiments, run_view_type=ViewType.ALL)
    )


def test_what_is_level_is_left_as_it_is(store: Store, client: MlflowClient) -> None:
    before = content(client)
    assert look(store) == ()
    assert repaired(store).repaired == ()
    assert content(client) == before


def test_a_zombie_is_brought_level(store: Store, client: MlflowClient) -> None:
    for key in (FIRST, CUT_OFF, SWEEP.cells[0].cell_key):
        client.update_run(run_of(client, key).info.run_id, status="RUNNING")
    found = look(store)
    assert [finding.kind for finding in found] == ["zombie"] * 3
    assert {finding.what for finding in found} == {
        "MLflow shows it as running; the ledger says finished.",
        "MLflow shows it as running; the ledger says interrupted.",
        "MLflow shows this cell as running; no launch of it is.",
    }
    assert len(repaired(store).repaired) == 3


def test_of_two_runs_of_a_trial_the_one_like_the_ledger_is_kept(store: Store, client: MlflowClient) -> None:
    good = run_of(client, FIRST)
    worse = copy(client, good, state="running", epochs="9")
    shorter = copy(client, good, epochs="1")
    younger = copy(client, good)
    found = look(store)
    assert {finding.kind for finding in found} == {"double"}
    assert {word for finding in found for word in finding.where.split() if word in (worse, shorter, younger)} == {
        worse, shorter, younger,
    }  # fmt: skip
    done = [each.done for each in repaired(store).repaired]
    assert all("mlflow runs restore --run-id" in text for text in done)
    assert run_of(client, FIRST).info.run_id == good.info.run_id
    deleted = client.get_run(worse)
    assert (deleted.info.lifecycle_stage, deleted.info.status) == ("deleted", "KILLED")


def test_of_two_runs_of_a_cell_the_one_with_the_trials_is_kept_and_gets_all_of_them(
    store: Store, client: MlflowClient
) -> None:
    good = run_of(client, SWEEP.cells[0].cell_key)
    client.update_run(good.info.run_id, status="RUNNING")
    other = copy(client, good)
    client.set_tag(run_of(client, SECOND).info.run_id, "mlflow.parentRunId", other)
    client.set_tag(other, "mlflow.note.content", "with one trial, as the first")
    fewer = ledgers.small_sweep([0])  # so that no launch would give the second trial its parent
    launched.save(store, fewer)
    checkup = examine(store, own(store), fix=True)
    assert checkup.findings == look(store) == ()
    assert run_of(client, SWEEP.cells[0].cell_key).info.run_id == good.info.run_id
    assert run_of(client, SECOND).data.tags["mlflow.parentRunId"] == good.info.run_id


def test_orphans_are_deleted_and_what_the_ledger_has_comes_back(store: Store, client: MlflowClient) -> None:
    experiment = run_of(client, FIRST).info.experiment_id
    bare = client.create_run(experiment).info.run_id
    unknown = copy(client, run_of(client, FIRST), trial_key="f" * 64)
    client.delete_run(run_of(client, SWEEP.cells[0].cell_key).info.run_id)
    parentless = [run_of(client, key).info.run_id for key in (FIRST, SECOND)]
    found = {word: finding for finding in look(store) for word in finding.where.split() if len(word) == 32}
    assert found[bare].what.startswith("A run without a kind")
    assert all("parent" in found[run].what for run in (unknown, *parentless))
    repaired(store)
    for run in (bare, unknown, *parentless):
        assert client.get_run(run).info.lifecycle_stage == "deleted"
        assert client.get_run(run).info.status != "RUNNING"


def test_a_run_of_a_trial_that_is_not_in_the_ledger_is_an_orphan(store: Store, client: MlflowClient) -> None:
    unknown = copy(client, run_of(client, FIRST), trial_key="f" * 64)
    (finding,) = look(store)
    assert finding.kind == "orphan"
    assert "not in the ledger of this store" in finding.what
    repaired(store)
    assert client.get_run(unknown).info.lifecycle_stage == "deleted"


def test_missing_and_late_runs_are_brought_level(store: Store, client: MlflowClient) -> None:
    client.delete_run(run_of(client, FIRST).info.run_id)
    client.set_tag(run_of(client, SECOND).info.run_id, "epochs", "1")
    client.set_terminated(run_of(client, THIRD).info.run_id, "FAILED")
    client.set_tag(run_of(client, SWEEP.cells[0].cell_key).info.run_id, "outcome", "")
    found = look(store)
    assert {finding.kind for finding in found} == {"not level"}
    assert [finding.what for finding in found] == [
        "MLflow is behind the ledger: epochs.",
        "MLflow is behind the ledger: status FAILED, which should be FINISHED.",
        "1 trial of the ledger not in MLflow.",
        "MLflow's mean of this cell is behind the ledger.",
    ]
    repaired(store)


def test_an_mlflow_that_is_not_there_yet_is_made_by_the_repair_alone(store: Store) -> None:
    uri = f"sqlite:///{store.root / 'another.db'}"
    (finding,) = look(store, uri)
    assert finding.what == "4 trials of the ledger not in MLflow."
    assert not (store.root / "another.db").exists()
    assert examine(store, uri, fix=True).findings == ()
    assert shown(MlflowClient(uri)) == LEVEL


def test_runs_in_the_default_experiment_are_orphans(store: Store, client: MlflowClient) -> None:
    tags = run_of(client, FIRST).data.tags
    stray = client.create_run("0", tags=tags).info.run_id
    mine = client.create_run("0").info.run_id
    (finding,) = look(store)
    assert finding.kind == "orphan"
    assert stray in finding.where
    repaired(store)
    assert client.get_run(stray).info.lifecycle_stage == "deleted"
    assert client.get_run(mine).info.lifecycle_stage == "active"


def test_a_trial_the_sweep_no_longer_has_is_fine(store: Store, client: MlflowClient) -> None:
    fewer = ledgers.small_sweep([0])
    launched.save(store, fewer)
    tracker.sync(store, fewer, own(store), upload_weights=False)
    assert len(runs(client)) == 6
    assert look(store) == ()


def test_runs_of_another_store_are_never_touched(store: Store, client: MlflowClient, tmp_path: Path) -> None:
    first = run_of(client, FIRST)
    other = copy(client, first, store=str(tmp_path))
    client.create_run("0", tags={**first.data.tags, "store": str(tmp_path)})
    client.set_tag(run_of(client, SECOND).info.run_id, "epochs", "1")
    before = content(client)
    checkup = examine(store, own(store), fix=True)
    assert content(client) == before
    assert other not in " ".join(finding.where for finding in checkup.findings)
    (finding,) = checkup.findings
    assert f"1 run of the store {tmp_path} in the experiment of a sweep of this store" in finding.what
    assert finding.repair is None


def test_beside_runs_of_another_store_only_what_is_our_own_is_repaired(
    store: Store, client: MlflowClient, tmp_path: Path
) -> None:
    foreign = run_of(client, FIRST).info.run_id
    client.set_tag(foreign, "store", str(tmp_path))
    client.set_tag(foreign, "epochs", "1")
    before = client.get_run(foreign).to_dictionary()
    bare = client.create_run(run_of(client, SECOND).info.experiment_id).info.run_id
    examine(store, own(store), fix=True)
    assert client.get_run(bare).info.lifecycle_stage == "deleted"
    assert client.get_run(foreign).to_dictionary() == before


def test_runs_that_name_no_store_are_left_alone_unless_mlflow_is_the_store_s_own(
    store: Store, client: MlflowClient, tmp_path: Path
) -> None:
    bare = client.create_run(run_of(client, FIRST).info.experiment_id).info.run_id
    shared = f"sqlite:///{shutil.copy(store.root / 'mlflow.db', tmp_path / 'shared.db')}"
    checkup = examine(store, shared, fix=True)
    (finding,) = checkup.findings
    assert "does not say which store it is of" in finding.fix
    assert MlflowClient(shared).get_run(bare).info.lifecycle_stage == "active"
    repaired(store)
    assert client.get_run(bare).info.lifecycle_stage == "deleted"


def test_a_store_that_was_moved_with_its_database_is_the_same_store(store: Store, tmp_path: Path) -> None:
    moved = open_store(shutil.move(store.root, tmp_path / "moved"))
    assert {finding.what for finding in look(moved)} == {"MLflow is behind the ledger: weights."}
    assert examine(moved, own(moved), fix=True).findings == ()


def test_the_experiment_of_a_running_launch_is_left_to_it(store: Store, client: MlflowClient) -> None:
    client.update_run(run_of(client, FIRST).info.run_id, status="RUNNING")
    ledgers.record_launch(store, "small@smoke-0002", pid=os.getpid())
    before = content(client)
    assert examine(store, own(store), fix=True).findings == ()
    assert content(client) == before


def test_a_deleted_experiment_is_explained(store: Store, client: MlflowClient) -> None:
    experiment = run_of(client, FIRST).info.experiment_id
    client.delete_experiment(experiment)
    checkup = examine(store, own(store), fix=True)
    (finding,) = checkup.findings
    assert f"mlflow experiments restore --experiment-id {experiment}" in finding.fix


def test_a_damaged_trial_is_repaired_before_its_run(store: Store, client: MlflowClient) -> None:
    path = f"{TrialFolder(store, FIRST).path}/end.json"
    store.write(path, b"")
    (finding,) = look(store)
    assert finding.kind == "unreadable", "its run is left alone as long as the files cannot be believed"
    assert examine(store, own(store), fix=True).findings == ()
    assert run_of(client, FIRST).info.status == "KILLED"
    assert look(store) == ()


def test_a_trial_that_lacks_a_result_does_not_keep_the_others_from_mlflow(store: Store) -> None:
    uri = f"sqlite:///{store.root / 'another.db'}"
    store.delete(f"{TrialFolder(store, FIRST).path}/0001/samples.png")
    checkup = examine(store, uri, fix=True)
    assert [finding.kind for finding in checkup.findings] == ["incomplete"]
    assert {SECOND, THIRD, CUT_OFF} <= shown(MlflowClient(uri)).keys()


def test_an_mlflow_that_does_not_answer_is_one_line(store: Store, softaug: Softaug) -> None:
    uri = f"http://127.0.0.1:{servers.free_port()}"
    ran = softaug("doctor", "--store", store.root, "--tracking-uri", uri)
    assert ran.returncode == 2
    (line,) = ran.stderr.splitlines()
    assert line.startswith(f"error: MLflow at {uri}: ")


def test_a_damaged_database_is_one_line(store: Store, tmp_path: Path) -> None:
    (tmp_path / "broken.db").write_bytes(b"no database" * 100)
    with pytest.raises(Refused, match=r"^MLflow at sqlite:.*broken\.db: [^\n]*$"):
        look(store, f"sqlite:///{tmp_path / 'broken.db'}")


def test_the_command_line_says_how_to_have_a_run_back(store: Store, client: MlflowClient, softaug: Softaug) -> None:
    double = copy(client, run_of(client, FIRST))
    ran = softaug("doctor", "--fix", "--store", store.root)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    assert f"mlflow runs restore --run-id {double}" in ran.stdout
    assert "1 finding repaired, nothing is left in 4 trials of 1 sweep" in ran.stdout
    ran = softaug("doctor", "--store", store.root)
    assert ran.stdout.splitlines()[-1] == "nothing wrong with 4 trials of 1 sweep"
