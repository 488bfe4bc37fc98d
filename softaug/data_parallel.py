"""Training one recipe with several processes of this node: the contract of `fit`, its numbers up to rounding.

The caller's process trains nothing: it starts a process per device, which join in a torch.distributed group, and passes
on what the first of them says. If one ends before its time, the others are ended and the caller gets its reason; if the
caller ends, they end too. A stop is agreed on before every step, so that all ranks leave at the same one.
"""

import atexit
import pickle
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from math import inf
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import torch
from torch import distributed, multiprocessing

from softaug.child_process import end_with_parent
from softaug.data import Splits
from softaug.fit import Epoch, epochs_of, never, start
from softaug.ranks import Ranks
from softaug.recipe import Recipe
from softaug.recipe_rules import check_shares
from softaug.training import State

POLL_S = 0.1
STEP = "step"  # said by the first rank now and then: it is alive, and so are those it waits for
SAY_EVERY_S = 0.2
LONGEST_WAIT = timedelta(minutes=60)  # of a rank for the others: the first one evaluates alone
Message = Epoch | BaseException | str | None  # an epoch, what a rank failed with, a sign of life, or the end


def fit_parallel(
    recipe: Recipe,
    splits: Splits,
    *,
    devices: Sequence[torch.device],
    threads: int = 1,
    resume: State | None = None,
    stop: Callable[[], bool] = never,
) -> Iterator[Epoch]:
    """Train as `fit` does with a process per device, `threads` torch threads each.

    Raises ValueError if the batches cannot be shared out, RuntimeError if a process ends before its time, and what
    `fit` raises.
    """
    check_shares(recipe, len(splits.train.labels), len(devices))
    job = _Job(recipe, splits, tuple(devices), threads, resume)
    with _processes(job) as group:
        yield from group.epochs(stop)


@dataclass(frozen=True)
class _Job:
    recipe: Recipe
    splits: Splits
    devices: tuple[torch.device, ...]
    threads: int
    resume: State | None


@dataclass(frozen=True)
class _Group:
    processes: list[BaseProcess]
    connections: list[Connection]
    stopping: Event

    def epochs(self, stop: Callable[[], bool]) -> Iterator[Epoch]:
        """Yield what the first rank sends until it says that it is done; raise what any rank failed with.

        `stop` is polled when ranks take steps, so that whoever watches its calls sees one that hangs.
        """
        while True:
            for message in self._messages():
                if isinstance(message, BaseException):
                    raise message
                if message is None:
                    return
                if isinstance(message, Epoch):
                    yield message
                elif stop():
                    self.stopping.set()

    def end(self) -> None:
        """End all processes; what they started ends with them."""
        for each in self.processes:
            each.kill()
            each.join()

    def _messages(self) -> Iterator[Message]:
        ready = wait([*self.connections, *(each.sentinel for each in self.processes)], timeout=POLL_S)
        for connection in self.connections:
            if connection in ready:
                try:
                    yield pickle.loads(connection.recv_bytes())  # noqa: S301  # from our own process
                except EOFError:
                    self.connections.remove(connection)
        for rank, process in enumerate(self.processes):
            if process.sentinel in ready and process.exitcode:
                yield RuntimeError(f"rank {rank} of {len(self.processes)} ended with exit code {process.exitcode}")


@contextmanager
def _processes(job: _Job) -> Iterator[_Group]:
    context = multiprocessing.get_context("spawn")
    stopping = context.Event()
    with tempfile.TemporaryDirectory(prefix="softaug-ranks-") as folder:
        group = _Group([], [], stopping)
        atexit.register(group.end)  # before multiprocessing waits for them: they are no daemons, which could not decode
        try:
            for rank in range(len(job.devices)):
                ours, theirs = context.Pipe(duplex=False)
                process = context.Process(target=_run, args=(job, rank, folder, theirs, stopping))
                process.start()
                theirs.close()
                group.processes.append(process)
                group.connections.append(ours)
            yield group
        finally:
            group.end()
            atexit.unregister(group.end)


def _run(job: _Job, rank: int, folder: str, connection: Connection, stopping: Event) -> None:
    """Be one rank; every failure goes to the caller, which then ends the others."""
    end_with_parent()
    try:
        _train(job, rank, folder, connection, stopping)
    except Exception as error:
        error.add_note(f"in rank {rank}:\n{traceback.format_exc()}")
        _send(connection, error)
    finally:
        connection.close()


def _train(job: _Job, rank: int, folder: str, connection: Connection, stopping: Event) -> None:
    device, size = job.devices[rank], len(job.devices)
    torch.set_num_threads(job.threads)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    distributed.init_process_group(
        "nccl" if device.type == "cuda" else "gloo",
        init_method=(Path(folder) / "rendezvous").as_uri(),
        rank=rank,
        world_size=size,
        timeout=LONGEST_WAIT,
    )
    agreement: Any = distributed.new_group(backend="gloo")  # on the CPU: agreeing waits for no GPU

    said = -inf

    def stop() -> bool:
        nonlocal said
        if rank == 0 and time.monotonic() - said >= SAY_EVERY_S:
            _send(connection, STEP)
            said = time.monotonic()
        wanted = torch.tensor([stopping.is_set()], dtype=torch.uint8)
        distributed.all_reduce(wanted, distributed.ReduceOp.MAX, group=agreement)
        return bool(wanted)

    training = start(job.recipe, job.splits.to(device), device, Ranks(rank, size))
    for epoch in epochs_of(training, job.recipe.seed, device, resume=job.resume, stop=stop, rank=rank):
        if rank == 0:
            _send(connection, epoch)
    if rank == 0:
        _send(connection, None)
    distributed.barrier(group=agreement)
    distributed.destroy_process_group()


def _send(connection: Connection, message: Message) -> None:
    """Send a copy: `connection.send` would share the memory of tensors, which goes with this process."""
    try:
        content = pickle.dumps(message)
    except Exception:  # an error that cannot be pickled: its text can
        content = pickle.dumps(RuntimeError(f"{type(message).__name__}: {message}"))
    connection.send_bytes(content)
