"""What a process that another one started does for it. No torch here."""

import os
import threading
from multiprocessing import parent_process
from typing import Any


def end_with_parent() -> None:
    """End this process, a child by multiprocessing, as soon as its parent has ended, however that happened."""
    threading.Thread(target=_wait, args=(parent_process(),), name="parent", daemon=True).start()


def _wait(parent: Any) -> None:
    parent.join()
    os._exit(1)
