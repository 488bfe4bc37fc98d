"""The report's pages on the paper: its tables as far as our runs fill them, and its claims."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import quote

from analysis.claims.table import claims_table, evaluated
from analysis.report.run_pages import addresses
from analysis.report.site import Site
from analysis.results import Results
from analysis.tables.formats import FORMATS, Format, to_html
from analysis.tables.paper_layouts import LAYOUTS, Layout
from analysis.tables.paper_results import check_scales, fills
from analysis.tables.paper_tables import judged, table_of

FILES: Mapping[Format, str] = {"markdown": "md", "latex": "tex", "csv": "csv"}


@dataclass(frozen=True)
class PaperPages:
    """What the overview shows of these pages: the tables with their completeness; where claims are, if anywhere."""

    tables: tuple[Mapping[str, Any], ...]
    claims: tuple[Mapping[str, Any], ...]


def write_paper_pages(site: Site, sources: Sequence[Results]) -> PaperPages:
    """Write a page per table of the paper that has runs, and one of its claims if there is a table; per scale."""
    ours = [results for results in sources if any(fills(results.sweep, table) for table in (*LAYOUTS, "text"))]
    for old in (*site.folder.glob("table-*"), *site.folder.glob("claims*")):
        if old.is_file():  # of an earlier report; a sweep's folder may be called so, too
            old.unlink()
    tables, claims = [], []
    for scale, together in _by_scale(ours):
        claims.append(_claims(site, scale, together))
        for number, layout in LAYOUTS.items():
            filling = [results for results in together if fills(results.sweep, number)]
            if filling:
                tables.append(_table(site, scale, layout, filling))
    return PaperPages(tuple(tables), tuple(claims))


def _by_scale(sources: Sequence[Results]) -> Iterator[tuple[str, list[Results]]]:
    """Yield results that may stand in one table; the scale is "" if all may."""
    if not sources:
        return
    try:
        check_scales(results.sweep for results in sources)
    except ValueError:
        for scale in dict.fromkeys(results.sweep.scale for results in sources):
            yield scale, [results for results in sources if results.sweep.scale == scale]
    else:
        yield "", list(sources)


def _table(site: Site, scale: str, layout: Layout, sources: Sequence[Results]) -> dict[str, Any]:
    pages = {
        (results.sweep.experiment, key): f"{quote(results.sweep.experiment)}/{page}"
        for results in sources
        for key, page in addresses(results).items()
    }
    table, stem = table_of(layout, sources, pages=pages), f"table-{layout.number}{f'@{scale}' if scale else ''}"
    places = [each for all_ in judged(layout, sources).values() for each in all_ if each.paper.quoted_from is None]
    shown = {
        "page": f"{stem}.html",
        "title": f"Table {layout.number}",
        "about": layout.title,
        "scale": scale,
        "sweeps": [results.sweep.experiment for results in sources],
        "filled": sum(each.ours is not None for each in places),
        "places": len(places),
        "finished": sum(run.state == "finished" for results in sources for run in results.runs),
        "trials": sum(len(results.runs) for results in sources),
    }
    files = {kind: f"{stem}.{suffix}" for kind, suffix in FILES.items()}
    for kind, file in files.items():
        (site.folder / file).write_text(FORMATS[kind](table_of(layout, sources)), encoding="utf-8")
    html = to_html(replace(table, title=""), described_by="about")
    site.write(f"{stem}.html", "paper_table.html", **shown, table=html, files=files)
    return shown


def _claims(site: Site, scale: str, sources: Sequence[Results]) -> dict[str, Any]:
    found = evaluated(sources)
    page = f"claims{f'@{scale}' if scale else ''}.html"
    tested = sum(any(one.state != "not tested" for one in each.runs) for each in found)
    shown = {"page": page, "scale": scale, "claims": len(found), "tested": tested}
    html = to_html(replace(claims_table(found), title=""), described_by="about")
    site.write(page, "claims.html", **shown, table=html, sweeps=[results.sweep.experiment for results in sources])
    return shown
