"""The processes that train one network together, each on its share of every batch.

Every rank draws the whole epoch and takes its rows of each batch. Losses are means over the whole batch, gradients are
summed over the ranks, and batch norm sees the whole batch: what is learned does not depend on the number of ranks,
which is no part of a recipe. (The paper's GPUs normalised their shares alone.)
"""

from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, distributed, nn
from torch.nn.parallel import DistributedDataParallel


@dataclass(frozen=True)
class Ranks:
    """This process' place among those that train together; alone, nothing is communicated."""

    rank: int = 0
    size: int = 1

    def rows(self, order: Tensor, batch_size: int) -> Tensor:
        """Return this rank's rows of an epoch's order (n,), batch after batch."""
        if self.size == 1:
            return order
        full = len(order) // batch_size * batch_size
        batches = order[:full].view(-1, batch_size)[:, self.rank :: self.size]
        return torch.cat((batches.flatten(), order[full:][self.rank :: self.size]))

    def sum(self, values: Tensor) -> Tensor:
        """Return the sum of the ranks' values; no gradient."""
        if self.size == 1:
            return values
        total = values.detach().clone()
        distributed.all_reduce(total)
        return total

    def together(self, model: nn.Module) -> nn.Module:
        """Return the module whose forward pass makes backward average the gradients over the ranks."""
        return model if self.size == 1 else DistributedDataParallel(model, forward_sync_buffers=False)

    def synchronised(self, model: nn.Module) -> nn.Module:
        """Return the network with batch norms that see the whole batch; parameters and names stay."""
        return model if self.size == 1 else _synchronise(model)


ALONE = Ranks()


class _Sum(torch.autograd.Function):
    """The sum over the ranks, whose gradient is the sum of theirs."""

    @staticmethod
    def forward(_context: Any, values: Tensor) -> Tensor:
        total = values.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, *gradients: Tensor) -> Tensor:
        total = gradients[0].clone()
        distributed.all_reduce(total)
        return total


class SynchronisedBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm with the mean and variance of the whole batch, on any device: torch's own is for GPUs alone."""

    def _check_input_dim(self, input: Tensor) -> None:
        if input.ndim < 2:
            raise ValueError(f"input: shape {tuple(input.shape)}; expected (B, C) or (B, C, H, W)")

    def forward(self, input: Tensor) -> Tensor:
        """Normalise (B, C, ...), in float32."""
        self._check_input_dim(input)
        if not self.training:
            return super().forward(input)
        values = input.float()
        dims = [dim for dim in range(values.ndim) if dim != 1]
        shape = (1, -1, *(1 for _ in dims[1:]))
        count = _Sum.apply(torch.full((1,), values.numel() / values.shape[1], device=values.device))
        mean = _Sum.apply(values.sum(dims)) / count
        centred = values - mean.view(shape)
        variance = _Sum.apply(centred.square().sum(dims)) / count
        self._remember(mean.detach(), variance.detach() * count / (count - 1).clamp(min=1))
        normalised = centred * (variance + self.eps).rsqrt().view(shape)
        if self.affine:
            normalised = normalised * self.weight.view(shape) + self.bias.view(shape)
        result: Tensor = normalised.to(input.dtype)
        return result

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        momentum, buffers = cast(float, self.momentum), dict(self.named_buffers())
        with torch.no_grad():
            buffers["num_batches_tracked"].add_(1)
            buffers["running_mean"].lerp_(mean, momentum)
            buffers["running_var"].lerp_(variance, momentum)


def _synchronise(module: nn.Module) -> nn.Module:
    if isinstance(module, nn.modules.batchnorm._BatchNorm):
        new = SynchronisedBatchNorm(
            module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats
        )
        new.weight, new.bias = module.weight, module.bias
        new.running_mean, new.running_var = module.running_mean, module.running_var
        new.num_batches_tracked = module.num_batches_tracked
        return new
    for name, child in module.named_children():
        setattr(module, name, _synchronise(child))
    return module
