import pytest
import torch

from softaug.models.registry import build
from softaug.models.resnet import resnet8, resnet18, resnet20


@pytest.mark.parametrize(
    ("name", "width", "channels", "classes", "parameters"),
    [
        ("resnet18", 64, 3, 10, 11_173_962),
        ("resnet18", 64, 3, 100, 11_220_132),
        ("resnet8", 16, 3, 10, 78_042),
        ("resnet8", 16, 1, 10, 78_042 - 2 * 16 * 9),
        ("resnet20", 16, 3, 10, 78_042 + 2 * (4_672 + 18_560 + 73_984)),
    ],
)
def test_parameter_counts(name: str, width: int, channels: int, classes: int, parameters: int) -> None:
    with torch.device("meta"):
        model = build(name, width, in_channels=channels, classes=classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


@pytest.mark.parametrize("side", [8, 28, 32, 64])
@pytest.mark.parametrize("make", [resnet8, resnet20, resnet18])
def test_any_side_gives_logits(make: object, side: int) -> None:
    assert callable(make)
    model = make(4, in_channels=3, classes=7)
    assert model(torch.zeros(2, 3, side, side)).shape == (2, 7)


@pytest.mark.parametrize("make", [resnet8, resnet18])
def test_logits_are_the_classifier_of_the_features(make: object) -> None:
    assert callable(make)
    model, images = make(4, in_channels=3, classes=7).eval(), torch.randn(2, 3, 32, 32)
    features = model.features(images)
    assert features.shape == (2, model.classifier.in_features)
    assert torch.equal(model.classifier(features), model(images))


def test_stages_halve_the_side() -> None:
    model = resnet18(4, in_channels=1, classes=2)
    shapes = []
    for block in model.blocks:
        block.register_forward_hook(lambda _block, _inputs, output: shapes.append(tuple(output.shape[1:])))
    model(torch.zeros(2, 1, 32, 32))
    assert shapes == [size for size in ((4, 32, 32), (8, 16, 16), (16, 8, 8), (32, 4, 4)) for _ in range(2)]


def test_blocks_end_in_relu_after_the_sum() -> None:
    block = resnet8(4, in_channels=1, classes=2).blocks[1]
    assert (block(torch.randn(3, 4, 8, 8)) >= 0).all()


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'resnet9'; known: resnet8, resnet20, resnet18"):
        build("resnet9", 16, in_channels=3, classes=10)
