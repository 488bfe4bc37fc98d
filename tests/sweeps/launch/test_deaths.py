"""A trial whose process died is tried again, or ended with the reason; a callback never raises."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from sweeps.launch.deaths import MAX_PROCESS_DEATHS, Deaths
from tests.sweeps import ledgers
from trainables.folder_store import FolderStore
from trainables.ledger import AttemptFolder, End, TrialFolder
from trainables.store import open_store

KEY = ledgers.small_sweep().trial_keys[0]
OUT_OF_MEMORY = "ray.exceptions.OutOfMemoryError: Task was killed due to the node running low on memory."
STACK = (
    'Fatal Python error: Segmentation fault\n\nThread 0x1 (most recent call first):\n  File "x.py", line 3 in crash\n'
)
HANG = 'Timeout (0:00:05)!\nThread 0x1 (most recent call first):\n  File "x.py", line 7 in wait\n'


class Launch:
    """Deaths of one trial, as Tune tells of them."""

    def __init__(self, folder: Path) -> None:
        self.store = open_store(folder / "store")
        self.changed: list[tuple[str, bool]] = []
        self.said: list[str] = []
        self.errors = folder / "error.txt"
        self.deaths = Deaths(
            self.store,
            ledgers.LAUNCH,
            silent_after_s=5.0,
            changed=lambda *what: self.changed.append(what),
            warn=self.said.append,
            nodes=lambda: [{"NodeID": "alive"}],
        )
        self.trial = TrialFolder(self.store, KEY)

    def attempt(self, *, epochs: int = 2, crash: str = "", node: str = "alive") -> AttemptFolder:
        folder = ledgers.begin(self.store, KEY, node=node)
        folder.write_rows(ledgers.rows(epochs))
        self.store.write(f"{folder.path}/crash.txt", crash.encode())
        return folder

    def dies(self, *, last: bool = False, ray_says: str = "") -> End | None:
        self.errors.write_text(ray_says)
        tune_trial: Any = SimpleNamespace(
            config={"trial_key": KEY}, error_file=str(self.errors), max_failures=MAX_PROCESS_DEATHS
        )
        tell = self.deaths.on_trial_error if last else self.deaths.on_trial_recover
        tell(iteration=1, trials=[], trial=tune_trial)
        self.forgiven = tune_trial.max_failures - MAX_PROCESS_DEATHS
        return self.trial.end()


@pytest.fixture
def launch(tmp_path: Path) -> Launch:
    return Launch(tmp_path)


def test_a_killed_process_is_tried_again_until_tune_gives_up(launch: Launch) -> None:
    for _ in range(MAX_PROCESS_DEATHS):
        launch.attempt()
        assert launch.dies() is None
    launch.attempt()
    end = launch.dies(last=True)
    assert end is not None
    assert (end.state, end.attempt, end.epochs) == ("failed", 4, 2)
    assert end.reason is not None
    assert end.reason.startswith("its process died 4 times: killed from outside")
    assert launch.changed == [(KEY, False)] * 3 + [(KEY, True)]
    deaths = [AttemptFolder(launch.trial, number).death() for number in (1, 2, 3, 4)]
    assert [death.cause for death in deaths if death is not None] == ["crashed"] * 4


def test_a_crash_is_told_with_its_stack(launch: Launch) -> None:
    launch.attempt(crash=STACK)
    end = launch.dies(last=True)
    assert end is not None
    assert end.reason == "its process died once: Segmentation fault"
    assert end.traceback == STACK


def test_a_silent_trial_is_not_tried_again(launch: Launch) -> None:
    launch.attempt(crash=HANG)
    end = launch.dies()
    assert end is not None
    assert end.state == "failed"
    assert end.reason == "silent for more than 5 s: it hung, or a step takes longer; see --silent-after"
    assert end.traceback == HANG


def test_out_of_memory_is_tried_again_once(launch: Launch) -> None:
    launch.attempt()
    assert launch.dies(ray_says=OUT_OF_MEMORY) is None
    launch.attempt()
    end = launch.dies(ray_says=OUT_OF_MEMORY)
    assert end is not None
    assert end.reason is not None
    assert end.reason.startswith("out of memory: Ray ended it before the machine ran out of memory, 2 times")


def test_deaths_of_an_earlier_launch_do_not_count(launch: Launch) -> None:
    ledgers.begin(launch.store, KEY, launch="small@smoke-0000")
    launch.attempt()
    assert launch.dies(ray_says=OUT_OF_MEMORY) is None


def test_a_trial_that_has_ended_stays_as_it_ended(launch: Launch) -> None:
    ledgers.finish(launch.attempt(), 2.0)
    before = launch.trial.end()
    assert launch.dies(last=True) == before


def test_a_process_that_never_began_is_told(launch: Launch) -> None:
    end = launch.dies(last=True)
    assert end is not None
    assert (end.attempt, end.reason) == (0, "its process died 4 times before it could begin")


def test_a_store_that_fails_meanwhile_is_told_and_raises_nothing(
    launch: Launch, monkeypatch: pytest.MonkeyPatch
) -> None:
    launch.attempt()

    def full(*_arguments: Any) -> bool:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(FolderStore, "create", full)
    assert launch.dies() is None
    assert launch.said == [
        f"trial {KEY[:12]}: its process died, and that could not be kept: [Errno 28] No space left on device"
    ]


def test_a_lost_node_is_not_held_against_its_trials(launch: Launch) -> None:
    for number in range(1, 9):
        launch.attempt(node="lost")
        assert launch.dies() is None
        assert launch.forgiven == number
    for number in range(MAX_PROCESS_DEATHS + 1):
        launch.attempt()
        end = launch.dies(last=number == MAX_PROCESS_DEATHS)
        assert launch.forgiven == 8
    assert end is not None
    assert end.reason is not None
    assert end.reason.startswith(f"its process died {MAX_PROCESS_DEATHS + 1} times: killed from outside")


def test_only_the_last_failure_is_read(launch: Launch) -> None:
    said = ""
    for number in range(MAX_PROCESS_DEATHS):
        launch.attempt()
        said += f"Failure # {number + 1} (occurred at 2026-11-26)\n" + (OUT_OF_MEMORY if number == 0 else "died") + "\n"
        assert launch.dies(ray_says=said) is None
