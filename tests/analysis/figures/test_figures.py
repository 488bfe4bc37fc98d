"""Figures for print: golden numbers, the same bytes again, nothing cut off, and what is drawn is the data."""

import base64
import csv
import io
from collections.abc import Callable, Mapping
from functools import cache, partial
from io import StringIO
from itertools import combinations
from pathlib import Path

import numpy as np
import pytest
import torch
from matplotlib import rc_context
from matplotlib.text import Text
from PIL import Image
from synthetic import lose, made_up, quickstart
from synthetic_evaluations import PERCENTS, curve_of, evaluated, evaluation_of, figure_1, runs_of

from analysis.artifacts import read_evaluation
from analysis.figures import figures
from analysis.figures.examples import hard_examples, occlusion_examples, pair
from analysis.figures.examples_figure import draw_hard_examples, draw_occlusion_examples, pixels_of
from analysis.figures.occlusion import occlusion_data
from analysis.figures.occlusion_figure import error_over_occlusion
from analysis.figures.offset_range import offset_range_data
from analysis.figures.offset_range_figure import offset_range
from analysis.figures.reliability_figure import reliability
from analysis.figures.softening_curves import softening_curves, softening_data
from analysis.figures.softening_figure import softening_over_sigma
from analysis.figures.style import COLUMN_IN, PAGE_IN, PRINT, Drawn
from analysis.results import Results, results_of
from analysis.runs import TrialRun
from softaug.augment import Normalisation, normalise
from softaug.datasets import dataset
from softaug.occlusion import draw_occlusion, occlude
from sweeps.cli.results import METHOD_FIGURES
from tests.conftest import Softaug
from trainables.evaluation import Evaluation, Fill

SLOW = pytest.mark.slow  # of thirty panels
GOLDEN = Path(__file__).parents[1] / "golden"


@cache
def results(data: str = "cifar100") -> Results:
    one = figure_1(data)
    return results_of(one, runs_of(one))


def quick() -> Results:
    one = quickstart()
    return results_of(one, made_up(one))


def drawn_reliability() -> Drawn | None:
    return reliability(quick(), curve_of)


FIGURES: dict[str, Callable[[], Drawn | None]] = {
    "figure-2": softening_curves,
    "softening-over-sigma": lambda: softening_over_sigma(quick()),
    "offset-range": lambda: offset_range(results()),
    "error-over-occlusion": lambda: error_over_occlusion(results()),
    "reliability": drawn_reliability,
    "occlusion-examples": lambda: draw_occlusion_examples(results(), evaluation_of),
    "hard-examples": lambda: draw_hard_examples(results(), evaluation_of),
}


def drawn(name: str) -> Drawn:
    made = FIGURES[name]()
    assert made is not None
    return made


@pytest.mark.parametrize("name", FIGURES)
def test_the_numbers_are_golden(name: str) -> None:
    made = drawn(name)
    assert made.name == name
    assert made.csv == (GOLDEN / f"{name}.csv").read_text(encoding="utf-8")


@pytest.mark.parametrize("name", [pytest.param(name, marks=SLOW if "examples" in name else ()) for name in FIGURES])
def test_the_same_numbers_give_the_same_bytes_and_fit_a_page(name: str, tmp_path: Path) -> None:
    kinds = ("svg", "pdf")  # PNG takes longest
    check_texts(drawn(name))  # whose layout it makes, which is another if made twice
    one = drawn(name)
    first, second = one.write(tmp_path / "one", kinds), drawn(name).write(tmp_path / "two", kinds)
    assert [path.suffix for path in first] == [".csv", ".svg", ".pdf"]
    for path, again in zip(first, second, strict=True):
        assert path.read_bytes() == again.read_bytes(), path
        assert b"Date" not in path.read_bytes()
    width, height = one.drawing.get_size_inches()
    assert width in (COLUMN_IN, PAGE_IN)
    assert height <= 9.0


