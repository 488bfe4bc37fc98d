"""The history checker finds nothing wrong where nothing is, and names each invariant that a doctored copy breaks."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from tests.faults.evidence import alive, read_events
from tests.faults.history import check
from tests.faults.scenes import Scene, until

Json = dict[str, Any]


class Copy:
    """A copy of a scene's store and history, to be doctored."""

    def __init__(self, folder: Path, scene: Scene) -> None:
        shutil.copytree(scene.store, folder / "runs")
        shutil.copy(scene.history, folder / "history.jsonl")
        self.folder, self.store, self.history = folder, folder / "runs", folder / "history.jsonl"
        self.client = MlflowClient(f"sqlite:///{self.store / 'mlflow.db'}")
        self.launched = [scene.launches[0].process.pid]
        self.key: str = scene.events("strike")[0]["trial"]  # it had two attempts

    def check(self) -> None:
        check(self.store, self.history, launched=self.launched)

    def trial(self, name: str) -> Path:
        return self.store / "trials" / self.key[:2] / self.key / name

    def change(self, name: str, change: Callable[[Json], None]) -> None:
        """Change one of the trial's JSON files."""
        content = json.loads(self.trial(name).read_text())
        change(content)
        self.trial(name).write_text(json.dumps(content))

    def events(self, change: Callable[[list[Json]], None]) -> None:
        """Change the history, as a list."""
        events = read_events(self.history)
        change(events)
        self.history.write_text("".join(f"{json.dumps(event)}\n" for event in events))

    def find(self, events: list[Json], kind: str, **like: Any) -> Json:
        """Return the first such event of the trial."""
        wanted = {"event": kind, "trial": self.key, **like}
        return next(each for each in events if all(each.get(name) == value for name, value in wanted.items()))

    def run(self, kind: str = "trial") -> str:
        """Return the MLflow run of the trial, or of some cell."""
        experiment = self.client.get_experiment_by_name("tiny@paper").experiment_id
        tag = f"tags.trial_key = '{self.key}'" if kind == "trial" else "tags.kind = 'cell'"
        run_id: str = self.client.search_runs([experiment], tag)[0].info.run_id
        return run_id


@pytest.fixture
def copy(killed_trial: Scene, tmp_path: Path) -> Copy:
    return Copy(tmp_path, killed_trial)


def test_a_good_scene_breaks_nothing(copy: Copy) -> None:
    assert {event["event"] for event in read_events(copy.history)} == {
        "process", "start", "strike", "epoch", "kept", "saved", "end",
    }  # fmt: skip
    copy.check()


def lose_a_row(copy: Copy) -> None:
    path = copy.trial("0002/epochs.jsonl")
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:-1]))


def lose_the_end(copy: Copy) -> None:
    copy.trial("end.json").unlink()


def lose_a_run(copy: Copy) -> None:
    copy.client.delete_run(copy.run())


def lose_metrics_in_mlflow(copy: Copy) -> None:
    experiment = copy.client.get_experiment_by_name("tiny@paper").experiment_id
    known = copy.client.get_run(copy.run())
    copy.client.delete_run(known.info.run_id)
    again = copy.client.create_run(experiment, tags={**known.data.tags})
    copy.client.set_terminated(again.info.run_id)


def log_a_step_twice(copy: Copy) -> None:
    row = copy.client.get_metric_history(copy.run(), "train/kl")[0]
    copy.client.log_metric(copy.run(), "train/kl", row.value, timestamp=row.timestamp + 1, step=row.step)


def log_to_default(copy: Copy) -> None:
    copy.client.set_terminated(copy.client.create_run("0").info.run_id)


def open_a_second_run(copy: Copy) -> None:
    known = copy.client.get_run(copy.run())
    copy.client.set_terminated(
        copy.client.create_run(known.info.experiment_id, tags={**known.data.tags}).info.run_id, "FINISHED"
    )


def invent_a_value(copy: Copy) -> None:
    copy.client.log_metric(copy.run(), "train/kl", 0.5, step=999)


def lose_an_attempt(copy: Copy) -> None:
    copy.trial("attempt-0001.json").unlink()


def train_another_recipe(copy: Copy) -> None:
    copy.events(lambda events: copy.find(events, "start", attempt=2)["recipe"].update(seed=7))


def swap_the_recipe(copy: Copy) -> None:
    copy.change("recipe.json", lambda content: content["recipe"].update(seed=7))


def run_again(copy: Copy) -> None:
    copy.events(lambda events: events.append({**copy.find(events, "start"), "attempt": 3}))


