"""The claims with both evaluations, the paper's numbers and our runs, as a table and as lines for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient

from analysis.claims.checks import Outcome, on_paper, on_runs
from analysis.claims.claims import CLAIMS, Claim
from analysis.results import Results, read_results
from analysis.tables.formats import FORMATS, Format
from analysis.tables.paper_results import check_scales
from analysis.tables.sweep_table import signed
from analysis.tables.table import Entry, Row, Table
from sweeps.resolved import ResolvedSweep

NOTES = (
    "Paper: by the printed means. “Within its error”: the 95 % interval of the sum, from the printed standard errors "
    "as if independent, holds 0; “within rounding”: unrounded numbers might say otherwise.",
    "Our runs: seed by seed; a row holds or fails where the 95 % t interval of the sum lies on one side of 0, and is "
    "open otherwise. In brackets, in points, how far it is on the claim's side. Not corrected for the number of rows.",
)

FEW = 3  # rows that are all listed, those that hold, too


@dataclass(frozen=True)
class Evaluated:
    """A claim, an outcome per part on the paper's numbers, and those on our runs."""

    claim: Claim
    paper: tuple[Outcome, ...]
    runs: tuple[Outcome, ...]


def claims(sweeps: Sequence[ResolvedSweep], *, tracking_uri: str) -> list[Evaluated]:
    """Return all claims evaluated on the paper's numbers and on the runs of these sweeps, which may be none."""
    check_scales(sweeps)
    if not sweeps:
        return evaluated([])  # a client would make a database
    client = MlflowClient(tracking_uri)
    return evaluated([read_results(sweep, client) for sweep in sweeps])


def evaluated(sources: Sequence[Results]) -> list[Evaluated]:
    """Return all claims evaluated on the paper's numbers and on these results."""
    return [
        Evaluated(
            claim,
            tuple(on_paper(part) for part in claim.parts),
            tuple(outcome for part in claim.parts for outcome in on_runs(part, sources)),
        )
        for claim in CLAIMS
    ]


def claims_text(found: Sequence[Evaluated], form: Format) -> str:
    """Return the claims as a table in one of its formats."""
    return FORMATS[form](claims_table(found))


def claims_table(found: Sequence[Evaluated]) -> Table:
    """Return the claims as a table: a row for each and one for each of its parts; the records are the parts."""
    return Table(
        title="The paper's claims",
        columns=("claim", "the paper's numbers", "our runs"),
        prose=True,
        rows=tuple(row for each in found for row in _rows(each)),
        records=tuple(record for each in found for record in _records(each)),
        notes=NOTES,
    )


def _rows(each: Evaluated) -> Iterator[Row]:
    claim = each.claim
    said = f"“{claim.sentence}” ({claim.where}). Checked: {claim.checked}."
    yield Row((Entry(said), Entry(_counted(each.paper)), Entry(_runs_counted(each.runs))), opens=True)
    for part, paper in zip(claim.parts, each.paper, strict=True):
        for ours in (one for one in each.runs if one.part is part):
            yield Row((Entry(ours.row), Entry(_said(paper)), Entry(_said(ours))))


def _said(one: Outcome) -> str:
    return f"{one.state}: {value_text(one)}"


def lines(found: Sequence[Evaluated]) -> Iterator[tuple[int, str]]:
    """Yield the claims as paragraphs, each with its indent."""
    for each in found:
        yield 0, f"{each.claim.name} ({each.claim.where})"
        yield 2, f"“{each.claim.sentence}”"
        yield 2, f"checked: {each.claim.checked}"
        yield 2, f"paper: {on_paper_text(each)}"
        yield 2, f"our runs: {on_runs_text(each)}"
        yield 0, ""
    for note in NOTES:
        yield 0, note


def on_paper_text(each: Evaluated) -> str:
    """Return "holds in 12 of 14 rows, in 2 of them within its error or rounding; fails in …", with numbers."""
    doubts = sum(one.state == "holds" and bool(one.doubt) for one in each.paper)
    doubt = f", in {doubts} of them only within its error or rounding" if doubts else ""
    fails = _listed(one for one in each.paper if one.state == "fails")
    return f"{_counted(each.paper)}{doubt}" + (f"; fails in {fails}" if fails else "")


def on_runs_text(each: Evaluated) -> str:
    """Return in how many rows our runs say that it holds, and which fail or are open; or why there is nothing."""
    tested = [one for one in each.runs if one.state != "not tested"]
    lost = [one.reason for one in each.runs if one.state == "not tested"]
    if not tested:
        return f"not tested: {'; '.join(dict.fromkeys(lost))}"
    shown = ("holds", "fails", "open") if len(tested) <= FEW else ("fails", "open")
    named = ((state, _listed(one for one in tested if one.state == state)) for state in shown)
    texts = [_runs_counted(each.runs), *(f"{state}: {rows}" for state, rows in named if rows)]
    return "; ".join([*texts, *([f"not tested: {'; '.join(dict.fromkeys(lost))}"] if lost else [])])


def _counted(outcomes: Sequence[Outcome]) -> str:
    count = sum(one.state == "holds" for one in outcomes)
    return f"holds in {count} of {len(outcomes)} row{'s' if len(outcomes) != 1 else ''}"


def _runs_counted(outcomes: Sequence[Outcome]) -> str:
    tested = [one for one in outcomes if one.state != "not tested"]
    if not tested:
        return "not tested"
    sources = ", ".join(dict.fromkeys(name for one in tested for name in one.sources))
    lost = len(outcomes) - len(tested)
    return f"{sources}: {_counted(tested)} tested" + (f", {lost} not tested" if lost else "")


def _listed(outcomes: Iterable[Outcome]) -> str:
    return ", ".join(f"{one.row} ({value_text(one)})" for one in outcomes)


def value_text(one: Outcome) -> str:
    """Return "+0.24, within its error" or "+0.24 [−0.10, +0.58], n = 3"."""
    if one.value is None:
        return one.reason
    if one.n is None or one.half is None:
        return ", ".join(filter(None, [signed(f"{one.value:+.2f}"), one.doubt]))
    return signed(f"{one.value:+.2f} [{one.value - one.half:+.2f}, {one.value + one.half:+.2f}], n = {one.n}")


def _records(each: Evaluated) -> Iterator[dict[str, object]]:
    for what, outcomes in (("paper", each.paper), ("runs", each.runs)):
        for one in outcomes:
            yield {
                "claim": each.claim.name, "row": one.row, "evaluated_on": what, "state": one.state, "value": one.value,
                "interval_95": one.half, "n": one.n, "doubt": one.doubt, "reason": one.reason,
                "sweeps": ", ".join(one.sources),
            }  # fmt: skip
