from math import erf, exp, pi, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from softaug.boxes import shrunk_boxes, visibility_of_boxes
from softaug.crop import Size
from softaug.randomness import uniforms

SIDE = (224, 224)
LAST = 1 - 2**-53  # the largest uniform


def draw(n: int, seed: int = 0) -> Tensor:
    return uniforms(n, 4, generator=torch.Generator().manual_seed(seed))


def redrawn(n: int, offset_scale: float) -> tuple[NDArray[np.float64], NDArray[np.float64], float]:
    """Return n sides and offsets of one axis of 224 px in real numbers, by redrawing, and the share of redraws."""
    generator = np.random.default_rng(1)
    sides = 224 - np.clip(np.maximum(generator.normal(0, 0.3 * 112, n), 0), 0, 112)
    offsets = generator.normal(0, offset_scale * 0.3 * (224 + sides))
    again = np.abs(offsets) >= (224 + sides) / 2
    rejected = again.mean()
    while again.any():
        offsets = np.where(again, generator.normal(0, offset_scale * 0.3 * (224 + sides)), offsets)
        again = np.abs(offsets) >= (224 + sides) / 2
    return sides, offsets, float(rejected)


# Method §1.3, max(0, x): offset scale, share of redraws per axis, E[w], E[v] and E[p] for 1,000 classes and k = 2.
TABLE = [(1.0, 0.096, 210.6, 0.340, 0.516), (0.5, 0.0009, 210.6, 0.539, 0.754)]


@pytest.mark.parametrize(("offset_scale", "rejected", "mean_w", "mean_v", "mean_p"), TABLE)
def test_the_table_of_the_method(
    offset_scale: float, rejected: float, mean_w: float, mean_v: float, mean_p: float
) -> None:
    boxes = shrunk_boxes(draw(300_000), SIDE, sigma=0.3, offset_scale=offset_scale)
    v = visibility_of_boxes(boxes, SIDE).double()
    p = 1 - 0.999 * (1 - v) ** 2
    assert boxes[:, 2:].double().mean().item() == pytest.approx(mean_w, abs=0.1)
    assert [v.mean().item(), p.mean().item()] == pytest.approx([mean_v, mean_p], abs=2e-3)
    assert redrawn(300_000, offset_scale)[2] == pytest.approx(rejected, abs=2e-3)
    assert 1 - erf(1 / (2 * offset_scale * 0.3 * sqrt(2))) == pytest.approx(rejected, abs=1e-3)


@pytest.mark.parametrize("offset_scale", [0.5, 1.0])
def test_sides_and_offsets_follow_the_redraw_law(offset_scale: float) -> None:
    boxes = shrunk_boxes(draw(40_000), SIDE, sigma=0.3, offset_scale=offset_scale).double().numpy()
    sides, offsets, _ = redrawn(40_000, offset_scale)
    for axis in (0, 1):
        assert stats.ks_2samp(boxes[:, 2 + axis], np.round(sides)).pvalue > 1e-3
        corners = np.round((224 - np.round(sides)) / 2 + offsets)
        assert stats.ks_2samp(boxes[:, axis], corners).pvalue > 1e-3
        assert abs(np.corrcoef(boxes[:, axis], boxes[:, 1 - axis])[0, 1]) < 0.02
        moved = boxes[:, axis] + boxes[:, 2 + axis] / 2 - 112  # of the centre
        assert abs(moved.mean()) < 4 * moved.std() / sqrt(len(moved))
    assert abs(np.corrcoef(boxes[:, 2], boxes[:, 3])[0, 1]) < 0.02


def test_whole_pixels_keep_the_means_of_the_formula() -> None:
    # E max(0, N(0, s)) = s / sqrt(2 pi), less what lies beyond 112 px. An even grid of quantiles: no sampling error.
    u = torch.full((100_000, 4), 0.5, dtype=torch.float64)
    u[:, 0] = (torch.arange(100_000) + 0.5) / 100_000
    sides = shrunk_boxes(u, SIDE, sigma=0.3)[:, 2].double()
    s = 0.3 * 112
    beyond = s * exp(-((112 / s) ** 2) / 2) / sqrt(2 * pi) - 112 * (1 - stats.norm.cdf(112 / s))
    assert sides.mean().item() == pytest.approx(224 - s / sqrt(2 * pi) + beyond, abs=1e-2)
    u[:, 2] = u[:, 0].clone()
    u[:, 0] = 0
    corners = shrunk_boxes(u, SIDE, sigma=0.3)[:, 0].double()
    expected = stats.truncnorm.std(-1 / 0.3, 1 / 0.3, scale=0.3 * 224)
    assert corners.mean().item() == pytest.approx(0, abs=1e-2)
    assert corners.std().item() == pytest.approx(expected, abs=1e-2)