def resume_too_early(copy: Copy) -> None:
    copy.events(lambda events: copy.find(events, "start", attempt=2).update(epoch=2))


def lose_much_work(copy: Copy) -> None:
    """Forget that checkpoints were durable and begin anew, a minute after the first epoch."""

    def change(events: list[Json]) -> None:
        events[:] = [event for event in events if event["event"] != "saved" or event["trial"] != copy.key]
        copy.find(events, "start", attempt=2)["epoch"] = 0
        copy.find(events, "epoch", epoch=1)["time"] -= 60

    copy.events(change)


def skip_an_epoch(copy: Copy) -> None:
    copy.events(lambda events: events.remove(copy.find(events, "epoch", attempt=2, epoch=7)))


def get_other_numbers(copy: Copy) -> None:
    def change(events: list[Json]) -> None:
        again = copy.find(events, "epoch", attempt=2)
        events.insert(events.index(copy.find(events, "start", attempt=2)), {**again, "attempt": 1})
        again["metrics"] = again["metrics"] | {"train/kl": 0.123}

    copy.events(change)


def leave_a_run_running(copy: Copy) -> None:
    copy.client.update_run(copy.run(), status="RUNNING")


def leave_a_cell_running(copy: Copy) -> None:
    copy.client.update_run(copy.run("cell"), status="RUNNING")


def fail_in_the_ledger_alone(copy: Copy) -> None:
    copy.change("end.json", lambda content: content.update(state="failed"))


def end_in_mlflow_alone(copy: Copy) -> None:
    copy.client.set_terminated(copy.run(), "FAILED")


def average_wrongly(copy: Copy) -> None:
    copy.client.log_metric(copy.run("cell"), "mean/test/top1_error", 1.0, step=0)


def report_after_the_next_attempt(copy: Copy) -> None:
    copy.events(lambda events: events.append(copy.find(events, "epoch", attempt=1)))


def run_in_two_processes(copy: Copy) -> None:
    copy.events(lambda events: copy.find(events, "epoch", attempt=2).update(pid=1))


def leave_a_temporary_file(copy: Copy) -> None:
    copy.trial(".end.json.0123").write_text("half")


DOCTORED: dict[Callable[[Copy], None], str] = {
    lose_a_row: "I1",
    lose_the_end: "I1",
    lose_metrics_in_mlflow: "I1",
    lose_a_run: "I2",
    log_a_step_twice: "I2",
    log_to_default: "I2",
    open_a_second_run: "I2",
    invent_a_value: "I2",
    lose_an_attempt: "I2",
    train_another_recipe: "I3",
    swap_the_recipe: "I3",
    run_again: "I4",
    resume_too_early: "I5",
    lose_much_work: "I5",
    skip_an_epoch: "I5",
    get_other_numbers: "I5",
    leave_a_run_running: "I6",
    leave_a_cell_running: "I6",
    fail_in_the_ledger_alone: "I6",
    end_in_mlflow_alone: "I6",
    average_wrongly: "I7",
    report_after_the_next_attempt: "I8",
    run_in_two_processes: "I8",
    leave_a_temporary_file: "I9",
}


@pytest.mark.parametrize("doctor", DOCTORED, ids=lambda doctor: doctor.__name__)
def test_a_doctored_copy_breaks_the_invariant(copy: Copy, doctor: Callable[[Copy], None]) -> None:
    doctor(copy)
    with pytest.raises(AssertionError, match=rf"(?m)^{DOCTORED[doctor]}: "):
        copy.check()


@pytest.fixture
def forgotten(copy: Copy) -> Iterator[None]:
    """Leave a process of the launch running, and Ray's folder."""
    folder = tempfile.mkdtemp(prefix=f"softaug-ray-{copy.launched[0]}-")
    plan = {"SOFTAUG_FAULTS": f"{copy.folder}/plan-1.json"}
    Path(plan["SOFTAUG_FAULTS"]).write_text(json.dumps({"history": str(copy.history)}))
    process = subprocess.Popen(
        [sys.executable, "-S", "-c", "import sys; sys.stdin.read()"], env={**os.environ, **plan}, stdin=subprocess.PIPE
    )
    until(lambda: alive(copy.history, copy.folder, agents=True), "the process")
    yield
    process.communicate()
    shutil.rmtree(folder)


@pytest.mark.usefixtures("forgotten")
def test_what_is_left_behind_is_named(copy: Copy) -> None:
    with pytest.raises(AssertionError, match=r"(?ms)^I9: process \d+ .*^I9: folder .*softaug-ray-"):
        copy.check()
