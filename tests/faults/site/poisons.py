"""What can befall a trial at the end of an epoch, as its own code would do it; torch is imported only if needed."""

import ctypes
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

STEP_BYTES = 200_000_000
MOST_BYTES = 6_000_000_000  # somebody else needs the machine too
NOISE_BYTES = 100_000_000
SLOW_S = 3.0  # longer than a trial looks away from the launch's wish to stop

Metrics = dict[str, Any]


def strike(kind: str, metrics: Metrics) -> Metrics:
    """Do what a poison of this kind does; return the metrics that the epoch then reports, if it still can."""
    return POISONS[kind](metrics)


def _raise(_metrics: Metrics) -> Metrics:
    raise ValueError("poisoned on purpose")


def _gpu_memory(_metrics: Metrics) -> Metrics:
    import torch

    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")


def _memory(_metrics: Metrics) -> Metrics:
    held = []
    while len(held) * STEP_BYTES < MOST_BYTES:
        held.append(b"\1" * STEP_BYTES)
    return _hang(_metrics)


def _hang(metrics: Metrics) -> Metrics:
    threading.Event().wait()
    return metrics


def _crash(metrics: Metrics) -> Metrics:
    ctypes.string_at(0)
    return metrics


def _exit_at_once(_metrics: Metrics) -> Metrics:
    os._exit(1)


def _exit(_metrics: Metrics) -> Metrics:
    sys.exit(3)


def _be_killed(metrics: Metrics) -> Metrics:
    os.kill(os.getpid(), signal.SIGKILL)
    return metrics


def _be_terminated(metrics: Metrics) -> Metrics:
    os.kill(os.getpid(), signal.SIGTERM)  # as Ray does when the launch or the node goes
    return metrics


def _noise(metrics: Metrics) -> Metrics:
    line = b"x" * 999 + b"\n"
    for _ in range(NOISE_BYTES // len(line)):
        os.write(1, line)
    return metrics


def _slow(metrics: Metrics) -> Metrics:
    threading.Event().wait(SLOW_S)
    return metrics


def _reporting(value: Any) -> Callable[[Metrics], Metrics]:
    return lambda metrics: metrics | {"train/kl": value}


def _missing(metrics: Metrics) -> Metrics:
    return {name: value for name, value in metrics.items() if name != "train/lr"}


POISONS: dict[str, Callable[[Metrics], Metrics]] = {
    "exception": _raise,
    "GPU memory": _gpu_memory,
    "memory": _memory,
    "hang": _hang,
    "crash": _crash,
    "exit at once": _exit_at_once,
    "exit": _exit,
    "killed": _be_killed,
    "terminated": _be_terminated,
    "noise": _noise,
    "slow": _slow,
    "nan": _reporting(float("nan")),
    "inf": _reporting(float("inf")),
    "text": _reporting("a word"),
    "missing": _missing,
}
