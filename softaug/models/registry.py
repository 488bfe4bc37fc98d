"""The networks by name. They are imported on use."""

from collections.abc import Callable
from importlib import import_module

from torch import nn

# name -> "module:function", called with (width, in_channels=, classes=)
MODELS = {
    "resnet8": "softaug.models.resnet:resnet8",
    "resnet20": "softaug.models.resnet:resnet20",
    "resnet18": "softaug.models.resnet:resnet18",
    "resnet50": "softaug.models.resnet:resnet50",
    "resnet101": "softaug.models.resnet:resnet101",
    "wide-resnet28-10": "softaug.models.wide_resnet:wide_resnet28_10",
    "pyramidnet272": "softaug.models.pyramidnet:pyramidnet272",
    "efficientnet-b0": "softaug.models.torchvision_models:efficientnet_b0",
    "torchvision-resnet50": "softaug.models.torchvision_models:resnet50",
    "torchvision-resnet101": "softaug.models.torchvision_models:resnet101",
}


def build(name: str, width: int, *, in_channels: int, classes: int) -> nn.Module:
    """Return a freshly initialised network, drawing from torch's global generator. Raises ValueError if unknown."""
    if name not in MODELS:
        raise ValueError(f"unknown model {name!r}; known: {', '.join(MODELS)}")
    module, _, function = MODELS[name].partition(":")
    make: Callable[..., nn.Module] = getattr(import_module(module), function)
    return make(width, in_channels=in_channels, classes=classes)
