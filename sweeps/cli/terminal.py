"""What the commands say to a person: lines on stdout, warnings and errors on stderr, or JSON and nothing else."""

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.console import Console
from rich.text import Text

from sweeps.launched import damaged, told
from trainables.store import Store

WIDTH = 120  # of tables and paragraphs that go to a file or a pipe

console = Console(width=None if sys.stdout.isatty() else WIDTH, highlight=False)
errors = Console(stderr=True, width=None if sys.stderr.isatty() else WIDTH, highlight=False)


def say(text: str) -> None:
    """Print a line, uncut however long."""
    console.print(Text(text), soft_wrap=True)


def say_wrapped(text: str, indent: int = 0) -> None:
    """Print a paragraph as wide as the terminal, each of its lines indented by so many spaces."""
    for line in Text(text).wrap(console, max(console.width - indent, 20)):
        console.print(Text(" " * indent + line.plain.rstrip()), soft_wrap=True)


def say_on_stderr(kind: str, text: str) -> None:
    """Print the lines of an error or a warning (`kind`) to stderr."""
    for line in text.splitlines():
        errors.print(Text(f"{kind}: {line}"), soft_wrap=True)


@contextmanager
def progress() -> Iterator[Callable[[str], None]]:
    """Show on a terminal what a command is at, on stderr and gone when it is done; yields what is to be told that."""
    if not errors.is_terminal:
        yield lambda _: None
        return
    with errors.status("") as status:
        yield lambda text: status.update(Text(text))


def warn_of_damaged_sweeps(store: Store) -> None:
    """Name the sweep files that cannot be read, and so are missing from what a command shows."""
    for problem in damaged(store):
        say_on_stderr("warning", told(problem))


def print_json(value: Any) -> None:
    """Print a value as JSON."""
    typer.echo(json.dumps(value, indent=1, ensure_ascii=False))
