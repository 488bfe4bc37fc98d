"""Tables 1 to 9 of the paper from our runs: each published number with ours beside it, the difference, and a verdict.

A table with one column of numbers has a row per number. One with several has four rows for each of the paper's: ours,
paper, difference, verdict. Bold is a number of ours that is better than its own baseline's by a paired t test, after
Holm's correction over the table's family: every such comparison that the sweeps declare for it, holes included.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from mlflow import MlflowClient

from analysis.compare import SIGNIFICANT, holm, paired_p
from analysis.published import PublishedNumber
from analysis.results import Results, read_results
from analysis.tables.formats import FORMATS, Format
from analysis.tables.paper_layouts import LAYOUTS, Layout, Line, Place
from analysis.tables.paper_results import Filled, check_scales, fill, fills, measured
from analysis.tables.sweep_table import NONE, estimate_text, signed
from analysis.tables.table import Entry, Link, Row, Table
from analysis.verdict import Verdict, verdict
from softaug.estimate import Estimate, estimate
from sweeps.resolved import ResolvedSweep

Pages = Mapping[tuple[str, str], str]  # experiment, cell key -> address of what shows the cell's runs
ACROSS = ("ours (n)", "paper", "difference [95 % interval]", "verdict")
DOWN = ("ours (n)", "paper", "difference", "verdict")


@dataclass(frozen=True)
class Judged:
    """A place of a table with what is known of it. `p_holm`: of the comparison with its own baseline."""

    name: str
    filled: Filled
    paper: PublishedNumber
    ours: Estimate | None
    verdict: Verdict
    better: Estimate | None  # baseline minus ours, paired by seed
    p_holm: float | None

    @property
    def bold(self) -> bool:
        better = self.better is not None and self.better.mean > 0
        return better and self.p_holm is not None and self.p_holm < SIGNIFICANT


def paper_table(number: str, sweeps: Sequence[ResolvedSweep], *, tracking_uri: str, form: Format) -> str:
    """Return a table of the paper as text, with the runs of those sweeps that have a number in it."""
    client = MlflowClient(tracking_uri)
    wanted = [sweep for sweep in sweeps if fills(sweep, number)]
    check_scales(wanted)
    return FORMATS[form](table_of(LAYOUTS[number], [read_results(sweep, client) for sweep in wanted]))


def table_of(layout: Layout, sources: Sequence[Results], *, pages: Pages | None = None) -> Table:
    """Return the table that results fill. `pages`: where numbers lead to."""
    places = judged(layout, sources)
    across = len(layout.columns) == 1
    rows = _across(layout, places, pages or {}) if across else _down(layout, places, pages or {})
    return Table(
        title=f"Table {layout.number}. {layout.title}",
        columns=(*layout.heads, *(ACROSS if across else ("", *layout.columns))),
        heads=len(layout.heads) + (not across),
        rows=tuple(rows),
        records=tuple(_record(each) for all_ in places.values() for each in all_),
        notes=tuple(_notes(places, sources)),
    )


def judged(layout: Layout, sources: Sequence[Results]) -> dict[Place, list[Judged]]:
    """Return every place of a table with its number, the verdict on it, and the test against its own baseline."""
    filled = [(name, each) for name, place in layout.places for each in fill(place, sources)]
    better = [_better(each) for _, each in filled]
    family = [index for index, (_, each) in enumerate(filled) if each.against is not None]
    p_values = [None if (gain := better[index]) is None else paired_p(gain) for index in family]
    corrected = dict(zip(family, holm([1.0 if p is None else p for p in p_values]), strict=True))
    tested = {index for index, p in zip(family, p_values, strict=True) if p is not None}
    found: dict[Place, list[Judged]] = {}
    for index, (name, each) in enumerate(filled):
        p_holm = corrected[index] if index in tested else None
        found.setdefault(each.place, []).append(_judged(name, each, better[index], p_holm))
    return found


def _judged(name: str, filled: Filled, better: Estimate | None, p_holm: float | None) -> Judged:
    paper = filled.place.published
    ours = estimate(filled.values.values()) if filled.values else None
    if ours is None:
        found = Verdict("")
    elif filled.departures:
        found = Verdict(f"not comparable: {filled.scale} scale")
    else:
        found = verdict(ours, paper)
    return Judged(name, filled, paper, ours, found, better, p_holm)


def _better(filled: Filled) -> Estimate | None:
    """Return how much better a cell is than its own baseline, paired by seed, None if one of them has no number."""
    if filled.against is None or not filled.values:
        return None
    base, _ = measured(filled.against, filled.place)
    if base.keys() != filled.values.keys():
        return None
    return estimate(base[seed] - value for seed, value in filled.values.items())


def _across(layout: Layout, places: Mapping[Place, list[Judged]], pages: Pages) -> list[Row]:
    rows = []
    for line, names, opens in _named(layout):
        (place,) = line.places
        alternatives = [] if place is None else places[place]
        for number, each in enumerate(alternatives):
            first, *others = names
            if len(alternatives) > 1:  # say which of several settings it is
                others[-1] += f": {each.filled.arm}"
            entries = (_ours(each, pages), Entry(_paper(each.paper)), _difference(each), Entry(_words(each)))
            shown = (first if number == 0 else "", *others)
            rows.append(Row((*map(Entry, shown), *entries), opens=opens and number == 0))
    return rows


def _down(layout: Layout, places: Mapping[Place, list[Judged]], pages: Pages) -> list[Row]:
    rows = []
    for line, names, _ in _named(layout):
        columns = [_column(places, place, pages) for place in line.places]
        for number, what in enumerate(DOWN):
            shown = names if number == 0 else ("",) * len(names)
            rows.append(Row((*map(Entry, (*shown, what)), *(column[number] for column in columns)), opens=number == 0))
    return rows


def _named(layout: Layout) -> Iterator[tuple[Line, tuple[str, ...], bool]]:
    """Yield every line, its names without the first where that stands above, and whether a group of several begins or
    has just ended.
    """
    groups = [list(lines) for _, lines in groupby(layout.lines, key=lambda line: line.names[0])]
    before = 1
    for group in groups:
        for number, line in enumerate(group):
            names = line.names if number == 0 else ("", *line.names[1:])
            yield line, names, number == 0 and max(before, len(group)) > 1
        before = len(group)


def _column(places: Mapping[Place, list[Judged]], place: Place | None, pages: Pages) -> list[Entry]:
    if place is None:
        return [Entry("")] * len(DOWN)
    each, *others = places[place]
    if others:
        arms = ", ".join(one.filled.arm for one in (each, *others))
        return [Entry("several", hole=f"several arms: {arms}"), Entry(_paper(each.paper)), Entry(NONE), Entry("")]
    return [_ours(each, pages), Entry(_paper(each.paper)), _difference(each), Entry(_words(each))]


def _ours(each: Judged, pages: Pages) -> Entry:
    if each.ours is None:
        quoted = each.paper.quoted_from is not None
        return Entry(NONE) if quoted else Entry(each.filled.seeds or each.filled.hole, hole=each.filled.hole)
    text, key = (
        f"{estimate_text(each.ours)} ({each.ours.n})",
        each.filled.cell.cell.cell_key if each.filled.cell else "",
    )
    page = pages.get((each.filled.source, key))
    return Entry("", each.bold, links=(Link(text, page),)) if page else Entry(text, each.bold)


def _paper(paper: PublishedNumber) -> str:
    if paper.mean is None:
        return "diverged"
    error = f" ± {paper.se:.2f}" if paper.se is not None else f" ± < {paper.se_upper_bound}" if paper.largest_se else ""
    return f"{paper.mean:.{paper.decimals}f}{error}"


def _difference(each: Judged) -> Entry:
    difference, half = each.verdict.difference, each.verdict.interval_95
    if difference is None:
        return Entry(NONE)
    interval = "" if half is None else f" [{difference - half:+.2f}, {difference + half:+.2f}]"
    return Entry(signed(f"{difference:+.2f}{interval}"))


def _words(each: Judged) -> str:
    if each.paper.quoted_from is not None:
        return "quoted, not run"
    return each.verdict.words


def _notes(places: Mapping[Place, list[Judged]], sources: Sequence[Results]) -> list[str]:
    known = [each for all_ in places.values() for each in all_]
    family = sum(each.filled.against is not None for each in known)
    if not sources:
        return ["No runs: no sweep that was launched has a number in this table; `softaug sweeps` lists the catalog."]
    names = ", ".join(results.sweep.experiment for results in sources)
    notes = [
        f"Ours: mean ± SE over n seeds, of {names}. Bold: better than its own baseline by a paired t test, p < "
        f"{SIGNIFICANT:g} after Holm's correction over this table's {family} comparisons.",
    ]
    if any(each.verdict.difference is not None for each in known):
        notes.append(
            "Verdict: Welch's t test on the difference from the published mean, the rounding of printed digits allowed "
            "for; not corrected for their number, so of true agreements one in twenty differs. Where the paper prints "
            "no SE, only our own interval speaks."
        )
    apart = dict.fromkeys(text for each in known if each.ours is not None for text in each.filled.departures)
    notes += [f"Not comparable with the paper: {'; '.join(apart)}."] if apart else []
    holes = [f"{each.name} ({each.filled.arm}): {each.filled.hole}" for each in known
             if each.filled.hole and each.filled.cell is not None]  # fmt: skip
    clashes = [f"{each.name}: {each.filled.hole}" for each in known if each.filled.hole.startswith("different")]
    return [*notes, *holes, *clashes]


def _record(each: Judged) -> Mapping[str, Any]:
    place, paper, found, filled = each.filled.place, each.paper, each.verdict, each.filled
    return {
        "table": place.table, "dataset": place.dataset, "model": place.model, "method": place.method,
        "metric": place.metric, "lr": place.lr, "k": place.k, "quoted_from": place.quoted_from,
        "ours": each.ours.mean if each.ours else None, "ours_se": each.ours.se if each.ours else None,
        "ours_n": each.ours.n if each.ours else None, "seeds": filled.seeds,
        "published": paper.mean, "published_se": paper.se, "published_n": paper.n_runs,
        "difference": found.difference, "difference_interval_95": found.interval_95, "p": found.p,
        "verdict": found.words, "better_than_baseline": each.better.mean if each.better else None,
        "better_than_baseline_se": each.better.se if each.better else None, "p_holm": each.p_holm,
        "departures": "; ".join(filled.departures), "hole": filled.hole, "sweep": filled.source, "arm": filled.arm,
        "cell_key": filled.cell.cell.cell_key if filled.cell else "",
    }  # fmt: skip
