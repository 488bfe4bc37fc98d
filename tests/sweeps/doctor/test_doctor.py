"""The doctor finds every kind of damage in a store, says what it means, repairs it, and changes nothing else."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sweeps import launched
from sweeps.doctor import doctor
from sweeps.doctor.doctor import examine
from sweeps.doctor.findings import Checkup, Finding
from sweeps.launch.preflight import Refused
from sweeps.survey import survey
from tests.conftest import Softaug
from tests.sweeps import ledgers
from trainables import launches
from trainables.ledger import AttemptFolder, Death, TrialFolder
from trainables.store import Store, open_store

SWEEP = ledgers.small_sweep()
FINISHED, RETRIED, CUT_OFF, FAILED = SWEEP.trial_keys
Files = dict[str, bytes]


def folder(key: str) -> str:
    return f"trials/{key[:2]}/{key}"


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Return a store in good health: a finished trial, one at the second try, one interrupted, one failed."""
    store = open_store(tmp_path / "store")
    launched.save(store, SWEEP)
    ledgers.record_launch(store, ended=True)
    ledgers.finish(ledgers.begin(store, FINISHED), 2.0)
    ledgers.fail(ledgers.begin(store, RETRIED), "failed", "once")
    TrialFolder(store, RETRIED).reopen()
    ledgers.finish(ledgers.begin(store, RETRIED), 3.0)
    attempt = ledgers.begin(store, CUT_OFF)
    attempt.write_rows(ledgers.rows(3))
    attempt.write_checkpoint(2, b"two")
    attempt.write_checkpoint(3, b"three")
    attempt.record_death(Death(cause="crashed", reason="for a test", time=1.0))
    ledgers.fail(ledgers.begin(store, FAILED), "failed", "because")
    return store


def files(store: Store) -> Files:
    """Return every file of the store with its content."""
    return {str(path.relative_to(store.root)): path.read_bytes() for path in store.root.rglob("*") if path.is_file()}


def look(store: Store) -> tuple[Finding, ...]:
    """Return the findings; looking changes nothing."""
    before = files(store)
    found = examine(store, None, fix=False).findings
    assert files(store) == before
    return found


def repaired(store: Store) -> Checkup:
    """Repair and return what that says; the second look finds nothing."""
    checkup = examine(store, None, fix=True)
    assert checkup.findings == ()
    assert look(store) == ()
    return checkup


def newest_checkpoint(store: Store) -> str:
    attempt = AttemptFolder(TrialFolder(store, CUT_OFF), 1)
    return f"{attempt.path}/{attempt.checkpoint_names()[0]}"


