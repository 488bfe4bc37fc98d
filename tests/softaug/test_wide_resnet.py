import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from softaug.models.wide_resnet import WideResNet, wide_resnet28_10


def with_random_norms(model: nn.Module) -> nn.Module:
    """Return a network in float64 whose batch norms differ from the identity, for evaluation."""
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    return model.double().eval()


def literal(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """The definition as a loop over functions: 28 layers, three stages, strides 1, 2, 2."""

    def activate(values: Tensor, name: str) -> Tensor:
        mean, var, gamma, beta = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(values, mean, var, gamma, beta).clamp(min=0)

    values = conv2d(images, weights["stem.weight"], padding=1)
    for number in range(12):
        block, stride = f"blocks.{number}", 2 if number in (4, 8) else 1
        active = activate(values, f"{block}.norm1")
        inner = conv2d(active, weights[f"{block}.conv1.weight"], stride=stride, padding=1)
        inner = conv2d(activate(inner, f"{block}.norm2"), weights[f"{block}.conv2.weight"], padding=1)
        if f"{block}.shortcut.weight" in weights:
            values = conv2d(active, weights[f"{block}.shortcut.weight"], stride=stride)
        values = values + inner
    pooled = activate(values, "norm").mean(dim=(2, 3))
    return pooled @ weights["classifier.weight"].T + weights["classifier.bias"]


@pytest.mark.parametrize(("width", "projections"), [(16, [4, 8]), (20, [0, 4, 8])])
def test_it_is_the_definition(width: int, projections: list[int]) -> None:
    torch.manual_seed(0)
    model = with_random_norms(WideResNet(width, in_channels=2, classes=5))
    images = torch.randn(2, 2, 12, 12, dtype=torch.float64)
    torch.testing.assert_close(model(images), literal(model.state_dict(), images))
    assert [number for number in range(12) if f"blocks.{number}.shortcut.weight" in model.state_dict()] == projections


def test_initial_weights_have_the_laws_of_the_method() -> None:
    torch.manual_seed(0)
    model = wide_resnet28_10(32, in_channels=3, classes=10)
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            side, _ = module.kernel_size
            scaled = module.weight / (2 / (side * side * module.out_channels)) ** 0.5
            assert scaled.std().item() == pytest.approx(1, abs=4 / (2 * scaled.numel()) ** 0.5)
            assert abs(scaled.mean().item()) < 4 / scaled.numel() ** 0.5
        if isinstance(module, nn.BatchNorm2d):
            assert (module.weight == 1).all()
            assert (module.bias == 0).all()
    assert (model.classifier.bias == 0).all()
    assert (model.classifier.weight != 0).all()


def test_stages_halve_the_side_and_double_the_channels() -> None:
    model = wide_resnet28_10(4, in_channels=1, classes=2)
    shapes = []
    for block in model.blocks:
        block.register_forward_hook(lambda _block, _inputs, output: shapes.append(tuple(output.shape[1:])))
    model(torch.zeros(2, 1, 32, 32))
    assert shapes == [size for size in ((4, 32, 32), (8, 16, 16), (16, 8, 8)) for _ in range(4)]
