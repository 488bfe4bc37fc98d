"""The operations on batches: images (n, C, H, W) uint8 in, the same out, each image with the setting drawn for it.

On the CPU they equal torchvision's, byte for byte, in both flavours: `tensor` is torchvision's own arithmetic, `pil`
that of the Pillow it calls for a PIL image (method §1.6). The conversion to uint8 truncates, it does not round.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from softaug.crop import sample_pixels
from softaug.policies.settings import KERNEL_NAMES, Flavour, Tables

LEVELS = 256
Kernel = Callable[[Tensor, Tensor, Tables], Tensor]  # images, settings (n,), tables


def identity(images: Tensor, _settings: Tensor, _tables: Tables) -> Tensor:
    """Return the images."""
    return images


def warp(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Shear, translate or rotate; black comes in."""
    return sample_pixels(images, tables.warps[tables.warp[settings]].long(), fill=0)


def brightness(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Blend with black."""
    return _to_pixels(images.float().mul_(_per_image(tables.factor[settings])))


def color(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Blend with grey; an image of one channel is grey already."""
    return images if images.shape[1] == 1 else _blend(images, _grey(images, tables.flavour), settings, tables)


def contrast(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Blend with the mean of grey, which Pillow rounds. The sum of up to 65,793 pixels is exact in float32."""
    grey = images.float() if images.shape[1] == 1 else _grey(images, tables.flavour)
    mean = grey.mean(dim=(1, 2, 3), keepdim=True)
    if tables.flavour == "pil":
        total = grey.sum(dim=(1, 2, 3), keepdim=True).double()
        mean = (total / (grey.shape[2] * grey.shape[3]) + 0.5).floor().float()
    return _blend(images, mean, settings, tables)


def sharpness(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Blend with the image smoothed by (1 1 1; 1 5 1; 1 1 1) / 13, whose border stays as it is.

    A sum over 13 never ends in .5, so any way of summing rounds to the same.
    """
    if min(images.shape[2:]) <= 2:
        return images
    return _blend(images, _smooth(images), settings, tables)


def posterize(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Keep the upper bits."""
    return images & _per_image(tables.mask[settings])


def solarize(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Invert what is at or above the threshold."""
    inverted = images >= _per_image(tables.threshold[settings])
    return images ^ inverted.view(torch.uint8).mul(255)


def autocontrast(images: Tensor, _settings: Tensor, tables: Tables) -> Tensor:
    """Stretch each channel to 0..255, in float32 or Pillow's float64; a constant channel stays as it is."""
    exact = torch.float32 if tables.flavour == "tensor" else torch.float64
    lowest, highest = (bound(images, dim=(2, 3), keepdim=True).to(exact) for bound in (torch.amin, torch.amax))
    constant = lowest == highest
    if tables.flavour == "tensor":
        scale = torch.where(constant, 1.0, 255 / (highest - lowest))
        return _to_pixels(images.float().sub_(torch.where(constant, 0.0, lowest)).mul_(scale))
    span = torch.where(constant, 1.0, highest - lowest)
    scale = torch.full_like(span, 255) / span  # a number over a tensor would be its reciprocal times the number
    levels = torch.arange(LEVELS, dtype=exact, device=images.device).view(1, 1, -1)
    stretched = levels * scale.flatten(2) + (-lowest * scale).flatten(2)
    return _look_up(images, torch.where(constant.flatten(2), levels, stretched).clamp(0, 255).to(torch.uint8))


def equalize(images: Tensor, _settings: Tensor, _tables: Tables) -> Tensor:
    """Flatten each channel's histogram, in integers; a channel with too few values stays as it is."""
    levels = images.flatten(2).long()
    one = torch.ones(1, dtype=torch.int32, device=images.device)
    empty = torch.zeros(*images.shape[:2], LEVELS, dtype=torch.int32, device=images.device)
    counts = empty.scatter_add(2, levels, one.expand_as(levels))
    brightest = counts.gather(2, images.amax(dim=(2, 3)).long().unsqueeze(2))
    step = (levels.shape[2] - brightest) // 255
    below = counts.cumsum(2, dtype=torch.int32) - counts
    flat = ((below + step // 2) // step.clamp(min=1)).clamp(max=255)
    unchanged = torch.arange(LEVELS, dtype=torch.int32, device=images.device)
    table = torch.where(step == 0, unchanged, flat).to(torch.uint8)
    return table.gather(2, levels).view_as(images)


KERNELS: dict[str, Kernel] = {
    "Identity": identity,
    "Warp": warp,
    "Brightness": brightness,
    "Color": color,
    "Contrast": contrast,
    "Sharpness": sharpness,
    "Posterize": posterize,
    "Solarize": solarize,
    "AutoContrast": autocontrast,
    "Equalize": equalize,
}


def apply_rounds(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Apply each image's own settings (n, rounds), one round after the other; grouped on a CPU, dense elsewhere."""
    grouped = images.device.type == "cpu" and not torch.compiler.is_compiling()
    for chosen in settings.unbind(1):
        images = (apply_grouped if grouped else apply_dense)(images, chosen, tables)
    return images


def apply_grouped(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Apply each image's own setting (n,), images of one kernel together: the faster way on a CPU."""
    kernel = tables.kernel[settings]
    order = kernel.argsort()
    counts = kernel.bincount(minlength=len(KERNEL_NAMES)).tolist()
    parts = torch.split(images.index_select(0, order), counts), torch.split(settings[order], counts)
    groups = zip(KERNEL_NAMES, *parts, strict=True)
    done = [KERNELS[name](part, chosen, tables) for name, part, chosen in groups if len(part)]
    return torch.cat(done).index_select(0, order.argsort()) if done else images


def apply_dense(images: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Apply each image's own setting (n,), every kernel to all images: static shapes, nothing read from the device."""
    kernel = _per_image(tables.kernel[settings])
    result = images
    for number, name in enumerate(KERNEL_NAMES):
        result = torch.where(kernel == number, KERNELS[name](images, settings, tables), result)
    return result


def _blend(images: Tensor, other: Tensor, settings: Tensor, tables: Tables) -> Tensor:
    """Mix images with another: f images + (1 - f) other as torchvision does, or Pillow's other + f (images - other)."""
    factor = _per_image(tables.factor[settings])
    if tables.flavour == "tensor":
        return _to_pixels(images.float().mul_(factor) + _per_image(tables.rest[settings]) * other)
    return _to_pixels((images.float() - other).mul_(factor) + other)


def _smooth(images: Tensor) -> Tensor:
    """Smooth all but the border, in float32, on the batch as one line of pixels: what that gets wrong is the border."""
    height, width = images.shape[2:]
    line = images.reshape(-1).short()
    rows = line[:-2] + line[1:-1] + line[2:]
    box = rows[: -2 * width] + rows[width:-width] + rows[2 * width :]
    inside = slice(width + 1, -width - 1)
    smooth = line.float()
    smooth[inside] = box.add_(line[inside], alpha=4).float().mul_(1 / 13).add_(0.5).floor_()
    smooth = smooth.view(images.shape)
    smooth[..., :: width - 1] = images[..., :: width - 1].float()
    smooth[:, :, :: height - 1] = images[:, :, :: height - 1].float()
    return smooth


def _grey(images: Tensor, flavour: Flavour) -> Tensor:
    """Return the luminance (n, 1, H, W), whole numbers in float32."""
    red, green, blue = images.float().unbind(1)
    if flavour == "tensor":
        return (0.2989 * red + 0.587 * green + 0.114 * blue).floor_().unsqueeze(1)
    total = (19595 * red).add_(green, alpha=38470).add_(blue, alpha=7471).add_(32768)  # below 2^24: exact in float32
    return total.mul_(2**-16).floor_().unsqueeze(1)


def _look_up(images: Tensor, table: Tensor) -> Tensor:
    """Replace each value by its entry in the channel's table (n, C, 256)."""
    return table.gather(2, images.flatten(2).long()).view_as(images)


def _per_image(values: Tensor) -> Tensor:
    return values.view(-1, 1, 1, 1)


def _to_pixels(values: Tensor) -> Tensor:
    """Truncate to uint8, in place before that; by way of int16, which a CPU does three times as fast."""
    return values.clamp_(0, 255).short().to(torch.uint8)