def check_texts(made: Drawn) -> None:
    """No text is cut off by the figure's edge, smaller than six points, or written over another one."""
    with rc_context(PRINT):
        made.drawing.draw_without_rendering()
    page = made.drawing.bbox
    shown = [(text, text.get_window_extent()) for text in texts(made)]
    for text, box in shown:
        assert text.get_fontsize() >= 6, text
        assert page.x0 - 1 <= box.x0 <= box.x1 <= page.x1 + 1, text
        assert page.y0 - 1 <= box.y0 <= box.y1 <= page.y1 + 1, text
    for (text, box), (other, beside) in combinations(shown, 2):
        assert not box.shrunk(0.8, 0.8).overlaps(beside.shrunk(0.8, 0.8)), (text, other)


def texts(made: Drawn) -> list[Text]:
    """Return the texts that are drawn: all, but tick labels only where the tick is in view."""
    unseen = set()
    for axes in made.drawing.axes:
        for axis in (axes.xaxis, axes.yaxis):
            low, high = sorted(axis.get_view_interval())
            for tick in axis.get_major_ticks():
                unseen |= {tick.label2} if low <= tick.get_loc() <= high else {tick.label1, tick.label2}
            unseen |= set() if axes.axison else set(axis.get_ticklabels())
    found = [text for text in made.drawing.findobj(Text) if isinstance(text, Text) and text not in unseen]
    return [text for text in found if text.get_visible() and text.get_text().strip()]


def test_the_golden_files_are_those_of_the_figures() -> None:
    assert {path.stem for path in GOLDEN.glob("*.csv")} == set(FIGURES)


def test_the_command_line_knows_the_figures_of_the_method() -> None:
    assert tuple(figures.OF_THE_METHOD) == METHOD_FIGURES


def test_figure_2_needs_no_sweep_and_no_store(softaug: Softaug, tmp_path: Path) -> None:
    ran = softaug("figure", "figure-2", "--out", tmp_path / "out", cwd=tmp_path)
    assert (ran.returncode, ran.stderr) == (0, "")
    written = tmp_path / "out" / "figure-2" / "figure-2"
    assert ran.stdout.split() == ["wrote", f"{written}.csv,", ".svg,", ".pdf,", ".png"]
    assert written.with_suffix(".csv").read_text() == (GOLDEN / "figure-2.csv").read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_curves_are_equation_7_and_bars_sum_to_one() -> None:
    data = softening_data()
    for k in (1, 2, 3, 4):
        for value in data.curves[f"k = {k}"]:
            assert value.y == value.weight == pytest.approx(1 - 0.99 * (1 - value.x) ** k, abs=1e-6)
    for name, bars in data.bars.items():
        assert sum(bar.y for bar in bars) == pytest.approx(1)
        soft_target, soft_weight = "target" in name and "hard" not in name, "weight" in name
        assert bars[1].y == (0.6 if soft_target else 1.0)
        assert bars[1].weight == (0.6 if soft_weight else 1.0)


def test_offset_ranges_have_a_panel_per_axis_and_the_published_numbers_theirs() -> None:
    data = offset_range_data(results())
    assert data.panels == {"radius": "offset range ±r (px)", "sigma": "σ"}
    assert list(data.lines("sigma")) == [
        "standard crop", "hard Gaussian crop", "soft crop, k = 1", "soft crop, k = 2",
        "published, hard Gaussian: 20.4 %", "published, soft target & weight: 18.3 %",
    ]  # fmt: skip
    published = [point.error for point in data.lines("radius")["published, U(−16, 16): 22.99 %"]]
    assert published == [pytest.approx(22.99)]
    ours = quickstart()
    other = results_of(ours, made_up(ours))
    assert all(point.source == "runs" for point in offset_range_data(other).points), "another setting"