def test_by_hand() -> None:
    # The 0.975 quantile of a normal is 1.96 std: 100 - 40 leaves 60 px to lose, of std 0.25 * 60 = 15, so 29.4.
    u = torch.tensor([[0.5, 0.975, 0.5, 0.5], [0.2, LAST, 0.5, 0.5]], dtype=torch.float64)
    boxes = shrunk_boxes(u, (100, 100), sigma=0.25, smallest_px=40)
    assert boxes.tolist() == [[0, 14, 100, 71], [0, 30, 100, 40]]  # 14.5 to the even 14
    # One std of the truncated normal, down and to the right: 0.5 * 0.25 * (100 + 100) = 25.
    inside = 2 * stats.norm.cdf(4) - 1
    one_std = 0.5 + (stats.norm.cdf(1) - 0.5) / inside
    u = torch.tensor([[0.0, 0.0, one_std, 1 - one_std]], dtype=torch.float64)
    assert shrunk_boxes(u, (100, 100), sigma=0.25, smallest_px=40).tolist() == [[25, -25, 100, 100]]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 400), st.integers(1, 400)), min_size=1, max_size=8),
    sigma=st.floats(0.01, 2),
    offset_scale=st.sampled_from([0.5, 1.0]),
    seed=st.integers(0, 1000),
    extreme=st.sampled_from([None, 0.0, LAST]),
)
@settings(max_examples=60, deadline=None)
def test_sides_stay_in_range_some_overlap_is_left_and_the_law_is_symmetric(
    sizes: list[Size], sigma: float, offset_scale: float, seed: int, extreme: float | None
) -> None:
    limits, u = torch.tensor(sizes), draw(len(sizes), seed)
    if extreme is not None:
        u[:, 2:] = extreme
    boxes = shrunk_boxes(u, limits, sigma=sigma, offset_scale=offset_scale)
    assert boxes.dtype == torch.int64
    assert (boxes[:, 2:] <= limits).all()
    assert (boxes[:, 2:] >= limits.clamp(max=112)).all()
    assert (visibility_of_boxes(boxes, limits) > 0).all()
    for number, size in enumerate(sizes):  # each image for itself
        alone = shrunk_boxes(u[number : number + 1], size, sigma=sigma, offset_scale=offset_scale)
        assert torch.equal(boxes[number : number + 1], alone)
    if extreme is None:
        mirrored = shrunk_boxes(
            torch.cat((u[:, :2], 1 - u[:, 2:]), dim=1), limits, sigma=sigma, offset_scale=offset_scale
        )
        assert torch.equal(mirrored[:, :2], limits - boxes[:, :2] - boxes[:, 2:])


def test_each_axis_has_its_own_length() -> None:
    u = draw(500)
    wide = shrunk_boxes(u, (224, 336), sigma=0.3)
    assert torch.equal(wide[:, ::2], shrunk_boxes(u, SIDE, sigma=0.3)[:, ::2])
    assert torch.equal(wide[:, 1::2], shrunk_boxes(u, (336, 336), sigma=0.3)[:, 1::2])


def test_an_empty_batch_passes_no_value_is_read_on_the_host_and_the_graph_is_one() -> None:
    assert shrunk_boxes(draw(0), SIDE, sigma=0.3).shape == (0, 4)
    assert shrunk_boxes(draw(5).to("meta"), SIDE, sigma=0.3).shape == (5, 4)
    compiled = torch.compile(shrunk_boxes, fullgraph=True, backend="eager")
    assert torch.equal(compiled(draw(5), SIDE, sigma=0.3), shrunk_boxes(draw(5), SIDE, sigma=0.3))


def test_other_dtypes_shapes_and_ranges_are_refused() -> None:
    with pytest.raises(TypeError, match=r"uniforms of torch\.float32"):
        shrunk_boxes(draw(2).float(), SIDE, sigma=0.3)
    with pytest.raises(ValueError, match=r"uniforms \(2, 3\): allowed is \(B, 4\)"):
        shrunk_boxes(draw(2)[:, 1:], SIDE, sigma=0.3)
    with pytest.raises(ValueError, match=r"sigma 0, offset_scale 0\.5: both must be positive"):
        shrunk_boxes(draw(2), SIDE, sigma=0)
