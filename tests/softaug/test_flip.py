import torch
import torchvision.transforms.functional as torchvision_functional

from softaug.flip import flip


def test_only_the_chosen_images_are_mirrored_as_torchvision_mirrors_them() -> None:
    images = torch.randint(0, 256, (4, 3, 5, 6), dtype=torch.uint8)
    before, mirrored = images.clone(), torch.tensor([True, False, True, False])
    flipped = flip(images, mirrored)
    assert torch.equal(flipped[mirrored], torchvision_functional.hflip(images[mirrored]))
    assert torch.equal(flipped[~mirrored], images[~mirrored])
    assert flipped.dtype == torch.uint8
    assert torch.equal(images, before)
