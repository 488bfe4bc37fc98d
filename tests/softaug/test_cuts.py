import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from torchvision import transforms

from softaug import cuts as cuts_module
from softaug.boxes import ATTEMPTS, random_resized_boxes, shrunk_boxes
from softaug.cuts import canvas_sizes, central_cuts, draw_cuts
from softaug.randomness import uniforms
from softaug.recipe_parts import GaussianResizedCrop, RandomResizedCrop

SIZES = torch.randint(20, 300, (500, 2), generator=torch.Generator().manual_seed(0))


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@given(height=st.integers(1, 300), width=st.integers(1, 300), short_edge=st.integers(1, 40), less=st.integers(0, 39))
@settings(max_examples=150, deadline=None)
def test_the_canvas_and_its_central_square_are_torchvisions(
    height: int, width: int, short_edge: int, less: int
) -> None:
    if max(height, width) > 40 * min(height, width):
        return
    side = max(1, short_edge - less)
    resized = transforms.Resize(short_edge)(Image.new("I", (width, height)))
    resized.putdata(range(resized.width * resized.height))  # every pixel is its own number
    first = transforms.CenterCrop(side)(resized).getpixel((0, 0))
    (cut,) = central_cuts(torch.tensor([[height, width]]), side_px=side, short_edge_px=short_edge).tolist()
    assert cut == [resized.height, resized.width, first // resized.width, first % resized.width, side, side]


def test_a_canvas_of_the_right_size_is_the_image() -> None:
    assert canvas_sizes(torch.tensor([[224, 500], [333, 224], [224, 224]]), 224).tolist() == [
        [224, 500], [333, 224], [224, 224],
    ]  # fmt: skip


@pytest.mark.parametrize("at_once", [7, 2**16])
def test_the_hard_crop_is_a_box_in_the_image_itself(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts_module, "DRAWN_AT_ONCE", at_once)
    crop = RandomResizedCrop(scale_min=0.2, ratio_max=1.5)
    cuts = draw_cuts(crop, SIZES, side_px=64, generator=generator())
    u = uniforms(len(SIZES), ATTEMPTS, 4, generator=generator())
    boxes = random_resized_boxes(u, SIZES, scale=(0.2, 1.0), ratio=(1 / 1.5, 1.5))
    assert torch.equal(cuts, torch.cat((SIZES, boxes), dim=1))


@pytest.mark.parametrize("at_once", [7, 2**16])
def test_the_soft_crop_is_a_box_on_the_canvas(at_once: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cuts_module, "DRAWN_AT_ONCE", at_once)
    crop = GaussianResizedCrop(sigma=0.4, smallest_px=40, offset_scale=1.0)
    cuts = draw_cuts(crop, SIZES, side_px=64, generator=generator())
    canvases = canvas_sizes(SIZES, 64)
    u = uniforms(len(SIZES), 4, generator=generator())
    boxes = shrunk_boxes(u, canvases, sigma=0.4, smallest_px=40, offset_scale=1.0)
    assert torch.equal(cuts, torch.cat((canvases, boxes), dim=1))
    assert (canvases.min(dim=1).values == 64).all()
    assert (cuts[:, 4:] < canvases).any()
    assert (cuts[:, 2:4] < 0).any()
