"""What a plan does inside a launch's processes; production code has no hooks, so its names are wrapped on import.

The plan is a JSON file: `history`, the file that every process appends to; `poisons`, what befalls chosen trials at
the end of an epoch; `kills`, at which call of which function a process dies; `replaced`, functions made to do nothing;
`gates`, functions that wait before their first call in a process.
An event is a line of the history, durable before the process goes on, so it is known whatever dies next.
"""

import dataclasses
import fnmatch
import importlib.machinery
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from importlib.abc import MetaPathFinder
from pathlib import Path
from types import ModuleType
from typing import Any

DRIVER = "SOFTAUG_FAULTS_DRIVER"  # the launch's own process, as those it starts know it
PLAN_FILE = Path(os.environ["SOFTAUG_FAULTS"])
PLAN: dict[str, Any] = json.loads(PLAN_FILE.read_text())
NOW: dict[str, Any] = {}  # "attempt": the one that this process trains


def install() -> None:
    """Note that this process is there, and wrap what the plan and the history need once it is imported."""
    os.environ.setdefault(DRIVER, str(os.getpid()))
    note("process", launch=int(os.environ[DRIVER]))
    sys.meta_path.insert(0, _AfterImport())


def role() -> str:
    """Return whether this process is the launch itself ("driver"), trains ("trial"), or is another one ("tracker")."""
    if os.environ[DRIVER] == str(os.getpid()):
        return "driver"
    return "trial" if "trainables.trial" in sys.modules else "tracker"


