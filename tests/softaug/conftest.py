"""What the tests of the method share: one torch thread, the digits, and recipes small enough to train in a moment."""

from collections.abc import Callable
from typing import Any

import pytest
import torch

from softaug.arrays import Arrays, load
from softaug.recipe import Recipe

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
