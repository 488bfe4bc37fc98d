"""From image files to batches and through training: against torchvision and literal loops, on a small ImageNet."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor
from torchvision import transforms
from torchvision.datasets import ImageFolder
from torchvision.transforms import functional

from softaug import decoding
from softaug.arrays import load
from softaug.augment import Augmentation, draw, normalise
from softaug.batches import Batch, batches
from softaug.boxes import visibility_of_boxes
from softaug.data import FolderImages, Splits, images_to_test_on, split
from softaug.datasets import DATASETS
from softaug.fit import Epoch, fit
from softaug.flip import flip
from softaug.image_folder import Folders
from softaug.models.registry import build
from softaug.network import predict
from softaug.policies.policy import RandAugment
from softaug.randomness import generator
from softaug.recipe import Data, Recipe
from softaug.samples import draw as picture
from softaug.schedule import learning_rate
from softaug.softening import soften
from softaug.training import State
from tests.softaug.photographs import BASE, HARD, SIDE_PX, SOFT, TEST, TRAIN, V2_CLASSES, WNIDS

CPU = torch.device("cpu")
N = TRAIN * len(WNIDS)
SIZE = (SIDE_PX, SIDE_PX)
SOFTENED: dict[str, Any] = {"crop": SOFT, "softening": {"apply_to": "both"}, "policy": {"kind": "rand-augment"}}


def make(**parts: Any) -> Recipe:
    return Recipe.model_validate(BASE | parts)


def splits_of(recipe: Recipe, folder: Path, workers: int = 0) -> Splits:
    return split(load("imagenet", folder), recipe.data, workers=workers)


def epoch_of(recipe: Recipe, folder: Path, workers: int = 0) -> Batch:
    train = splits_of(recipe, folder, workers).train
    parts = list(batches(Augmentation.of(recipe, CPU), train, epoch=1))
    return Batch(*(torch.cat(values) for values in zip(*parts, strict=True)))


def training(folder: Path, recipe: Recipe) -> FolderImages:
    train = splits_of(recipe, folder).train
    assert isinstance(train, FolderImages)
    return train


def picture_of(images: FolderImages, position: int) -> Image.Image:
    with Image.open(images.index.path(position)) as file:
        return file.convert("RGB")


def order_of(recipe: Recipe) -> list[int]:
    return torch.randperm(N, generator=generator(recipe.seed, "order", 1)).tolist()


def soft_crop(image: Image.Image, cut: list[int], fill: Tensor) -> Tensor:
    """Resize the short edge, lay the image on a wide canvas, cut the box out and resize it: one image (3, H, W)."""
    canvas = functional.pil_to_tensor(functional.resize(image, SIDE_PX)).float()
    height, width, top, left, box_height, box_width = cut
    assert canvas.shape == (3, height, width)
    wide = fill.view(3, 1, 1).repeat(1, 3 * height, 3 * width)
    wide[:, height : 2 * height, width : 2 * width] = canvas
    rows, columns = height + top, width + left
    box = wide[:, rows : rows + box_height, columns : columns + box_width]
    return functional.resize(box, list(SIZE), antialias=True)


def test_the_hard_crop_is_torchvisions_of_the_original_pixels(small_imagenet: Path) -> None:
    recipe = make(crop=HARD, flip=0.0)
    images = training(small_imagenet, recipe)
    cuts = draw(recipe, N, epoch=1, sizes=images.sizes).cuts
    assert cuts is not None
    found = torch.cat([part.pixels for part in images.stream(torch.arange(N), 7, cuts)])
    expected = torch.stack(
        [
            functional.resized_crop(
                functional.pil_to_tensor(picture_of(images, position)), *cut[2:], size=list(SIZE), antialias=True
            )
            for position, cut in enumerate(cuts.tolist())
        ]
    )
    assert (found.int() - expected.int()).abs().max() <= 1  # torchvision rounds between the two directions, too


def test_the_soft_crop_is_a_literal_loop_over_images(small_imagenet: Path) -> None:
    recipe = make(**SOFTENED, flip=0.5)
    images = training(small_imagenet, recipe)
    draws = draw(recipe, N, epoch=1, sizes=images.sizes)
    assert draws.cuts is not None
    assert draws.mirrored is not None
    assert draws.settings is not None
    fill = 255 * torch.tensor(images.known.mean)
    cut = torch.stack([soft_crop(picture_of(images, i), draws.cuts[i].tolist(), fill) for i in range(N)])
    (part,) = images.stream(torch.arange(N), N, draws.cuts)
    assert (part.pixels - cut).abs().max() < 0.51
    order = order_of(recipe)
    augmentation = Augmentation.of(recipe, CPU)
    pixels = RandAugment().apply(flip(part.pixels, draws.mirrored), draws.settings)
    batch = epoch_of(recipe, small_imagenet)
    grey_levels = (batch.images - normalise(pixels, augmentation.normalisation)[order]).abs() * 0.226 * 255
    assert (grey_levels > 1e-3).double().mean() < 1e-3  # other neighbours, other padding, another rounding
    seen = visibility_of_boxes(draws.cuts[:, 2:], draws.cuts[:, :2])[order]
    assert seen.min() < 0.5
    torch.testing.assert_close(batch.confidence, soften(1.0, seen, k=2.0, classes=3))
    torch.testing.assert_close(batch.weight, batch.confidence)
    assert torch.equal(batch.target.argmax(1)[seen > 0.5], images.labels[order][seen > 0.5])


def test_beyond_the_image_the_canvas_has_the_mean_colour(small_imagenet: Path) -> None:
    recipe = make(crop=SOFT, flip=0.0)
    images = training(small_imagenet, recipe)
    cuts = torch.tensor([[SIDE_PX, SIDE_PX, SIDE_PX - 1, SIDE_PX - 1, SIDE_PX, SIDE_PX]]).repeat(N, 1)
    (part,) = images.stream(torch.arange(N), N, cuts)
    shown = normalise(part.pixels, Augmentation.of(recipe, CPU).normalisation)
    assert shown[:, :, 1:, 1:].abs().max() < 0.5 / 255 / 0.224  # to the next whole grey level


@pytest.mark.parametrize("short_edge_px", [SIDE_PX, 40])
def test_evaluation_is_torchvisions_resize_and_central_crop_bit_for_bit(
    short_edge_px: int, small_imagenet: Path
) -> None:
    recipe = make(crop=HARD, data={"name": "imagenet", "evaluation_px": short_edge_px})
    test = splits_of(recipe, small_imagenet).test
    peer = ImageFolder(
        str(small_imagenet / "imagenet" / "val"),
        transforms.Compose(
            [transforms.Resize(short_edge_px), transforms.CenterCrop(SIDE_PX), transforms.PILToTensor()]
        ),
    )
    found = torch.cat(list(test.parts(5)))
    assert torch.equal(found, torch.stack([image for image, _ in peer]))
    assert test.labels.tolist() == peer.targets
    with torch.no_grad():
        model = build("resnet8", 4, in_channels=3, classes=3).eval()
        normalisation = Augmentation.of(recipe, CPU).normalisation
        logits = model(normalise(found, normalisation))
        torch.testing.assert_close(predict(model, test, normalisation), logits)


def test_imagenet_v2_is_there_to_test_on(small_imagenet: Path) -> None:
    images = images_to_test_on(load("imagenet-v2", small_imagenet), "imagenet-v2")
    assert images.labels.tolist() == list(range(V2_CLASSES))
    (pixels,) = images.parts(100)
    assert pixels.shape == (V2_CLASSES, 3, *SIZE)


@pytest.mark.parametrize("parts", [{"crop": HARD}, SOFTENED])
def test_the_number_of_workers_changes_no_bit(
    parts: dict[str, Any], small_imagenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "AT_ONCE", 3)
    one, two, three = (epoch_of(make(**parts), small_imagenet, workers) for workers in (0, 1, 2))
    for other in (two, three):
        assert all(torch.equal(ours, theirs) for ours, theirs in zip(one, other, strict=True))


def test_any_share_of_an_epoch_can_be_had(small_imagenet: Path) -> None:
    recipe = make(**SOFTENED)
    images = training(small_imagenet, recipe)
    cuts = draw(recipe, N, epoch=1, sizes=images.sizes).cuts
    assert cuts is not None
    order = torch.randperm(N, generator=torch.Generator().manual_seed(1))
    whole = next(images.stream(order, N, cuts[order]))
    shares = [next(images.stream(order[rank::2], N, cuts[order[rank::2]])) for rank in (0, 1)]
    for rank, share in enumerate(shares):
        assert torch.equal(share.labels, whole.labels[rank::2])
        assert (share.pixels.int() - whole.pixels[rank::2].int()).abs().max() <= 1


def test_a_quantile_belongs_to_a_sample_and_visibility_falls_with_sigma(small_imagenet: Path) -> None:
    weak, strong = (make(crop=SOFT | {"sigma": sigma}) for sigma in (0.2, 0.4))
    sizes = training(small_imagenet, weak).sizes
    cuts = [draw(recipe, N, epoch=1, sizes=sizes).cuts for recipe in (weak, strong)]
    seen = [visibility_of_boxes(each[:, 2:], each[:, :2]) for each in cuts if each is not None]
    assert (seen[1] <= seen[0]).all()
    assert seen[1].mean() < seen[0].mean()
    with pytest.raises(ValueError, match="crop random-resized: it depends on the images' sizes, which are not given"):
        draw(make(crop=HARD), N, epoch=1)


def test_splits_of_files(small_imagenet: Path) -> None:
    recipe = make(crop=HARD, data={"name": "imagenet", "validation_images": 6})
    splits = splits_of(recipe, small_imagenet)
    assert isinstance(splits.train, FolderImages)
    assert isinstance(splits.validation, FolderImages)
    paths = [
        {images.index.path(position) for position in range(len(images.labels))}
        for images in (splits.train, splits.validation, splits.test)
        if isinstance(images, FolderImages)
    ]
    assert [len(part) for part in paths] == [N - 6, 6, TEST * len(WNIDS)]
    assert not paths[0] & paths[1]
    assert torch.bincount(splits.validation.labels).tolist() == [2, 2, 2]
    label = {wnid: number for number, wnid in enumerate(WNIDS)}
    for images in (splits.train, splits.validation):
        names = [Path(images.index.path(i)).parent.name for i in range(len(images.labels))]
        assert [label[name] for name in names] == images.labels.tolist()
    assert splits_of(make(crop=HARD), small_imagenet).validation is None


def test_classes_of_different_size_are_all_used_and_validation_stays_balanced(
    small_imagenet: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folders = load("imagenet", small_imagenet)
    assert isinstance(folders, Folders)
    kept = torch.tensor([*range(3), *range(8, 24)])  # 3, 8 and 8 images: at most 9 are balanced
    folders = replace(folders, train=folders.train.take(kept.numpy()))
    fewer = replace(DATASETS["imagenet"], default_train=19, official_train=19, largest_train=9)
    monkeypatch.setitem(DATASETS, "imagenet", fewer)
    splits = split(folders, Data(name="imagenet", validation_images=6))
    assert splits.validation is not None
    assert torch.bincount(splits.validation.labels).tolist() == [2, 2, 2]
    assert torch.bincount(splits.train.labels).tolist() == [1, 6, 6]
    assert torch.bincount(split(folders, Data(name="imagenet")).train.labels).tolist() == [3, 8, 8]
    assert torch.bincount(split(folders, Data(name="imagenet", train_images=6)).train.labels).tolist() == [2, 2, 2]
    for field in ("train_images", "validation_images"):
        with pytest.raises(ValueError, match=rf"{field}: 10 is more than imagenet has; at most 9, balanced over the 3"):
            Data.model_validate({"name": "imagenet", field: 10})


def train(recipe: Recipe, folder: Path, workers: int = 0, **options: Any) -> Iterator[Epoch]:
    return fit(recipe, splits_of(recipe, folder, workers), device=CPU, **options)


def same(one: State, other: State) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_training_resumed_is_uninterrupted_whatever_the_workers(small_imagenet: Path) -> None:
    recipe = make(
        **SOFTENED,
        data={"name": "imagenet", "validation_images": 6},
        cutout={"side_px": 8},
        mixup={},
        optim={"epochs": 2, "batch_size": 5, "lr": 0.05, "warmup_epochs": 1, "nesterov": False},
    )
    first, last = train(recipe, small_imagenet)
    assert first.metrics["train/lr"] == learning_rate(3, 8, lr=0.05, warmup_steps=4)
    assert {"val/top1_error", "val/nll"} < set(last.metrics)
    stored = safetensors.torch.load(safetensors.torch.save(first.state()))
    (resumed,) = train(recipe, small_imagenet, workers=2, resume=stored)
    assert same(resumed.state(), last.state())
    assert resumed.metrics == last.metrics
    assert resumed.final is not None
    assert last.final is not None
    assert resumed.final.metrics == last.final.metrics
    assert resumed.final.samples.images.shape == (16, 3, *SIZE)
    assert (resumed.final.samples.visibilities < 1).any()
    assert picture(resumed.final.samples, "imagenet").startswith(b"\x89PNG")
