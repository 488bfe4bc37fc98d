"""The table as Markdown, LaTeX and CSV."""

import csv
from io import StringIO
from pathlib import Path

from mlflow import MlflowClient
from synthetic import finished, lose, project, quickstart

from analysis.results import Results, results_of
from analysis.tables.formats import to_csv, to_latex, to_markdown
from analysis.tables.sweep_table import p_text, sweep_table, table
from analysis.tables.table import Table

SWEEP = quickstart(sigmas=(0.1,))
SWEEP = SWEEP.model_copy(update={"cells": [SWEEP.cells[0], SWEEP.cells[1], SWEEP.cells[5]]})
RUNS = (
    finished(SWEEP.cells[0], [3.0, 3.3, 3.6], [1.0, 1.2, 1.4])
    + finished(SWEEP.cells[1], [2.0, 2.31, 2.59], [1.0, 1.0, 1.3])
    + finished(SWEEP.cells[2], [2.7, 3.0, 3.6])
)


def results() -> Results:
    hole = lose(RUNS[7], "diverged", "loss is nan")
    return results_of(SWEEP, [*RUNS[:7], hole, RUNS[8]])


def made() -> Table:
    return sweep_table(results())


def test_markdown_by_hand() -> None:
    """Differences 1.00, 0.99, 1.01: mean 1, SE 0.01 / sqrt(3), interval ± 4.3027 SE, t = 173.2, p = 3.3e-5."""
    assert to_markdown(made()) == (
        "| arm | σ | n | top-1 error (%) | reduction (points) [95 % interval] | p (Holm) | ECE (%) | NLL (nats)"
        " | Brier score |\n"
        "| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n"
        "| standard crop | – | 3 | 3.30 ± 0.17 | – | – | 1.20 ± 0.12 | 0.110 ± 0.006 | 0.047 ± 0.002 |\n"
        "| hard Gaussian crop | 0.1 | 3 | 2.30 ± 0.17 | **1.00 ± 0.01 [0.98, 1.02]** | **< 0.001** | 1.10 ± 0.10"
        " | 0.077 ± 0.006 | 0.033 ± 0.002 |\n"
        "| soft target & weight | 0.1 | 2/3 | – | – | – | – | – | – |\n"
        "\nsoft target & weight, σ = 0.1: seed 1 diverged (loss is nan)\n"
    )


def test_latex_by_hand() -> None:
    lines = to_latex(made()).splitlines()
    assert lines[0] == r"\begin{tabular}{lrrrrrrrr}"
    assert lines[2].startswith(r"arm & $\sigma$ & n & top-1 error (\%) & reduction (points) {[}95 \% interval{]} &")
    assert lines[5].startswith(
        r"hard Gaussian crop & 0.1 & 3 & 2.30 $\pm$ 0.17 & \textbf{1.00 $\pm$ 0.01 {[}0.98, 1.02{]}}"
    )
    assert lines[6] == r"soft target \& weight & 0.1 & 2/3 & -- & -- & -- & -- & -- & -- \\"
    assert lines[8] == r"\end{tabular}"
    assert lines[9:] == [
        r"\par\smallskip{\footnotesize soft target \& weight, $\sigma$ = 0.1: seed 1 diverged (loss is nan)\par}"
    ]


def test_csv_has_a_number_per_column_and_the_reason_of_a_hole() -> None:
    base, hard, soft = csv.DictReader(StringIO(to_csv(made())))
    assert float(hard["reduction"]) == 1.0
    assert base["reduction"] == base["p_holm"] == ""
    assert (soft["seeds_finished"], soft["seeds_expected"], soft["top1_error"]) == ("2", "3", "")
    assert soft["problems"] == "seed 1 diverged (loss is nan)"


def test_nothing_is_bold_without_a_test() -> None:
    """Far better at one seed, or at three with a wide spread: no bold."""
    single = quickstart(sigmas=(0.1,), seeds=(0,))
    single = single.model_copy(update={"cells": single.cells[:2]})
    runs = finished(single.cells[0], [9.0]) + finished(single.cells[1], [1.0])
    assert "| 8.00 | – |" in to_markdown(sweep_table(results_of(single, runs)))
    wide = [*RUNS[:3], *finished(SWEEP.cells[1], [2.0, 1.0, 3.3]), *RUNS[6:]]
    assert "**" not in to_markdown(sweep_table(results_of(SWEEP, wide)))


def test_a_worse_cell_has_a_minus() -> None:
    worse = [*RUNS[:3], *finished(SWEEP.cells[1], [4.0, 4.31, 4.59]), *RUNS[6:]]
    assert "**−1.00 ± 0.01 [−1.02, −0.98]**" in to_markdown(sweep_table(results_of(SWEEP, worse)))


def test_small_p_values_are_not_zero() -> None:
    assert [p_text(p) for p in (None, 0.0, 0.0004, 0.05)] == ["–", "< 0.001", "< 0.001", "0.050"]


def test_the_command_lines_table_reads_mlflow(client: MlflowClient, tmp_path: Path) -> None:
    project(client, SWEEP, RUNS, tmp_path, pictures=False)
    text = table(SWEEP, tracking_uri=client.tracking_uri, form="markdown")
    assert text == to_markdown(sweep_table(results_of(SWEEP, RUNS)))
