"""An attempt writes what fit yields; interrupted and resumed it ends with the same bits as undisturbed."""

import multiprocessing
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from softaug import arrays, data
from softaug.fit import fit
from softaug.recipe import Recipe
from trainables import attempt as attempts
from trainables.attempt import Place, RunningAttempt
from trainables.ledger import Attempt, AttemptFolder, End, TrialFolder
from trainables.store import Store, open_store

PLACE = Place(torch.device("cpu"), threads=1, data_fingerprint="f00d")
RECIPE = Recipe.model_validate(
    {
        "data": {"name": "digits", "train_images": 100},
        "model": {"name": "resnet8", "width": 4},
        "crop": {"kind": "gaussian", "sigma": 0.2},
        "softening": {"apply_to": "both"},
        "optim": {"epochs": 4, "batch_size": 40},
        "seed": 3,
    }
)


@pytest.fixture(scope="module")
def splits() -> data.Splits:
    torch.set_num_threads(1)
    return data.split(arrays.load("digits", None), RECIPE.data)


def begin(store: Store, recipe: Recipe = RECIPE) -> AttemptFolder:
    trial = TrialFolder(store, recipe.key)
    trial.write_recipe(recipe)
    number = len(trial.attempts()) + 1
    folder = trial.begin(
        Attempt(number=number, launch="a@b-0001", host="h", pid=1, started=0.0, git_commit="c", git_dirty=False)
    )
    assert folder is not None
    return folder


def running(store: Store, splits: data.Splits, stop: Callable[[], bool] = lambda: False, **more: Any) -> RunningAttempt:
    every = more.pop("checkpoint_every_s", 60.0)
    return RunningAttempt(
        begin(store), RECIPE, lambda: splits, place=PLACE, stop=stop, checkpoint_every_s=every, **more
    )


def ended(store: Store) -> End:
    end = TrialFolder(store, RECIPE.key).end()
    assert end is not None
    return end


def test_a_finished_trial_leaves_rows_results_and_an_end(place: str, splits: data.Splits) -> None:
    store = open_store(place)
    attempt = running(store, splits)
    assert attempt.advance(60) == "finished"
    trial = TrialFolder(store, RECIPE.key)
    assert [row.epoch for row in trial.rows()] == [1, 2, 3, 4]
    assert store.names(f"{trial.path}/0001") == [
        "epochs.jsonl",
        "reliability.json",
        "samples.png",
        "weights.safetensors",
    ]
    end = ended(store)
    assert (end.state, end.epochs, end.attempt, end.device, end.data_fingerprint) == ("finished", 4, 1, "cpu", "f00d")
    assert set(end.metrics) == {"test/top1_error", "test/ece", "test/nll", "test/brier"}
    assert end.weights_bytes == len(store.read(f"{trial.path}/0001/weights.safetensors"))
    assert torch.__version__.startswith(end.versions["torch"])


def test_a_step_of_no_time_is_one_epoch(tmp_path: Path, splits: data.Splits) -> None:
    attempt = running(open_store(tmp_path), splits)
    assert [attempt.advance(0) for _ in range(4)] == ["running", "running", "running", "finished"]


def test_a_step_ends_at_every_rung_with_all_rows_in_the_ledger(tmp_path: Path, splits: data.Splits) -> None:
    attempt = running(open_store(tmp_path), splits)
    stops = []
    while attempt.advance(60, rungs=[1, 3, 4]) == "running":
        stops.append((attempt.epoch, [row.epoch for row in attempt.folder.trial.rows()]))
    assert stops == [(1, [1]), (3, [1, 2, 3])], "the end is no rung"


@pytest.mark.parametrize("stop_after", [1, 2, 3])
def test_interrupted_and_resumed_equals_undisturbed(tmp_path: Path, splits: data.Splits, stop_after: int) -> None:
    undisturbed, disturbed = open_store(tmp_path / "a"), open_store(tmp_path / "b")
    assert running(undisturbed, splits).advance(60) == "finished"
    stopping = False
    first = running(disturbed, splits, stop=lambda: stopping)
    for _ in range(stop_after):
        first.advance(0)
    stopping = True
    assert first.advance(60) == "interrupted"
    second = running(disturbed, splits)
    assert second.epoch == stop_after
    assert second.advance(60) == "finished"
    assert ended(disturbed).metrics == ended(undisturbed).metrics
    path = f"trials/{RECIPE.key[:2]}/{RECIPE.key}"
    rows = [TrialFolder(store, RECIPE.key).rows() for store in (undisturbed, disturbed)]
    assert [row.metrics for row in rows[0]] == [row.metrics for row in rows[1]]
    assert undisturbed.read(f"{path}/0001/samples.png") == disturbed.read(f"{path}/0002/samples.png")
    weights = [
        store.read(f"{path}/{n}/weights.safetensors") for store, n in ((undisturbed, "0001"), (disturbed, "0002"))
    ]
    assert weights[0] == weights[1]


