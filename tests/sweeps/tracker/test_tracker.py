"""MLflow is a projection: one run per trial and cell, every row once, any number of projections the same."""

import shutil
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient
from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

from sweeps.resolved import ResolvedSweep
from sweeps.tracker import contents as run_contents
from sweeps.tracker.tracker import Projection, sync
from tests.sweeps import ledgers
from trainables.store import Store


def projection(store: Store, sweep: ResolvedSweep, uri: str, *, running: bool = False) -> Projection:
    return Projection(store, sweep, uri, is_running=lambda _launch: running)


def runs(uri: str, kind: str, experiment: str = "small@smoke") -> dict[str, Run]:
    """Return the runs of a kind by trial or cell key; two of the same key are an error."""
    client = MlflowClient(uri)
    found = client.search_runs([client.get_experiment_by_name(experiment).experiment_id], f"tags.kind = '{kind}'")
    by_key = {run.data.tags[f"{kind}_key"]: run for run in found}
    assert len(by_key) == len(found)
    return by_key


def history(uri: str, run: Run) -> dict[str, list[tuple[int, float]]]:
    client = MlflowClient(uri)
    return {
        name: [(row.step, row.value) for row in client.get_metric_history(run.info.run_id, name)]
        for name in run.data.metrics
    }


def test_a_finished_trial_becomes_a_child_run_with_everything_of_it(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[2]
    ledgers.finish(ledgers.begin(store, key), 2.5)
    projection(store, sweep, uri).project(key)
    run = runs(uri, "trial")[key]
    assert run.info.status == "FINISHED"
    assert (run.info.start_time, run.info.end_time) == (1_000_000, 1_003_000)
    assert run.info.run_name == "hard Gaussian crop, sigma 0.3, seed 0"
    assert run.data.params["crop.sigma"] == "0.3"
    assert run.data.params["seed"] == "0"
    parent = runs(uri, "cell")[sweep.cells[1].cell_key]
    expected = {
        "sweep": "small",
        "arm": "hard Gaussian crop",
        "cell_key": sweep.cells[1].cell_key,
        "seed": "0",
        "attempt": "1",
        "state": "finished",
        "epochs": "3",
        "git_commit": "c0ffee",
        "torch": "2.14.1",
        "mlflow.parentRunId": parent.info.run_id,
    }
    assert expected.items() <= run.data.tags.items()
    assert history(uri, run) == {
        "train/kl": [(1, 1.0), (2, 0.5), (3, 1 / 3)],
        "train/lr": [(1, 0.1), (2, 0.05), (3, 0.1 / 3)],
        "test/top1_error": [(3, 2.5)],
        "test/ece": [(3, 1.25)],
    }
    artifacts = {item.path for item in MlflowClient(uri).list_artifacts(run.info.run_id)}
    assert artifacts == {"recipe.json", "sweep.yaml", "samples.png", "reliability.json"}


def test_a_cell_has_its_mean_once_all_seeds_have_ended(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    first, second, *_ = sweep.trial_keys
    project = projection(store, sweep, uri, running=True)
    ledgers.finish(ledgers.begin(store, first), 2.0)
    project.project(first)
    cell = runs(uri, "cell")[sweep.cells[0].cell_key]
    assert (cell.info.status, cell.data.metrics) == ("RUNNING", {})
    ledgers.finish(ledgers.begin(store, second), 4.0)
    project.project(second)
    project.project(second)
    cell = runs(uri, "cell")[sweep.cells[0].cell_key]
    assert cell.info.status == "FINISHED"
    assert history(uri, cell)["mean/test/top1_error"] == [(0, 3.0)]
    assert history(uri, cell)["se/test/top1_error"] == [(0, 1.0)]
    assert history(uri, cell)["n"] == [(0, 2.0)]
    assert {item.path for item in MlflowClient(uri).list_artifacts(cell.info.run_id)} == {"sweep.yaml", "samples.png"}


def test_a_fourth_seed_renews_the_mean_of_its_cell(store: Store, uri: str) -> None:
    for seeds in ([0, 1], [0, 1, 2]):
        sweep = ledgers.small_sweep(seeds)
        key = sweep.cells[0].trials[seeds[-1]]
        for each in sweep.cells[0].trials.values():
            if not store.exists(f"trials/{each[:2]}/{each}/end.json"):
                ledgers.finish(ledgers.begin(store, each), 3.0 if each == key else 2.0)
        sync(store, sweep, uri, upload_weights=False)
    cell = runs(uri, "cell")[sweep.cells[0].cell_key]
    assert cell.data.metrics["n"] == 3
    assert cell.data.tags["seeds"] == "0 1 2"


def test_projecting_again_from_anywhere_changes_nothing(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    for key in sweep.trial_keys:
        ledgers.finish(ledgers.begin(store, key), 2.0)
    sync(store, sweep, uri, upload_weights=False)
    before = {key: (history(uri, run), dict(run.data.tags)) for key, run in runs(uri, "trial").items()}
    sync(store, sweep, uri, upload_weights=False)
    assert before == {key: (history(uri, run), dict(run.data.tags)) for key, run in runs(uri, "trial").items()}
    assert len(runs(uri, "cell")) == 2


def test_an_empty_mlflow_is_filled_again(store: Store, uri: str, tmp_path: Path, empty_database: Path) -> None:
    sweep = ledgers.small_sweep()
    for key in sweep.trial_keys:
        ledgers.finish(ledgers.begin(store, key), 2.0)
    sync(store, sweep, uri, upload_weights=False)
    other = f"sqlite:///{shutil.copy(empty_database, tmp_path / 'other.db')}"
    sync(store, sweep, other, upload_weights=False)
    for key, run in runs(uri, "trial").items():
        assert history(other, runs(other, "trial")[key]) == history(uri, run)


def test_rows_arrive_as_they_come_and_once_over_attempts(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    first = ledgers.begin(store, key)
    first.write_rows(ledgers.rows(2))
    projection(store, sweep, uri, running=True).project(key)
    run = runs(uri, "trial")[key]
    assert (run.info.status, run.data.tags["state"], run.data.tags["epochs"]) == ("RUNNING", "running", "2")
    projection(store, sweep, uri).project(key)
    run = runs(uri, "trial")[key]
    assert (run.info.status, run.data.tags["state"]) == ("KILLED", "interrupted")
    second = ledgers.begin(store, key)
    second.write_rows(ledgers.rows(1))
    projection(store, sweep, uri, running=True).project(key)
    assert runs(uri, "trial")[key].info.status == "RUNNING"
    ledgers.finish(second, 2.0)
    projection(store, sweep, uri).project(key)
    run = runs(uri, "trial")[key]
    assert (run.info.status, run.data.tags["attempt"]) == ("FINISHED", "2")
    assert [step for step, _ in history(uri, run)["train/kl"]] == [1, 2, 3]


@pytest.mark.parametrize("state", ["failed", "diverged"])
def test_failures_are_failed_runs_with_their_reason_and_the_cell_shows_the_hole(
    store: Store, uri: str, state: str
) -> None:
    sweep = ledgers.small_sweep()
    good, bad, *_ = sweep.trial_keys
    ledgers.finish(ledgers.begin(store, good), 2.0)
    ledgers.fail(ledgers.begin(store, bad), state, "because")
    sync(store, sweep, uri, upload_weights=False)
    run = runs(uri, "trial")[bad]
    assert (run.info.status, run.data.tags["state"], run.data.tags["reason"]) == ("FAILED", state, "because")
    cell = runs(uri, "cell")[sweep.cells[0].cell_key]
    assert (cell.info.status, cell.data.metrics["n"]) == ("FAILED", 1)


def test_sweeps_that_share_trials_each_have_a_run_of_them(store: Store, uri: str) -> None:
    one, other = ledgers.small_sweep(), ledgers.small_sweep(name="other")
    assert one.trial_keys == other.trial_keys
    ledgers.finish(ledgers.begin(store, one.trial_keys[0]), 2.0)
    for sweep in (one, other):
        sync(store, sweep, uri, upload_weights=False)
    assert runs(uri, "trial").keys() == runs(uri, "trial", "other@smoke").keys()


def test_weights_are_uploaded_only_when_asked_for(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    ledgers.finish(ledgers.begin(store, key), 2.0)
    sync(store, sweep, uri, upload_weights=True)
    run = runs(uri, "trial")[key]
    assert "weights.safetensors" in {item.path for item in MlflowClient(uri).list_artifacts(run.info.run_id)}
    assert Path(run.data.tags["weights"]).read_bytes() == b"weights"


def test_a_cell_goes_on_as_long_as_a_launch_of_its_trials_and_is_killed_with_it(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    first, second, *_ = sweep.trial_keys
    cell_key = sweep.cells[0].cell_key
    ledgers.finish(ledgers.begin(store, first), 2.0)
    ledgers.begin(store, second).write_rows(ledgers.rows(2))
    for running, status in ((True, "RUNNING"), (False, "KILLED"), (True, "RUNNING")):
        project = projection(store, sweep, uri, running=running)
        for key in (first, second):
            project.project(key)
        assert runs(uri, "cell")[cell_key].info.status == status
    ledgers.finish(ledgers.begin(store, second), 4.0)
    projection(store, sweep, uri).project(second)
    assert runs(uri, "cell")[cell_key].info.status == "FINISHED"


def test_an_interrupted_launch_leaves_nothing_running_whatever_the_order(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    training = [True]
    project = Projection(store, sweep, uri, is_running=lambda _launch: training[0])
    for key in sweep.trial_keys[:3]:
        ledgers.begin(store, key).write_rows(ledgers.rows(1))
        project.project(key)
    training[0] = False
    for key in reversed(sweep.trial_keys):
        project.project(key)
    assert {run.info.status for kind in ("trial", "cell") for run in runs(uri, kind).values()} == {"KILLED"}


def test_epochs_that_a_later_attempt_does_again_are_shown_once(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    ledgers.begin(store, key).write_rows(ledgers.rows(5))
    projection(store, sweep, uri, running=True).project(key)
    second = ledgers.begin(store, key)
    for epochs in (3, 4, 7):
        second.write_rows([row.model_copy(update={"time": row.time + 100}) for row in ledgers.rows(epochs)])
        projection(store, sweep, uri, running=True).project(key)
    steps = [step for step, _ in history(uri, runs(uri, "trial")[key])["train/kl"]]
    assert sorted(steps) == [1, 2, 3, 4, 5, 6, 7]


def test_a_mean_of_fewer_seeds_replaces_that_of_more(store: Store, uri: str) -> None:
    for seeds in ([0, 1, 2], [0, 1]):
        sweep = ledgers.small_sweep(seeds)
        for seed, key in sweep.cells[0].trials.items():
            if not store.exists(f"trials/{key[:2]}/{key}/end.json"):
                ledgers.finish(ledgers.begin(store, key), float(seed), epochs=3 + seed)
        sync(store, sweep, uri, upload_weights=False)
    metrics = runs(uri, "cell")[sweep.cells[0].cell_key].data.metrics
    assert (metrics["n"], metrics["mean/test/top1_error"]) == (2, 0.5)


def test_texts_longer_than_mlflow_takes_say_where_the_whole_is(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    ledgers.fail(ledgers.begin(store, key), "failed", "because \0" * 2000)
    for _ in range(2):
        assert sync(store, sweep, uri, upload_weights=False) == []
    reason = runs(uri, "trial")[key].data.tags["reason"]
    assert len(reason) == 8000
    assert reason.endswith("… (shortened; whole text in end.json)")
    assert "\0" not in reason
    assert run_contents.params({"a": {"b": "x" * 7000}})["a.b"].endswith("… (shortened; whole text in recipe.json)")


def test_every_run_says_whose_store_it_is_of(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    ledgers.finish(ledgers.begin(store, sweep.trial_keys[0]), 2.0)
    sync(store, sweep, uri, upload_weights=False)
    for kind in ("trial", "cell"):
        assert {run.data.tags["store"] for run in runs(uri, kind).values()} == {str(store.root)}


def test_a_damaged_trial_is_named_the_others_arrive_and_nothing_stays_running(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    bad, good, gone, _ = sweep.trial_keys
    ledgers.begin(store, bad).write_rows(ledgers.rows(1))
    projection(store, sweep, uri, running=True).project(bad)
    ledgers.finish(ledgers.begin(store, bad), 2.0)
    (store.root / f"trials/{bad[:2]}/{bad}/end.json").write_text("{}")
    for key in (good, gone):
        ledgers.finish(ledgers.begin(store, key), 2.0)
    (store.root / f"trials/{gone[:2]}/{gone}/0001/samples.png").unlink()
    problems = sync(store, sweep, uri, upload_weights=False)
    assert [line.partition(": ")[0] for line in problems] == [
        f"trial {bad[:12]} is not in MLflow", f"trial {gone[:12]} is not in MLflow",
    ]  # fmt: skip
    assert "end.json" in problems[0]
    assert "samples.png is gone" in problems[1]
    assert {key: run.info.status for key, run in runs(uri, "trial").items()} == {
        bad: "KILLED", good: "FINISHED", gone: "KILLED",
    }  # fmt: skip
    assert {run.info.status for run in runs(uri, "cell").values()} == {"KILLED"}


def test_a_trial_whose_attempt_file_is_damaged_is_shown_all_the_same(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    ledgers.finish(ledgers.begin(store, key), 2.0)
    (store.root / f"trials/{key[:2]}/{key}/attempt-0001.json").write_text("")
    assert sync(store, sweep, uri, upload_weights=False) == []
    run = runs(uri, "trial")[key]
    assert (run.info.status, run.info.start_time, run.data.metrics["test/top1_error"]) == ("FINISHED", 1_000_000, 2.0)


def test_more_rows_than_one_call_takes_arrive_whole_and_before_the_tags_that_say_so(
    store: Store, uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, bool]] = []

    def noted(store: SqlAlchemyStore, run_id: str, metrics: list[Any], params: list[Any], tags: list[Any]) -> None:
        calls.append((len(metrics), bool(tags)))
        log_batch(store, run_id, metrics, params, tags)

    log_batch = SqlAlchemyStore.log_batch
    monkeypatch.setattr(SqlAlchemyStore, "log_batch", noted)
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    ledgers.finish(ledgers.begin(store, key), 2.0, epochs=900)
    projection(store, sweep, uri).project(key)
    of_the_trial = [each for each in calls if each[0]]
    assert [tagged for _, tagged in of_the_trial] == [False, False, True]
    assert sum(count for count, _ in of_the_trial) == 2 * 900 + 2
    assert len(history(uri, runs(uri, "trial")[key])["train/lr"]) == 900


def test_a_run_that_another_process_made_meanwhile_is_used(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    early = projection(store, sweep, uri)
    ledgers.finish(ledgers.begin(store, key), 2.0)
    sync(store, sweep, uri, upload_weights=False)
    early.project(key)
    assert len(runs(uri, "trial")) == len(runs(uri, "cell")) == 1


def test_of_two_runs_of_a_trial_the_needless_one_is_deleted(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    key = sweep.trial_keys[0]
    ledgers.finish(ledgers.begin(store, key), 2.0)
    sync(store, sweep, uri, upload_weights=False)
    client, (run,) = MlflowClient(uri), runs(uri, "trial").values()
    late = {name: run.data.tags[name] for name in ("kind", "trial_key", "cell_key", "store")}
    client.create_run(run.info.experiment_id, tags=late)
    sync(store, sweep, uri, upload_weights=False)
    assert runs(uri, "trial")[key].info.run_id == run.info.run_id


def test_a_deleted_experiment_is_told_with_the_way_back(store: Store, uri: str) -> None:
    sweep = ledgers.small_sweep()
    client = MlflowClient(uri)
    number = client.create_experiment(sweep.experiment)
    client.delete_experiment(number)
    with pytest.raises(MlflowException, match=f"was deleted; restore it with .* --experiment-id {number}"):
        projection(store, sweep, uri)
