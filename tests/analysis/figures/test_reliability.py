"""Reliability pooled over seeds."""

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.figures.reliability import Curve, draw_reliability, pool, read_curve
from softaug.metrics import reliability


def test_pooling_weighs_by_images_and_skips_empty_bins() -> None:
    one = Curve((10, 0, 0), (0.5, 0.0, 0.0), (0.4, 0.0, 0.0))
    two = Curve((30, 5, 0), (0.9, 0.2, 0.0), (0.8, 0.6, 0.0))
    assert pool([one, two]) == Curve((40, 5, 0), (pytest.approx(0.8), 0.2, 0.0), (pytest.approx(0.7), 0.6, 0.0))


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.tuples(st.floats(0, 1), st.booleans()), min_size=1, max_size=20), min_size=1, max_size=4))
def test_pooling_is_one_diagram_of_all_images(seeds: list[list[tuple[float, bool]]]) -> None:
    """Pooling seeds' bins equals binning all their images together (slow loop)."""

    def curve(images: list[tuple[float, bool]]) -> Curve:
        bins = [[image for image in images if min(int(image[0] * 2), 1) == b] for b in (0, 1)]
        return Curve(
            tuple(len(members) for members in bins),
            tuple(sum(right for _, right in members) / len(members) if members else 0.0 for members in bins),
            tuple(sum(sure for sure, _ in members) / len(members) if members else 0.0 for members in bins),
        )

    pooled, together = pool([curve(images) for images in seeds]), curve([image for images in seeds for image in images])
    assert pooled.count == together.count
    assert pooled.accuracy == pytest.approx(together.accuracy)
    assert pooled.confidence == pytest.approx(together.confidence)


def test_a_hole_keeps_its_colour_free() -> None:
    """A label is drawn alike in every panel, whether or not the cells before it are holes."""
    curve = Curve((4,), (0.5,), (0.6,))
    drawing = draw_reliability({"a": {"σ = 1": None, "σ = 2": curve}, "b": {"σ = 1": curve, "σ = 2": curve}}, None)
    a, b = drawing.axes[:2]
    assert [line.get_color() for line in a.lines[1:]] == [b.lines[2].get_color()]


def test_empty_bins_are_not_drawn() -> None:
    drawing = draw_reliability({"a": {"x": Curve((0, 4, 0), (0.0, 0.5, 0.0), (0.0, 0.6, 0.0))}}, None)
    assert drawing.axes[0].lines[1].get_xydata().tolist() == [[0.6, 0.5]]


def test_what_a_trial_writes_can_be_read(tmp_path: Path) -> None:
    """The file holds `softaug.metrics.reliability`, to which the trial adds nothing."""
    logits = torch.tensor([[2.0, 0.0], [0.0, 1.0], [3.0, 0.0]])
    written = reliability(logits, torch.tensor([0, 0, 0]))
    (tmp_path / "reliability.json").write_text(json.dumps(written))
    curve = read_curve(tmp_path / "reliability.json")
    assert sum(curve.count) == 3
    assert curve.accuracy == tuple(written["accuracy"])
