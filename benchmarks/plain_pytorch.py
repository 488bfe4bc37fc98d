"""Soft augmentation as an ordinary PyTorch user writes it, image by image: the peer of other benchmarks."""

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from softaug.data import AnyImages, Images

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]  # images (N, height, width), labels (N,)
Sample = tuple[Tensor, int, float]  # image, label, the part of it that is seen


def arrays(images: AnyImages) -> Arrays:
    """Return the grey images of a data set that is held in memory, as NumPy's arrays."""
    assert isinstance(images, Images)
    return images.pixels[:, 0].numpy(), images.labels.numpy().astype(np.int64)


class Pictures(Dataset[tuple[Tensor, int]]):
    """Grey images and labels as torchvision's data sets hold them: a PIL image is made and transformed on access."""

    def __init__(self, arrays: Arrays, transform: transforms.Compose) -> None:
        self.images, self.labels = arrays
        self.transform = transform

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.transform(Image.fromarray(self.images[index])), int(self.labels[index])


class Cropped(Dataset[Sample]):
    """The same, cropped, with the part of each image that is still seen; not cropped at sigma 0."""

    def __init__(self, pictures: Pictures, sigma: float) -> None:
        self.pictures = pictures
        self.crop = GaussianCrop(sigma) if sigma > 0 else None

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, index: int) -> Sample:
        image, label = self.pictures[index]
        if self.crop is None:
            return image, label, 1.0
        seen, visible = self.crop(image)
        return seen, label, visible


class GaussianCrop:
    """The paper's Listing 1: crop one image by a truncated normal offset and say how much of it is still seen."""

    def __init__(self, sigma: float) -> None:
        self.sigma = sigma

    def __call__(self, image: Tensor) -> tuple[Tensor, float]:
        """Return the crop of an image (C, H, W), zeros outside it, and the visible part in [0, 1]."""
        channels, height, width = image.shape
        canvas = torch.zeros(channels, 3 * height, 3 * width)
        canvas[:, height : 2 * height, width : 2 * width] = image
        down, right = self.draw_offset(height), self.draw_offset(width)
        seen = canvas[:, height + down : 2 * height + down, width + right : 2 * width + right]
        return seen, (height - abs(down)) * (width - abs(right)) / (height * width)

    def draw_offset(self, side: int) -> int:
        """Draw a normal until it lies within the side; truncate it to whole pixels."""
        while True:
            offset = float(torch.randn(1)) * self.sigma * side
            if abs(offset) <= side:
                return int(offset)


def softened(visible: Tensor, *, classes: int, k: float) -> Tensor:
    """Return the confidences of a batch (Eq. 3)."""
    return 1 - (1 - 1 / classes) * (1 - visible) ** k


def weighted_kl(logits: Tensor, labels: Tensor, confidence: Tensor, weight: Tensor) -> Tensor:
    """Return the mean over a batch of weight x KL divergence to the softened target (Eqs. 4-6)."""
    classes = logits.shape[1]
    others = (1 - confidence) / (classes - 1)
    target = others.unsqueeze(1).repeat(1, classes).scatter(1, labels.unsqueeze(1), confidence.unsqueeze(1))
    divergence = functional.kl_div(functional.log_softmax(logits, dim=1), target, reduction="none").sum(dim=1)
    return (weight * divergence).mean()


def top1_error(model: nn.Module, test: Pictures) -> float:
    """Return the percentage of test images that the model gets wrong."""
    model.eval()
    wrong = 0
    with torch.no_grad():
        for images, labels in DataLoader(test, batch_size=512):
            wrong += int((model(images).argmax(dim=1) != labels).sum())
    return 100 * wrong / len(test)
