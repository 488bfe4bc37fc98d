"""A picture of what the network is trained on: 16 augmented images with their class and confidence."""

import io
from collections.abc import Sequence
from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from softaug.datasets import Dataset, dataset

ROWS, COLUMNS = 2, 8
TILE_PX = 72  # smallest side of an upscaled image
TEXT_PX = 12
GAP_PX = 6
INK, PAPER = (20, 20, 20), (255, 255, 255)


@dataclass(frozen=True)
class Samples:
    """Augmented images (16, C, H, W) uint8 with labels, visibilities and p of their targets, (16,) each, on the CPU."""

    images: Tensor
    labels: Tensor
    visibilities: Tensor
    confidences: Tensor


def draw(samples: Samples, name: str) -> bytes:
    """Return a PNG of the samples of data set `name`: two rows of eight, class and "p 0.83" under each image."""
    side = samples.images.shape[2]
    tile = side * -(-TILE_PX // side)
    step_x, step_y = tile + GAP_PX, tile + 2 * TEXT_PX + 2 * GAP_PX
    picture = Image.new("RGB", (COLUMNS * step_x + GAP_PX, ROWS * step_y + GAP_PX), PAPER)
    pen = ImageDraw.Draw(picture)
    font = ImageFont.load_default(size=TEXT_PX)
    names = class_names(dataset(name))
    for number, (label, confidence) in enumerate(zip(samples.labels, samples.confidences, strict=True)):
        row, column = divmod(number, COLUMNS)
        x, y = GAP_PX + column * step_x, GAP_PX + row * step_y
        picture.paste(_image(samples.images[number]).resize((tile, tile), Image.Resampling.NEAREST), (x, y))
        pen.text((x, y + tile + 1), _shorten(names[int(label)], tile, pen, font), fill=INK, font=font)
        pen.text((x, y + tile + TEXT_PX + 3), f"p {float(confidence):.2f}", fill=INK, font=font)
    content = io.BytesIO()
    picture.save(content, format="PNG")
    return content.getvalue()


def png(pixels: Tensor) -> bytes:
    """Return a PNG of pixels (C, H, W) uint8, of one channel or three."""
    content = io.BytesIO()
    _image(pixels.cpu()).save(content, format="PNG")
    return content.getvalue()


def class_names(known: Dataset) -> Sequence[str]:
    """Return what people call the classes; ImageNet's as torchvision's weights do, in the order of the wnids."""
    if not known.image_folders:
        return known.class_names
    from torchvision.models import ResNet50_Weights

    names: list[str] = ResNet50_Weights.DEFAULT.meta["categories"]
    return names


def _image(pixels: Tensor) -> Image.Image:
    """Turn pixels (C, H, W) uint8, of one channel or three, into an RGB image."""
    return Image.fromarray(pixels.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy())


def _shorten(
    text: str, width_px: int, pen: ImageDraw.ImageDraw, font: ImageFont.FreeTypeFont | ImageFont.ImageFont
) -> str:
    text = text.replace("_", " ")
    while pen.textlength(text, font=font) > width_px:
        text = text.removesuffix("…")[:-1] + "…"
    return text
