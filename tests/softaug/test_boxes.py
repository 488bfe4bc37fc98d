from math import exp, log, sqrt

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from torch import Tensor
from torchvision.transforms import RandomResizedCrop

from softaug.boxes import Range, boxes_inside, iou, random_resized_boxes, visibility_of_boxes
from softaug.crop import Size
from softaug.randomness import uniforms

LAST = 1 - 2**-53  # the largest uniform
RATIO = (3 / 4, 4 / 3)


def draw(n: int, seed: int = 0) -> Tensor:
    return uniforms(n, 10, 4, generator=torch.Generator().manual_seed(seed))


def peers(n: int, size: Size, scale: Range, ratio: Range = RATIO) -> Tensor:
    """Return n boxes as torchvision draws them."""
    image = torch.empty(1, *size)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        return torch.tensor([RandomResizedCrop.get_params(image, list(scale), list(ratio)) for _ in range(n)])


def first_that_fits(attempts: list[list[float]], size: Size, scale: Range, ratio: Range) -> list[int] | None:
    """Return the first attempt that fits, one after the other as get_params tries them."""
    height, width = size
    for u_area, u_ratio, u_top, u_left in attempts:
        area = height * width * (scale[0] + (scale[1] - scale[0]) * u_area)
        aspect = exp(log(ratio[0]) + (log(ratio[1]) - log(ratio[0])) * u_ratio)
        w, h = round(sqrt(area * aspect)), round(sqrt(area / aspect))
        if 0 < w <= width and 0 < h <= height:
            return [int(u_top * (height - h + 1)), int(u_left * (width - w + 1)), h, w]
    return None


LAWS = [((32, 32), (0.2, 1.0)), ((48, 64), (0.08, 1.0)), ((20, 64), (0.3, 1.0)), ((256, 224), (0.08, 1.0))]


@pytest.mark.parametrize(("size", "scale"), LAWS)
def test_boxes_are_those_of_a_literal_loop_over_attempts(size: Size, scale: Range) -> None:
    u = draw(2000)
    expected = [first_that_fits(attempts, size, scale, RATIO) for attempts in u.tolist()]
    found = random_resized_boxes(u, size, scale=scale, ratio=RATIO).tolist()
    fitted = [ours for ours, loop in zip(found, expected, strict=True) if loop is not None]
    assert fitted == [loop for loop in expected if loop is not None]
    assert len(fitted) > 500


@pytest.mark.parametrize(("size", "scale"), LAWS)
def test_boxes_follow_torchvisions_law(size: Size, scale: Range) -> None:
    ours = random_resized_boxes(draw(20_000), size, scale=scale, ratio=RATIO).double()
    theirs = peers(3000, size, scale).double()
    for measure in (
        *(lambda boxes, part=part: boxes[:, part] for part in range(4)),
        lambda boxes: boxes[:, 2] * boxes[:, 3],
        lambda boxes: boxes[:, 3] / boxes[:, 2],
        lambda boxes: boxes[:, 0] + boxes[:, 2],
    ):
        a, b = measure(ours).numpy(), measure(theirs).numpy()
        assert stats.ks_2samp(a, b).pvalue > 1e-3
        assert abs(a.mean() - b.mean()) < 4 * b.std() * sqrt(1 / len(a) + 1 / len(b))
        assert np.abs(np.quantile(a, [0.25, 0.5, 0.75]) - np.quantile(b, [0.25, 0.5, 0.75])).max() <= 0.1 * b.std() + 1


@pytest.mark.parametrize("size", [(32, 32), (11, 100), (100, 11), (31, 40), (33, 47), (47, 33), (1, 9), (3, 1), (1, 1)])
def test_where_nothing_fits_the_box_is_torchvisions_central_one(size: Size) -> None:
    too_large = (2.0, 2.0)
    expected = peers(1, size, too_large)
    assert torch.equal(random_resized_boxes(draw(1), size, scale=too_large, ratio=RATIO), expected)
    whole = RATIO[0] <= size[1] / size[0] <= RATIO[1]
    assert whole == (expected[0, 2:].tolist() == list(size))


def test_a_box_has_at_least_one_pixel_where_torchvisions_has_none() -> None:
    assert peers(1, (9, 1), (2.0, 2.0), (4.0, 5.0))[0, 2] == 0
    assert random_resized_boxes(draw(1), (9, 1), scale=(2.0, 2.0), ratio=(4.0, 5.0)).tolist() == [[4, 0, 1, 1]]


@given(
    sizes=st.lists(st.tuples(st.integers(1, 300), st.integers(1, 300)), min_size=1, max_size=8),
    low=st.floats(0.001, 1),
    seed=st.integers(0, 1000),
    extreme=st.sampled_from([None, 0.0, LAST]),
)
@settings(max_examples=60, deadline=None)
def test_boxes_lie_inside_their_images(sizes: list[Size], low: float, seed: int, extreme: float | None) -> None:
    limits, u = torch.tensor(sizes), draw(len(sizes), seed)
    if extreme is not None:
        u[..., 2:] = extreme
    boxes = random_resized_boxes(u, limits, scale=(low, 1.0), ratio=RATIO)
    assert boxes.dtype == torch.int64
    assert (boxes[:, 2:] >= 1).all()
    assert (boxes[:, :2] >= 0).all()
    assert (boxes[:, :2] + boxes[:, 2:] <= limits).all()
    for number, size in enumerate(sizes):  # each image for itself
        alone = random_resized_boxes(u[number : number + 1], size, scale=(low, 1.0), ratio=RATIO)
        assert torch.equal(boxes[number : number + 1], alone)


