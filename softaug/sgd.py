"""torch's SGD on named parameters, without the optimizer object: its momentum is the whole state."""

from collections.abc import Iterable, Mapping
from typing import cast

import torch
from torch import Tensor, nn
from torch.optim.sgd import sgd


class Sgd:
    """SGD with momentum and weight decay on all the parameters it is given (D23); the learning rate comes per step."""

    def __init__(
        self,
        parameters: Iterable[tuple[str, nn.Parameter]],
        *,
        momentum: float,
        nesterov: bool = False,
        weight_decay: float = 0.0,
    ) -> None:
        self.parameters = dict(parameters)
        self.buffers = {name: torch.zeros_like(parameter) for name, parameter in self.parameters.items()}
        self.momentum, self.nesterov, self.weight_decay = momentum, nesterov, weight_decay

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for parameter in self.parameters.values():
            parameter.grad = None

    def step(self, lr: float) -> None:
        """Take one step along the gradients that backward has left."""
        with torch.no_grad():
            sgd(
                list(self.parameters.values()),
                [cast(Tensor, parameter.grad) for parameter in self.parameters.values()],
                list(self.buffers.values()),
                fused=True,
                lr=lr,
                momentum=self.momentum,
                nesterov=self.nesterov,
                weight_decay=self.weight_decay,
                dampening=0.0,
                maximize=False,
            )

    def restore(self, buffers: Mapping[str, Tensor]) -> None:
        """Put momentum back, by name."""
        for name, buffer in self.buffers.items():
            buffer.copy_(buffers[name])