def test_errors_over_offsets_are_drawn_where_they_are() -> None:
    data = offset_range_data(results())
    for axes, panel in zip(offset_range(results()).drawing.axes, data.panels, strict=True):
        heights = {bars.get_label(): bars.lines[0].get_ydata().tolist() for bars in axes.containers}
        placed = {
            name: [point.error for point in points if point.x is not None] for name, points in data.lines(panel).items()
        }
        assert heights == {name: values for name, values in placed.items() if values}
    assert [point.x for point in data.lines("radius")["standard crop"]] == [None, 4.0]
    assert [point.x for point in data.lines("sigma")["standard crop"]] == [None]


def test_a_hole_is_marked_and_has_no_error() -> None:
    one = figure_1()
    runs = runs_of(one)
    runs[3] = lose(runs[3], "diverged")
    with_hole = results_of(one, runs)
    assert [text.get_text() for text in offset_range(with_hole).drawing.axes[0].texts] == ["2/3"]
    assert "1 of 9 cells are holes" in offset_range_data(with_hole).caption


def test_error_over_occlusion_shows_the_last_cell_of_each_arm_of_a_large_sweep() -> None:
    data = occlusion_data(results())
    lines = data.lines("mean", "runs")
    assert list(lines) == [
        "standard crop", "hard uniform crop, offset range ±r (px) = 16", "hard Gaussian crop, σ = 0.3",
        "soft crop, σ = 0.3, k = 2",
    ]  # fmt: skip
    for name, points in lines.items():
        assert [point.percent for point in points] == list(PERCENTS), name
        uncovered = points[0].error
        assert uncovered is not None
        assert [point.error for point in points] == pytest.approx([uncovered + p / 2 for p in PERCENTS])
    assert [point.area for point in lines["standard crop"]] == pytest.approx([0, 19.14, 39.06, 61.04, 82.13], abs=0.01)
    assert "Of each arm the last of its cells, 4 of 9" in data.caption


def test_each_colour_of_the_patch_has_its_panel() -> None:
    one = figure_1()
    data = occlusion_data(results_of(one, evaluated(made_up(one), ("mean", "noise"))))
    assert data.panels == ("mean", "noise")
    noise = data.lines("noise", "runs")["standard crop"]
    uncovered = noise[0].error
    assert uncovered is not None
    assert noise[-1].error == pytest.approx(uncovered + 80)


def test_what_was_not_evaluated_with_every_seed_has_no_error_under_occlusion() -> None:
    one = figure_1(kind="error-over-occlusion")
    runs = [*evaluated(made_up(one))[:-1], made_up(one)[-1]]
    data = occlusion_data(results_of(one, runs))
    last = data.lines("mean", "runs")["soft crop, σ = 0.3, k = 2"]
    assert [point.error is None for point in last] == [False, True, True, True, True]
    assert "Not evaluated with every seed: soft crop, σ = 0.3, k = 2" in data.caption
    nothing = occlusion_data(results_of(one, made_up(one)))
    assert {point.percent for point in nothing.points} == {0}
    assert "Nothing was evaluated yet: run `softaug evaluate figure-1 --scale paper`" in nothing.caption


def test_reliability_says_each_calibration_error() -> None:
    made = drawn("reliability")
    rows = list(csv.DictReader(StringIO(made.csv)))
    lines = {(row["panel"], row["line"]): row for row in rows}
    for axes in made.drawing.axes[:5]:
        said = [text.get_text().removeprefix("ECE ") for text in axes.texts]
        of_panel = [row for (panel, _), row in lines.items() if panel == axes.get_title()]
        expected = [f"{float(row['ece']):.2f} ± {float(row['ece_se']):.2f} %" for row in of_panel]
        assert said == expected[::-1]
        assert len(said) == 3
    assert sum(int(row["count"]) for row in rows if row["panel"] == "every panel") == 1_497


