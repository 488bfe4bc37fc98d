"""Figures of a search: Optuna's numbers, the same to the byte in every drawing, words where there is no figure."""

import csv
from collections.abc import Callable
from io import StringIO
from pathlib import Path

import numpy as np
import optuna
import pytest
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from synthetic_search import made_up, searched

from analysis.search.data import arms_at, asks_csv, by_value, importances, importances_csv, most_important, varied
from analysis.search.figures import search_figures, write_search_figures
from analysis.search.plots import ARM, WINNER, SearchFigure
from softaug.estimate import Estimate
from sweeps.search.export import quiet_optuna, study
from sweeps.search.history import History, State

TWO = ["val/top1_error", "val/ece"]


def mixed(number: int) -> State:
    return "pruned" if number % 5 == 4 else "failed" if number == 7 else "open" if number > 17 else "complete"


@pytest.fixture(scope="module")
def one() -> History:
    return made_up(searched(20), mixed)


@pytest.fixture(scope="module")
def two() -> History:
    return made_up(searched(20, minimize=TWO), mixed)


@pytest.fixture(scope="module")
def drawn(one: History) -> dict[str, SearchFigure]:
    return {each.name: each for each in search_figures(one)}


@pytest.fixture(scope="module")
def drawn_two(two: History) -> dict[str, SearchFigure]:
    return {each.name: each for each in search_figures(two)}


def drawing(figure: SearchFigure) -> Figure:
    assert figure.drawing is not None
    return figure.drawing


def value_at(number: int) -> Callable[[optuna.trial.FrozenTrial], float]:
    """Return the objective of this number as Optuna asks for it."""

    def value(trial: optuna.trial.FrozenTrial) -> float:
        return float(trial.values[number])

    return value


def test_the_csv_has_a_row_per_ask() -> None:
    """Golden: three asks by hand."""
    states: tuple[State, ...] = ("complete", "pruned", "open")
    history = made_up(searched(3, seeds=[100, 101]), states.__getitem__)
    rows = list(csv.DictReader(StringIO(asks_csv(history))))
    assert [(row["ask"], row["state"], row["best"], row["winner"], row["seeds"]) for row in rows] == [
        ("0", "complete", "True", "1", "2"),
        ("1", "pruned", "False", "", "2"),
        ("2", "open", "False", "", "2"),
    ]
    values = history.search.asks[0].values
    assert {name: rows[0][name] for name in values} == {name: str(value) for name, value in values.items()}
    mean = history.asked[0].values[0].mean
    assert (rows[0]["val/top1_error"], rows[0]["val/top1_error se"]) == (str(mean), str(history.asked[0].values[0].se))
    assert (rows[1]["val/top1_error"], rows[1]["pruned_at_epoch"]) == ("", "2")
    assert [row["cell_key"] for row in rows] == [ask.cell_key for ask in history.search.asks]


@pytest.mark.parametrize("objectives", [TWO[:1], TWO])
def test_importances_are_optunas(objectives: list[str]) -> None:
    """Oracle: Optuna's own function on a study made by hand."""
    history = made_up(searched(20, minimize=objectives))
    plain = optuna.create_study(directions=["minimize"] * len(objectives))
    for each in history.asked:
        distributions = study(history).trials[each.number].distributions
        plain.add_trial(
            optuna.trial.create_trial(values=list(each.means), params=each.ask.values, distributions=distributions)
        )
    for number in range(len(objectives)):
        with quiet_optuna():
            expected = optuna.importance.get_param_importances(plain, target=value_at(number))
        assert importances(history, number) == expected
        assert sum(expected.values()) == pytest.approx(1)
    rows = list(csv.DictReader(StringIO(importances_csv(history))))
    assert len(rows) == len(objectives) * 5


def test_best_trials_are_the_front(two: History) -> None:
    """Oracle: Optuna's; also where cells are equal in one objective, or in both."""
    assert {trial.number for trial in study(two).best_trials} == two.front
    means = [(40.0, 5.0), (40.0, 6.0), (41.0, 5.0), (39.0, 7.0), (40.0, 5.0)]
    values = [tuple(Estimate(mean, None, 1) for mean in pair) for pair in means]
    asked = [
        type(each)(**{**vars(each), "values": value, "state": "complete"})
        for each, value in zip(two.asked, values, strict=False)
    ]
    tied = History(**{**vars(two), "asked": tuple(asked)})
    assert tied.front == {trial.number for trial in study(tied).best_trials} == {0, 3, 4}


