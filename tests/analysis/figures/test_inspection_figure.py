"""An inspection's tables and pages: what is written and drawn is what was found, and no text covers another."""

import csv
from io import StringIO
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure
from matplotlib.transforms import Bbox

from analysis.figures import inspection_figure
from analysis.figures.inspection_data import Inspected, to_csv
from analysis.figures.inspection_figure import ROWS_A_PAGE, draw, pages, write_inspection
from softaug.datasets import dataset
from softaug.inspection import Curve, Histogram, Inspection, Sample
from sweeps.resolved import Axis, Cell

AXES = {
    "sigma": Axis(field="crop.sigma", label="σ", values=[0.3]),
    "k": Axis(field="softening.k", label="k", values=[2.0]),
}
LONG_NAMES = sorted(dataset("cifar100").class_names, key=len)[-16:]
CAPTION = (
    "n = 10000 training images of cifar10 × 1 epoch; 50000 training images of cifar100 × 1 epoch; seed 0. "
    "n = 50000 training images of cifar100 × 1 epoch; seed 0, the first of 0, 1, 2. ±: standard error of p. Mixup is "
    "not applied: images and targets are those it mixes. The final phase, from 96 % of training on, is not shown."
)


def inspected(arm: str = "soft target & weight", channels: int = 3, **axes: float) -> Inspected:
    pixels = np.arange(channels * 64, dtype=np.uint8).reshape(channels, 8, 8)
    samples = [Sample(pixels + n, name, 0.5, n / 16, 1.25 + n / 16) for n, name in enumerate(LONG_NAMES)]
    found = Inspection(
        images=100,
        epochs=2,
        mean_visibility=0.6,
        mean_confidence=0.8,
        se_confidence=0.0123,
        mean_entropy_nats=1.3,
        mean_weight=1.0,
        effective_fraction=0.93,
        visibility=Histogram((0.0, 0.5, 1.0), (50, 150)),
        confidence=Histogram((0.0, 0.5, 1.0), (20, 180)),
        curve=Curve((0.0, 0.5, 1.0), (0.1, 0.775, 1.0), (0.12, 0.93, 1.25)),
        samples=tuple(samples),
    )
    return Inspected(Cell(arm=arm, axes=axes, cell_key="c" * 64, recipe={}, trials={}), found)


CELLS = [inspected("standard crop", 1), inspected(sigma=0.3, k=2.0)]


def test_the_tables_hold_every_number() -> None:
    tables = {name: list(csv.DictReader(StringIO(text))) for name, text in to_csv(CELLS).items()}
    assert {name: len(rows) for name, rows in tables.items()} == {
        "cells.csv": 2, "curves.csv": 6, "histograms.csv": 8, "samples.csv": 32,
    }  # fmt: skip
    first, second = tables["cells.csv"]
    assert (first["arm"], first["sigma"], first["k"]) == ("standard crop", "", "")
    assert (second["arm"], second["sigma"], second["k"]) == ("soft target & weight", "0.3", "2.0")
    found = CELLS[1].inspection
    assert {name: float(second[name]) for name in found.numbers()} == found.numbers()
    assert "se_confidence" in found.numbers()
    curve = tables["curves.csv"][3:]
    assert tuple(float(row["weight"]) for row in curve) == found.curve.weight
    assert tuple(float(row["confidence"]) for row in curve) == found.curve.confidence
    bins = [
        (row["quantity"], float(row["low"]), float(row["high"]), int(row["count"])) for row in tables["histograms.csv"]
    ]
    assert bins[4:6] == [("visibility", 0.0, 0.5, 50), ("visibility", 0.5, 1.0, 150)]
    assert bins[6:] == [("confidence", 0.0, 0.5, 20), ("confidence", 0.5, 1.0, 180)]
    sample = tables["samples.csv"][-1]
    assert (sample["image"], sample["class"], float(sample["weight"])) == ("16", LONG_NAMES[-1], 1.25 + 15 / 16)


