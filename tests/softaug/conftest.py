"""What the tests of the method share: one torch thread, the digits, and recipes small enough to train in a moment."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from softaug.arrays import Arrays, load
from softaug.datasets import DATASETS
from softaug.recipe import Recipe
from tests.softaug import photographs

MakeRecipe = Callable[..., Recipe]


@pytest.fixture(autouse=True, scope="session")
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def digits() -> Arrays:
    return load("digits", None)


@pytest.fixture
def make_recipe() -> MakeRecipe:
    """Return a function that makes a small recipe on digits with the given parts replaced."""

    def make(**parts: Any) -> Recipe:
        small = {
            "data": {"name": "digits", "train_images": 100},
            "model": {"name": "resnet8", "width": 4},
            "flip": 0.0,
            "optim": {"epochs": 3, "batch_size": 32},
            "seed": 0,
        }
        return Recipe.model_validate(small | parts)

    return make


@pytest.fixture(scope="session")
def image_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with a small ImageNet and ImageNet-V2; copy it, do not write to it."""
    root = tmp_path_factory.mktemp("image files")
    photographs.write_imagenet(root / "imagenet")
    photographs.write_v2(root / "imagenet-v2")
    return root


@pytest.fixture
def small_imagenet(image_files: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Make the small ImageNet the one that is known, and return the folder to look for it in."""
    for name in ("imagenet", "imagenet-v2"):
        monkeypatch.setitem(DATASETS, name, photographs.known(name))
    return image_files
