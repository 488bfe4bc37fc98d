import pickle
from itertools import permutations, product

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torchvision.transforms import v2
from torchvision.transforms.v2 import functional

from softaug.colour_jitter import HUE, SATURATION, Jitter, colour_jitter, random_jitter
from softaug.randomness import uniforms

LAST = 1 - 2**-53  # the largest uniform
OPERATIONS = (
    functional.adjust_brightness,
    functional.adjust_contrast,
    functional.adjust_saturation,
    functional.adjust_hue,
)
NEUTRAL = [1.0, 1.0, 1.0, 0.0]


def draw(n: int, seed: int = 0) -> Tensor:
    return uniforms(n, 7, generator=torch.Generator().manual_seed(seed))


def photos(n: int, channels: int = 3, seed: int = 0) -> Tensor:
    """Return n images with grey, black, white and pure pixels among random ones."""
    images = torch.rand(n, channels, 6, 8, generator=torch.Generator().manual_seed(seed))
    corners = torch.tensor(list(product((0.0, 0.5, 1.0), repeat=3))).T  # (3, 27)
    images[..., 0, :] = images[:, :1, 0, :]  # grey
    images.flatten(2)[..., 8:35] = corners[:channels]
    return images


def literal(images: Tensor, jitter: Jitter) -> Tensor:
    """Change one image after the other with torchvision, in the drawn order."""
    changed = []
    for image, factors, order, grey in zip(images, *(part.tolist() for part in jitter), strict=True):
        one = image
        for operation in order:
            one = OPERATIONS[operation](one, factors[operation])
        changed.append(functional.rgb_to_grayscale(one, num_output_channels=len(one)) if grey else one)
    return torch.stack(changed)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("strengths", [{}, {"brightness": 1.0, "contrast": 1.0, "saturation": 1.0, "hue": 0.5}])
def test_images_change_as_by_torchvisions_operations_in_the_drawn_order(
    channels: int, strengths: dict[str, float]
) -> None:
    images, jitter = photos(400, channels), random_jitter(draw(400), **strengths)
    found = colour_jitter(images, jitter)
    torch.testing.assert_close(found, literal(images, jitter), rtol=0, atol=5e-6)
    assert (found - images).abs().max() > 0.3
    in_one_order = colour_jitter(images, jitter._replace(order=torch.arange(4).expand(400, 4)))
    assert (found - in_one_order).abs().max() > 0.01


@pytest.mark.parametrize("order", list(permutations(range(4))))
def test_every_order_is_torchvisions(order: tuple[int, ...]) -> None:
    images = photos(9)
    jitter = random_jitter(draw(9, seed=1), jittered=1.0, hue=0.3)._replace(order=torch.tensor(order).expand(9, 4))
    torch.testing.assert_close(colour_jitter(images, jitter), literal(images, jitter), rtol=0, atol=5e-6)


@pytest.mark.parametrize("operation", range(4))
def test_every_operation_alone_is_torchvisions(operation: int) -> None:
    images = photos(11)
    factors = torch.tensor(NEUTRAL).repeat(11, 1)
    factors[:, operation] = torch.arange(-5, 6) / 10 + (operation != HUE)
    jitter = Jitter(factors, torch.arange(4).expand(11, 4), torch.zeros(11, dtype=torch.bool))
    expected = torch.stack(
        [OPERATIONS[operation](x, float(f)) for x, f in zip(images, factors[:, operation], strict=True)]
    )
    torch.testing.assert_close(colour_jitter(images, jitter), expected, rtol=0, atol=2e-6)
    assert torch.equal(colour_jitter(images, jitter)[5], images[5])  # the neutral factor


def test_neutral_factors_leave_an_image_bit_for_bit_whatever_the_others_get() -> None:
    images, jitter = photos(50), random_jitter(draw(50), jittered=0.5, grey=0.0)
    still = (jitter.factors == torch.tensor(NEUTRAL)).all(dim=1)
    assert 10 < still.sum() < 40
    found = colour_jitter(images, jitter)
    assert torch.equal(found[still], images[still])
    assert (found[~still] != images[~still]).flatten(1).any(dim=1).all()


def test_one_channel_has_no_hue_no_saturation_and_no_other_grey() -> None:
    images = photos(20, channels=1)
    jitter = random_jitter(draw(20), jittered=1.0, grey=1.0, brightness=0.0, contrast=0.0)
    assert (jitter.factors[:, SATURATION] != 1).all()
    assert torch.equal(colour_jitter(images, jitter), images)


def test_grey_comes_last_and_has_three_equal_channels() -> None:
    images, jitter = photos(20), random_jitter(draw(20), grey=1.0)
    found = colour_jitter(images, jitter)
    assert torch.equal(found, found[:, :1].expand_as(found))
    coloured = colour_jitter(images, jitter._replace(grey=torch.zeros(20, dtype=torch.bool)))
    torch.testing.assert_close(found, functional.rgb_to_grayscale(coloured, num_output_channels=3))


