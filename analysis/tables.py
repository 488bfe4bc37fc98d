"""The table of a sweep: one row per cell, baseline first, as Markdown, LaTeX (booktabs), CSV or rows for the report.

A hole shows its finished seeds ("2/3") and no number. Bold is a reduction that stands after Holm's correction.
"""

import csv
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from io import StringIO
from typing import Literal

from mlflow import MlflowClient

from analysis.cells import CellRuns, number_text
from analysis.results import Results, read_results
from softaug.estimate import Estimate
from sweeps.resolved import ResolvedSweep

Format = Literal["markdown", "latex", "csv"]

NONE = "–"
# metric, header with unit, decimals
COLUMNS = (("test/top1_error", "top-1 error (%)", 2), ("test/ece", "ECE (%)", 2),
           ("test/nll", "NLL (nats)", 3), ("test/brier", "Brier score", 3))  # fmt: skip
REDUCTION = ("reduction (points) [95 % interval]", "p (Holm)")
LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
         "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--", "<": "$<$",
         "σ": r"$\sigma$", "α": r"$\alpha$", "[": "{[}", "]": "{]}"}  # fmt: skip


@dataclass(frozen=True)
class Entry:
    """The text of one table cell."""

    text: str
    bold: bool = False


def table(sweep: ResolvedSweep, *, tracking_uri: str, form: Format) -> str:
    """Return the sweep's table as text."""
    return FORMATS[form](read_results(sweep, MlflowClient(tracking_uri)))


def header(results: Results) -> list[str]:
    """Return the column titles, units included."""
    error, *others = (title for _, title, _ in COLUMNS)
    return ["arm", *(axis.label for axis in results.sweep.axes.values()), "n", error, *REDUCTION, *others]


def rows(results: Results) -> list[list[Entry]]:
    """Return the table's entries, one row per cell in the sweep's order."""
    return [[Entry(text) for text in _names(results, cell)] + _numbers(results, cell) for cell in results.cells]


def to_markdown(results: Results) -> str:
    """Return the table as GitHub-flavoured Markdown."""
    titles = [title.replace("|", r"\|") for title in header(results)]
    lines = [titles, ["---"] * len(titles)]
    for row in rows(results):
        texts = [entry.text.replace("|", r"\|") for entry in row]
        lines.append([f"**{text}**" if entry.bold else text for text, entry in zip(texts, row, strict=True)])
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def to_latex(results: Results) -> str:
    """Return the table as a LaTeX tabular for the booktabs package."""
    body = [
        " & ".join(rf"\textbf{{{latex(entry.text)}}}" if entry.bold else latex(entry.text) for entry in row)
        for row in rows(results)
    ]
    titles = " & ".join(latex(title) for title in header(results))
    columns = "l" + "r" * (len(header(results)) - 1)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", rf"{titles} \\", r"\midrule"]
    return "\n".join([*lines, *(rf"{row} \\" for row in body), r"\bottomrule", r"\end{tabular}", ""])


def to_csv(results: Results) -> str:
    """Return the table as CSV with a number per column, empty where there is none."""
    text = StringIO()
    records = [_record(results, cell) for cell in results.cells]
    writer = csv.DictWriter(text, list(records[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue()


FORMATS: Mapping[Format, Callable[[Results], str]] = {"markdown": to_markdown, "latex": to_latex, "csv": to_csv}


def latex(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(LATEX.get(letter, letter) for letter in text)


def estimate_text(estimate: Estimate | None, decimals: int = 2) -> str:
    """Return "2.41 ± 0.12" (mean and SE), the mean alone at n = 1, a dash for a hole."""
    if estimate is None:
        return NONE
    mean = signed(f"{estimate.mean:.{decimals}f}")
    return mean if estimate.se is None else f"{mean} ± {estimate.se:.{decimals}f}"


def signed(number: str) -> str:
    """Write a number's minus as a minus, not as a hyphen."""
    return number.replace("-", "−")


def reduction_text(reduction: Estimate) -> str:
    """Return "0.82 ± 0.10 [0.39, 1.25]": mean, SE and 95 % t interval; the mean alone at n = 1."""
    half = reduction.interval_95
    if half is None:
        return estimate_text(reduction)
    interval = signed(f"[{reduction.mean - half:.2f}, {reduction.mean + half:.2f}]")
    return f"{estimate_text(reduction)} {interval}"


def p_text(p: float | None) -> str:
    """Return a p value with three decimals."""
    return NONE if p is None else "< 0.001" if p < 0.001 else f"{p:.3f}"


def _names(results: Results, cell: CellRuns) -> list[str]:
    axes = [number_text(cell.cell.axes[name]) if name in cell.cell.axes else NONE for name in results.sweep.axes]
    return [cell.cell.arm, *axes, cell.seeds if cell.problems else str(len(cell.runs))]


def _numbers(results: Results, cell: CellRuns) -> list[Entry]:
    error, *others = (Entry(estimate_text(cell.estimate(metric), decimals)) for metric, _, decimals in COLUMNS)
    comparison = results.comparisons.get(cell.cell.cell_key)
    if comparison is None:
        return [error, Entry(NONE), Entry(NONE), *others]
    bold = comparison.significant
    return [error, Entry(reduction_text(comparison.reduction), bold), Entry(p_text(comparison.p_holm), bold), *others]


def _record(results: Results, cell: CellRuns) -> Mapping[str, object]:
    record: dict[str, object] = {"arm": cell.cell.arm}
    record |= {name: cell.cell.axes.get(name) for name in results.sweep.axes}
    record |= {"seeds_finished": len(cell.finished), "seeds_expected": len(cell.runs)}
    for metric, _, _ in COLUMNS:
        record |= _mean_and_se(metric.removeprefix("test/"), cell.estimate(metric))
    comparison = results.comparisons.get(cell.cell.cell_key)
    reduction = comparison.reduction if comparison else None
    record |= _mean_and_se("reduction", reduction)
    record |= {"reduction_interval_95": reduction.interval_95 if reduction else None}
    record |= {"p": comparison.p if comparison else None, "p_holm": comparison.p_holm if comparison else None}
    return record | {"problems": "; ".join(cell.problems)}


def _mean_and_se(name: str, estimate: Estimate | None) -> dict[str, float | None]:
    return {name: estimate.mean if estimate else None, f"{name}_se": estimate.se if estimate else None}
