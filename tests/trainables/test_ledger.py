"""The trial's folder: attempts and ends are created once, checkpoints are whole or passed over."""

import json

import pytest

from softaug.recipe import Recipe, canonical
from trainables.ledger import Attempt, AttemptFolder, End, Row, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store

RECIPE = Recipe.model_validate(
    {"data": {"name": "digits", "train_images": 100}, "model": {"name": "resnet8", "width": 4}, "seed": 0}
)


@pytest.fixture
def trial(store: Store) -> TrialFolder:
    return TrialFolder(store, RECIPE.key)


def attempt(number: int, launch: str = "a@b-0001") -> Attempt:
    return Attempt(number=number, launch=launch, host="h", pid=1, started=1.0, git_commit="c", git_dirty=False)


def end(state: str = "finished", number: int = 1) -> End:
    metrics = {"test/top1_error": 2.5}
    return End.model_validate(
        {"state": state, "attempt": number, "epochs": 3, "metrics": metrics, "ended": 2.0, "seconds": 1.0}
    )


def checkpoints(folder: AttemptFolder) -> list[tuple[int, bytes]]:
    return [folder.checkpoint(name) for name in folder.checkpoint_names()]


def row(epoch: int) -> Row:
    return Row(epoch=epoch, time=100.0 + epoch, seconds=float(epoch), metrics={"train/kl": 1 / epoch})


def begun(trial: TrialFolder, number: int) -> AttemptFolder:
    folder = trial.begin(attempt(number))
    assert folder is not None
    return folder


def test_the_folder_is_found_by_the_key(trial: TrialFolder) -> None:
    trial.write_recipe(RECIPE)
    content = trial.store.read(f"trials/{RECIPE.key[:2]}/{RECIPE.key}/recipe.json")
    assert Recipe.model_validate(json.loads(content)["recipe"]) == RECIPE
    assert trial.recipe() == canonical(RECIPE)


def test_an_attempt_is_started_by_one_process_only(trial: TrialFolder) -> None:
    assert trial.begin(attempt(1)) is not None
    assert trial.begin(attempt(1, "other@b-0001")) is None
    assert trial.begin(attempt(2, "other@b-0001")) is not None
    assert [each.number for each in trial.attempts()] == [1, 2]
    assert trial.owner() == "other@b-0001"


def test_a_trial_ends_once(trial: TrialFolder) -> None:
    assert trial.end() is None
    assert trial.finish(end("finished"))
    assert not trial.finish(end("failed", number=2))
    ended = trial.end()
    assert ended is not None
    assert ended.state == "finished"


def test_an_attempt_that_was_given_up_for_dead_cannot_end_the_trial(trial: TrialFolder) -> None:
    first = begun(trial, 1)
    assert not first.is_superseded()
    second = begun(trial, 2)
    assert first.is_superseded()
    assert not second.is_superseded()
    assert not trial.finish(end("finished", number=1))
    assert trial.end() is None
    assert trial.finish(end("finished", number=2))


def test_a_failed_trial_is_reopened_and_its_first_end_is_kept(trial: TrialFolder) -> None:
    begun(trial, 1)
    trial.finish(end("failed"))
    trial.reopen()
    assert trial.end() is None
    assert trial.store.exists(f"{trial.path}/0001/end.json")
    assert trial.finish(end("finished", number=2))
    TrialFolder(trial.store, "ff" * 32).reopen()


def test_a_trial_that_has_ended_well_meanwhile_is_not_reopened(trial: TrialFolder) -> None:
    begun(trial, 1)
    trial.finish(end("finished"))
    trial.reopen()
    assert trial.end() == end("finished")


def test_rows_are_those_of_the_newest_attempt(trial: TrialFolder) -> None:
    assert trial.rows() == []
    begun(trial, 1).write_rows([row(1), row(2)])
    assert trial.rows() == [row(1), row(2)]
    second = begun(trial, 2)
    assert trial.rows() == []
    second.write_rows([row(1), row(2), row(3)])
    assert [each.epoch for each in trial.rows()] == [1, 2, 3]


def test_the_last_two_checkpoints_are_kept_newest_first(trial: TrialFolder) -> None:
    folder = begun(trial, 1)
    for epoch in (1, 9, 10, 120):
        folder.write_checkpoint(epoch, f"state {epoch}".encode())
    assert checkpoints(folder) == [(120, b"state 120"), (10, b"state 10")]
    folder.delete_checkpoints()
    assert checkpoints(folder) == []


@pytest.mark.parametrize("damage", [b"", b"state", b"state 12x", b"state 120 and more"])
def test_a_damaged_checkpoint_is_not_believed(trial: TrialFolder, damage: bytes) -> None:
    folder = begun(trial, 1)
    folder.write_checkpoint(10, b"state 10")
    folder.write_checkpoint(120, b"state 120")
    newest, older = folder.checkpoint_names()
    trial.store.write(f"{folder.path}/{newest}", damage)
    with pytest.raises(Damaged, match=f"^{folder.path}/{newest} does not fit the digest in its name"):
        folder.checkpoint(newest)
    assert folder.checkpoint(older) == (10, b"state 10")


def test_ends_and_rows_survive_the_round_trip_to_the_last_bit(trial: TrialFolder) -> None:
    first = Row(epoch=1, time=1.0, seconds=0.1, metrics={"x": 0.1 + 0.2, "y": 1e-300})
    begun(trial, 1).write_rows([first])
    assert trial.rows() == [first]
    trial.finish(end())
    assert trial.end() == end()
