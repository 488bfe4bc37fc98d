"""Damaged files are named and not believed, whatever happened to them; the others go on, nothing is overwritten."""

import itertools
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from softaug import arrays, data
from softaug.recipe import Recipe
from sweeps import launched
from sweeps.launch.preflight import Refused
from tests.sweeps import ledgers
from trainables import launches
from trainables.attempt import Place, RunningAttempt
from trainables.ledger import Attempt, AttemptFolder, End, Row, TrialFolder
from trainables.sealed import Damaged
from trainables.store import Store, open_store

PLACE = Place(torch.device("cpu"), threads=1, data_fingerprint="f00d")
FIELDS = {
    "data": {"name": "digits", "train_images": 100},
    "model": {"name": "resnet8", "width": 4},
    "optim": {"epochs": 3, "batch_size": 50},
}
ONE, OTHER = (Recipe.model_validate({**FIELDS, "seed": seed}) for seed in (0, 1))
Damage = Callable[[bytes, bytes], bytes]


def flipped(at: float, bit: int) -> Damage:
    def flip(content: bytes, _other: bytes) -> bytes:
        position = min(int(at * len(content)), len(content) - 1)
        return content[:position] + bytes([content[position] ^ (1 << bit)]) + content[position + 1 :]

    return flip


DAMAGES: dict[str, Damage] = {
    "emptied": lambda _content, _other: b"",
    "cut after one byte": lambda content, _other: content[:1],
    "cut in the middle": lambda content, _other: content[: len(content) // 2],
    "cut before the last brace": lambda content, _other: content.rstrip()[:-1],
    "another trial's": lambda _content, other: other,
    "zeros": lambda content, _other: bytes(len(content)),
    **{
        f"bit {bit} flipped at {at:.2f}": flipped(at, bit)
        for at, bit in itertools.product((0.0, 0.3, 0.6, 0.97), (0, 5))
    },
}


def attempt(store: Store, recipe: Recipe, splits: data.Splits) -> RunningAttempt:
    trial = TrialFolder(store, recipe.key)
    trial.write_recipe(recipe)
    numbers = trial.numbers()
    folder = trial.begin(
        Attempt(
            number=numbers[-1] + 1 if numbers else 1,
            launch="a@b-0001",
            host="h",
            pid=1,
            started=1.0,
            git_commit="c",
            git_dirty=False,
        )
    )
    assert folder is not None
    return RunningAttempt(folder, recipe, lambda: splits, place=PLACE, stop=lambda: False, checkpoint_every_s=0.0)


@pytest.fixture(scope="module")
def splits() -> data.Splits:
    torch.set_num_threads(1)
    return data.split(arrays.load("digits", None), ONE.data)


@pytest.fixture(scope="module")
def cut_off(splits: data.Splits, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a store with two trials cut off after two of three epochs, a checkpoint of each epoch kept."""
    root = tmp_path_factory.mktemp("cut-off")
    for recipe in (ONE, OTHER):
        running = attempt(open_store(root), recipe, splits)
        assert [running.advance(0), running.advance(0)] == ["running", "running"]
    return root


@pytest.fixture(scope="module")
def undisturbed(splits: data.Splits, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Row], End]:
    """Return a store whose two trials have ended, and one of them as it is when nothing happens to it."""
    root = tmp_path_factory.mktemp("undisturbed")
    for recipe in (ONE, OTHER):
        assert attempt(open_store(root), recipe, splits).advance(60) == "finished"
    trial = TrialFolder(open_store(root), ONE.key)
    end = trial.end()
    assert end is not None
    return root, trial.rows(), end


def files(root: Path) -> dict[str, bytes]:
    return {str(path.relative_to(root)): path.read_bytes() for path in sorted(root.rglob("*")) if path.is_file()}


def damaged_copy(root: Path, to: Path, name: str, damage: Damage) -> Store:
    """Copy a store and damage the file of that name of the first trial; another one's lies beside it."""
    shutil.copytree(root, to, dirs_exist_ok=True)
    mine, other = (next((to / TrialFolder(open_store(to), each.key).path).glob(name)) for each in (ONE, OTHER))
    mine.write_bytes(damage(mine.read_bytes(), other.read_bytes()))
    return open_store(to)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize(
    ("name", "epoch"),
    [
        ("0001/checkpoint-000002-*", 1),
        ("0001/checkpoint-000001-*", 2),
        ("0001/epochs.jsonl", None),
        ("attempt-0001.json", 2),
    ],
)
def test_a_trial_cut_off_goes_on_from_what_is_intact_and_ends_with_the_same_bits(
    name: str,
    epoch: int | None,
    damage: Damage,
    cut_off: Path,
    undisturbed: tuple[Path, list[Row], End],
    splits: data.Splits,
    tmp_path: Path,
) -> None:
    store = damaged_copy(cut_off, tmp_path, name, damage)
    before = files(tmp_path)
    second = attempt(store, ONE, splits)
    assert second.epoch == epoch if epoch is not None else second.epoch in (0, 1, 2)
    told = second.note != ""
    assert told == (second.epoch < 2)
    if told:
        assert f"goes on from epoch {second.epoch}" in second.note or "begins anew" in second.note
        assert name.split("*")[0] in second.note
    assert second.advance(60) == "finished"
    end = TrialFolder(store, ONE.key).end()
    assert end is not None
    assert end.metrics == undisturbed[2].metrics
    assert [row.metrics for row in TrialFolder(store, ONE.key).rows()] == [row.metrics for row in undisturbed[1]]
    after = files(tmp_path)
    assert all(after[path] == before[path] for path in before if path in after), "nothing is overwritten"
    assert all("checkpoint-" in path for path in before.keys() - after.keys()), (
        "only checkpoints are deleted, at the end"
    )


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
@pytest.mark.parametrize("name", ["end.json", "recipe.json"])
def test_a_damaged_end_or_recipe_is_named_or_unchanged_in_meaning(
    name: str, damage: Damage, undisturbed: tuple[Path, list[Row], End], tmp_path: Path
) -> None:
    root, _, end = undisturbed
    store = damaged_copy(root, tmp_path, name, damage)
    trial, other = (TrialFolder(store, recipe.key) for recipe in (ONE, OTHER))
    before = files(tmp_path)
    with pytest.raises(Damaged, match=f"^{trial.path}/{name} "):
        trial.check()
    assert files(tmp_path) == before
    other.check()
    assert TrialFolder(open_store(root), ONE.key).end() == end


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_damaged_rows_of_a_finished_trial_are_read_up_to_the_damage(
    damage: Damage, undisturbed: tuple[Path, list[Row], End], tmp_path: Path
) -> None:
    root, rows, end = undisturbed
    trial = TrialFolder(damaged_copy(root, tmp_path, "0001/epochs.jsonl", damage), ONE.key)
    read = trial.rows()
    assert read == rows[: len(read)]
    assert len(read) < len(rows)
    assert trial.end() == end


@pytest.mark.parametrize("name", ["0001/checkpoint-000002-*", "0001/epochs.jsonl", "attempt-0001.json", "recipe.json"])
def test_a_deleted_file_of_a_trial_cut_off_costs_epochs_only(
    name: str, cut_off: Path, undisturbed: tuple[Path, list[Row], End], splits: data.Splits, tmp_path: Path
) -> None:
    shutil.copytree(cut_off, tmp_path, dirs_exist_ok=True)
    store = open_store(tmp_path)
    next((tmp_path / TrialFolder(store, ONE.key).path).glob(name)).unlink()
    second = attempt(store, ONE, splits)
    assert second.folder.number == 2, "the number of a lost attempt stays taken"
    assert second.advance(60) == "finished"
    end = TrialFolder(store, ONE.key).end()
    assert end is not None
    assert end.metrics == undisturbed[2].metrics


def test_a_deleted_end_lets_the_trial_run_again(
    undisturbed: tuple[Path, list[Row], End], splits: data.Splits, tmp_path: Path
) -> None:
    root, _, end = undisturbed
    shutil.copytree(root, tmp_path, dirs_exist_ok=True)
    store = open_store(tmp_path)
    store.delete(f"{TrialFolder(store, ONE.key).path}/end.json")
    assert attempt(store, ONE, splits).advance(60) == "finished"
    again = TrialFolder(store, ONE.key).end()
    assert again is not None
    assert again.metrics == end.metrics


@pytest.fixture
def two_sweeps(tmp_path: Path) -> Store:
    """Return a store with two sweeps and a launch of each."""
    store = open_store(tmp_path)
    for name in ("small", "other"):
        launched.save(store, ledgers.small_sweep(name=name))
        launches.beat(store, launches.acquire(store, f"{name}@smoke"), ended=True)
    return store


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_sweep_is_named_the_others_are_read_and_a_launch_sets_it_aside(
    damage: Damage, two_sweeps: Store
) -> None:
    path, other = "sweeps/small@smoke.json", "sweeps/other@smoke.json"
    wrong = damage(two_sweeps.read(path), two_sweeps.read(other))
    two_sweeps.write(path, wrong)
    assert [sweep.name for sweep in launched.saved(two_sweeps)] == ["other"]
    (problem,) = launched.damaged(two_sweeps)
    assert problem.path == path
    launched.save(two_sweeps, ledgers.small_sweep())
    assert {sweep.name for sweep in launched.saved(two_sweeps)} == {"small", "other"}
    assert two_sweeps.read(f"damaged/{path}.1") == wrong


def test_a_store_whose_only_sweep_is_damaged_says_so(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    store.write("sweeps/small@smoke.json", b"{")
    with pytest.raises(Refused, match=r"sweeps/small@smoke.json is cut off.*launch that sweep again"):
        launched.all_launched(store)


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_launch_is_dead_and_its_number_stays_taken(damage: Damage, two_sweeps: Store) -> None:
    path, other = "launches/small@smoke-0001.json", "launches/other@smoke-0001.json"
    wrong = damage(two_sweeps.read(path), two_sweeps.read(other))
    two_sweeps.write(path, wrong)
    assert not launches.is_alive(two_sweeps, "small@smoke-0001")
    assert launches.alive(two_sweeps) == {}
    assert launches.acquire(two_sweeps, "small@smoke").id == "small@smoke-0002"
    assert two_sweeps.read(path) == wrong


def test_setting_aside_keeps_every_damaged_file(tmp_path: Path) -> None:
    store = open_store(tmp_path)
    for content in (b"first", b"second"):
        store.write("a/b.json", content)
        store.set_aside("a/b.json")
    assert not store.exists("a/b.json")
    assert [store.read(f"damaged/a/b.json.{number}") for number in (1, 2)] == [b"first", b"second"]
    assert AttemptFolder(TrialFolder(store, "ff" * 32), 1).rows() == []
