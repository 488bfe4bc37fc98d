"""A process that crashes or falls silent leaves its Python stack behind; one that lives leaves nothing."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from trainables.watchdog import SILENT, Watchdog

PREAMBLE = """
import ctypes, os, sys, threading, time
from pathlib import Path
from trainables.watchdog import Watchdog
watchdog = Watchdog(Path(sys.argv[1]) / "0001" / "crash.txt", 1.0)
"""


def last_words(folder: Path, code: str) -> tuple[int, str]:
    """Run code under a watchdog in a process of its own; return its exit status and what it left."""
    command = [sys.executable, "-c", PREAMBLE + code, str(folder)]
    ran = subprocess.run(command, timeout=60, check=False, capture_output=True)
    left = folder / "0001" / "crash.txt"
    return ran.returncode, left.read_text() if left.exists() else ""


def test_a_segmentation_fault_leaves_its_stack(tmp_path: Path) -> None:
    status, left = last_words(tmp_path, "def crash(): ctypes.string_at(0)\nwith watchdog.watching(): crash()\n")
    assert status == -11
    assert left.startswith("Fatal Python error: Segmentation fault\n")
    assert "in crash" in left


@pytest.mark.parametrize("hang", ["threading.Event().wait()", "ctypes.PyDLL(None).sleep(60)"])
def test_a_silent_process_is_ended_also_while_it_holds_the_interpreter_s_lock(tmp_path: Path, hang: str) -> None:
    started = time.monotonic()
    status, left = last_words(tmp_path, f"def hang(): {hang}\nwith watchdog.watching(): hang()\n")
    assert time.monotonic() - started < 30
    assert status == 1
    assert left.startswith(SILENT)
    assert "in hang" in left


def test_signs_of_life_and_idle_times_are_no_silence(tmp_path: Path) -> None:
    code = """
with watchdog.watching():
    for _ in range(6):
        time.sleep(0.3)
        watchdog.beat()
time.sleep(1.5)
watchdog.close()
time.sleep(1.5)
"""
    assert last_words(tmp_path, code) == (0, "")


def test_closing_leaves_no_file_and_hands_crashes_back(tmp_path: Path) -> None:
    Watchdog(tmp_path / "0001" / "crash.txt", 60.0).close()
    assert list((tmp_path / "0001").iterdir()) == []