@pytest.mark.parametrize("fill", ["mean", "black", "noise"])
@pytest.mark.parametrize("name", ["cifar10", "fashion-mnist"])
def test_covered_images_are_shown_as_the_network_sees_them(name: str, fill: Fill) -> None:
    data = occlusion_examples(results(name), lambda run: evaluation_of(run, name, fill))
    assert data is not None
    known = dataset(name)
    normalisation = Normalisation.of(known, torch.device("cpu"))
    mean, std = (torch.tensor(each).view(-1, 1, 1) for each in (known.mean, known.std))
    for heading, tiles in data.rows.items():
        for tile in tiles:
            pixels = np.asarray(Image.open(io.BytesIO(base64.b64decode(tile.png))).convert("RGB")).transpose(2, 0, 1)
            image = torch.from_numpy(pixels[: known.channels].copy())[None]
            occlusion = draw_occlusion(1, known, tile.percent, fill=fill, seed=0)
            if tile.corner is not None:
                occlusion = occlusion._replace(corners=torch.tensor([tile.corner]))
            seen = occlude(normalise(image, normalisation), occlusion)[0] * std + mean
            expected = (255 * seen.clamp(0, 1)).round().expand(3, -1, -1).permute(1, 2, 0).numpy()
            assert np.abs(pixels_of(tile, data).astype(float) - expected).max() <= 1, heading


def test_both_networks_speak_of_the_same_images_and_each_chooses_as_many_hard_ones() -> None:
    covered, hard = (find(results(), evaluation_of) for find in (occlusion_examples, hard_examples))
    assert covered is not None
    assert hard is not None
    assert covered.networks == hard.networks == ("standard crop", "soft crop, σ = 0.3, k = 2")
    assert {len(tiles) for tiles in (*covered.rows.values(), *hard.rows.values())} == {6}
    assert list(covered.rows) == ["0 %", "20 %", "40 %", "60 %", "80 %"]
    for rows in covered.rows.values():
        assert [tile.image for tile in rows] == [0, 7, 14, 21, 28, 35]
    for tile, chosen in zip(
        hard.rows["hardest for B"], evaluation_of(results().cells[-1].runs[0]).hardest, strict=True
    ):
        assert tile.image == chosen.image
        assert [said.predicted for said in tile.said] == [
            dataset("cifar100").class_names[chosen.image].replace("_", " ")
        ] * 2


@pytest.mark.parametrize(
    ("name", "last"), [("digits", "8"), ("fashion-mnist", "bag"), ("cifar10", "ship"), ("cifar100", "sweet pepper")]
)
def test_classes_have_the_names_of_their_data_set(name: str, last: str) -> None:
    made = occlusion_examples(results(name), lambda run: evaluation_of(run, name))
    assert made is not None
    assert made.rows["0 %"][-1].label == last


def test_examples_name_the_arm_that_the_figure_names() -> None:
    one = figure_1()
    assert one.figure is not None
    named = one.model_copy(update={"figure": one.figure.model_copy(update={"examples": "hard Gaussian crop"})})
    cells = pair(results_of(named, runs_of(named)))
    assert cells is not None
    assert (cells[1].cell.arm, cells[1].cell.axes) == ("hard Gaussian crop", {"sigma": 0.3})


def of_the_run(found: Mapping[str, Evaluation | None], run: TrialRun) -> Evaluation | None:
    return found[run.trial_key]


def test_evaluations_without_images_or_of_other_images_give_no_examples() -> None:
    runs = [cell.runs[0] for cell in results().cells]
    old = evaluation_of(runs[0]).model_copy(update={"examples": ()})
    other = evaluation_of(runs[-1], "cifar10")
    for last in (None, old, other):
        found = {runs[0].trial_key: evaluation_of(runs[0]), runs[-1].trial_key: last}
        assert occlusion_examples(results(), partial(of_the_run, found)) is None


def test_an_evaluation_is_read_away_from_the_store(tmp_path: Path) -> None:
    one = evaluation_of(results().runs[0])
    (tmp_path / "evaluation.json").write_bytes(one.sealed("trials/x/evaluation.json", indent=1))
    assert read_evaluation(tmp_path / "evaluation.json") == one
