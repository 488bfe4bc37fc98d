"""A table written in four formats: nothing lost, nothing that changes its meaning there."""

import csv
import re
from dataclasses import replace
from html.parser import HTMLParser
from io import StringIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.tables.formats import FORMATS, latex, markdown, to_csv, to_html, to_latex, to_markdown, to_page
from analysis.tables.table import Entry, Link, Row, Table

LINK = Link("0", "https://e/?a=1&b=2", "seed 0")
NASTY = "a|b <i>x</i> & 5% #1 $x$ {y} ~ ^ \\z_ *w* `c` σ = 0.3 ± 1 ≥ “q”"
TABLE = Table(
    title="Errors of <b>",
    columns=("arm", "error (%)", "runs"),
    rows=(
        Row((Entry(NASTY), Entry("1.00 ± 0.10", bold=True), Entry("", links=(LINK,)))),
        Row((Entry("other"), Entry("2/3", hole='seed 1 "failed" <nan>'), Entry("–")), opens=True),
    ),
    records=({"arm": NASTY, "error": 1.0}, {"arm": "other", "error": None, "problems": "seed 1"}),
    notes=("other: seed 1 <nan>",),
)  # fmt: skip
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["C", "Z"]) | st.just(" "), max_size=20)


class Seen(HTMLParser):
    """The rows of a page's table as a browser has them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.rows: list[list[str]] = []
        self.attributes: list[dict[str, str | None]] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append({"": tag, **dict(attrs)})
        if tag not in ("meta", "link"):
            self.open.append(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "td" in self.open or "th" in self.open:
            self.rows[-1][-1] += data


def unescaped(text: str) -> list[str]:
    """The places of a Markdown row as GitHub shows them."""
    return [re.sub(r"\\(.)", r"\1", place).strip() for place in re.split(r"(?<!\\)\|", text.strip().strip("|"))]


def test_html_shows_the_texts_and_only_them() -> None:
    seen = Seen(to_page(TABLE))
    assert [[" ".join(text.split()) for text in row] for row in seen.rows] == [
        ["arm", "error (%)", "runs"], [NASTY, "1.00 ± 0.10", "0"], ["other", "2/3", "–"],
    ]  # fmt: skip
    assert {"": "td", "class": "hole", "title": 'seed 1 "failed" <nan>'} in seen.attributes
    assert {"": "a", "href": "https://e/?a=1&b=2", "aria-label": "seed 0"} in seen.attributes
    assert [each["class"] for each in seen.attributes if each[""] == "tr" and "class" in each] == ["opens"]
    assert not any(each[""] in ("i", "b", "nan", "script") for each in seen.attributes)


def test_a_fragment_names_what_describes_it() -> None:
    assert 'aria-describedby="a-note"' in to_html(TABLE, described_by="a-note")


def test_markdown_shows_the_texts() -> None:
    title, _, _, _, first, second, _, note = to_markdown(TABLE).splitlines()
    assert title == r"**Errors of \<b>**"
    assert unescaped(first) == [NASTY, "**1.00 ± 0.10**", "[0](https://e/?a=1&b=2)"]
    assert unescaped(second) == ["other", "2/3", "–"]
    assert note == r"other: seed 1 \<nan>"


@settings(max_examples=100, deadline=None)
@given(TEXTS)
def test_no_text_breaks_a_row(text: str) -> None:
    """Whatever a name holds: as many places in the row, and the text again when the format is read."""
    table = Table(columns=("a", "b"), rows=(Row((Entry(text), Entry("1"))),), records=({"a": text, "b": 1},))
    assert len(re.split(r"(?<!\\)\|", to_markdown(table).splitlines()[2])) == 4
    row = to_latex(table).splitlines()[4]
    assert len(re.findall(r"(?<!\\)&", row)) == 1
    assert row.count("{") - row.count(r"\{") == row.count("}") - row.count(r"\}")
    assert Seen(to_html(table)).rows[1][0].strip() == text.strip()
    assert next(csv.DictReader(StringIO(to_csv(table), newline="")))["a"] == text


def test_latex_escapes_everything_special() -> None:
    assert latex(r"a_b & 5% #1 $x$ {y} ~ ^ \z") == (
        r"a\_b \& 5\% \#1 \$x\$ \{y\} \textasciitilde{} \textasciicircum{} \textbackslash{}z"
    )
    assert latex("± − – < > ≥ ≈ × σ α λ γ “a” ’ …").isascii()


def test_latex_is_a_table_with_rules_and_notes() -> None:
    lines = to_latex(TABLE).splitlines()
    assert lines[:3] == [r"\begin{table}", r"\centering", r"\caption{Errors of $<$b$>$}"]
    assert lines[3:7] == [r"\begin{tabular}{lrr}", r"\toprule", r"arm & error (\%) & runs \\", r"\midrule"]
    assert lines[8] == r"\midrule"  # before the row that opens a group
    assert lines[9:] == [
        r"other & 2/3 & -- \\", r"\bottomrule", r"\end{tabular}",
        r"\par\smallskip{\footnotesize other: seed 1 $<$nan$>$\par}", r"\end{table}",
    ]  # fmt: skip


def test_columns_of_sentences_wrap() -> None:
    prose = replace(TABLE, prose=True)
    assert r"\begin{tabular}{p{0.30\linewidth}p{0.30\linewidth}p{0.30\linewidth}}" in to_latex(prose)
    assert '<table class="prose">' in to_html(prose)


def test_csv_holds_the_records() -> None:
    first, second = csv.DictReader(StringIO(to_csv(TABLE)))
    assert first == {"arm": NASTY, "error": "1.0", "problems": ""}
    assert second == {"arm": "other", "error": "", "problems": "seed 1"}


def test_markdown_leaves_plain_text_alone() -> None:
    assert markdown("soft target & weight, top1_error 1.00 ± 0.01 [0.98, 1.02] < 0.001, SA#1") == (
        "soft target & weight, top1_error 1.00 ± 0.01 [0.98, 1.02] < 0.001, SA#1"
    )


def test_every_format_ends_its_last_line() -> None:
    assert all(write(TABLE).endswith("\n") for write in FORMATS.values())


def test_a_row_has_an_entry_per_column() -> None:
    with pytest.raises(ValueError, match="row 1 has 1 entries for 2 columns"):
        Table(columns=("a", "b"), rows=(Row((Entry("x"),)),), records=())
