"""Scenes for fault tests: closed after each test, with nothing of them left running."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.scenes import Scene, tiny_sweep, trial_keys


@pytest.fixture
def scene(tmp_path: Path) -> Iterator[Scene]:
    """Return an empty scene."""
    opened = Scene(tmp_path)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return a scene with one launch of the tiny sweep, that ran to its end with two trials at a time."""
    opened = Scene(tmp_path_factory.mktemp("undisturbed"))
    launch = opened.launch(opened.sweep(tiny_sweep()), "--checkpoint-every", 0)
    launch.ended(0)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def killed_trial(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scene]:
    """Return a scene whose trials of seed 1 met SIGKILL and SIGTERM at the end of epoch five; all have finished."""
    opened = Scene(tmp_path_factory.mktemp("killed-trial"))
    sweep = opened.sweep(tiny_sweep())
    struck = [key for (_, seed), key in trial_keys(sweep).items() if seed == 1]
    kinds = zip(("killed", "terminated"), struck, strict=True)
    poisons = [{"kind": kind, "key": key, "epoch": 5, "attempts": [1]} for kind, key in kinds]
    launch = opened.launch(sweep, "--checkpoint-every", 0, poisons=poisons)
    launch.ended(0)
    assert "(raylet)" not in launch.output, "Ray's obituaries are not shown"
    yield opened
    opened.close()
