from math import erf, sqrt

import numpy as np
import pytest
import torch
import torchvision.transforms.functional as torchvision_functional
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy import stats
from torch import Tensor

from softaug.crop import Rounding, crop, draw_offsets, gaussian_offsets, uniform_offsets, visibility


def listing_1(image: Tensor, rows: int, columns: int, background: Tensor) -> Tensor:
    """Cut one crop (C, H, W) from a canvas of three by three tiles, as the paper's Listing 1 does."""
    _, height, width = image.shape
    canvas = background.view(-1, 1, 1).repeat(1, 3 * height, 3 * width)
    canvas[:, height : 2 * height, width : 2 * width] = image
    return canvas[:, height + rows : 2 * height + rows, width + columns : 2 * width + columns]


def literal(images: Tensor, offsets: Tensor, fill: Tensor) -> Tensor:
    return torch.stack(
        [listing_1(image, int(t[0]), int(t[1]), colour) for image, t, colour in zip(images, offsets, fill, strict=True)]
    )


def every_offset(height: int, width: int) -> Tensor:
    return torch.cartesian_prod(torch.arange(-height, height + 1), torch.arange(-width, width + 1))


@pytest.mark.parametrize(("height", "width", "channels"), [(1, 1, 1), (4, 4, 3), (3, 5, 2), (8, 8, 1)])
@pytest.mark.parametrize("dtype", [torch.uint8, torch.float32])
def test_every_offset_shows_what_listing_1_shows(height: int, width: int, channels: int, dtype: torch.dtype) -> None:
    offsets = every_offset(height, width)
    images = torch.randint(1, 256, (len(offsets), channels, height, width)).to(dtype)
    black = torch.zeros(len(offsets), channels, dtype=dtype)
    assert torch.equal(crop(images, offsets, fill=0), literal(images, offsets, black))