def test_drawing_again_is_the_same_to_the_byte(one: History, tmp_path: Path) -> None:
    written = [write_search_figures(one, tmp_path / name)[1] for name in ("first", "second")]
    for first, second in zip(*written, strict=True):
        assert first.name == second.name
        if first.suffix != ".pdf":
            assert first.read_bytes() == second.read_bytes(), first.name
    names = {path.name for path in written[0]}
    assert {"search.csv", "search-importance.csv", "search-contour.svg", "search-parallel.png"} <= names
    assert len(names) == 2 + 3 * 4


def test_nothing_of_optunas_style_stays(one: History) -> None:
    before, backend_figures = dict(plt.rcParams), plt.get_fignums()
    search_figures(one)
    changed = {name for name in before if before[name] != plt.rcParams[name]} - {"backend"}
    assert changed == set()
    assert plt.get_fignums() == backend_figures


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("objectives", [TWO[:1], TWO])
@pytest.mark.parametrize("complete", [0, 1, 3, 4])
def test_with_few_cells_words_say_why_there_is_no_figure(complete: int, objectives: list[str]) -> None:
    history = made_up(
        searched(complete + 2, minimize=objectives), lambda number: "complete" if number < complete else "open"
    )
    found = search_figures(history)
    assert len(found) == (4 if len(objectives) == 1 else 8)
    for each in found:
        needed = 1 if each.name.startswith(("search-history", "search-pareto")) else 2 if "parallel" in each.name else 4
        assert (each.drawing is not None) == (complete >= needed), each.name
        if each.drawing is None:
            count = "no complete cells" if complete == 0 else f"{complete} complete cell"
            assert f"it takes {needed} complete cell" in each.caption
            assert count in each.caption


@pytest.mark.parametrize("objectives", [TWO[:1], TWO])
def test_cells_that_are_all_equally_good_are_drawn(objectives: list[str]) -> None:
    history = made_up(searched(8, minimize=objectives))
    values = history.asked[0].values
    asked = tuple(type(each)(**{**vars(each), "values": values}) for each in history.asked)
    found = search_figures(History(**{**vars(history), "asked": asked, "winners": ()}))
    for each in found:
        if each.name.startswith("search-importance"):
            assert (each.drawing, each.caption) == (None, "The 8 complete cells are all equally good.")
        else:
            drawing(each).draw_without_rendering()


def test_parameters_that_did_not_vary_are_no_figure_and_no_exception() -> None:
    history = made_up(searched(6))
    same = history.search.asks[0].values
    alike = [each.ask.model_copy(update={"values": same}) for each in history.asked]
    asked = tuple(type(each)(**{**vars(each), "ask": ask}) for each, ask in zip(history.asked, alike, strict=True))
    history = History(**{**vars(history), "asked": asked})
    assert varied(history) == []
    reasons = [each.caption for each in search_figures(history) if each.drawing is None]
    assert len(reasons) == 3
    assert all("varied among the 6 complete cells" in reason for reason in reasons)


def points_of(axes: Axes, style: dict[str, object]) -> list[tuple[float, float]]:
    """Return where marks of this kind are."""
    colour = style.get("color", style.get("edgecolors"))
    return [
        (float(x), float(y))
        for marks in axes.collections
        if marks.get_zorder() in (3, 4, 5)
        for drawn_colour in [marks.get_facecolor() if "color" in style else marks.get_edgecolor()]
        if len(np.asarray(drawn_colour)) and to_hex(np.asarray(drawn_colour)[0]) == str(colour).lower()
        for x, y in np.asarray(marks.get_offsets())
    ]


def panel(figure: Figure, x: str, y: str) -> Axes:
    """Return the contour's panel of two parameters, by the labels at the edges of their column and row."""
    panels = [(axes, place) for axes in figure.axes if (place := axes.get_subplotspec()) is not None]
    columns = {place.colspan.start: axes.get_xlabel() for axes, place in panels if axes.get_xlabel()}
    rows = {place.rowspan.start: axes.get_ylabel() for axes, place in panels if axes.get_ylabel()}
    (found,) = (
        axes for axes, place in panels if columns[place.colspan.start] == x and rows[place.rowspan.start] == y
    )  # fmt: skip
    return found


