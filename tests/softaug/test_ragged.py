import pytest
import torch
from torch import Tensor

from softaug import ragged
from softaug.ragged import ragged_crop
from softaug.resized_crop import resized_crop

CPU = torch.device("cpu")
SIZE = (24, 20)
FILL = torch.tensor([10.0, 130.0, 250.0])


def make(n: int) -> tuple[list[Tensor], Tensor]:
    """Return n images (H, W, 3) of many sizes, and boxes that reach outside."""
    generator = torch.Generator().manual_seed(n)
    sizes = torch.randint(4, 60, (n, 2), generator=generator)
    images = [torch.randint(0, 256, (*size, 3), dtype=torch.uint8, generator=generator) for size in sizes.tolist()]
    corners = torch.randint(-9, 9, (n, 2), generator=generator)
    return images, torch.cat((corners, sizes + torch.randint(-3, 9, (n, 2), generator=generator)), dim=1)


@pytest.mark.parametrize("padded_px", [1, 9_000, 2**20])
def test_every_image_is_cut_as_if_it_were_alone(padded_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ragged, "PADDED_PX", padded_px)
    images, boxes = make(23)
    found = ragged_crop(images, boxes, SIZE, fill=FILL, device=CPU)
    alone = [
        resized_crop(image.permute(2, 0, 1).unsqueeze(0), box.unsqueeze(0), SIZE, fill=FILL)
        for image, box in zip(images, boxes, strict=True)
    ]
    expected = torch.cat(alone)
    assert found.dtype == torch.uint8
    assert found.is_contiguous()
    assert (found.int() - expected.int()).abs().max() <= 1
    assert (found != expected).double().mean() < 1e-3


def test_no_more_pixels_are_padded_at_once_than_allowed(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, int]] = []

    def spy(batch: Tensor, *rest: object, **options: object) -> Tensor:
        seen.append((len(batch), batch[:, 0].numel()))
        return resized_crop(batch, *rest, **options)

    monkeypatch.setattr(ragged, "resized_crop", spy)
    monkeypatch.setattr(ragged, "PADDED_PX", 9_000)
    images, boxes = make(60)
    images[17] = torch.zeros(100, 120, 3, dtype=torch.uint8)  # alone it is too much already
    ragged_crop(images, boxes, SIZE, fill=FILL, device=CPU)
    assert sum(count for count, _ in seen) == 60
    assert [(count, px) for count, px in seen if px > 9_000] == [(1, 12_000)]
    assert len(seen) < 20  # they are not all alone


def test_like_sizes_waste_little() -> None:
    # Photographs of ImageNet's usual proportions, wide and high ones, on canvases of the soft crop.
    kinds = torch.tensor([[224, 298], [224, 336], [298, 224], [336, 224], [224, 224]])
    canvases = kinds[torch.randint(0, 5, (256,), generator=torch.Generator().manual_seed(1))]
    sizes = [(height, width) for height, width in canvases.tolist()]
    padded = 0
    for group in ragged._groups(sizes):
        height, width = (max(sizes[number][axis] for number in group) for axis in (0, 1))
        padded += len(group) * height * width
    assert padded < 1.1 * int(canvases.prod(dim=1).sum())


def test_images_that_are_ready_pass_unchanged() -> None:
    images = [torch.randint(0, 256, (*SIZE, 3), dtype=torch.uint8) for _ in range(3)]
    boxes = torch.tensor([[0, 0, *SIZE]]).expand(3, 4)
    found = ragged_crop(images, boxes, SIZE, fill=FILL, device=CPU)
    assert found.is_contiguous()
    assert torch.equal(found, torch.stack(images).permute(0, 3, 1, 2))
    moved = ragged_crop(images, boxes + torch.tensor([1, 0, 0, 0]), SIZE, fill=FILL, device=CPU)
    assert torch.equal(moved[:, :, :-1], found[:, :, 1:])
    assert (moved[:, :, -1] == FILL.view(3, 1)).all()
