"""What the report says of a search: what was asked, what was found, and how much of it stood when run again."""

from pathlib import Path
from typing import Any

import pytest
from synthetic import finished, lose
from synthetic_search import made_up, searched
from test_report import Page

from analysis.report.site import Site
from analysis.results import results_of
from analysis.runs import TrialRun
from analysis.search.report import about_winners, search_section, sentences, winners_header
from sweeps.search.history import History, State


def runs(history: History) -> list[TrialRun]:
    """Return runs of the sweep's cells: seed s of cell c has an error of 30 + c + s percent."""
    every = []
    for number, cell in enumerate(history.sweep.cells):
        every += finished(cell, [30.0 + number + seed for seed in cell.trials])
    return every


def section(history: History, out: Path, rows: list[TrialRun] | None = None) -> dict[str, Any]:
    return search_section(history, results_of(history.sweep, rows or runs(history)), out)


def mixed(number: int) -> State:
    return "pruned" if number == 2 else "failed" if number == 3 else "open" if number == 5 else "complete"


@pytest.fixture(scope="module")
def history() -> History:
    return made_up(searched(12))


@pytest.fixture(scope="module")
def shown(history: History, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return section(history, tmp_path_factory.mktemp("shown"))


def test_the_sentences_count_what_was_asked() -> None:
    history = made_up(searched(6), mixed, over=False)
    asked = list(history.asked)
    asked[0] = type(asked[0])(**{**vars(asked[0]), "ask": asked[0].ask.model_copy(update={"earlier": True})})
    counts, minimized, best, spent = sentences(History(**{**vars(history), "asked": tuple(asked)}))
    assert counts == (
        "6 cells asked for by tpe: 3 complete, 1 pruned, 1 failed, 1 not ended; 1 of them taken over from an earlier "
        "search, at no cost."
    )
    assert "top-1 error (%) after the last epoch on 100 validation images" in minimized
    assert "n = 1 seed (100)" in minimized
    value = min(each.means[0] for each in history.complete)
    assert best.startswith(f"Best: {value:.2f} % top-1 error (validation, n = 1) at α = ")
    assert spent == "Budget: 14 cells; spent: 5 cells, 144 s (2.4 min) of training. The search is not over."


def test_a_winner_has_both_its_values_and_the_drop_between(history: History, shown: dict[str, Any]) -> None:
    """Golden: winner 1 is the sweep's third cell, so its two seeds have 32 and 33 %."""
    first = dict(zip(winners_header(history), shown["winners"][0], strict=True))
    found = history.winners[0].asked.means[0]
    assert first["winner"] == "1"
    assert first["found: validation top-1 error (%)"] == f"{found:.2f} (n = 1)"
    assert first["confirmed: test top-1 error (%)"] == "32.50 ± 0.50 (n = 2)"
    assert first["drop"] == f"{32.5 - found:+.2f}".replace("-", "−")
    assert first["σ"] == f"{history.winners[0].asked.ask.values['sigma']:.3g}"
    flatters, differs = shown["about_winners"]
    assert flatters.startswith("The best of 12 cells flatters")
    assert differs == (
        "Drop: confirmed less found; positive is worse. The second run differs: test in place of validation images, "
        "seeds 0, 1 in place of 100, 25 epochs in place of 20, 100 more training images, those of the validation split."
    )


def test_without_a_confirmed_winner_it_says_so() -> None:
    history = made_up(searched(5), confirmed=False, over=False)
    results = results_of(history.sweep, runs(history))
    (said,) = about_winners(history, results)
    assert said.startswith("No winner was confirmed yet: the search is not over.")


def test_a_winner_with_a_lost_seed_has_no_number(history: History, tmp_path: Path) -> None:
    rows = runs(history)
    lost = [lose(run, "diverged") if run.arm == "winner 1" and run.seed == 1 else run for run in rows]
    first, second = section(history, tmp_path, lost)["winners"]
    assert "1/2 seeds" in first
    assert not any("±" in text for text in first)
    assert any("±" in text for text in second)


def test_without_a_complete_cell_nothing_is_claimed(tmp_path: Path) -> None:
    history = made_up(searched(3), lambda _number: "failed")
    shown = section(history, tmp_path)
    assert shown["about_winners"] == ["No cell is complete, so there is no winner."]
    assert shown["winners"] == []
    assert not any("Best" in sentence for sentence in shown["sentences"])
    assert [figure["picture"] for figure in shown["figures"]] == [None] * 4


def test_nothing_asked_yet_is_a_sentence(tmp_path: Path) -> None:
    shown = section(made_up(searched(0), over=False), tmp_path)
    assert shown["sentences"] == ["Nothing has been asked for yet."]
    assert shown["asks"] == []


def test_two_objectives_have_two_values_of_a_winner(tmp_path: Path) -> None:
    history = made_up(searched(6, minimize=["val/top1_error", "val/ece"]))
    shown = section(history, tmp_path)
    row = dict(zip(shown["winners_header"], shown["winners"][0], strict=False))
    assert row["confirmed: test ECE (%)"] == "1.00 ± 0.00 (n = 2)"
    assert any("on the Pareto front" in sentence for sentence in shown["sentences"])


def test_all_cells_are_listed_from_the_best_on(shown: dict[str, Any]) -> None:
    assert len(shown["asks"]) == 12
    column = shown["asks_header"].index("validation top-1 error (%)")
    values = [float(row["entries"][column]) for row in shown["asks"]]
    assert values == sorted(values)
    assert shown["asks"][0]["note"] == "winner 1"
    numbers = [text for row in shown["asks"] for text in row["entries"]]
    assert all(len(text) <= len("TrivialAugment") for text in numbers), "no long fractions"


def test_the_page_with_a_search_asks_for_nothing(shown: dict[str, Any], history: History, tmp_path: Path) -> None:
    site = Site(tmp_path)
    blank = dict.fromkeys(("provenance", "commands", "findings", "cautions", "holes", "figures", "samples", "cost"), ())
    counts = {"finished": 0, "trials": 0, "cells": 0, "table": "", "table_files": {}}
    page_file = site.write("x/index.html", "sweep.html", **blank, **counts, sweep=history.sweep, search=shown)
    text = page_file.read_text("utf-8")
    page = Page(text)
    pictures = [(source, alt) for source, alt in page.sources if source.endswith(".svg")]
    assert len(pictures) == 4
    assert all("/" not in source and alt for source, alt in pictures)
    assert "<details>" in text
    assert "All 12 cells asked for" in page.text
    assert "http" not in text
