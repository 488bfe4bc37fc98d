"""Which code a launch runs: the git commit of the working tree softaug is imported from, or the one an image is of."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

import softaug


@dataclass(frozen=True)
class Code:
    """A commit ("unknown" if nobody says) and whether files under version control differ from it."""

    commit: str
    dirty: bool


def code() -> Code:
    """Ask git about the folder that holds the package softaug; an image, which has none, says it in SOFTAUG_COMMIT."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return Code(os.environ.get("SOFTAUG_COMMIT") or "unknown", False)
    return Code(commit, bool(_git("status", "--porcelain", "--untracked-files=no")))


def _git(*arguments: str) -> str | None:
    folder = Path(softaug.__file__).parent
    try:
        asked = subprocess.run(["git", *arguments], cwd=folder, capture_output=True, text=True, timeout=10, check=False)
    except (FileNotFoundError, subprocess.TimeoutExpired):
        return None
    return asked.stdout.strip() if asked.returncode == 0 else None