def test_the_papers_setting_and_the_winners_are_marked_in_the_contour(
    one: History, drawn: dict[str, SearchFigure]
) -> None:
    axes = panel(drawing(drawn["search-contour"]), "k", "σ")
    assert points_of(axes, ARM) == [(2.0, 0.3)]
    winners = [(each.asked.ask.values["k"], each.asked.ask.values["sigma"]) for each in one.winners]
    assert sorted(points_of(axes, WINNER)) == sorted(winners)
    for pair in (("α", "k"), ("α", "σ")):
        ((x, y),) = points_of(panel(drawing(drawn["search-contour"]), *pair), ARM)
        assert (x, y) == (0.0, 2.0 if pair[1] == "k" else 0.3)
    left, right = axes.get_xlim()
    assert left <= 2.0 <= right
    assert points_of(panel(drawing(drawn["search-contour"]), "magnitude", "σ"), ARM) == [], "no policy, no magnitude"
    assert "paper's setting" in drawn["search-contour"].caption


def test_the_pareto_front_marks_an_ask_with_the_papers_values_if_there_is_one(two: History) -> None:
    def pareto(history: History) -> SearchFigure:
        return next(each for each in search_figures(history) if each.name == "search-pareto")

    never = pareto(two)
    assert points_of(drawing(never).axes[0], ARM) == []
    assert "Never asked for, so not here: paper's setting" in never.caption
    asked = list(two.asked)
    ask = asked[1].ask.model_copy(update={"values": two.arms["paper's setting"]})
    asked[1] = type(asked[1])(**{**vars(asked[1]), "ask": ask})
    there = History(**{**vars(two), "asked": tuple(asked)})
    assert arms_at(there, asked[1]) == ["paper's setting"]
    assert points_of(drawing(pareto(there)).axes[0], ARM) == [asked[1].means]


def test_the_dots_of_the_pareto_front_are_on_the_front(two: History, drawn_two: dict[str, SearchFigure]) -> None:
    axes = drawing(drawn_two["search-pareto"]).axes[0]
    by_label = {
        str(dots.get_label()): {tuple(at) for at in np.asarray(dots.get_offsets())} for dots in axes.collections
    }
    assert by_label["on the front"] == {each.means for each in two.complete if each.number in two.front}
    assert by_label["beaten"] == {each.means for each in two.complete if each.number not in two.front}


@pytest.mark.parametrize("objective", [0, 1])
def test_the_history_shows_every_cell_and_the_least_so_far(
    two: History, drawn_two: dict[str, SearchFigure], objective: int
) -> None:
    axes = drawing(drawn_two[f"search-history-{('top1_error', 'ece')[objective]}"]).axes[0]
    lines = {str(line.get_label()): line for line in axes.get_lines()}
    least = np.asarray(lines["best so far"].get_ydata())
    means = [each.means[objective] for each in two.complete]
    assert list(least[:-1]) == list(np.minimum.accumulate(means))
    assert set(lines) == {"best so far", "pruned", "failed", "open"}
    assert list(np.asarray(lines["failed"].get_xdata())) == [7]


def test_labels_are_those_of_the_file(drawn: dict[str, SearchFigure]) -> None:
    importance = drawing(drawn["search-importance"]).axes[0]
    assert {text.get_text() for text in importance.get_yticklabels()} == {"σ", "k", "α", "policy", "magnitude"}
    parallel = drawing(drawn["search-parallel"]).axes[0]
    assert {"σ", "k", "α", "policy", "magnitude"} < {text.get_text() for text in parallel.get_xticklabels()}


def test_no_letters_are_cut_and_no_legend_covers_the_data(
    drawn: dict[str, SearchFigure], drawn_two: dict[str, SearchFigure]
) -> None:
    for each in (*drawn.values(), *drawn_two.values()):
        figure = drawing(each)
        figure.draw_without_rendering()
        page = figure.bbox.padded(1.0)
        for axes in figure.axes:
            box = axes.get_tightbbox()
            assert box is not None
            assert page.containsx(box.x0), each.name
            assert page.containsx(box.x1), each.name
            assert page.containsy(box.y0), each.name
            assert page.containsy(box.y1), each.name
        for legend in figure.legends:
            legend_box = legend.get_window_extent()
            assert not any(legend_box.overlaps(axes.get_window_extent()) for axes in figure.axes), each.name


def test_a_large_space_shows_its_most_important_parameters(one: History) -> None:
    shown = most_important(one, 0, 2)
    assert set(shown) == set(list(importances(one, 0))[:2])


def test_the_table_begins_with_the_best(one: History) -> None:
    order = [each.state for each in by_value(one)]
    assert order == sorted(order, key=["complete", "pruned", "failed", "open"].index)
    means = [each.means for each in by_value(one) if each.state == "complete"]
    assert means == sorted(means)
