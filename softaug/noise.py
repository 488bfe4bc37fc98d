"""Soft noise: pixels of noise whose amplitude, drawn per image, also softens the image's label (method §1.4, Table 6).

    add      X + a n,            n ~ N(0, pixel_std) per pixel        the paper
    blend    X (1 - a) + a n                                          the released byte code
    a = clamp(N(0, 1), -1, 1) sigma                                   per image

    softening by k:   p = 1 - (1 - 1/C) |a|^k        in `blend` for a > 0 only, 1 for the other half of the draws

The paper says a ~ N(0, 0.1) and gives no formula for p; the clamp is the byte code's (D20). Noise is added in
normalised space, before the Gaussian crop. |a| <= 0.1 keeps p above 0.9: this softening is small.
"""

from typing import Literal

import torch
from torch import Tensor

from softaug.checks import check_images, check_number, check_per_image
from softaug.randomness import stream_seed

Form = Literal["add", "blend"]


def amplitudes(u: Tensor, *, sigma: float) -> Tensor:
    """Turn uniforms (B,) float64 in [0, 1) into amplitudes a (B,) float32 in [-sigma, sigma]."""
    check_number("sigma", sigma, above=0)
    normal: Tensor = torch.special.ndtri(u.clamp(min=2**-54))
    return sigma * normal.clamp(-1, 1).float()


def noise_pixels(images: Tensor, *, std: float, seed: int, epoch: int, step: int, rank: int = 0) -> Tensor:
    """Draw the noise of one step, on one of several ranks, for images (B, C, H, W), float32, on their device."""
    stream = f"noise pixels/{step}" if rank == 0 else f"noise pixels/{step}/{rank}"
    generator = torch.Generator(images.device).manual_seed(stream_seed(seed, stream, epoch))
    return std * torch.randn(images.shape, generator=generator, device=images.device)


def add_noise(images: Tensor, amplitude: Tensor, noise: Tensor, *, form: Form) -> Tensor:
    """Add noise (B, C, H, W) to normalised images of the same shape, by each one's amplitude (B,)."""
    check_images(images)
    check_per_image("amplitude", amplitude, (len(images),), images.device)
    check_per_image("noise", noise, tuple(images.shape), images.device)
    amplitude = amplitude.view(-1, 1, 1, 1)
    return images + amplitude * noise if form == "add" else images * (1 - amplitude) + amplitude * noise


def kept_signal(amplitude: Tensor, *, form: Form) -> Tensor:
    """Return the part of each image that its noise leaves, (B,) in [0, 1]: what `softening.soften` calls visibility."""
    return 1 - (amplitude.abs() if form == "add" else amplitude.clamp(min=0))
