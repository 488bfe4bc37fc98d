"""A table as Markdown, LaTeX (booktabs), CSV, or HTML: a fragment for a page, or a page of its own."""

import csv
import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from io import StringIO
from pathlib import Path
from typing import Literal

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from analysis.tables.table import Entry, Table

Format = Literal["markdown", "latex", "csv", "html"]

TEMPLATES = Path(__file__).parents[1] / "templates"
LATEX = {"\\": r"\textbackslash{}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
         "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "±": r"$\pm$", "−": "$-$", "–": "--", "<": "$<$",
         ">": "$>$", "≥": r"$\geq$", "≈": r"$\approx$", "×": r"$\times$", "σ": r"$\sigma$", "α": r"$\alpha$",
         "λ": r"$\lambda$", "γ": r"$\gamma$", "“": "``", "”": "''", "’": "'", "…": r"\ldots{}", "[": "{[}",
         "]": "{]}"}  # fmt: skip
MARKDOWN = re.compile(r"[\\`*|]|<(?=[A-Za-z/!?])|(?<!\w)_|_(?!\w)")  # what would not be shown as it stands


def to_markdown(table: Table) -> str:
    """Return the table as GitHub-flavoured Markdown."""
    lines = [map(markdown, table.columns), ["---"] * len(table.columns)]
    lines += [map(_markdown_entry, row.entries) for row in table.rows]
    title = f"**{markdown(table.title)}**\n\n" if table.title else ""
    notes = "".join(f"\n{markdown(note)}\n" for note in table.notes)
    return title + "".join(f"| {' | '.join(line)} |\n" for line in lines) + notes


def to_latex(table: Table) -> str:
    r"""Return a tabular for the booktabs package, in a table environment if there is a title. Links are left out."""
    columns = "l" * table.heads + "r" * (len(table.columns) - table.heads)
    if table.prose:
        columns = rf"p{{{0.9 / len(table.columns):.2f}\linewidth}}" * len(table.columns)
    lines = [rf"\begin{{tabular}}{{{columns}}}", r"\toprule", _latex_row(map(latex, table.columns)), r"\midrule"]
    for number, row in enumerate(table.rows):
        lines += [r"\midrule"] if row.opens and number else []
        lines.append(_latex_row(map(_latex_entry, row.entries)))
    lines += [r"\bottomrule", r"\end{tabular}"]
    lines += [rf"\par\smallskip{{\footnotesize {latex(note)}\par}}" for note in table.notes]
    if table.title:
        head = [r"\begin{table}", r"\centering", rf"\caption{{{latex(table.title)}}}"]
        lines = [*head, *lines, r"\end{table}"]
    return "\n".join([*lines, ""])


def to_csv(table: Table) -> str:
    """Return the table's records as CSV, a number per column, empty where there is none."""
    text = StringIO()
    names = list(dict.fromkeys(name for record in table.records for name in record))
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows(table.records)
    return text.getvalue()


def to_html(table: Table, *, described_by: str = "") -> str:
    """Return the table as a piece of HTML; `described_by` is the id of the text that explains it, if there is one."""
    return _environment().get_template("table.html").render(table=table, described_by=described_by)


def to_page(table: Table) -> str:
    """Return the table as a page of its own that makes no request."""
    style = (TEMPLATES / "report.css").read_text(encoding="utf-8")
    template = _environment().get_template("table_page.html")
    return template.render(title=table.title or "Table", fragment=to_html(table), style=style)


FORMATS: Mapping[Format, Callable[[Table], str]] = {
    "markdown": to_markdown, "latex": to_latex, "csv": to_csv, "html": to_page
}  # fmt: skip


def latex(text: str) -> str:
    """Escape text for LaTeX."""
    return "".join(LATEX.get(letter, letter) for letter in text)


def markdown(text: str) -> str:
    """Escape text for a table of GitHub-flavoured Markdown."""
    return MARKDOWN.sub(r"\\\g<0>", " ".join(text.splitlines()))


def _markdown_entry(entry: Entry) -> str:
    links = [f"[{markdown(link.text)}]({link.url})" for link in entry.links]
    text = " ".join(filter(None, [markdown(entry.text), *links]))
    return f"**{text}**" if entry.bold else text


def _latex_entry(entry: Entry) -> str:
    text = " ".join(map(latex, filter(None, [entry.text, *(link.text for link in entry.links)])))
    return rf"\textbf{{{text}}}" if entry.bold else text


def _latex_row(texts: Iterable[str]) -> str:
    return rf"{' & '.join(texts)} \\"


@cache
def _environment() -> Environment:
    return Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
