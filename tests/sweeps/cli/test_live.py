"""What a person sees of a launch: a table in a terminal, plain lines elsewhere, the same facts in both."""

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from sweeps.cli.live import LiveView, cells_table, live_view, print_outcome, progress_line
from sweeps.survey import survey
from tests.sweeps import ledgers
from trainables.store import Store, open_store


@pytest.fixture
def store(tmp_path: Path) -> Store:
    store = open_store(tmp_path)
    first, second, third, _ = ledgers.small_sweep().trial_keys
    ledgers.finish(ledgers.begin(store, first), 2.0)
    ledgers.finish(ledgers.begin(store, second), 4.0)
    ledgers.fail(ledgers.begin(store, third), "failed", "KeyError: 'x'")
    return store


def console(*, terminal: bool = False) -> Console:
    return Console(file=StringIO(), width=100, height=30, force_terminal=terminal, color_system=None)


def shown(on: Console) -> str:
    assert isinstance(on.file, StringIO)
    return on.file.getvalue()


def test_the_line_counts_every_state_and_estimates_the_time_left(store: Store) -> None:
    now = survey(store, ledgers.small_sweep())
    assert progress_line(now, 1) == "2 of 4 trials done, 1 failed, 0 running, 1 to do, about 3 (2–6) s left"


def test_plain_lines_tell_progress_and_every_complete_cell_once(store: Store) -> None:
    plain = console()
    with live_view(plain, store, ledgers.small_sweep()) as view:
        view.watch(1)
    lines = shown(plain).splitlines()
    assert lines == [
        "2 of 4 trials done, 1 failed, 0 running, 1 to do, about 3 (2–6) s left",
        "  standard crop: top-1 error 3.00 ± 1.00 %, ECE 1.50 ± 0.50 % (n = 2 of 2)",
    ]


def test_a_terminal_shows_bar_counts_and_means_so_far(store: Store) -> None:
    screen = console(terminal=True)
    screen.print(LiveView(screen, store, ledgers.small_sweep())._table())
    text = shown(screen)
    assert "2 of 4 trials done" in text.splitlines()[0]
    assert "3.00 ± 1.00" in text
    assert "hard Gaussian crop, sigma 0.3" in text
    assert "0/2" in text


def test_of_many_cells_the_incomplete_ones_come_first(store: Store) -> None:
    plain = console()
    plain.print(cells_table(survey(store, ledgers.small_sweep()), rows=1))
    assert "hard Gaussian crop" in shown(plain)
    assert "… and 1 more cells" in shown(plain)


def test_the_outcome_names_the_reasons_of_failures(store: Store) -> None:
    plain = console()
    print_outcome(plain, survey(store, ledgers.small_sweep()))
    assert "failed: hard Gaussian crop, sigma 0.3, seed 0 (trial " in shown(plain)
    assert "KeyError: 'x'" in shown(plain)