def test_what_is_drawn_is_what_was_found() -> None:
    drawn = draw(CELLS, AXES, caption=CAPTION).axes
    for row, each in enumerate(CELLS):
        text, curve, histogram, images = drawn[4 * row : 4 * row + 4]
        found = each.inspection
        assert [tuple(line.get_ydata()) for line in curve.lines] == [found.curve.confidence, found.curve.weight]
        assert curve.get_ylim()[1] > 1.25
        assert [tuple(part.get_data().values) for part in histogram.patches] == [(0.25, 0.75), (0.1, 0.9)]
        assert len(images.images) == 16
        assert (np.asarray(images.images[3].get_array()) == np.moveaxis(found.samples[3].pixels, 0, 2)).all()
        under = [label.get_text() for label in images.texts]
        assert under[8] == f"{LONG_NAMES[8].replace('_', ' ')}\np 0.50  w 1.75"
        said = "\n".join(each.get_text() for each in text.texts)
        for part in (each.cell.arm, "mean v  0.600", "mean p  0.8000 ± 0.0123", "1.300 nats", "93.0 %"):
            assert part in said
    assert "σ = 0.3, k = 2" in said


@pytest.mark.parametrize(
    "arm", ["soft target & weight", "A name of an arm that is as long as names of arms may be, eighty letters"]
)
def test_no_text_covers_another_or_leaves_the_page(arm: str) -> None:
    drawing = draw([inspected(arm, sigma=0.3, k=2.0), inspected(arm, sigma=0.3, k=2.0)], AXES, caption=CAPTION)
    boxes = text_boxes(drawing)
    said = {text for text, _ in boxes}
    assert {"visibility v", "v, visibility", "1.0", "p and w over visibility"} <= said
    assert CAPTION in {text.replace("\n", " ") for text in said}
    for (one, box), (other, second) in combinations(boxes, 2):
        assert not box.overlaps(second), f"{one!r} covers {other!r}"
    page = drawing.bbox
    for text, box in boxes:
        assert page.x0 <= box.x0 < box.x1 <= page.x1, text
        assert page.y0 <= box.y0 < box.y1 <= page.y1, text


def text_boxes(drawing: Figure) -> list[tuple[str, Bbox]]:
    """Return every text that is drawn, with its place in pixels."""
    drawing.draw_without_rendering()
    texts = [*drawing.texts, *drawing.legends[0].get_texts()]
    for axes in drawing.axes:
        texts += [*axes.texts, axes.title]
        for axis in (axes.xaxis, axes.yaxis) if axes.axison else ():
            low, high = axis.get_view_interval()
            texts += [axis.label, *(tick.label1 for tick in axis.get_major_ticks() if low <= tick.get_loc() <= high)]
    return [(each.get_text(), each.get_window_extent()) for each in texts if each.get_text()]


@given(st.integers(1, 200))
def test_pages_are_few_full_and_in_order(n: int) -> None:
    cells = CELLS[:1] * n
    sheets = pages(cells)
    assert sum(map(len, sheets)) == n
    assert len(sheets) == -(-n // ROWS_A_PAGE)
    assert max(map(len, sheets)) <= ROWS_A_PAGE
    assert max(map(len, sheets)) - min(map(len, sheets)) <= 1


def test_pages_of_an_earlier_inspection_do_not_stay(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(_: Figure, stem: Path, **__: object) -> list[Path]:
        path = stem.with_name(f"{stem.name}.png")
        path.write_bytes(b"")
        return [path]

    monkeypatch.setattr(inspection_figure, "save", save)
    monkeypatch.setattr(inspection_figure, "draw", lambda *_, **__: Figure())
    (tmp_path / "inspection of mine.png").write_bytes(b"")
    written = write_inspection(CELLS * 4, AXES, caption="", out=tmp_path)
    assert [path.name for path in written[4:]] == ["inspection-01.png", "inspection-02.png"]
    written = write_inspection(CELLS, AXES, caption="", out=tmp_path)
    assert {path.name for path in tmp_path.glob("*.png")} == {"inspection.png", "inspection of mine.png"}
    assert {path.name for path in written} == {path.name for path in tmp_path.iterdir()} - {"inspection of mine.png"}
