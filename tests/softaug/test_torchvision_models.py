from collections.abc import Callable

import pytest
import torch
from torch import nn
from torchvision import models

from softaug.models.torchvision_models import efficientnet_b0, resnet50, resnet101


@pytest.mark.parametrize(
    ("ours", "theirs", "width"),
    [(efficientnet_b0, models.efficientnet_b0, 32), (resnet50, models.resnet50, 64), (resnet101, models.resnet101, 64)],
)
def test_three_channels_and_a_thousand_classes_are_torchvisions_own(
    ours: Callable[..., nn.Module], theirs: Callable[[], nn.Module], width: int
) -> None:
    with torch.device("meta"):
        found, expected = ours(width, in_channels=3, classes=1_000), theirs()
    assert str(found) == str(expected)
    with pytest.raises(ValueError, match=f"width: 16, but .* one only, {width}; leave width out"):
        ours(16, in_channels=3, classes=10)


@pytest.mark.parametrize(("make", "width", "name"), [(efficientnet_b0, 32, "features.0.0"), (resnet50, 64, "conv1")])
def test_for_other_channels_only_the_first_convolution_is_another(
    make: Callable[..., nn.Module], width: int, name: str
) -> None:
    with torch.device("meta"):
        grey, colour = (make(width, in_channels=channels, classes=10) for channels in (1, 3))
    shapes, expected = ({name: part.shape for name, part in model.named_parameters()} for model in (grey, colour))
    out_channels, _, *kernel = expected[f"{name}.weight"]
    assert shapes == {**expected, f"{name}.weight": torch.Size((out_channels, 1, *kernel))}
    first, original = grey.get_submodule(name), colour.get_submodule(name)
    assert str(first) == str(original).replace("Conv2d(3", "Conv2d(1")


def test_the_first_convolution_is_drawn_as_torchvision_draws_it() -> None:
    torch.manual_seed(0)
    stem = efficientnet_b0(32, in_channels=8, classes=10).get_parameter("features.0.0.weight")
    original = efficientnet_b0(32, in_channels=3, classes=10).get_parameter("features.0.0.weight")
    assert stem.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.05)
    assert original.std().item() == pytest.approx((2 / (9 * 32)) ** 0.5, rel=0.1)
