"""What a trial reports, checked before it is kept: finite numbers by known names, or the trial ends saying which."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

from softaug.training import Diverged

EVERY_EPOCH = ("train/lr",)
AT_THE_END = ("test/top1_error", "test/ece", "test/nll", "test/brier")
MOST = 200


class BadMetric(Exception):
    """A trial reported something that is no metric, or left one out; the message names it."""


def checked(metrics: Mapping[str, Any], epoch: int, *, expected: tuple[str, ...]) -> dict[str, float]:
    """Return the metrics as they are. Raises BadMetric, or Diverged if one is not finite."""
    if len(metrics) > MOST:
        raise BadMetric(f"epoch {epoch} reported {len(metrics)} metrics, at most {MOST}")
    for name in expected:
        if name not in metrics:
            raise BadMetric(f"epoch {epoch} reported no {name}; reported: {', '.join(map(str, metrics)) or 'nothing'}")
    for name, value in metrics.items():
        if not isinstance(name, str) or isinstance(value, bool) or not isinstance(value, int | float):
            raise BadMetric(f"epoch {epoch} reported {name} as {type(value).__name__}; a metric is a number")
        if not isfinite(value):
            raise Diverged(f"epoch {epoch}: {name} is {value}; lower optim.lr")
    return {name: float(value) for name, value in metrics.items()}
