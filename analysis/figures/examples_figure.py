"""Draw test images in rows, under each what two networks say of it: ticked and blue if right, else crossed."""

import base64
import io
from typing import Any

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image

from analysis.figures.examples import (
    LETTERS,
    EvaluationOf,
    Examples,
    Said,
    Tile,
    examples_csv,
    hard_examples,
    occlusion_examples,
)
from analysis.figures.style import COLOURS, PAGE_IN, PRINT, Drawn, write_caption
from analysis.results import Results
from softaug.datasets import dataset

RIGHT, WRONG = COLOURS[0], COLOURS[1]
TEXT = 6.0  # points
LINE_IN = 0.105
LETTERS_IN_NAME = 15
HEADING_IN = 0.45


def draw_occlusion_examples(results: Results, evaluation_of: EvaluationOf) -> Drawn | None:
    """Return the paper's Figures 4 and 7, None if nothing was evaluated."""
    data = occlusion_examples(results, evaluation_of)
    return None if data is None else Drawn("occlusion-examples", examples_csv(data), draw(data))


def draw_hard_examples(results: Results, evaluation_of: EvaluationOf) -> Drawn | None:
    """Return the paper's Figure 6, None if nothing was evaluated."""
    data = hard_examples(results, evaluation_of)
    return None if data is None else Drawn("hard-examples", examples_csv(data), draw(data))


def draw(data: Examples) -> Figure:
    """Draw a row of images per heading; classes stand above uncovered images."""
    columns = max(len(tiles) for tiles in data.rows.values())
    tile_in = (PAGE_IN - HEADING_IN) / columns
    rows = list(data.rows.items())
    named = [all(tile.percent == 0 for tile in tiles) for _, tiles in rows]
    heights = [tile_in + LINE_IN * (2.4 + 1.3 * with_names) for with_names in named]
    with rc_context(PRINT):
        drawing = Figure(figsize=(PAGE_IN, sum(heights) + 0.75))
        drawing.set_layout_engine("constrained", w_pad=0.02, h_pad=0.02, hspace=0.01, wspace=0.01)
        grid = drawing.subplots(len(rows), columns, squeeze=False, height_ratios=heights)
        for line, (heading, tiles), with_names in zip(grid, rows, named, strict=True):
            for axes in line:
                axes.set_axis_off()
            line[0].text(-0.08, 0.5, heading, transform=line[0].transAxes, rotation=90, ha="right", va="center")
            for axes, tile in zip(line, tiles, strict=False):
                _draw_tile(axes, tile, data)
                axes.set_title(_short(tile.label) if with_names else "", fontsize=7, pad=2)
        write_caption(drawing, data.caption)
    return drawing


def _draw_tile(axes: Axes, tile: Tile, data: Examples) -> None:
    axes.imshow(pixels_of(tile, data), interpolation="nearest")
    for number, (letter, said) in enumerate(zip(LETTERS, tile.said, strict=True)):
        below: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "va": "top", "ha": "left"}
        place = (0, -1.5 - TEXT * 1.2 * number)
        axes.annotate(_text(letter, said), (0, 0), place, fontsize=TEXT, color=_colour(said), **below)


def _text(letter: str, said: Said) -> str:
    return f"{letter} {'✓' if said.right else '✗'} {_short(said.predicted)}, {100 * said.confidence:.0f} %"


def _colour(said: Said) -> str:
    return RIGHT if said.right else WRONG


def _short(name: str) -> str:
    return name if len(name) <= LETTERS_IN_NAME else name[: LETTERS_IN_NAME - 1] + "…"


def pixels_of(tile: Tile, data: Examples) -> NDArray[np.uint8]:
    """Return the image (H, W, 3) with its patch."""
    pixels = np.array(Image.open(io.BytesIO(base64.b64decode(tile.png))).convert("RGB"))
    if tile.corner is not None:
        place = tuple(slice(first, first + tile.side_px) for first in tile.corner)
        pixels[place] = np.broadcast_to(_patch(data), pixels.shape)[place]
    return pixels


def _patch(data: Examples) -> NDArray[np.uint8]:
    """Return what shows in place of an image, as the very function gives it that covers images for a network."""
    from softaug.occlusion import draw_occlusion  # with torch, which few reports need

    known = dataset(data.data)
    seen = draw_occlusion(0, known, 0, fill=data.fill, seed=0).fill.numpy().transpose(1, 2, 0)
    channels = seen * np.array(known.std) + np.array(known.mean)
    pixels: NDArray[np.uint8] = (255 * channels.clip(0, 1)).round().astype(np.uint8)
    return pixels
