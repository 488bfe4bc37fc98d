"""Test images with what two networks say of them: covered by more and more (Figures 4 and 7), and hard ones (Figure 6).

The two are the baseline and the cell that the sweep's figure names, with the sweep's first seed. The covered images are
the first of a few classes and were chosen before any network saw them. Hard ones are chosen by both alike: those in
whose class the baseline has the least confidence, and those in whose class the other has.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from analysis.cells import CellRuns, describe
from analysis.figures.style import rows_csv
from analysis.results import Results
from analysis.runs import TrialRun
from softaug.datasets import dataset
from trainables.evaluation import UNCOVERED, Evaluation, Fill, Measurement, Prediction

EvaluationOf = Callable[[TrialRun], Evaluation | None]
LETTERS = ("A", "B")


@dataclass(frozen=True)
class Said:
    """What one network says of one image. Confidence is that in the predicted class, 0..1."""

    predicted: str
    confidence: float
    right: bool


@dataclass(frozen=True)
class Tile:
    """An image, a patch on it, and what both networks say. `png` in base64; `corner`: row and column, None without."""

    png: str
    image: int
    label: str
    percent: int
    corner: tuple[int, int] | None
    side_px: int
    said: tuple[Said, Said]


@dataclass(frozen=True)
class Row:
    """A tile in the CSV: one line per network."""

    row: str
    image: int
    label: str
    percent: int
    network: str
    predicted: str
    confidence: float
    right: bool


@dataclass(frozen=True)
class Examples:
    """Rows of tiles by their headings, the two networks' names, the data set's, the patch's colour."""

    rows: dict[str, list[Tile]]
    networks: tuple[str, str]
    data: str
    fill: Fill
    caption: str


def examples_csv(data: Examples) -> str:
    """Return what is said of every tile as CSV."""
    return rows_csv(Row, _csv_rows(data))


def pair(results: Results) -> tuple[CellRuns, CellRuns] | None:
    """Return the baseline and the cell beside it: the last of the arm that the figure names, or of all."""
    figure = results.sweep.figure
    arm = figure.examples if figure is not None else None
    others = [cell for cell in results.cells if cell is not results.baseline and arm in (None, cell.cell.arm)]
    return (results.baseline, others[-1]) if others else None


def occlusion_examples(results: Results, evaluation_of: EvaluationOf) -> Examples | None:
    """Return the examples under every occlusion that was measured of both, None if there are none."""
    found = _both(results, evaluation_of)
    if found is None:
        return None
    (one, two), names = found
    fill = next((each.fill for each in one.measurements if each.fill is not None), None)
    wanted = [each for each in one.measurements if each.condition == UNCOVERED or (each.fill, each.seed) == (fill, 0)]
    beside = {each.condition: each for each in two.measurements}
    rows = {
        f"{each.percent} %": list(_covered(results, one, each, beside[each.condition]))
        for each in wanted
        if each.condition in beside
    }
    if fill is None or len(rows) < 2:
        return None
    caption = (
        f"The first test image of {len(one.examples)} classes, chosen before any network saw them, with a square patch "
        f"that covers the share on the left, and predicted class and confidence. {_legend(results, names)}"
    )
    return Examples(rows, names, _data(results), fill, caption)


def hard_examples(results: Results, evaluation_of: EvaluationOf) -> Examples | None:
    """Return the images that are hardest for either, None if there are none."""
    found = _both(results, evaluation_of)
    if found is None:
        return None
    (one, two), names = found
    rows = {
        f"hardest for {letter}": list(_hard(results, chooser, (one, two)))
        for letter, chooser in zip(LETTERS, (one, two), strict=True)
    }
    caption = (
        f"Of {len(one.asked.unpack()):,} images evenly spaced over the test set those in whose true class, written "
        "above them, a network has the least confidence: of each network as many, so that neither is favoured. "
        f"{_legend(results, names)}"
    )
    return Examples(rows, names, _data(results), "mean", caption)


def _both(
    results: Results, evaluation_of: EvaluationOf
) -> tuple[tuple[Evaluation, Evaluation], tuple[str, str]] | None:
    """Return both evaluations and names if both have images, and the same ones."""
    cells = pair(results)
    if cells is None:
        return None
    one, two = (evaluation_of(cell.runs[0]) for cell in cells)
    if one is None or two is None or not one.examples or one.examples != two.examples:
        return None
    first, second = (describe(cell.cell, results.sweep.axes) for cell in cells)
    return (one, two), (first, second)


def _covered(results: Results, one: Evaluation, first: Measurement, second: Measurement) -> Iterator[Tile]:
    for shown, a, b in zip(one.examples, first.predictions, second.predictions, strict=True):
        yield Tile(
            png=shown.png,
            image=shown.image,
            label=_class_name(results, shown.label),
            percent=first.percent,
            corner=a.corner,
            side_px=first.side_px,
            said=(_said(results, shown.label, a), _said(results, shown.label, b)),
        )


def _hard(results: Results, chooser: Evaluation, both: tuple[Evaluation, Evaluation]) -> Iterator[Tile]:
    asked = [each.asked.unpack() for each in both]
    for shown in chooser.hardest:
        a, b = (_asked(results, shown.label, each[shown.image]) for each in asked)
        yield Tile(shown.png, shown.image, _class_name(results, shown.label), 0, None, 0, (a, b))


def _said(results: Results, label: int, prediction: Prediction) -> Said:
    return _asked(results, label, (prediction.predicted, prediction.confidence))


def _asked(results: Results, label: int, said: tuple[int, float]) -> Said:
    predicted, confidence = said
    return Said(_class_name(results, predicted), round(confidence, 4), predicted == label)


def _class_name(results: Results, label: int) -> str:
    from softaug.samples import class_names  # with torch, which few reports need

    return class_names(dataset(_data(results)))[label].replace("_", " ")


def _data(results: Results) -> str:
    name: str = results.baseline.cell.recipe["data"]["name"]
    return name


def _legend(results: Results, names: tuple[str, str]) -> str:
    named = "; ".join(f"{letter}: {name}" for letter, name in zip(LETTERS, names, strict=True))
    return f"{named}; both of seed {results.sweep.seeds[0]}. Ticked and blue: right; crossed and orange: wrong."


def _csv_rows(data: Examples) -> Iterator[Row]:
    for heading, tiles in data.rows.items():
        for tile in tiles:
            for network, said in zip(data.networks, tile.said, strict=True):
                yield Row(
                    heading, tile.image, tile.label, tile.percent, network, said.predicted, said.confidence, said.right
                )
