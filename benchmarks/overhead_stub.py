"""The trainable as it is, but for a fit that returns at once: what is left is Ray, the ledger and the tracker."""

from collections.abc import Iterator
from typing import Any
from unittest import mock

from trainables.trial import Trial


class StubTrial(Trial):
    """Trains nothing; everything else is real."""

    def step(self) -> dict[str, Any]:
        with mock.patch("trainables.attempt.fit", stub_fit):
            return super().step()


def stub_fit(*_arguments: Any, **_options: Any) -> "Iterator[Any]":
    """Yield one epoch with the metrics, weights and pictures of a very small training."""
    import torch

    from softaug.fit import Epoch
    from softaug.samples import Samples
    from softaug.training import Final

    nothing = torch.zeros(16)
    samples = Samples(torch.zeros(16, 1, 8, 8, dtype=torch.uint8), nothing.long(), nothing, nothing)
    bins = ("count", "accuracy", "confidence")
    names = ("test/top1_error", "test/ece", "test/nll", "test/brier")
    final = Final(dict.fromkeys(names, 1.0), {"weight": nothing}, {name: [0.0] for name in bins}, samples)
    yield Epoch(1, {"train/kl": 1.0, "train/lr": 0.1}, True, final, {"epoch": torch.tensor(1)})