@given(seed=st.integers(0, 1000))
@settings(max_examples=10, deadline=None)
def test_sampled_offsets_at_32_px_with_a_colour_per_sample(seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.randn(16, 3, 32, 32, generator=generator)
    offsets = torch.randint(-32, 33, (16, 2), generator=generator)
    colours = torch.randn(16, 3, generator=generator)
    assert torch.equal(crop(images, offsets, fill=colours), literal(images, offsets, colours))
    assert torch.equal(crop(images, offsets, fill=colours[0]), literal(images, offsets, colours[:1].expand(16, 3)))


def test_a_standard_crop_is_torchvisions_on_a_padded_image() -> None:
    images = torch.randint(0, 256, (81, 3, 32, 32), dtype=torch.uint8)
    offsets = torch.cartesian_prod(torch.arange(-4, 5), torch.arange(-4, 5))
    padded = torchvision_functional.pad(images, [4, 4, 4, 4])
    expected = [
        torchvision_functional.crop(image, 4 + int(rows), 4 + int(columns), 32, 32)
        for image, (rows, columns) in zip(padded, offsets, strict=True)
    ]
    assert torch.equal(crop(images, offsets, fill=0), torch.stack(expected))


def test_positive_offsets_move_the_content_up_and_left() -> None:
    image = torch.arange(9.0).view(1, 1, 3, 3)
    assert crop(image, torch.tensor([[1, 2]]), fill=-1.0).tolist() == [[[[5, -1, -1], [8, -1, -1], [-1, -1, -1]]]]


def test_an_offset_beyond_the_image_shows_only_the_canvas() -> None:
    offsets = torch.tensor([[5, 0], [0, -9]])
    assert (crop(torch.ones(2, 1, 4, 4), offsets, fill=0.0) == 0).all()
    assert visibility(offsets, (4, 4)).tolist() == [0.0, 0.0]


@pytest.mark.parametrize(("height", "width"), [(4, 4), (3, 5), (8, 8)])
def test_visibility_is_the_part_of_a_white_image_left_in_view(height: int, width: int) -> None:
    offsets = every_offset(height, width)
    white = crop(torch.ones(len(offsets), 1, height, width), offsets, fill=0.0)
    torch.testing.assert_close(visibility(offsets, (height, width)), white.mean(dim=(1, 2, 3)))


def offset_law(side: int, sigma: float, rounding: Rounding) -> NDArray[np.float64]:
    """Return the probability of each offset -side..side: a normal of std sigma * side, redrawn outside +-side."""
    edges = np.arange(-side, side + 1, dtype=float)
    if rounding == "trunc":
        low, high = np.where(edges > 0, edges, edges - 1), np.where(edges < 0, edges, edges + 1)
    else:
        low, high = edges - 0.5, edges + 0.5
    normal = stats.norm(scale=sigma * side)
    law = normal.cdf(np.clip(high, -side, side)) - normal.cdf(np.clip(low, -side, side))
    return np.asarray(law / law.sum())


@pytest.mark.parametrize("sigma", [0.1, 0.2, 0.3, 0.375, 0.5, 1.0])
@pytest.mark.parametrize("rounding", ["trunc", "round"])
def test_gaussian_offsets_follow_the_redraw_law(sigma: float, rounding: Rounding) -> None:
    u = torch.rand(100_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    offsets = gaussian_offsets(u, (32, 32), sigma=sigma, rounding=rounding)
    law = offset_law(32, sigma, rounding)
    common = law * len(u) >= 5
    for axis in (0, 1):
        counts = np.bincount(offsets[:, axis].numpy() + 32, minlength=65)
        assert counts[law == 0].sum() == 0
        expected = law[common] / law[common].sum() * counts[common].sum()
        assert stats.chisquare(counts[common], expected).pvalue > 1e-3
        assert counts[~common].sum() <= 60


@pytest.mark.parametrize("sigma", [0.1, 0.3, 1.0])
def test_gaussian_offsets_are_scipys_truncated_normal(sigma: float) -> None:
    u = torch.rand(20_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    expected = stats.truncnorm.ppf(u.numpy(), -1 / sigma, 1 / sigma, scale=sigma * 32)
    assert np.array_equal(gaussian_offsets(u, (32, 32), sigma=sigma).numpy(), np.trunc(expected))


# Method §1.2: sigma, P(t = 0) per axis, E[v], P(v < .25), E[p] and E[p^2] for 100 classes and k = 2.
TABLE = [
    (0.1, 0.2445, 0.8744, 0.0000, 0.9781, 0.9574),
    (0.2, 0.1240, 0.7317, 0.0012, 0.9073, 0.8317),
    (0.3, 0.0828, 0.6032, 0.0478, 0.8048, 0.6779),
    (0.375, 0.0676, 0.5226, 0.1322, 0.7245, 0.5748),
    (0.5, 0.0528, 0.4273, 0.2739, 0.6182, 0.4530),
    (1.0, 0.0362, 0.3085, 0.4902, 0.4718, 0.3056),
]


@pytest.mark.parametrize(("sigma", "still", "mean_v", "small_v", "mean_p", "mean_p2"), TABLE)
def test_the_table_of_the_method(
    sigma: float, still: float, mean_v: float, small_v: float, mean_p: float, mean_p2: float
) -> None:
    offsets = draw_offsets(400_000, (32, 32), sigma=sigma, generator=torch.Generator().manual_seed(3))
    v = visibility(offsets, (32, 32)).double()
    p = 1 - 0.99 * (1 - v) ** 2
    found = [(offsets == 0).double().mean(), v.mean(), (v < 0.25).double().mean(), p.mean(), p.square().mean()]
    assert [value.item() for value in found] == pytest.approx([still, mean_v, small_v, mean_p, mean_p2], abs=2e-3)
    closed_form = erf(1 / (32 * sigma * sqrt(2))) / erf(1 / (sigma * sqrt(2)))
    assert found[0].item() == pytest.approx(closed_form, abs=2e-3)


def test_truncation_never_blanks_an_image_and_the_extremes_are_clamped() -> None:
    u = torch.tensor([[0.0, 1 - 2**-53], [1e-300, 0.5]], dtype=torch.float64)
    assert gaussian_offsets(u, (8, 8), sigma=0.1)[:, 0].tolist() == [-8, -8]
    assert 0 < gaussian_offsets(u, (8, 8), sigma=0.1)[0, 1] <= 8
    assert gaussian_offsets(u[1:], (8, 8), sigma=0.1)[0, 1] == 0
    assert gaussian_offsets(torch.rand(1000, 2).double(), (8, 8), sigma=2.0).abs().max() < 8


@pytest.mark.parametrize(("radius", "mean_v"), [(4, 0.8659), (16, 0.5512)])
def test_uniform_offsets_are_equally_likely(radius: int, mean_v: float) -> None:
    u = torch.rand(200_000, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(4))
    offsets = uniform_offsets(u, radius_px=radius)
    counts = np.bincount((offsets[:, 0] + radius).numpy(), minlength=2 * radius + 1)
    assert len(counts) == 2 * radius + 1
    assert stats.chisquare(counts).pvalue > 1e-3
    assert visibility(offsets, (32, 32)).mean().item() == pytest.approx(mean_v, abs=1e-3)
    assert visibility(offsets, (32, 32)).min().item() == ((32 - radius) / 32) ** 2


@given(seed=st.integers(0, 10_000), low=st.floats(0.05, 1), more=st.floats(1, 2))
@settings(max_examples=25, deadline=None)
def test_a_stronger_crop_moves_the_same_quantile_further(seed: int, low: float, more: float) -> None:
    # Pairing: sigma only transforms a sample's quantile, so sign and order of offsets are kept.
    u = torch.rand(50, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    weak, strong = (gaussian_offsets(u, (32, 32), sigma=sigma) for sigma in (low, low * more))
    assert (strong.abs() >= weak.abs()).all()
    assert (strong * weak >= 0).all()


def test_drawing_is_a_function_of_the_generator() -> None:
    one, again = (draw_offsets(9, (32, 16), sigma=0.3, generator=torch.Generator().manual_seed(5)) for _ in range(2))
    assert torch.equal(one, again)
    assert one.shape == (9, 2)
    assert one.dtype == torch.int64
    assert (one.abs() <= torch.tensor([32, 16])).all()
