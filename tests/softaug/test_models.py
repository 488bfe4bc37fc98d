from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock
from torchvision.models.resnet import Bottleneck as TorchvisionBottleneck
from torchvision.models.resnet import ResNet as TorchvisionResNet

from softaug.models.registry import MODELS, build
from softaug.models.resnet import Block, Bottleneck, ResNet, resnet8, resnet18, resnet20, resnet50
from softaug.recipe import DEFAULT_WIDTH

# Widths at which a network is quick; torchvision's have one. Its ResNet-101 is too large to be trained here.
SMALL = {"resnet8": 4, "resnet20": 4, "resnet18": 4, "resnet50": 4, "resnet101": 4, "wide-resnet28-10": 2}
SMALL |= {"pyramidnet272": 1, "efficientnet-b0": 32, "torchvision-resnet50": 64}
FAMILIES = ("resnet50", "wide-resnet28-10", "pyramidnet272", "efficientnet-b0")


@pytest.mark.parametrize(
    ("name", "channels", "classes", "parameters"),
    [
        ("resnet18", 3, 10, 11_173_962),
        ("resnet18", 3, 100, 11_220_132),
        ("resnet50", 3, 10, 23_520_842),
        ("resnet50", 3, 100, 23_705_252),
        ("resnet101", 3, 10, 42_512_970),
        ("resnet101", 3, 100, 42_697_380),
        ("wide-resnet28-10", 3, 10, 36_479_194),
        ("wide-resnet28-10", 3, 100, 36_536_884),
        ("pyramidnet272", 3, 10, 26_210_842),
        ("pyramidnet272", 3, 100, 26_288_692),
        ("efficientnet-b0", 3, 10, 4_020_358),
        ("efficientnet-b0", 3, 100, 4_135_648),
        ("efficientnet-b0", 3, 1_000, 5_288_548),
        ("torchvision-resnet50", 3, 1_000, 25_557_032),
        ("torchvision-resnet101", 3, 1_000, 44_549_160),
        ("resnet8", 3, 10, 78_042),
        ("resnet8", 1, 10, 78_042 - 2 * 16 * 9),
        ("resnet20", 3, 10, 78_042 + 2 * (4_672 + 18_560 + 73_984)),
    ],
)
def test_parameter_counts(name: str, channels: int, classes: int, parameters: int) -> None:
    with torch.device("meta"):
        model = build(name, DEFAULT_WIDTH[name], in_channels=channels, classes=classes)
    assert sum(parameter.numel() for parameter in model.parameters()) == parameters


def step(name: str, images: Tensor, **options: Any) -> dict[str, Tensor]:
    """Take the gradients of a small network on a batch, in memory format and autocast as `fit` does."""
    torch.manual_seed(0)
    model = build(name, SMALL[name], in_channels=images.shape[1], classes=7)
    model = model.to(memory_format=options.get("memory_format", torch.contiguous_format))
    with torch.autocast("cpu", torch.bfloat16, enabled="memory_format" in options):
        logits = model.train()(images.contiguous(**options))
    assert logits.shape == (2, 7)
    torch.nn.functional.cross_entropy(logits.float(), torch.tensor([0, 1])).backward()
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    assert all(gradient is not None for gradient in gradients.values())
    return {name: gradient for name, gradient in gradients.items() if gradient is not None}


@pytest.mark.parametrize("name", SMALL)
def test_every_weight_gets_a_finite_gradient_from_images_of_one_channel(name: str) -> None:
    gradients = step(name, torch.randn(2, 1, 32, 32))
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert sum(bool(gradient.any()) for gradient in gradients.values()) > 0.9 * len(gradients)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_trains_in_channels_last_and_bfloat16(name: str) -> None:
    gradients = step(name, torch.randn(2, 3, 32, 32), memory_format=torch.channels_last)
    assert all(gradient.isfinite().all() for gradient in gradients.values())


def test_the_largest_gives_logits() -> None:
    assert set(MODELS) - set(SMALL) == {"torchvision-resnet101"}
    with torch.device("meta"):
        model = build("torchvision-resnet101", 64, in_channels=1, classes=7)
        assert model(torch.zeros(2, 1, 32, 32)).shape == (2, 7)


@pytest.mark.parametrize("side", [8, 28, 32, 64])
@pytest.mark.parametrize("make", [resnet8, resnet20, resnet18, resnet50])
def test_any_side_gives_logits(make: object, side: int) -> None:
    assert callable(make)
    model = make(4, in_channels=3, classes=7)
    assert model(torch.zeros(2, 3, side, side)).shape == (2, 7)


@pytest.mark.parametrize(("ours", "theirs"), [(Block, BasicBlock), (Bottleneck, TorchvisionBottleneck)])
def test_residual_networks_are_torchvisions_with_another_stem(ours: Any, theirs: Any) -> None:
    torch.manual_seed(0)
    peer = TorchvisionResNet(theirs, [1, 2, 1, 1], num_classes=5)
    peer.conv1, peer.maxpool = nn.Conv2d(2, 64, 3, padding=1, bias=False), nn.Identity()
    for module in peer.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                tensor.uniform_(0.5, 1.5)
    model = ResNet(ours, (64, 128, 256, 512), blocks=(1, 2, 1, 1), in_channels=2, classes=5)
    model.load_state_dict(dict(zip(model.state_dict(), peer.state_dict().values(), strict=True)))
    images = torch.randn(2, 2, 16, 16)
    torch.testing.assert_close(model.eval()(images), peer.eval()(images))


@pytest.mark.parametrize("make", [resnet8, resnet18])
def test_logits_are_the_classifier_of_the_features(make: object) -> None:
    assert callable(make)
    model, images = make(4, in_channels=3, classes=7).eval(), torch.randn(2, 3, 32, 32)
    features = model.features(images)
    assert features.shape == (2, model.classifier.in_features)
    assert torch.equal(model.classifier(features), model(images))


@pytest.mark.parametrize(("make", "expansion", "blocks"), [(resnet18, 1, (2, 2, 2, 2)), (resnet50, 4, (3, 4, 6, 3))])
def test_stages_halve_the_side(make: Any, expansion: int, blocks: tuple[int, ...]) -> None:
    model = make(4, in_channels=1, classes=2)
    shapes = []
    for block in model.blocks:
        block.register_forward_hook(lambda _block, _inputs, output: shapes.append(tuple(output.shape[1:])))
    model(torch.zeros(2, 1, 32, 32))
    stages = ((4 * 2**stage * expansion, 32 // 2**stage, 32 // 2**stage) for stage in range(4))
    assert shapes == [size for size, count in zip(stages, blocks, strict=True) for _ in range(count)]


def test_blocks_end_in_relu_after_the_sum() -> None:
    block = resnet8(4, in_channels=1, classes=2).blocks[1]
    assert (block(torch.randn(3, 4, 8, 8)) >= 0).all()


def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match="'resnet9'; known: resnet8, resnet20, resnet18, resnet50"):
        build("resnet9", 16, in_channels=3, classes=10)