def test_factors_are_uniform_in_torchvisions_ranges() -> None:
    peer = v2.ColorJitter(0.4, 0.4, 0.4, 0.1)
    ranges = (peer.brightness, peer.contrast, peer.saturation, peer.hue)
    jitter = random_jitter(draw(20_000), jittered=1.0)
    for factors, (low, high) in zip(jitter.factors.double().T.numpy(), ranges, strict=True):
        assert stats.kstest(factors, stats.uniform(low, high - low).cdf).pvalue > 1e-3
    for u, side in ((0.0, 0), (LAST, 1)):
        ends = random_jitter(torch.full((1, 7), u, dtype=torch.float64), jittered=1.0).factors[0]
        assert ends.tolist() == pytest.approx([bounds[side] for bounds in ranges])


def test_every_order_is_equally_likely_and_nothing_depends_on_another_draw() -> None:
    jitter = random_jitter(draw(48_000))
    codes, counts = np.unique(jitter.order.numpy() @ np.array([64, 16, 4, 1]), return_counts=True)
    assert len(codes) == 24
    assert (jitter.order.sort(dim=1).values == torch.arange(4)).all()
    assert stats.chisquare(counts).pvalue > 1e-3
    still = (jitter.factors == torch.tensor(NEUTRAL)).all(dim=1)
    assert still.double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert jitter.grey.double().mean().item() == pytest.approx(0.2, abs=0.01)
    assert (still & jitter.grey).double().mean().item() == pytest.approx(0.04, abs=0.005)
    draws = torch.cat((jitter.factors, jitter.order[:, :1], jitter.grey[:, None]), dim=1)[~still]
    assert np.abs(np.corrcoef(draws.T.numpy()) - np.eye(6)).max() < 0.03


@given(seed=st.integers(0, 1000), weak=st.floats(0, 0.5), more=st.floats(1, 2))
@settings(max_examples=20, deadline=None)
def test_a_stronger_jitter_changes_the_same_images_further(seed: int, weak: float, more: float) -> None:
    low, high = (random_jitter(draw(30, seed), contrast=strength) for strength in (weak, weak * more))
    assert torch.equal(low.order, high.order)
    assert torch.equal(low.grey, high.grey)
    assert torch.equal(low.factors[:, [0, 2, 3]], high.factors[:, [0, 2, 3]])
    assert ((high.factors - 1).abs() >= (low.factors - 1).abs())[:, 1].all()


@pytest.mark.parametrize("channels", [1, 3])
def test_the_contract(channels: int) -> None:
    images = photos(30, channels)
    before, jitter = images.clone(), random_jitter(draw(30))
    found = colour_jitter(images, jitter)
    assert torch.equal(images, before)
    assert found.shape == images.shape
    assert found.dtype == torch.float32
    assert 0 <= found.min() <= found.max() <= 1
    assert torch.equal(colour_jitter(images, pickle.loads(pickle.dumps(random_jitter(draw(30))))), found)
    alone = colour_jitter(images[7:8], Jitter(*(part[7:8] for part in jitter)))
    assert torch.equal(alone, found[7:8])
    assert colour_jitter(images[:0], random_jitter(draw(0))).shape == (0, channels, 6, 8)


def test_no_value_is_read_on_the_host_and_the_graph_is_one() -> None:
    images, jitter = photos(5), random_jitter(draw(5))
    on_meta = colour_jitter(images.to("meta"), Jitter(*(part.to("meta") for part in jitter)))
    assert on_meta.shape == images.shape
    compiled = torch.compile(colour_jitter, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, jitter), colour_jitter(images, jitter))


def test_other_dtypes_shapes_and_ranges_are_refused() -> None:
    images, jitter = photos(2), random_jitter(draw(2))
    with pytest.raises(TypeError, match=r"images of torch\.uint8: allowed is torch\.float32 in \[0, 1\]"):
        colour_jitter(images.byte(), jitter)
    with pytest.raises(ValueError, match=r"images \(2, 2, 6, 8\): allowed is \(B, C, H, W\) with C 1 or 3"):
        colour_jitter(images[:, :2], jitter)
    with pytest.raises(ValueError, match="for 2 images, not for 1"):
        colour_jitter(images[:1], jitter)
    with pytest.raises(TypeError, match=r"uniforms of torch\.float32"):
        random_jitter(draw(2).float())
    with pytest.raises(ValueError, match=r"uniforms \(2, 6\): allowed is \(B, 7\)"):
        random_jitter(draw(2)[:, 1:])
    with pytest.raises(ValueError, match=r"0\.6: strengths"):
        random_jitter(draw(2), hue=0.6)
    with pytest.raises(ValueError, match=r"1\.5: strengths and probabilities"):
        random_jitter(draw(2), grey=1.5)