def test_a_killed_attempt_goes_on_from_its_newest_intact_checkpoint(place: str, splits: data.Splits) -> None:
    store = open_store(place)
    first = running(store, splits, checkpoint_every_s=0.0)
    for _ in range(3):
        first.advance(0)
    newest = store.names(first.folder.path)[1]
    assert newest.startswith("checkpoint-000003")
    store.write(f"{first.folder.path}/{newest}", b"damaged")
    second = running(store, splits)
    assert second.epoch == 2
    assert second.advance(60) == "finished"
    assert [row.epoch for row in TrialFolder(store, RECIPE.key).rows()] == [1, 2, 3, 4]


def test_an_attempt_that_dies_before_its_first_epoch_loses_no_row_of_the_one_before(
    place: str, splits: data.Splits
) -> None:
    store = open_store(place)
    first = running(store, splits, checkpoint_every_s=0.0)
    first.advance(0)
    before = TrialFolder(store, RECIPE.key).rows()
    running(store, splits)
    assert len(before) == 1
    assert TrialFolder(store, RECIPE.key).rows() == before


def test_a_checkpoint_of_another_trial_is_not_taken(place: str, splits: data.Splits) -> None:
    store = open_store(place)
    first = running(store, splits)
    first.advance(0)
    assert first.boundary is not None
    first.folder.write_checkpoint(1, attempts.to_bytes(first.boundary.state(), {"trial": "another", "epoch": "1"}))
    assert running(store, splits).epoch == 0


def test_a_checkpoint_is_written_by_time(tmp_path: Path, splits: data.Splits) -> None:
    store = open_store(tmp_path)
    attempt = running(store, splits, checkpoint_every_s=3600.0)
    attempt.advance(0)
    assert attempt.folder.checkpoint_names() == []
    attempt.checkpoint_every_s = 0.0
    attempt.advance(0)
    (name,) = attempt.folder.checkpoint_names()
    assert attempt.folder.checkpoint(name)[0] == 2


def test_a_trial_that_diverges_ends_so(tmp_path: Path, splits: data.Splits) -> None:
    wild = {"epochs": 30, "batch_size": 50, "lr": 10.0, "weight_decay": 1.0}
    recipe = Recipe.model_validate(RECIPE.model_dump(mode="json") | {"optim": wild})
    folder = begin(open_store(tmp_path), recipe)
    attempt = RunningAttempt(folder, recipe, lambda: splits, place=PLACE, stop=lambda: False, checkpoint_every_s=60.0)
    assert attempt.advance(60) == "diverged"
    end = folder.trial.end()
    assert end is not None
    assert re.fullmatch(r"epoch \d+: the training loss is (nan|inf); lower optim.lr", str(end.reason)), end.reason
    assert end.metrics == {}


def test_a_bug_or_bad_data_ends_the_trial_with_its_traceback(tmp_path: Path) -> None:
    def broken() -> data.Splits:
        raise KeyError("no such label")

    store = open_store(tmp_path)
    attempt = RunningAttempt(begin(store), RECIPE, broken, place=PLACE, stop=lambda: False, checkpoint_every_s=60.0)
    assert attempt.advance(60) == "failed"
    end = ended(store)
    assert end.reason == "KeyError: 'no such label'"
    assert "in broken" in (end.traceback or "")


