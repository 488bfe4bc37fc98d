"""What changes during training, as pure functions of progress: nothing is rebuilt and nothing needs saving."""

from math import cos, pi


def learning_rate(step: int, steps: int, *, lr: float, first_step: int = 0, warmup_steps: int = 0) -> float:
    """Return the learning rate of update `step` in 0..steps-1: a cosine from `lr` towards 0 (D22).

    `first_step` 1 is the released code, which steps its schedule of steps + 1 before each update. During the first
    `warmup_steps` the rate rises in equal steps, from one of them above 0 to `lr`, where the cosine begins.
    """
    if step < warmup_steps:
        return lr * (step + 1) / (warmup_steps + 1)
    step, steps = step - warmup_steps, steps - warmup_steps
    return 0.5 * lr * (1 + cos(pi * (step + first_step) / (steps + first_step)))


def in_final_phase(epochs_done: int, epochs: int, start: float | None) -> bool:
    """Return whether the epoch after `epochs_done` lies in the final phase, from fraction `start` on (D17)."""
    return start is not None and epochs_done / epochs >= start


def probe_learning_rate(epochs_done: int, epochs: int, *, lr: float) -> float:
    """Return the linear probe's learning rate: `lr`, a tenth of it after 60 % and again after 80 % (App. B.4)."""
    return lr * 0.1 ** sum(epochs_done >= share * epochs for share in (0.6, 0.8))
