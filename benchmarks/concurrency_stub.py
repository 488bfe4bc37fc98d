"""A trainable whose fit waits until as many trials have begun as should run at once, and notes which node it is on."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import ray
from overhead_stub import stub_fit

from trainables.trial import Trial

WAIT_S = 300.0


class WaitingTrial(Trial):
    """Trains nothing, and ends only when it was not alone; everything else is real."""

    def step(self) -> dict[str, Any]:
        with mock.patch("trainables.attempt.fit", waiting_fit):
            return super().step()


def waiting_fit(*_arguments: Any, **_options: Any) -> "Iterator[Any]":
    """Wait, then yield what the stub yields. Raises TimeoutError if too few trials begin, which fails the trial."""
    folder, slots = Path(os.environ["CONCURRENCY_FOLDER"]), int(os.environ["CONCURRENCY_SLOTS"])
    begun = sum(1 for _ in (folder / "runs" / "trials").glob("*/*/attempt-*.json"))
    if begun <= slots:
        (folder / "nodes" / str(os.getpid())).write_text(ray.get_runtime_context().get_node_id())
    deadline = time.monotonic() + WAIT_S
    while sum(1 for _ in (folder / "nodes").iterdir()) < slots:
        if time.monotonic() > deadline:
            raise TimeoutError(f"fewer than {slots} trials ran at once within {WAIT_S:.0f} s")
        time.sleep(0.1)
    yield from stub_fit()