def test_a_store_that_is_full_is_the_launch_s_business(
    place: str, splits: data.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = open_store(place)
    attempt = running(store, splits)

    def full(*_arguments: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(store), "write", full)
    with pytest.raises(OSError, match="No space left"):
        attempt.advance(60)
    assert TrialFolder(store, RECIPE.key).end() is None


def test_checkpoints_that_take_long_are_written_less_often(tmp_path: Path, splits: data.Splits) -> None:
    attempt = running(open_store(tmp_path), splits, checkpoint_every_s=60.0)
    attempt.checkpoint_cost_s = 0.5
    assert attempt.checkpoint_due_s == 60.0
    attempt.checkpoint_cost_s = 6.0
    assert attempt.checkpoint_due_s == pytest.approx(300.0), "at most a fiftieth of the time"
    attempt.checkpoint_every_s = 0.0
    assert attempt.checkpoint_due_s == 0.0, "every epoch means every epoch"


def test_a_metric_that_is_not_finite_ends_the_trial_as_diverged_and_a_strange_one_as_failed(
    tmp_path: Path, splits: data.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, (value, state, reason) in enumerate(
        [
            (float("inf"), "diverged", "epoch 2: train/extra is inf; lower optim.lr"),
            ("0.5", "failed", "BadMetric: epoch 2 reported train/extra as str; a metric is a number"),
        ]
    ):

        def strange(*arguments: Any, extra: Any = value, **named: Any) -> Any:
            for epoch in fit(*arguments, **named):
                if epoch.number == 2:
                    epoch.metrics["train/extra"] = extra
                yield epoch

        monkeypatch.setattr(attempts, "fit", strange)
        store = open_store(tmp_path / str(number))
        assert running(store, splits).advance(60) == state
        assert (ended(store).epochs, ended(store).reason) == (1, reason)


def test_a_missing_final_metric_fails_the_trial(
    tmp_path: Path, splits: data.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(*arguments: Any, **named: Any) -> Any:
        for epoch in fit(*arguments, **named):
            if epoch.final is not None:
                del epoch.final.metrics["test/ece"]
            yield epoch

    monkeypatch.setattr(attempts, "fit", lacking)
    store = open_store(tmp_path)
    assert running(store, splits).advance(60) == "failed"
    assert "reported no test/ece; reported: test/top1_error" in (ended(store).reason or "")


@pytest.mark.parametrize(
    ("error", "begins"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), "out of GPU memory; lower optim.batch_size"),
        (MemoryError(), "out of memory; lower optim.batch_size or --max-concurrent (MemoryError"),
        (OSError(5, "Input/output error"), "OSError: [Errno 5] Input/output error"),
        (SystemExit(3), "SystemExit: 3"),
        (ValueError("x" * 10_000), "ValueError: xxx"),
    ],
)
def test_what_training_raises_ends_the_trial_with_a_line(
    error: BaseException, begins: str, tmp_path: Path, splits: data.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_arguments: Any, **_named: Any) -> Any:
        raise error
        yield

    monkeypatch.setattr(attempts, "fit", broken)
    store = open_store(tmp_path)
    assert running(store, splits).advance(60) == "failed"
    reason = ended(store).reason or ""
    assert reason.startswith(begins)
    assert len(reason) <= 501
    assert "\n" not in reason


def test_a_failed_trial_keeps_its_checkpoint_and_is_tried_again_from_there(
    place: str, splits: data.Splits, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*arguments: Any, **named: Any) -> Any:
        for epoch in fit(*arguments, **named):
            if epoch.number == 3:
                raise ValueError("a bug")
            yield epoch

    store = open_store(place)
    monkeypatch.setattr(attempts, "fit", broken)
    assert running(store, splits, checkpoint_every_s=0.0).advance(60) == "failed"
    monkeypatch.undo()
    TrialFolder(store, RECIPE.key).reopen()
    again = running(store, splits)
    assert again.epoch == 2
    assert again.advance(60) == "finished"
    trial = TrialFolder(store, RECIPE.key)
    left = [AttemptFolder(trial, number).checkpoint_names() for number in trial.numbers()]
    assert left == [[], []], "once it has ended well, no attempt's checkpoints are left"


@pytest.mark.slow
def test_with_several_devices_a_trial_has_a_process_for_each_and_the_same_results(
    tmp_path: Path, splits: data.Splits
) -> None:
    """As for a trial with several GPUs, on CPUs; from a checkpoint on, too."""
    alone, together = open_store(tmp_path / "alone"), open_store(tmp_path / "together")
    assert running(alone, splits).advance(600) == "finished"
    cpu = torch.device("cpu")
    place = Place(cpu, threads=2, data_fingerprint="f00d", devices=(cpu, cpu))
    polls: list[int] = []

    def attempt(stop: Callable[[], bool]) -> RunningAttempt:
        return RunningAttempt(begin(together), RECIPE, lambda: splits, place=place, stop=stop, checkpoint_every_s=0.0)

    first = attempt(lambda: bool(polls.append(1)) or first.epoch >= 2)
    assert first.advance(600) == "interrupted"
    assert polls
    second = attempt(lambda: False)
    assert second.advance(600) == "finished"
    assert multiprocessing.active_children() == []
    expected, found = ended(alone).metrics, ended(together).metrics
    assert found == pytest.approx(expected, rel=0.02, abs=0.3)
