"""The figure's numbers, apart from its drawing."""

import csv
from io import StringIO

import pytest
from synthetic import DIGITS, baseline, cell, figure_3, finished, gaussian, lose, made_up, quickstart, sweep

from analysis.figures.figure_data import figure_data, to_csv
from analysis.figures.softening_figure import draw
from analysis.results import results_of
from sweeps.resolved import Figure

NBSP = "\N{NO-BREAK SPACE}"


def test_numbers_by_hand() -> None:
    small = quickstart(sigmas=(0.1,))
    small = small.model_copy(update={"cells": small.cells[:2]})
    runs = finished(small.cells[0], [3.0, 3.4, 3.8], [1.0, 2.0, 3.0]) + finished(small.cells[1], [2.0, 2.2, 2.7])
    data = figure_data(results_of(small, runs))
    (point,) = data.points
    assert (point.line, point.x, point.seeds, point.source) == ("hard Gaussian crop", 0.1, "3/3", "runs")
    assert point.reduction == pytest.approx(1.1)  # 1.0, 1.2, 1.1
    assert point.reduction_se == pytest.approx(0.1 / 3**0.5)
    assert (point.ece, point.ece_se) == pytest.approx((1.0, 0.0))
    assert (data.baseline.ece, data.baseline.ece_se) == pytest.approx((2.0, 1 / 3**0.5))
    assert data.caption.endswith(f"Baseline, standard crop: 3.40{NBSP}±{NBSP}0.23{NBSP}% top-1 error.")


def test_single_lines_share_a_panel() -> None:
    one = quickstart()
    data = figure_data(results_of(one, made_up(one)))
    assert data.panels == ("",)
    assert [len(points) for points in data.lines("").values()] == [3] * 5


def test_arms_with_lines_have_a_panel_each_and_the_hard_crop_joins_label_smoothing() -> None:
    paper = figure_3((0.1, 0.3), (1.0, 2.0), (0.05, 0.1))
    data = figure_data(results_of(paper, made_up(paper)))
    assert data.panels == ("label smoothing", "soft target", "soft weight", "soft target & weight")
    ours = [line for line in data.lines("label smoothing") if not line.startswith("published")]
    assert ours == ["hard Gaussian crop", "α = 0.05", "α = 0.1"]
    assert list(data.lines("soft weight")) == ["k = 1", "k = 2"]


def test_one_value_per_line_falls_back_to_one_panel() -> None:
    laptop = figure_3((0.05, 0.1), (2.0,), (0.1,), DIGITS)
    data = figure_data(results_of(laptop, made_up(laptop)))
    assert data.panels == ("",)
    assert "soft target, k = 2" in data.lines("")


def test_published_numbers_stand_beside_ours_only_in_their_setting() -> None:
    paper = figure_3((0.3,), (1.0, 2.0), (0.1,))
    laptop = figure_3((0.3,), (1.0, 2.0), (0.1,), DIGITS)
    published = {
        (point.panel, point.reduction)
        for point in figure_data(results_of(paper, made_up(paper))).points
        if point.source == "published"
    }
    assert published == {
        ("soft target", 0.4),
        ("soft target", 1.3),
        ("soft target", 2.0),
        ("soft target & weight", 2.5),
    }
    assert all(point.source == "runs" for point in figure_data(results_of(laptop, made_up(laptop))).points)


def test_a_hole_has_its_place_and_no_number() -> None:
    one = quickstart()
    runs = made_up(one)
    runs[3] = lose(runs[3], "diverged")
    hole = figure_data(results_of(one, runs)).points[0]
    assert hole.is_hole
    assert (hole.x, hole.reduction, hole.ece, hole.seeds) == (0.1, None, None, "2/3")


def test_without_a_baseline_there_is_no_reduction() -> None:
    one = quickstart(sigmas=(0.1,))
    runs = made_up(one)
    runs[0] = lose(runs[0], "running")
    data = figure_data(results_of(one, runs))
    assert all(point.reduction is None and not point.is_hole for point in data.points)
    assert (data.baseline.reduction, data.baseline.ece) == (None, None)
    assert "The baseline, standard crop, is a hole (2/3)" in data.caption


def test_an_axis_that_the_figure_does_not_show_is_refused() -> None:
    soft = {**gaussian(0.1), "softening": {"apply_to": "both", "k": 2.0}}
    cells = [baseline(DIGITS, [0]), cell("soft", DIGITS, [0], soft, sigma=0.1, k=2.0)]
    one = sweep(cells, figure=Figure(kind="softening-over-sigma", x="sigma"))
    with pytest.raises(ValueError, match="'soft' runs over k"):
        figure_data(results_of(one, made_up(one)))


def test_a_sweep_without_a_figure_says_so() -> None:
    one = quickstart(sigmas=(0.1,)).model_copy(update={"figure": None})
    with pytest.raises(ValueError, match="declares no figure"):
        figure_data(results_of(one, made_up(one)))


def test_csv_holds_every_point() -> None:
    one = quickstart()
    data = figure_data(results_of(one, made_up(one)))
    rows = list(csv.DictReader(StringIO(to_csv(data))))
    assert [float(row["reduction"]) for row in rows] == [0.0, *(point.reduction for point in data.points)]


def test_no_point_is_cut_off() -> None:
    """Panels of a row share their scale, and the largest errors need not be in the first."""
    paper = figure_3((0.1, 0.3), (1.0, 2.0), (0.05, 0.1))
    runs = [one for c in paper.cells for one in finished(c, [3.0, 3.1, 3.3], [30.0 * (c.arm == "soft weight")] * 3)]
    drawn = draw(figure_data(results_of(paper, runs))).axes
    assert [axes.get_ylim()[0] for axes in drawn[4:]] == [0.0] * 4  # calibration errors start at zero
    for axes in drawn:
        low, high = axes.get_ylim()
        heights = [y for bars in axes.containers for y in bars.lines[0].get_ydata()]
        assert heights
        assert all(low <= y <= high for y in heights)


def test_what_is_drawn_is_the_data() -> None:
    """The dots of each line, by label, have the data's heights; a hole breaks the line."""
    one = quickstart()
    runs = made_up(one)
    runs[6] = lose(runs[6], "diverged")
    data = figure_data(results_of(one, runs))
    for axes, quantity in zip(draw(data).axes, ("reduction", "ece"), strict=True):
        drawn = {bars.get_label(): bars.lines[0].get_ydata().tolist() for bars in axes.containers}
        expected = {name: [getattr(point, quantity) for point in points] for name, points in data.lines("").items()}
        for name, heights in expected.items():
            assert drawn[name] == pytest.approx([float("nan") if h is None else h for h in heights], nan_ok=True)
        assert [text.get_text() for text in axes.texts] == ["2/3"]
