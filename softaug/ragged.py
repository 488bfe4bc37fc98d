"""Crops of images of different size, resized together: padded to common sizes, a few at a time.

Images go to `resized_crop` upright ones first, in order of their longer edge, as many at a time as fit into `PADDED_PX`
pixels once all are as high as the highest and as wide as the widest, at least one. That bounds memory, and the order
keeps padding low: 1.2 and 1.4 times the pixels of ImageNet's hard and soft crop, 1.3 and 2 if the area gave the order.
Which images are together depends on their sizes alone, so the same images give the same bits; among other images a
value may be summed in another order and one in many thousand pixels differ by a grey level.
"""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor

from softaug.crop import Size
from softaug.resized_crop import resized_crop

PADDED_PX = 2**20  # float32 values in three copies of three channels: 36 MB


def ragged_crop(images: Sequence[Tensor], boxes: Tensor, size: Size, *, fill: Tensor, device: torch.device) -> Tensor:
    """Cut from each image (H, W, C) uint8 its box and resize it: (B, C, *size) uint8 on the device.

    `boxes` (B, 4) int64 on the CPU: top, left, height, width, may reach outside, where the canvas has the colour `fill`
    (C,) on the device, in 0..255. An image that is its own box and has the size already passes unchanged.
    """
    shapes = [(image.shape[0], image.shape[1]) for image in images]
    sizes = torch.tensor(shapes).view(-1, 2)
    whole = torch.tensor([0, 0, *size])
    if (boxes == whole).all() and (sizes == whole[2:]).all():
        return torch.stack(list(images)).permute(0, 3, 1, 2).contiguous().to(device, non_blocking=True)
    cut = torch.empty(len(images), len(fill), *size, dtype=torch.uint8, device=device)
    for group in _groups(shapes):
        padded = _padded([images[number] for number in group], device)
        index = torch.tensor(group)
        real, place = sizes[index].to(device), boxes[index].to(device)
        cut[index.to(device)] = resized_crop(padded, place, size, fill=fill, sizes=real)
    return cut


def _groups(sizes: list[tuple[int, int]]) -> Iterator[list[int]]:
    """Yield groups of images, by number, that are resized together."""
    group: list[int] = []
    height = width = 0
    for number in sorted(range(len(sizes)), key=lambda n: (sizes[n][0] > sizes[n][1], max(sizes[n])), reverse=True):
        height, width = max(height, sizes[number][0]), max(width, sizes[number][1])
        if group and (len(group) + 1) * height * width > PADDED_PX:
            yield group
            group = []
            height, width = sizes[number]
        group.append(number)
    if group:
        yield group


def _padded(images: list[Tensor], device: torch.device) -> Tensor:
    """Return images (H, W, C) as one batch (B, C, H, W) on the device, zero where an image has no pixels."""
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    shape = (len(images), height, width, images[0].shape[2])
    batch = torch.zeros(shape, dtype=torch.uint8, pin_memory=device.type == "cuda")
    for number, image in enumerate(images):
        batch[number, : image.shape[0], : image.shape[1]] = image
    return batch.to(device, non_blocking=True).permute(0, 3, 1, 2)
