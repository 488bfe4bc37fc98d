"""From image files to pixels, in worker processes of a data loader or in this process.

A worker is told everything: path, size, the canvas to resize the image to, and which region of it is wanted. It draws
nothing and knows nothing of epochs, so the number of workers changes no bit. Images are decoded and resized by Pillow,
bilinear with antialiasing: bit for bit what torchvision's `ImageFolder` and `Resize` give. JPEGs are decoded whole,
not at libjpeg's cheaper reduced scales, whose pixels are others; an orientation in EXIF is not applied.

A worker hands over `AT_ONCE` images as one tensor: each tensor takes a file descriptor and a piece of shared memory.
"""

from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from softaug.datasets import DamagedData
from softaug.image_folder import Size
from softaug.readers import Pixels

AT_ONCE = 32


class Request(NamedTuple):
    """A region (top, left, height, width) of an image file's canvas (height, width); all in px, inside the canvas."""

    path: str
    size: Size
    canvas: Size
    region: tuple[int, int, int, int]


def decode(request: Request) -> Pixels:
    """Return the region (height, width, 3) uint8, in RGB. Raises DamagedData, naming the file."""
    try:
        with Image.open(request.path) as file:
            image = file.convert("RGB")
    except Exception as error:  # Pillow raises whatever it meets in a damaged file
        raise DamagedData(f"{request.path}: cannot be decoded ({error}); restore it and launch again") from error
    if (image.height, image.width) != request.size:
        raise DamagedData(
            f"{request.path}: {image.height} x {image.width} px, but {request.size[0]} x {request.size[1]} when the "
            "launch looked at it; leave the data alone while it is used, and launch again"
        )
    if request.canvas != request.size:
        height, width = request.canvas
        image = image.resize((width, height), Image.Resampling.BILINEAR)
    top, left, height, width = request.region
    return np.array(image.crop((left, top, left + width, top + height)))


def decoded(requests: Iterable[Request], *, workers: int) -> Iterator[Tensor]:
    """Yield the regions (height, width, 3) uint8 in the order of the requests, decoded by so many other processes.

    0: by this one. Raises DamagedData, naming the first file that cannot be used.
    """
    loader: DataLoader[Any] = DataLoader(
        _Decoder(),
        batch_sampler=_in_lists(requests),
        num_workers=workers,
        collate_fn=_pack,
        generator=torch.Generator(),  # it draws a seed for its workers, which must not come from torch's own generator
    )
    for packed in loader:
        if isinstance(packed, DamagedData):
            raise packed
        yield from _unpack(packed)


class _Packed(NamedTuple):
    """Images one after another, (sum of height width 3,) uint8, and the shape of each."""

    pixels: Tensor
    shapes: list[tuple[int, ...]]


class _Decoder(Dataset["Pixels | DamagedData"]):
    """What a worker runs: it is asked for requests in place of positions."""

    def __getitem__(self, request: Request) -> Pixels | DamagedData:
        """Return the region; an error as a value, since torch would wrap what is raised in a traceback of its own."""
        try:
            return decode(request)
        except DamagedData as error:
            return error


def _in_lists(requests: Iterable[Request]) -> Iterator[list[Request]]:
    some: list[Request] = []
    for request in requests:
        some.append(request)
        if len(some) == AT_ONCE:
            yield some
            some = []
    if some:
        yield some


def _pack(regions: list[Pixels | DamagedData]) -> _Packed | DamagedData:
    arrays: list[Pixels] = []
    for region in regions:
        if isinstance(region, DamagedData):
            return region
        arrays.append(region)
    pixels = torch.from_numpy(np.concatenate([array.ravel() for array in arrays]))
    return _Packed(pixels, [array.shape for array in arrays])


def _unpack(packed: _Packed) -> Iterator[Tensor]:
    parts = torch.split(packed.pixels, [int(np.prod(shape)) for shape in packed.shapes])
    for part, shape in zip(parts, packed.shapes, strict=True):
        yield part.view(shape)
