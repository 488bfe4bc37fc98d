import io

import pytest
import torch
from PIL import Image

from softaug.datasets import dataset
from softaug.samples import Samples, draw


@pytest.mark.parametrize("name", ["digits", "fashion-mnist", "cifar10", "cifar100"])
def test_sixteen_tiles_in_two_rows_with_text(name: str) -> None:
    known = dataset(name)
    images = torch.full((16, known.channels, known.side_px, known.side_px), 128, dtype=torch.uint8)
    labels = torch.arange(16) % known.classes
    picture = Image.open(io.BytesIO(draw(Samples(images, labels, torch.ones(16), torch.linspace(0.1, 1, 16)), name)))
    assert picture.format == "PNG"
    assert picture.width >= 8 * 72
    tile = known.side_px * -(-72 // known.side_px)
    for number in range(16):
        x, y = 6 + number % 8 * (tile + 6), 6 + number // 8 * (tile + 36)
        assert picture.crop((x, y, x + tile, y + tile)).getextrema() == ((128, 128),) * 3
    below_first = picture.crop((6, 6 + tile, 6 + tile, 6 + tile + 30)).convert("L")
    assert below_first.getextrema()[0] < 60


def test_upscaling_repeats_pixels() -> None:
    images = torch.zeros(1, 1, 8, 8, dtype=torch.uint8)
    images[0, 0, 0, 0] = 200
    picture = Image.open(io.BytesIO(draw(Samples(images, torch.tensor([3]), torch.ones(1), torch.ones(1)), "digits")))
    assert picture.getpixel((6, 6)) == picture.getpixel((6 + 8, 6 + 8)) == (200, 200, 200)
    assert picture.getpixel((6 + 9, 6)) == (0, 0, 0)
