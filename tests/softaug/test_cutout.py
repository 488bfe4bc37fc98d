import torch

from softaug.cutout import cutout, hole_centres
from softaug.randomness import uniforms

IMAGES = torch.rand(60, 3, 9, 12, generator=torch.Generator().manual_seed(0)) + 1


def literal(image: torch.Tensor, centre: tuple[int, int], side: int) -> torch.Tensor:
    height, width = image.shape[1:]
    (y, x), half = centre, side // 2
    image = image.clone()
    image[:, max(0, y - half) : min(height, y + half), max(0, x - half) : min(width, x + half)] = 0
    return image


def test_holes_are_those_of_a_literal_loop_clipped_at_the_border() -> None:
    centres = hole_centres(uniforms(60, 2, generator=torch.Generator().manual_seed(1)), (9, 12))
    before = IMAGES.clone()
    for side in (2, 4, 8):
        expected = [literal(i, (int(c[0]), int(c[1])), side) for i, c in zip(IMAGES, centres, strict=True)]
        assert torch.equal(cutout(IMAGES, centres, side_px=side), torch.stack(expected))
    assert torch.equal(IMAGES, before)


def test_centres_are_uniform_over_the_pixels() -> None:
    centres = hole_centres(uniforms(96_000, 2, generator=torch.Generator().manual_seed(0)), (8, 12))
    counts = (centres[:, 0] * 12 + centres[:, 1]).bincount(minlength=96)
    assert len(counts) == 96
    assert (counts - 1000).abs().max() < 160  # std 32


def test_the_last_uniform_below_one_is_still_inside() -> None:
    assert hole_centres(torch.tensor([[1 - 2**-53, 1 - 2**-53]], dtype=torch.float64), (32, 28)).tolist() == [[31, 27]]
