"""Common random numbers: every draw comes from a generator seeded by (seed, stream, epoch).

What is drawn for a sample is a uniform number, drawn on the CPU for the whole data set in sample order: the same
sample in the same epoch gets the same quantile in every run that shares the seed, whatever the batch size, the
device or the strength of the augmentation. So runs are paired by seed, and a resumed run needs no generator state.
torch's CPU generator keeps the low 32 bits of a seed: two of the few thousand streams of a run may rarely coincide.
"""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor


def stream_seed(seed: int, stream: str, epoch: int) -> int:
    """Return the first 8 bytes of sha256("seed/stream/epoch") as an unsigned integer."""
    return int.from_bytes(hashlib.sha256(f"{seed}/{stream}/{epoch}".encode()).digest()[:8], "big")


def generator(seed: int, stream: str, epoch: int) -> torch.Generator:
    """Return a fresh CPU generator for one stream of one epoch."""
    return torch.Generator().manual_seed(stream_seed(seed, stream, epoch))


def uniforms(n: int, *per_sample: int, generator: torch.Generator) -> Tensor:
    """Draw uniforms in [0, 1), float64, of shape (n, *per_sample), for n samples in their order."""
    return torch.rand((n, *per_sample), dtype=torch.float64, generator=generator)


@contextmanager
def forked(seed: int, stream: str, epoch: int, device: torch.device | None = None) -> Iterator[None]:
    """Seed torch's global generators inside the context and restore them afterwards, for library modules.

    They are the CPU's, and `device`'s if it is a CUDA device; those of other accelerators are left alone.
    """
    value = stream_seed(seed, stream, epoch)
    cuda = [device] if device is not None and device.type == "cuda" else []
    with torch.random.fork_rng(devices=cuda, device_type="cuda"):
        torch.default_generator.manual_seed(value)
        for each in cuda:
            with torch.cuda.device(each):
                torch.cuda.manual_seed(value)
        yield