def flip(store: Store, path: str) -> bytes:
    """Change one bit in the middle of a file; return what it holds now."""
    content = bytearray(store.read(path))
    content[len(content) // 2] ^= 1
    (store.root / path).write_bytes(content)
    return bytes(content)


def test_a_store_in_good_health(store: Store, softaug: Softaug) -> None:
    assert look(store) == ()
    before = files(store)
    assert repaired(store).repaired == ()
    assert files(store) == before
    ran = softaug("doctor", "--offline", "--store", store.root)
    assert ran.returncode == 0
    assert ran.stdout.splitlines() == [
        "1 trial interrupted: the next launch goes on from the last checkpoint",
        "",
        "nothing wrong with 4 trials of 1 sweep; MLflow was not looked at",
    ]


SET_ASIDE: list[tuple[str, Callable[[Store], str], str]] = [
    (
        "end",
        lambda _: f"{folder(FINISHED)}/end.json",
        "runs again with the next launch of its sweep, from its beginning",
    ),
    ("attempt", lambda _: f"{folder(CUT_OFF)}/attempt-0001.json", "its number stays taken"),
    ("earlier end", lambda _: f"{folder(RETRIED)}/0001/end.json", "How that attempt failed is lost, and nothing else"),
    ("death", lambda _: f"{folder(CUT_OFF)}/0001/death.json", "Why that process died is lost, and nothing else"),
    ("checkpoint", newest_checkpoint, "The trial goes on from the one before"),
    ("sweep", lambda _: "sweeps/small@smoke.json", "its trials and their results stand"),
]


@pytest.mark.parametrize(("path_of", "means"), [each[1:] for each in SET_ASIDE], ids=[each[0] for each in SET_ASIDE])
def test_a_damaged_file_is_explained_and_set_aside(store: Store, path_of: Callable[[Store], str], means: str) -> None:
    path = path_of(store)
    damaged = flip(store, path)
    before = files(store)
    (finding,) = look(store)
    assert (finding.kind, finding.where) == ("unreadable", path)
    assert "does not fit" in finding.what
    assert means in finding.what
    assert finding.fix.startswith("sets it aside")
    (done,) = repaired(store).repaired
    assert done.done == f"now damaged/{path}.1"
    del before[path]
    assert files(store) == {**before, f"damaged/{path}.1": damaged}, "nothing else was changed"


def test_empty_and_cut_off_files_are_told_as_such(store: Store) -> None:
    (store.root / folder(FINISHED) / "end.json").write_bytes(b"")
    whole = store.read(f"{folder(FAILED)}/end.json")
    (store.root / folder(FAILED) / "end.json").write_bytes(whole[:20])
    assert sorted(finding.what.partition(",")[0].partition(". ")[0] for finding in look(store)) == [
        "The file is cut off", "The file is empty",
    ]  # fmt: skip


def test_a_trial_whose_end_is_set_aside_goes_on_from_its_checkpoint(store: Store) -> None:
    attempt = AttemptFolder(TrialFolder(store, FAILED), 1)
    attempt.write_checkpoint(2, b"two")
    flip(store, f"{folder(FAILED)}/end.json")
    (finding,) = look(store)
    assert "from its newest checkpoint" in finding.what
    assert survey(store, SWEEP).trials[FAILED].state == "damaged"
    repaired(store)
    assert survey(store, SWEEP).trials[FAILED].state == "pending"
    assert attempt.checkpoint(attempt.checkpoint_names()[0]) == (2, b"two")


@pytest.mark.parametrize("damage", ["flip", "gone"])
def test_a_recipe_is_written_anew_from_its_sweep(store: Store, damage: str) -> None:
    path = f"{folder(FINISHED)}/recipe.json"
    before = files(store)
    if damage == "gone":
        store.delete(path)
    else:
        store.write(path, store.read(path).replace(b'"seed": 0', b'"seed": 7'))
    (finding,) = look(store)
    assert (finding.kind, finding.where) == ("incomplete" if damage == "gone" else "unreadable", path)
    repaired(store)
    assert {name: content for name, content in files(store).items() if not name.startswith("damaged")} == before


def test_a_recipe_no_sweep_knows_is_only_set_aside(store: Store) -> None:
    path = f"{folder(FINISHED)}/recipe.json"
    store.delete("sweeps/small@smoke.json")
    store.write(path, b"{}")
    repaired(store)
    assert not store.exists(path)


def test_the_intact_beginning_of_a_curve_stays(store: Store) -> None:
    attempt = AttemptFolder(TrialFolder(store, CUT_OFF), 1)
    lines = store.read(attempt.rows_path).splitlines(keepends=True)
    damaged = b"".join([*lines[:2], lines[2].replace(b'"epoch":3', b'"epoch":4')])
    store.write(attempt.rows_path, damaged)
    (finding,) = look(store)
    assert "only the epochs up to 2 can be believed" in finding.what
    repaired(store)
    assert store.read(attempt.rows_path) == b"".join(lines[:2])
    assert store.read(f"damaged/{attempt.rows_path}.1") == damaged


def test_a_damaged_launch_keeps_its_number(store: Store) -> None:
    path = f"launches/{ledgers.LAUNCH}.json"
    damaged = flip(store, path)
    (finding,) = look(store)
    assert finding.repair is None, "a launch that runs writes its file anew"
    assert "look again in 30 s" in finding.fix
    assert examine(store, None, fix=True).findings == (finding,)
    ledgers.make_old(store.root / path)
    (finding,) = look(store)
    assert "That launch counts as dead" in finding.what
    repaired(store)
    assert store.read(f"damaged/{path}.1") == damaged
    assert launches.acquire(store, SWEEP.experiment).id == "small@smoke-0002"


def test_dead_launches_are_marked_as_ended_with_their_last_sign_of_life(store: Store) -> None:
    dead = [ledgers.record_launch(store, f"small@smoke-000{n}", pid=ledgers.dead_process()) for n in (2, 3)]
    found = look(store)
    assert [(each.kind, each.where) for each in found] == [
        ("dead launch", f"launches/{launch.id}.json") for launch in dead
    ]
    assert "somebody on h, process" in found[0].what
    before = files(store)
    repaired(store)
    assert [launches.read(store, launch.id) for launch in dead] == [
        launch.model_copy(update={"ended": True}) for launch in dead
    ]
    assert {name for name, content in files(store).items() if before[name] != content} == {each.where for each in found}


def test_files_of_another_version_are_left_alone(store: Store) -> None:
    path = f"{folder(FINISHED)}/end.json"

    class Later(ledgers.End):
        novelty: int = 1

    end = TrialFolder(store, FINISHED).end()
    assert end is not None
    store.write(path, Later(**end.model_dump()).sealed(path))
    before = files(store)
    checkup = examine(store, None, fix=True)
    assert files(store) == before
    (finding,) = checkup.findings
    assert "of another version of softaug" in finding.what
    assert "--fix leaves the file alone" in finding.fix


@pytest.mark.parametrize("name", ["weights.safetensors", "reliability.json", "samples.png"])
def test_lost_results_are_explained_and_the_decision_is_left_to_a_person(store: Store, name: str) -> None:
    store.delete(f"{folder(FINISHED)}/0001/{name}")
    before = files(store)
    checkup = examine(store, None, fix=True)
    assert files(store) == before
    (finding,) = checkup.findings
    assert (finding.kind, finding.where) == ("incomplete", f"{folder(FINISHED)}/0001/{name}")
    assert "Its numbers stand" in finding.what
    assert "delete the trial's end.json" in finding.fix


def test_weights_of_another_size_are_told(store: Store) -> None:
    store.write(f"{folder(FINISHED)}/0001/weights.safetensors", b"w")
    (finding,) = look(store)
    assert "has another size than the trial's end says" in finding.what


def leave(store: Store, path: str, *, age_s: float = 7200.0) -> None:
    file = store.root / path
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_bytes(b"half")
    ledgers.make_old(file, age_s)


def test_leftovers_are_deleted_and_nothing_that_might_be_in_use(store: Store) -> None:
    before = files(store)
    digest = "0" * 32
    leave(store, f"{folder(CUT_OFF)}/0001/.epochs.jsonl.{digest}", age_s=60)
    leave(store, f"{folder(CUT_OFF)}/0001/checkpoint.new", age_s=60)
    leave(store, f"launches/.small@smoke-0002.json.{digest}")
    leave(store, f".mlflow.db.{digest}")
    leave(store, f".mlflow.db.{digest}-journal")
    leave(store, f"probe-host-{digest}")
    leave(store, "tune-x/experiment_state-1.json")
    (store.root / "tune-empty").mkdir()
    AttemptFolder(TrialFolder(store, FINISHED), 1).write_checkpoint(1, b"one")
    for name in ("tune-x", "tune-empty"):
        ledgers.make_old(store.root / name)
    assert {finding.kind for finding in look(store)} == {"leftover"}
    assert len(look(store)) == 9
    repaired(store)
    assert files(store) == before
    assert not list(store.root.glob("tune-*"))
    leave(store, f"launches/.small@smoke-0002.json.{digest}", age_s=60)
    leave(store, f"{folder(CUT_OFF)}/.recipe.json.{digest}", age_s=1)
    leave(store, f"{folder(CUT_OFF)}/.vimrc")
    leave(store, "tune-notes/mine.txt")
    ledgers.make_old(store.root / "tune-notes")
    after = files(store)
    assert repaired(store).repaired == ()
    assert files(store) == after


def test_what_a_running_launch_may_write_to_is_left_alone(store: Store) -> None:
    launch = ledgers.record_launch(store, "small@smoke-0002", pid=os.getpid())
    for path in (f"{folder(FINISHED)}/end.json", newest_checkpoint(store), f"{folder(CUT_OFF)}/attempt-0001.json"):
        flip(store, path)
    before = files(store)
    checkup = examine(store, None, fix=True)
    assert files(store) == before
    assert checkup.findings == ()
    assert checkup.notes[0].startswith(f"running: {launch.id}, somebody on h, process {os.getpid()}, since ")
    assert checkup.notes[1] == "4 trials of running launches not looked at"
    flip(store, "sweeps/small@smoke.json")
    assert [each.where for each in look(store)] == ["sweeps/small@smoke.json"], "whose trials they are is unknown"


def test_a_launch_that_begins_meanwhile_stops_the_repair(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    flip(store, f"{folder(FINISHED)}/end.json")
    look_at_store = doctor._look_at_store

    def begin_meanwhile(*arguments: Any) -> Checkup:
        ledgers.record_launch(store, "small@smoke-0002", pid=os.getpid())
        return look_at_store(*arguments)

    monkeypatch.setattr(doctor, "_look_at_store", begin_meanwhile)
    with pytest.raises(Refused, match="a launch has just begun or ended"):
        examine(store, None, fix=True)
    assert not (store.root / "damaged").exists()


def test_trials_of_no_sweep_are_looked_at_too(store: Store) -> None:
    store.delete("sweeps/small@smoke.json")
    flip(store, f"{folder(FINISHED)}/end.json")
    assert [finding.where for finding in look(store)] == [f"{folder(FINISHED)}/end.json"]


def test_a_store_that_holds_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Refused, match="no sweep was launched into the store"):
        examine(open_store(tmp_path / "nowhere"), None, fix=True)
    assert not (tmp_path / "nowhere").exists()


def test_the_command_line_groups_what_is_alike_and_says_how_it_went(store: Store, softaug: Softaug) -> None:
    for key in (FINISHED, RETRIED):
        flip(store, f"{folder(key)}/end.json")
    arguments = ("doctor", "--offline", "--store", store.root)
    ran = softaug(*arguments)
    assert ran.returncode == 1
    assert ran.stdout.startswith("unreadable (2)\n  trials/")
    assert ran.stdout.count("counts as not ended") == 1
    assert ran.stdout.endswith(
        "2 findings in 4 trials of 1 sweep; MLflow was not looked at; run with --fix to repair\n"
    )
    found = json.loads(softaug(*arguments, "--json").stdout)
    assert {each["where"] for each in found["findings"]} == {f"{folder(key)}/end.json" for key in (FINISHED, RETRIED)}
    ran = softaug(*arguments, "--fix")
    assert ran.returncode == 0
    assert f"now damaged/{folder(FINISHED)}/end.json.1" in ran.stdout
    assert "2 findings repaired, nothing is left in 4 trials of 1 sweep" in ran.stdout
    shutil.rmtree(store.root / "damaged")


def test_status_names_damaged_sweeps_and_shows_the_others(store: Store, softaug: Softaug) -> None:
    launched.save(store, ledgers.small_sweep(name="other"))
    flip(store, "sweeps/small@smoke.json")
    ran = softaug("status", "--store", store.root)
    assert ran.returncode == 0
    assert ran.stderr.startswith("warning: sweeps/small@smoke.json does not fit its digest")
    assert "launch that sweep again" in ran.stderr
    assert ran.stdout.startswith("other@smoke: ")
