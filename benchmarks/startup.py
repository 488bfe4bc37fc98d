"""How long before the command line answers?   python benchmarks/startup.py

Question: seconds of `softaug --help`, `softaug sweeps` and `softaug plan quickstart`, each a fresh process in an
empty folder, beside an interpreter that does nothing; medians of seven, alternating. Expected: under 0.5 s each.
Cost: about ten seconds.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PROCESSES = 7
TARGET_S = 0.5
SOFTAUG = str(Path(sys.executable).with_name("softaug"))
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "softaug --help": [SOFTAUG, "--help"],
    "softaug sweeps": [SOFTAUG, "sweeps"],
    "softaug plan quickstart": [SOFTAUG, "plan", "quickstart"],
}


def seconds(command: list[str], folder: str) -> float:
    """Return the seconds of one process. Raises CalledProcessError if it fails."""
    started = time.perf_counter()
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True)
    return time.perf_counter() - started


def main() -> None:
    """Print the medians."""
    with tempfile.TemporaryDirectory() as folder:
        rounds = [[seconds(command, folder) for command in COMMANDS.values()] for _ in range(PROCESSES)]
    for name, times in zip(COMMANDS, zip(*rounds, strict=True), strict=True):
        target = "" if name.startswith("python") else f"   (target: under {TARGET_S} s)"
        print(f"{name:24} {statistics.median(times):6.2f} s{target}")


if __name__ == "__main__":
    main()
