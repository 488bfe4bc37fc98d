"""Tiny sweeps under faults: a scene holds a store, the history its processes write, and the launches into it."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import yaml
from typer.testing import CliRunner

from sweeps.cli.main import app
from sweeps.files.expand import load
from tests.conftest import SOFTAUG
from tests.faults import evidence, history
from tests.raylets import Cluster

SITE = Path(__file__).with_name("site")
DEADLINE_S = 180.0
ENDLESS: dict[str, Any] = {"epochs": 10_000, "images": 400}  # a sweep that is to be stopped: half an hour or more
AGENTS_OUTLIVE_S = 90.0  # Ray's agents notice the death of their raylet after a minute

Event = dict[str, Any]


def tiny_sweep(
    name: str = "tiny",
    *,
    epochs: int = 12,
    seeds: Sequence[int] = (0, 1, 2),
    images: int = 100,
    width: int = 4,
    **optim: Any,
) -> str:
    """Return a sweep file of two cells on so many digits; six trials with three seeds."""
    recipe = {
        "data": {"name": "digits", "train_images": images},
        "model": {"name": "resnet8", "width": width},
        "optim": {"epochs": epochs, "batch_size": 50, **optim},
    }
    soft = {"crop": {"kind": "gaussian"}, "softening": {"apply_to": "target", "k": 2.0}}
    sweep = {
        "name": name,
        "question": "Does a launch make the ledger match the sweep?",
        "expect": "It does.",
        "seeds": list(seeds),
        "baseline": "standard crop",
        "base": recipe,
        "axes": {"sigma": {"field": "crop.sigma", "label": "σ", "values": [0.3]}},
        "arms": [
            {"name": "standard crop", "set": {"crop": {"kind": "uniform", "radius_px": 1}}},
            {"name": "soft target", "set": soft, "over": ["sigma"]},
        ],
        "figure": {"kind": "softening-over-sigma", "x": "sigma"},
        "resources": {"cpus": 1},
    }
    return yaml.safe_dump(sweep, allow_unicode=True)


def until(happened: Callable[[], Any], what: str, within_s: float = DEADLINE_S) -> None:
    """Poll until something happened; fail loudly after the deadline."""
    deadline = time.monotonic() + within_s
    while not happened():
        assert time.monotonic() < deadline, f"waited {within_s:.0f} s for {what}"
        time.sleep(0.05)


def trial_keys(sweep: Path) -> dict[tuple[str, int], str]:
    """Return the trial of every arm and seed."""
    return {(cell.arm, seed): key for cell in load(str(sweep)).cells for seed, key in cell.trials.items()}


def softaug(*arguments: object) -> str:
    """Run a command that only reads, in this process, and return what it prints."""
    ran = CliRunner().invoke(app, [str(each) for each in arguments])
    assert ran.exit_code == 0, f"{ran.output}\n{ran.exception!r}"
    return ran.stdout


@dataclass
class Launch:
    """A launch as a process of its own; its output is in a file."""

    process: "subprocess.Popen[bytes]"
    log: Path
    started: float

    @property
    def output(self) -> str:
        """Return what it has said so far."""
        return self.log.read_text()

    def ended(self, expected: int, within_s: float = DEADLINE_S) -> float:
        """Wait for its end and check its exit code; return its seconds."""
        try:
            code = self.process.wait(within_s)
        except subprocess.TimeoutExpired as late:
            raise AssertionError(f"still running after {within_s:.0f} s:\n{self.output}") from late
        assert code == expected, self.output
        assert "Traceback" not in self.output, self.output
        return time.time() - self.started


@dataclass
class Scene:
    """One store, under `folder`, and everything that was launched into it: here, or on a cluster."""

    folder: Path
    cluster: Cluster | None = None
    launches: list[Launch] = field(default_factory=list)

    @property
    def store(self) -> Path:
        """Return the store's folder."""
        return self.folder / "runs"

    @property
    def history(self) -> Path:
        """Return the file that the launches' processes append to."""
        return self.folder / "history.jsonl"

    def sweep(self, text: str, name: str = "tiny") -> Path:
        """Write a sweep file."""
        path = self.folder / f"{name}.yaml"
        path.write_text(text)
        return path

    def launch(self, sweep: Path, *options: object, env: dict[str, str] | None = None, **plan: Any) -> Launch:
        """Start a launch with these poisons, kills and replaced functions; on the scene's cluster if it has one."""
        command = ["launch", sweep, "--store", self.store, *options]
        if self.cluster is not None:
            command += ["--address", self.cluster.address]
            env = {**self.cluster.login, **(env or {})}
        return self.run(command, {**self.faults(f"plan-{len(self.launches) + 1}", **plan), **(env or {})})

    def faults(self, name: str, **plan: Any) -> dict[str, str]:
        """Write a plan; return the environment in which processes follow it, and write the history."""
        planned = self.folder / f"{name}.json"
        planned.write_text(json.dumps({"history": str(self.history), **plan}))
        path = os.pathsep.join(filter(None, (str(SITE), os.environ.get("PYTHONPATH"))))
        return {"SOFTAUG_FAULTS": str(planned), "PYTHONPATH": path}

    def run(self, command: Sequence[object], env: dict[str, str]) -> Launch:
        """Start a command of softaug that ends with a sweep."""
        log = self.folder / f"launch-{len(self.launches) + 1}.log"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [str(SOFTAUG), *map(str, command)],
                stdout=output,
                stderr=subprocess.STDOUT,
                env={**os.environ, **env},
                start_new_session=True,
            )
        self.launches.append(Launch(process, log, time.time()))
        return self.launches[-1]

    def events(self, *kinds: str, **like: Any) -> list[Event]:
        """Return the events so far of these kinds with these values, in order."""
        found = evidence.read_events(self.history)
        return [
            event
            for event in found
            if event["event"] in kinds and all(event.get(name) == value for name, value in like.items())
        ]

    def check(self, **how: Any) -> None:
        """Assert every invariant over the history, the ledger and MLflow."""
        launched = [each.process.pid for each in self.launches]
        running = self.cluster.pids() if self.cluster is not None else ()
        history.check(self.store, self.history, launched=launched, running=running, **how)

    def state(self, key: str) -> dict[str, Any]:
        """Return how a trial ended, as its end.json says."""
        end: dict[str, Any] = json.loads((self.store / "trials" / key[:2] / key / "end.json").read_text())
        return end

    def cells(self, sweep: Path) -> Any:
        """Return the cells as `softaug status --json` prints them: equal to the last bit or not equal."""
        return json.loads(softaug("status", sweep, "--store", self.store, "--json"))["cells"]

    def table(self, sweep: Path) -> str:
        """Return `softaug table --format csv`."""
        return softaug("table", sweep, "--store", self.store, "--format", "csv")

    def doctor(self) -> None:
        """Let `softaug doctor` delete what killed writers left, as if hours had passed; it finds nothing worse."""
        for path in evidence.cut_off(self.store):
            os.utime(path, (time.time() - 2 * 3600,) * 2)
        ran = CliRunner().invoke(app, ["doctor", "--fix", "--offline", "--json", "--store", str(self.store)])
        assert ran.exit_code in (0, 1), f"{ran.output}\n{ran.exception!r}"
        assert {each["kind"] for each in json.loads(ran.stdout)["findings"]} <= {"leftover"}, ran.stdout

    def close(self) -> None:
        """End what is still running of this scene, by its own process ids, and see that it is gone."""
        for launch in self.launches:
            if launch.process.poll() is None:
                _kill_tree(launch.process.pid)
                launch.process.wait()
        if self.cluster is not None:
            self.cluster.close()
        until(
            lambda: not evidence.alive(self.history, self.folder, agents=False),
            f"the end of {evidence.alive(self.history, self.folder, agents=False)}",
            within_s=AGENTS_OUTLIVE_S,
        )


def gate(folder: Path, at: str, by: str, name: str = "gate") -> dict[str, str]:
    """Return a gate before a function's first call: a named pipe, which opens for all who wait at once."""
    path = folder / name
    os.mkfifo(path)
    return {"at": at, "by": by, "pipe": str(path)}


def open_gate(scene: Scene, shut: dict[str, str], waiting: int) -> None:
    """Open a gate once so many processes wait before it."""
    until(lambda: len(scene.events("at gate", pipe=shut["pipe"])) == waiting, f"{waiting} before {shut['at']}")
    os.close(os.open(shut["pipe"], os.O_WRONLY))


def _kill_tree(pid: int) -> None:
    tree = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    for each in tree:
        with suppress(psutil.NoSuchProcess):
            each.send_signal(signal.SIGKILL)


def measured(what: str, seconds: float) -> None:
    """Print a measured time, for the table in docs/."""
    sys.stdout.write(f"measured {what}: {seconds:.1f} s\n")