def note(event: str, **what: Any) -> None:
    """Append an event to the history, durably and in one piece."""
    line = json.dumps({"event": event, "time": time.time(), "pid": os.getpid(), **what}) + "\n"
    descriptor = os.open(PLAN["history"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        os.write(descriptor, line.encode())
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


class _AfterImport(MetaPathFinder):
    """Imports modules as usual and wraps names in them right after."""

    def find_spec(self, fullname: str, path: Any = None, *_: Any) -> Any:
        wrappers = _wrappers(fullname)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path) if wrappers else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_wrap(module: ModuleType) -> None:
            execute(module)
            for name, wrapper in wrappers:
                _wrap(module, name, wrapper)

        spec.loader.exec_module = execute_and_wrap
        return spec


Wrapper = Callable[[Callable[..., Any]], Callable[..., Any]]


def _wrappers(module: str) -> list[tuple[str, Wrapper]]:
    """Return the names in a module that are wrapped, and by what."""
    found = [(name, wrapper) for owner, name, wrapper in RECORDED if owner == module]
    for index, kill in enumerate(PLAN.get("kills", [])):
        owner, _, name = kill["at"].partition(":")
        if owner == module:
            found.append((name, _killing(index, kill)))
    for gate in PLAN.get("gates", []):
        owner, _, name = gate["at"].partition(":")
        if owner == module:
            found.append((name, _waiting(gate["pipe"], gate["by"])))
    replaced = (each.partition(":") for each in PLAN.get("replaced", []))
    return found + [(name, lambda _original: lambda *_a, **_k: None) for owner, _, name in replaced if owner == module]


def _wrap(module: ModuleType, name: str, wrapper: Wrapper) -> None:
    *owners, last = name.split(".")
    owner: Any = module
    for each in owners:
        owner = getattr(owner, each)
    setattr(owner, last, wrapper(getattr(owner, last)))


def _killing(index: int, kill: dict[str, Any]) -> Wrapper:
    """Die at the nth call whose path fits: before it, after it, or (`torn`) with half of its content written."""
    calls = 0

    def fits(arguments: tuple[Any, ...]) -> bool:
        nonlocal calls
        if kill.get("by", "any") not in ("any", role()):
            return False
        paths = [str(each) for each in arguments if isinstance(each, str | Path)]
        if kill.get("path") and not any(fnmatch.fnmatch(path, kill["path"]) for path in paths):
            return False
        calls += 1
        return calls == kill.get("nth", 1)

    def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            now = fits(arguments)
            if now and kill["when"] == "torn":
                target, content = arguments
                original(target, content[: len(content) // 2])
            if now and kill["when"] in ("before", "torn"):
                _die(index, kill)
            returned = original(*arguments, **named)
            if now and kill["when"] == "after":
                _die(index, kill)
            return returned

        return call

    return wrapper


def _die(index: int, kill: dict[str, Any]) -> None:
    """Kill the driver, unless the victim is `self`, and this process; once in all processes of the plan."""
    try:
        os.close(os.open(f"{PLAN_FILE}.{index}", os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    victim = os.getpid() if kill.get("victim") == "self" else int(os.environ[DRIVER])
    note("kill", victim=victim, at=kill["at"], when=kill["when"], path=kill.get("path", ""))
    os.kill(victim, signal.SIGKILL)
    os.kill(os.getpid(), signal.SIGKILL)


def _waiting(pipe: str, by: str) -> Wrapper:
    """Wait before a function's first call in such a process until somebody opens this named pipe for writing."""
    waited = False

    def wrapper(original: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any, **named: Any) -> Any:
            nonlocal waited
            if not waited and role() == by:
                waited = True
                note("at gate", pipe=pipe)
                os.close(os.open(pipe, os.O_RDONLY))
            return original(*arguments, **named)

        return call

    return wrapper


def _remembering(original: Callable[..., None]) -> Callable[..., None]:
    def begin(self: Any, *arguments: Any, **named: Any) -> None:
        original(self, *arguments, **named)
        NOW["attempt"] = self.folder

    return begin


def _recording_fit(original: Callable[..., Iterator[Any]]) -> Callable[..., Iterator[Any]]:
    def fit(recipe: Any, splits: Any, **named: Any) -> Iterator[Any]:
        from poisons import strike

        from softaug.recipe import canonical

        me = {"trial": recipe.key, "attempt": NOW["attempt"].number}
        resume = named.get("resume")
        note("start", **me, epoch=0 if resume is None else int(resume["epoch"]), recipe=canonical(recipe))
        for epoch in original(recipe, splits, **named):
            kind, metrics = _poison(recipe, epoch.number), epoch.metrics
            if kind is not None:
                note("strike", **me, epoch=epoch.number, kind=kind)
                metrics = strike(kind, dict(metrics))
            note("epoch", **me, epoch=epoch.number, metrics=metrics, poisoned=kind is not None)
            yield dataclasses.replace(epoch, metrics=metrics)

    return fit


def _poison(recipe: Any, epoch: int) -> str | None:
    for poison in PLAN.get("poisons", []):
        chosen = recipe.key.startswith(poison.get("key", "")) and poison.get("seed", recipe.seed) == recipe.seed
        number = NOW["attempt"].number
        if chosen and number in poison.get("attempts", [number]) and epoch == poison.get("epoch", 2):
            return str(poison["kind"])
    return None


def _recording_rows(original: Callable[..., None]) -> Callable[..., None]:
    def write_rows(self: Any, rows: list[Any]) -> None:
        original(self, rows)
        note("kept", trial=self.trial.key, attempt=self.number, epoch=rows[-1].epoch if rows else 0)

    return write_rows


def _recording_checkpoint(original: Callable[..., None]) -> Callable[..., None]:
    def write_checkpoint(self: Any, epoch: int, content: bytes) -> None:
        original(self, epoch, content)
        note("saved", trial=self.trial.key, attempt=self.number, epoch=epoch)

    return write_checkpoint


def _recording_end(original: Callable[..., bool]) -> Callable[..., bool]:
    def finish(self: Any, end: Any) -> bool:
        done = original(self, end)
        note("end", trial=self.key, attempt=end.attempt, epoch=end.epochs, state=end.state, counts=done)
        return done

    return finish


RECORDED: list[tuple[str, str, Wrapper]] = [
    ("trainables.attempt", "RunningAttempt.__init__", _remembering),
    ("trainables.attempt", "fit", _recording_fit),
    ("trainables.ledger", "AttemptFolder.write_rows", _recording_rows),
    ("trainables.ledger", "AttemptFolder.write_checkpoint", _recording_checkpoint),
    ("trainables.ledger", "TrialFolder.finish", _recording_end),
]
