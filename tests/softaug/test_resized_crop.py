import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torchvision.transforms.v2 import functional

from softaug.crop import Size
from softaug.resized_crop import resized_crop


def literal(image: Tensor, box: Tensor, size: Size, fill: Tensor) -> Tensor:
    """Lay one image (C, H, W) on a canvas large enough, cut the box and resize it with torchvision."""
    top, left, height, width = box.tolist()
    above, before = max(-top, 0), max(-left, 0)
    rows, columns = max(top + height, image.shape[1]), max(left + width, image.shape[2])
    canvas = fill.to(image.dtype).view(-1, 1, 1).repeat(1, above + rows, before + columns)
    canvas[:, above : above + image.shape[1], before : before + image.shape[2]] = image
    cut = canvas[:, above + top : above + top + height, before + left : before + left + width]
    return functional.resize(cut, list(size), antialias=True)


def literals(images: Tensor, boxes: Tensor, size: Size, fill: Tensor) -> Tensor:
    return torch.stack(
        [literal(image, box, size, colour) for image, box, colour in zip(images, boxes, fill, strict=True)]
    )


def boxes_around(height: int, width: int) -> Tensor:
    """Return boxes inside, partly outside, around, and fully outside an image; large and small."""
    h, w = height, width
    boxes = [
        (0, 0, h, w),
        (h // 4, w // 5, h // 2, w // 3),
        (1, 2, h - 3, w - 5),
        (h // 2, w // 2, 1, 1),
        (3, 0, 2, w),
        (-h // 3, -w // 4, h, w),
        (h // 2, w // 3, h, w),
        (-h // 2, 5, 3 * h // 4, w // 2),
        (-h, -w, 3 * h, 3 * w),
        (-2, -1, 3 * h + 1, 5),
        (h, 0, h, w),
        (0, -2 * w, h, w),
        (-5 * h, 4 * w, 7, 2 * w),
    ]
    return torch.tensor(boxes)


def make(n: int, channels: int, size: Size) -> tuple[Tensor, Tensor]:
    """Return n uint8 images and as many colours (n, channels) of whole numbers."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n, channels, *size), dtype=torch.uint8, generator=generator)
    return images, torch.randint(0, 256, (n, channels), generator=generator).float()


SIZES = [
    ((40, 56), (32, 32), 3),
    ((32, 32), (32, 32), 1),
    ((50, 37), (224, 224), 3),
    ((300, 260), (224, 224), 1),
    ((33, 20), (7, 90), 3),
]


@pytest.mark.parametrize(("source", "size", "channels"), SIZES)
def test_every_box_is_torchvisions_crop_of_a_canvas_resized(source: Size, size: Size, channels: int) -> None:
    boxes = boxes_around(*source)
    images, fill = make(len(boxes), channels, source)
    expected = literals(images.float(), boxes, size, fill)
    found = resized_crop(images.float(), boxes, size, fill=fill)
    assert (found - expected).abs().max() < 255e-5
    whole = resized_crop(images, boxes, size, fill=fill)
    assert whole.dtype == torch.uint8
    assert (whole.int() - literals(images, boxes, size, fill).int()).abs().max() <= 1
    assert (whole - expected).abs().max() < 0.51  # rounded to the nearest, once


def test_random_boxes_of_cifar_are_torchvisions_resized_crops() -> None:
    images, _ = make(200, 3, (32, 32))
    generator = torch.Generator().manual_seed(1)
    sides = torch.randint(10, 33, (200, 2), generator=generator)
    boxes = torch.cat(((torch.rand(200, 2, generator=generator) * (33 - sides)).long(), sides), dim=1)
    peers = [
        functional.resized_crop(image, *box, size=[32, 32], antialias=True)
        for image, box in zip(images.float(), boxes.tolist(), strict=True)
    ]
    found = resized_crop(images.float(), boxes, (32, 32), fill=9.0)
    assert (found - torch.stack(peers)).abs().max() < 255e-6


def test_the_box_of_the_whole_image_changes_nothing() -> None:
    images, fill = make(4, 3, (20, 31))
    boxes = torch.tensor([[0, 0, 20, 31]]).expand(4, 4)
    assert torch.equal(resized_crop(images, boxes, (20, 31), fill=fill), images)
    assert torch.equal(resized_crop(images.float(), boxes, (20, 31), fill=0.0), images.float())


def test_a_padded_batch_shows_what_the_images_alone_show() -> None:
    sizes = torch.tensor([[40, 56], [17, 30], [28, 56], [1, 1]])
    images, fill = make(4, 3, (40, 56))  # what lies beyond an image's size is noise, which must not be seen
    boxes = torch.tensor([[-3, 4, 41, 30], [10, 20, 30, 36], [0, 0, 40, 56], [-2, -2, 5, 5]])
    expected = [
        literal(image[:, :height, :width], box, (32, 24), colour)
        for image, (height, width), box, colour in zip(images.float(), sizes.tolist(), boxes, fill, strict=True)
    ]
    found = resized_crop(images.float(), boxes, (32, 24), fill=fill, sizes=sizes)
    assert (found - torch.stack(expected)).abs().max() < 255e-5


def test_the_canvas_colour_is_a_number_or_per_channel_or_per_sample_and_channel() -> None:
    images, fill = make(2, 3, (16, 16))
    outside = torch.tensor([[99, 0, 16, 16], [0, -40, 8, 8]])
    assert (resized_crop(images, outside, (5, 5), fill=7) == 7).all()
    assert torch.equal(resized_crop(images, outside, (5, 5), fill=fill[0])[1, :, 2, 2], fill[0].byte())
    assert torch.equal(resized_crop(images, outside, (5, 5), fill=fill)[1, :, 2, 2], fill[1].byte())
    assert (resized_crop(images, outside, (5, 5), fill=123.675) == 124).all()  # rounded at the end, not before
    assert (resized_crop(images, outside, (5, 5), fill=300.0) == 255).all()


places = st.tuples(st.integers(-90, 90), st.integers(-90, 90), st.integers(1, 200), st.integers(1, 200))


@given(boxes=st.lists(places, min_size=1, max_size=4), size=st.tuples(st.integers(1, 40), st.integers(1, 40)))
@settings(max_examples=30, deadline=None)
def test_weights_sum_to_one_and_a_mirrored_box_shows_a_mirrored_image(
    boxes: list[tuple[int, int, int, int]], size: Size
) -> None:
    place = torch.tensor(boxes)
    grey = torch.full((len(boxes), 2, 24, 36), 200.0)
    assert (resized_crop(grey, place, size, fill=200.0) - 200).abs().max() < 1e-3
    # Beyond the canvas' own colour: white on black is a weight between 0 and 1.
    share = resized_crop(torch.ones_like(grey), place, size, fill=0.0)
    assert -1e-6 <= share.min() <= share.max() <= 1 + 1e-5
    images = make(len(boxes), 2, (24, 36))[0].float()
    mirrored = torch.stack((place[:, 0], 36 - place[:, 1] - place[:, 3], place[:, 2], place[:, 3]), dim=1)
    shown = resized_crop(images, place, size, fill=30.0)
    assert (resized_crop(images.flip(3), mirrored, size, fill=30.0) - shown.flip(3)).abs().max() < 255e-5


def test_images_are_left_alone_and_an_empty_batch_passes() -> None:
    images, fill = make(3, 3, (12, 12))
    for batch in (images, images.float()):
        before = batch.clone()
        resized_crop(batch, torch.tensor([[1, 1, 9, 9]]).expand(3, 4), (8, 8), fill=fill)
        assert torch.equal(batch, before)
        assert resized_crop(batch, torch.tensor([[0, 0, 12, 12]]).expand(3, 4), (8, 8), fill=0.0).is_contiguous()
    empty = resized_crop(images[:0], torch.empty(0, 4, dtype=torch.int64), (8, 9), fill=fill[:0])
    assert empty.shape == (0, 3, 8, 9)


def test_no_value_is_read_on_the_host_and_the_graph_is_one() -> None:
    images, fill = make(3, 3, (12, 12))
    boxes, sizes = torch.tensor([[1, -1, 9, 9]]).expand(3, 4), torch.tensor([[12, 9]]).expand(3, 2)
    on_meta = resized_crop(images.to("meta"), boxes.to("meta"), (8, 8), fill=fill.to("meta"), sizes=sizes.to("meta"))
    assert on_meta.shape == (3, 3, 8, 8)
    compiled = torch.compile(resized_crop, fullgraph=True, backend="eager")
    expected = resized_crop(images, boxes, (8, 8), fill=fill, sizes=sizes)
    assert torch.equal(compiled(images, boxes, (8, 8), fill=fill, sizes=sizes), expected)


def test_other_dtypes_and_shapes_are_refused() -> None:
    images, _ = make(2, 3, (12, 12))
    boxes = torch.tensor([[0, 0, 12, 12]]).expand(2, 4)
    with pytest.raises(TypeError, match=r"images of torch\.int64: allowed are torch\.uint8 and torch\.float32"):
        resized_crop(images.long(), boxes, (8, 8), fill=0)
    with pytest.raises(ValueError, match=r"images \(3, 12, 12\): allowed is \(B, C, H, W\)"):
        resized_crop(images[0], boxes, (8, 8), fill=0)
    with pytest.raises(ValueError, match=r"size \(8, 0\)"):
        resized_crop(images, boxes, (8, 0), fill=0)
    with pytest.raises(TypeError, match=r"boxes of torch\.float32"):
        resized_crop(images, boxes.float(), (8, 8), fill=0)
    with pytest.raises(ValueError, match=r"boxes \(1, 4\): allowed is \(2, 4\)"):
        resized_crop(images, boxes[:1], (8, 8), fill=0)
    with pytest.raises(ValueError, match=r"fill \(2,\): allowed are a number, \(3,\) and \(2, 3\)"):
        resized_crop(images, boxes, (8, 8), fill=torch.zeros(2))
    with pytest.raises(TypeError, match=r"sizes of torch\.float32"):
        resized_crop(images, boxes, (8, 8), fill=0, sizes=torch.ones(2, 2))
    with pytest.raises(ValueError, match=r"sizes \(2,\): allowed is \(2, 2\)"):
        resized_crop(images, boxes, (8, 8), fill=0, sizes=torch.ones(2, dtype=torch.int64))
