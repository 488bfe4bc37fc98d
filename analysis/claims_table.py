"""The claims with both evaluations, the paper's numbers and our runs, as a table and as lines for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from mlflow import MlflowClient

from analysis.claim_checks import Outcome, on_paper, on_runs
from analysis.claims import CLAIMS, Claim
from analysis.paper_results import check_scales
from analysis.results import Results, read_results
from analysis.table import Entry, Row, Table
from analysis.table_formats import FORMATS, Format
from analysis.tables import signed
from sweeps.resolved import ResolvedSweep

NOTES = (
    "Paper: by the printed means. “Within its error”: the 95 % interval of the sum, from the printed standard errors "
    "as if independent, holds 0; “within rounding”: unrounded numbers might say otherwise.",
    "Our runs: seed by seed; a row holds or fails where the 95 % t interval of the sum lies on one side of 0, and is "
    "open otherwise. In brackets, in points, how far it is on the claim's side. Not corrected for the number of rows.",
)


@dataclass(frozen=True)
class Evaluated:
    """A claim, an outcome per part on the paper's numbers, and those on our runs."""

    claim: Claim
    paper: tuple[Outcome, ...]
    runs: tuple[Outcome, ...]


def claims(sweeps: Sequence[ResolvedSweep], *, tracking_uri: str) -> list[Evaluated]:
    """Return all claims evaluated on the paper's numbers and on the runs of these sweeps, which may be none."""
    check_scales(sweeps)
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
    """Return the claims as a table, a row each; its records have a row per part."""
    return Table(
        title="The paper's claims",
        columns=("claim", "where", "checked", "the paper's numbers", "our runs"),
        prose=True,
        rows=tuple(Row(tuple(map(Entry, _texts(each)))) for each in found),
        records=tuple(record for each in found for record in _records(each)),
        notes=NOTES,
    )


def _texts(each: Evaluated) -> tuple[str, ...]:
    claim = each.claim
    return claim.sentence, claim.where, claim.checked, on_paper_text(each), on_runs_text(each)


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
    """Return "holds in 12 of 14 rows; fails in …" with the numbers of the rows that fail or are in doubt."""
    text = _counted(each.paper)
    fails = _listed(one for one in each.paper if one.state == "fails")
    doubt = _listed(one for one in each.paper if one.state == "holds" and one.doubt)
    return "; ".join(filter(None, [text, fails and f"fails in {fails}", doubt and f"in doubt: {doubt}"]))


def on_runs_text(each: Evaluated) -> str:
    """Return in how many rows our runs say that it holds, fails or is open, and which; or why there is nothing."""
    tested = [one for one in each.runs if one.state != "not tested"]
    if not tested:
        return f"not tested: {'; '.join(dict.fromkeys(one.reason for one in each.runs))}"
    sources = ", ".join(dict.fromkeys(name for one in tested for name in one.sources))
    texts = [f"{sources}: {_counted(tested)}"]
    for state in ("holds", "fails", "open"):
        if named := _listed(one for one in tested if one.state == state):
            texts.append(f"{state}: {named}")
    lost = [one for one in each.runs if one.state == "not tested"]
    if lost:
        texts.append(f"not tested: {len(lost)} rows ({'; '.join(dict.fromkeys(one.reason for one in lost))})")
    return "; ".join(texts)


def _counted(outcomes: Sequence[Outcome]) -> str:
    count = sum(one.state == "holds" for one in outcomes)
    return f"holds in {count} of {len(outcomes)} row{'s' if len(outcomes) != 1 else ''}"


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