def test_overlaps_by_hand() -> None:
    box = torch.tensor([[0, 0, 4, 4]])
    cases = [([0, 0, 4, 4], 1), ([2, 2, 4, 4], 4 / 28), ([0, 2, 4, 4], 8 / 24), ([1, 1, 2, 2], 0.25), ([4, 0, 4, 4], 0)]
    for other, expected in cases:
        assert iou(box, torch.tensor([other])).item() == pytest.approx(expected)
    assert visibility_of_boxes(torch.tensor([[-2, 1, 4, 2], [-1, -1, 9, 9], [0, 4, 1, 1]]), (4, 4)).tolist() == [
        0.25,
        1.0,
        0.0,
    ]


def test_large_boxes_are_counted_exactly() -> None:
    large, most = torch.tensor([[0, 0, 4001, 4001]]), torch.tensor([[0, 0, 4001, 4000]])
    assert iou(large, most).item() == pytest.approx(4000 / 4001, rel=1e-7)


def mask(box: list[int]) -> Tensor:
    """Mark a box's pixels on a canvas that has its corner at (-20, -20)."""
    top, left, height, width = box
    canvas = torch.zeros(60, 60, dtype=torch.bool)
    canvas[20 + top : 20 + top + height, 20 + left : 20 + left + width] = True
    return canvas


somewhere = st.tuples(st.integers(-20, 19), st.integers(-20, 19), st.integers(1, 20), st.integers(1, 20))


@given(pairs=st.lists(st.tuples(somewhere, somewhere), min_size=1, max_size=5))
@settings(max_examples=60, deadline=None)
def test_overlap_is_what_a_mask_of_pixels_counts(pairs: list[tuple[tuple[int, ...], tuple[int, ...]]]) -> None:
    a, b = (torch.tensor(boxes) for boxes in zip(*pairs, strict=True))
    masks = [(mask(one), mask(other)) for one, other in zip(a.tolist(), b.tolist(), strict=True)]
    overlaps = torch.tensor([(one & other).sum() / (one | other).sum() for one, other in masks])
    torch.testing.assert_close(iou(a, b), overlaps)
    assert torch.equal(iou(a, b), iou(b, a))
    sizes = b[:, 2:]
    images = [mask([0, 0, *size]) for size in sizes.tolist()]
    seen = torch.tensor([(one & image).sum() / image.sum() for (one, _), image in zip(masks, images, strict=True)])
    torch.testing.assert_close(visibility_of_boxes(a, sizes), seen)


def test_empty_batches_pass_no_value_is_read_on_the_host_and_the_graph_is_one() -> None:
    boxes = random_resized_boxes(draw(0), (32, 32), scale=(0.2, 1), ratio=RATIO)
    assert boxes.shape == (0, 4)
    assert iou(boxes, boxes).shape == visibility_of_boxes(boxes, (32, 32)).shape == (0,)
    on_meta = random_resized_boxes(draw(5).to("meta"), (32, 32), scale=(0.2, 1), ratio=RATIO)
    assert iou(on_meta, on_meta).shape == visibility_of_boxes(on_meta, (32, 32)).shape == (5,)
    compiled = torch.compile(random_resized_boxes, fullgraph=True, backend="eager")
    found = [make(draw(5), (32, 32), scale=(0.2, 1.0), ratio=RATIO) for make in (random_resized_boxes, compiled)]
    assert torch.equal(*found)
    assert torch.equal(torch.compile(iou, fullgraph=True, backend="eager")(*found), torch.ones(5))


def test_other_dtypes_shapes_and_ranges_are_refused() -> None:
    with pytest.raises(TypeError, match=r"uniforms of torch\.float32: allowed is torch\.float64"):
        random_resized_boxes(draw(2).float(), (32, 32), scale=(0.2, 1), ratio=RATIO)
    with pytest.raises(ValueError, match=r"uniforms \(2, 9, 4\): allowed is \(B, 10, 4\)"):
        random_resized_boxes(draw(2)[:, 1:], (32, 32), scale=(0.2, 1), ratio=RATIO)
    with pytest.raises(ValueError, match=r"scale \(0, 1\): allowed is 0 < low <= high"):
        random_resized_boxes(draw(2), (32, 32), scale=(0, 1), ratio=RATIO)
    with pytest.raises(ValueError, match=r"ratio \(2, 1\)"):
        random_resized_boxes(draw(2), (32, 32), scale=(0.2, 1), ratio=(2, 1))
    boxes = torch.ones(2, 4, dtype=torch.int64)
    with pytest.raises(ValueError, match=r"boxes \(1, 4\): allowed is \(2, 4\)"):
        iou(boxes, boxes[:1])
    with pytest.raises(TypeError, match=r"boxes of torch\.int32: allowed is torch\.int64"):
        visibility_of_boxes(boxes.int(), (4, 4))
    with pytest.raises(ValueError, match=r"sizes \(1, 2\): allowed is \(2, 2\)"):
        visibility_of_boxes(boxes, boxes[:1, :2])


def test_the_part_inside_is_what_is_visible() -> None:
    sizes = torch.tensor([[20, 30], [20, 30], [20, 30], [20, 30]])
    boxes = torch.tensor([[2, 3, 5, 6], [-4, -1, 50, 7], [15, 29, 9, 9], [20, -9, 4, 9]])
    inside = boxes_inside(boxes, sizes)
    assert inside.tolist() == [[2, 3, 5, 6], [0, 0, 20, 6], [15, 29, 5, 1], [20, 0, 0, 0]]
    assert torch.equal(inside[:, 2:].prod(dim=1) / 600, visibility_of_boxes(boxes, sizes))
