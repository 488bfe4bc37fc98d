import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, conv2d

from softaug.models.pyramidnet import block_channels, pyramidnet272
from softaug.models.shakedrop import ShakeDrop


def literal(weights: dict[str, Tensor], images: Tensor) -> Tensor:
    """The definition in evaluation as a loop over functions: 90 bottlenecks, the 31st and the 61st with stride 2."""

    def norm(values: Tensor, name: str) -> Tensor:
        mean, var, gamma, beta = (
            weights[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return batch_norm(values, mean, var, gamma, beta)

    values = norm(conv2d(images, weights["stem.weight"], padding=1), "stem_norm")
    for number in range(1, 91):
        branch, stride = f"blocks.{number - 1}.branch", 2 if number in (31, 61) else 1
        inner = conv2d(norm(values, f"{branch}.0"), weights[f"{branch}.1.weight"])
        inner = norm(inner, f"{branch}.2").clamp(min=0)
        inner = conv2d(inner, weights[f"{branch}.4.weight"], stride=stride, padding=1)
        inner = norm(inner, f"{branch}.5").clamp(min=0)
        inner = norm(conv2d(inner, weights[f"{branch}.7.weight"]), f"{branch}.8")
        if stride == 2:
            values = sum(values[:, :, row::2, column::2] for row in (0, 1) for column in (0, 1)) / 4
        after = inner * (1 - 0.5 * number / 90)
        after[:, : values.shape[1]] += values
        values = after
    pooled = norm(values, "norm").clamp(min=0).mean(dim=(2, 3))
    return pooled @ weights["classifier.weight"].T + weights["classifier.bias"]


def test_it_is_the_definition() -> None:
    torch.manual_seed(0)
    model = pyramidnet272(1, in_channels=2, classes=5).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            for tensor in (module.weight.data, module.bias.data, module.running_mean, module.running_var):
                assert tensor is not None
                tensor.uniform_(0.5, 1.5)
    images = torch.randn(2, 2, 8, 8, dtype=torch.float64)
    torch.testing.assert_close(model(images), literal(model.state_dict(), images))


def test_channels_grow_as_in_the_released_code_and_end_in_864() -> None:
    channels, width = [], 16.0
    for _ in range(90):
        width += 200 / 90
        channels.append(round(width))
    assert list(block_channels(16)) == channels
    assert 4 * channels[-1] == 864
    assert block_channels(1)[-1] == 14  # 13.5, to even


@pytest.mark.parametrize("width", [1, 2, 3, 16, 1024])
def test_channels_never_shrink(width: int) -> None:
    channels = block_channels(width)
    assert list(channels) == sorted(channels)
    assert channels[0] >= width


def test_blocks_are_dropped_more_often_the_deeper_they_are() -> None:
    with torch.device("meta"):
        model = pyramidnet272(1, in_channels=3, classes=10)
    dropped = [module.p_drop for module in model.modules() if isinstance(module, ShakeDrop)]
    assert dropped == pytest.approx([0.5 * number / 90 for number in range(1, 91)])


def test_blocks_keep_the_memory_format_and_sides_are_halved_twice() -> None:
    model = pyramidnet272(2, in_channels=3, classes=10).to(memory_format=torch.channels_last)
    sides = []

    def look(_block: nn.Module, _inputs: object, output: Tensor) -> None:
        assert output.is_contiguous(memory_format=torch.channels_last)
        sides.append(output.shape[2])

    for block in model.blocks:
        block.register_forward_hook(look)
    model(torch.randn(2, 3, 12, 12).to(memory_format=torch.channels_last))
    assert sides == [12] * 30 + [6] * 30 + [3] * 30


def test_initial_weights_have_the_law_that_is_stated() -> None:
    torch.manual_seed(0)
    model = pyramidnet272(2, in_channels=3, classes=10)
    convolutions = [module for module in model.modules() if isinstance(module, nn.Conv2d)]
    assert len(convolutions) == 271
    for module in convolutions:
        scaled = module.weight / (2 / (module.kernel_size[0] ** 2 * module.out_channels)) ** 0.5
        assert scaled.std().item() == pytest.approx(1, abs=4.5 / (2 * scaled.numel()) ** 0.5)
