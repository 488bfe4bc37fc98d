"""The catalog fills the paper's tables: at the paper's scales in its setting, and every number that is not quoted."""

import pytest

from analysis.paper_setting import departures
from analysis.tables.paper_layouts import LAYOUTS
from analysis.tables.paper_results import _matches, check_scales
from sweeps.files.catalog import catalog
from sweeps.files.expand import load
from sweeps.resolved import ResolvedSweep

PAPERS_SCALES = ("paper", "imagenet")


@pytest.fixture(scope="module")
def sweeps() -> list[ResolvedSweep]:
    return [load(entry.name, scale=scale) for entry in catalog() for scale in entry.scales if scale in PAPERS_SCALES]


def test_the_papers_scales_depart_from_the_paper_in_nothing(sweeps: list[ResolvedSweep]) -> None:
    assert sum(len(cell.published) for sweep in sweeps for cell in sweep.cells) > 100
    for sweep in sweeps:
        for cell in sweep.cells:
            for each in cell.published:
                assert departures(cell.recipe, each.dataset, each.model) == [], (sweep.experiment, cell.arm)
    check_scales(sweeps)


def test_every_number_that_is_not_quoted_has_an_arm(sweeps: list[ResolvedSweep]) -> None:
    references = [each for sweep in sweeps for cell in sweep.cells for each in cell.published]
    for layout in LAYOUTS.values():
        unfilled = [
            name for name, place in layout.places if place.quoted_from is None and not _matches(place, references)
        ]
        assert unfilled == [], layout.title
