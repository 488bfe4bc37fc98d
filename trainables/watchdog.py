"""Last words of a process: when it crashes or falls silent, its Python stack is written into the attempt's folder.

`faulthandler` does both without the interpreter's lock, so a trial that hangs inside C code is noticed too: its own
watchdog thread ends the process. The launch then reads from `crash.txt` why the process died.
"""

import faulthandler
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

SILENT = "Timeout ("  # how faulthandler begins when the process was silent for too long


class Watchdog:
    """Guards one attempt, whose `crash.txt` this is. `silent_after_s`: seconds without a sign of life that end it."""

    def __init__(self, file: Path, silent_after_s: float) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        self.silent_after_s = silent_after_s
        self.file = file.open("w")
        faulthandler.enable(self.file)

    def beat(self) -> None:
        """Give a sign of life: from now on the process may be silent for `silent_after_s` again."""
        faulthandler.dump_traceback_later(self.silent_after_s, exit=True, file=self.file)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Watch while the block runs; between blocks the process may wait as long as it likes."""
        self.beat()
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()

    def close(self) -> None:
        """Stop guarding; there was no crash."""
        faulthandler.enable(sys.__stderr__ or 2)
        self.file.close()
        Path(self.file.name).unlink(missing_ok=True)
