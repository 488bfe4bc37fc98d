"""What does a checkpoint cost?   python benchmarks/checkpoint.py

Question: seconds that a trial with a resnet18 (11.2 million parameters, 90 MB with momentum) stands still while a
checkpoint is written, median of ten; and which share of training they take at the default interval of 60 s, over
about three minutes. Beside them: torch.save of the same state, without fsync and without a digest. Targets: under
0.5 s, at most 2 %. Cost: about four minutes on an idle machine; --seconds shortens a trial of the benchmark.
"""

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import torch

from softaug import arrays, data
from softaug.recipe import Recipe
from trainables.attempt import Place, RunningAttempt, cpu_name
from trainables.ledger import Attempt, TrialFolder
from trainables.store import open_store

CHECKPOINTS = 10
RECIPE = Recipe.model_validate(
    {
        "data": {"name": "digits", "train_images": 100},
        "model": {"name": "resnet18"},
        "optim": {"epochs": 10_000, "batch_size": 50},
        "seed": 0,
    }
)


class Timed(RunningAttempt):
    """An attempt that notes how long each of its checkpoints took."""

    taken: list[float]

    def _write_checkpoint(self) -> None:
        started = time.perf_counter()
        super()._write_checkpoint()
        self.taken.append(time.perf_counter() - started)


def attempt(folder: Path, every_s: float) -> Timed:
    """Begin a trial whose checkpoints are that many seconds apart."""
    trial = TrialFolder(open_store(folder), RECIPE.key)
    begun = trial.begin(Attempt(number=1, launch="a", host="h", pid=1, started=0.0, git_commit="c", git_dirty=False))
    if begun is None:
        raise SystemExit("the store was not empty")
    splits = data.split(arrays.load("digits", None), RECIPE.data)
    place = Place(torch.device("cpu"), torch.get_num_threads(), "digits")
    timed = Timed(begun, RECIPE, lambda: splits, place=place, stop=lambda: False, checkpoint_every_s=every_s)
    timed.taken = []
    return timed


def torch_save_s(running: Timed, path: Path) -> float:
    """Return the seconds of the peer."""
    if running.boundary is None:
        raise SystemExit("no epoch was trained")
    started = time.perf_counter()
    torch.save(running.boundary.state(), path)
    return time.perf_counter() - started


def main() -> None:
    """Print both figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=185.0, help="of training at the default interval")
    seconds = parser.parse_args().seconds
    torch.set_num_threads(1)
    print(f"{cpu_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f} before; one thread")
    with tempfile.TemporaryDirectory(prefix="benchmark-") as temporary:
        every = attempt(Path(temporary) / "every", 0.0)
        while len(every.taken) < CHECKPOINTS:
            every.advance(0)
        peer = statistics.median(torch_save_s(every, Path(temporary) / "peer.pt") for _ in range(CHECKPOINTS))
        print(f"a checkpoint {statistics.median(every.taken):.2f} s (most {max(every.taken):.2f}; under 0.5 s)")
        print(f"torch.save   {peer:.2f} s, neither durable nor checked")
        default = attempt(Path(temporary) / "default", 60.0)
        started = time.perf_counter()
        default.advance(seconds)
        elapsed = time.perf_counter() - started
        share = sum(default.taken) / elapsed
        print(f"{len(default.taken)} checkpoints in {elapsed:.0f} s of training: {share:.2%} (at most 2 %)")


if __name__ == "__main__":
    main()
