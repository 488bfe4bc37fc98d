"""Initial weights that several families share. They draw from torch's global generator, which `fit` forks."""

from torch import nn


def he_fan_out(model: nn.Module) -> None:
    """Draw every convolution in a network anew from N(0, sqrt(2 / (k k out_channels))) (method §1.8)."""
    for module in model.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
