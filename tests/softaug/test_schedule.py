from math import cos, pi

import pytest
import torch

from softaug.schedule import in_final_phase, learning_rate


def test_it_is_torchs_cosine_per_iteration() -> None:
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=50)
    for step in range(50):
        assert learning_rate(step, 50, lr=0.1) == pytest.approx(cosine.get_last_lr()[0], abs=1e-12)
        optimizer.step()
        cosine.step()


def test_the_released_code_steps_first_on_a_schedule_one_longer() -> None:
    steps = 391 * 501
    first, last = (learning_rate(step, steps, lr=0.1, first_step=1) for step in (0, steps - 1))
    assert first == pytest.approx(0.05 * (1 + cos(pi * 1 / (steps + 1))))
    assert last == pytest.approx(0.05 * (1 + cos(pi * steps / (steps + 1))))
    assert 0 < last < 1e-10


def test_paper_starts_at_the_full_rate_and_ends_just_above_zero() -> None:
    assert learning_rate(0, 1000, lr=0.1) == 0.1
    assert 0 < learning_rate(999, 1000, lr=0.1) < 1e-6
    assert learning_rate(500, 1000, lr=0.1) == pytest.approx(0.05)


def test_the_warmup_is_torchs_linear_one_and_the_cosine_begins_at_the_full_rate() -> None:
    warmup, steps = 20, 70
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
    linear = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1 / (warmup + 1), total_iters=warmup)
    cosine = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=steps - warmup)
    both = torch.optim.lr_scheduler.SequentialLR(optimizer, [linear, cosine], milestones=[warmup])
    for step in range(steps):
        assert learning_rate(step, steps, lr=0.1, warmup_steps=warmup) == pytest.approx(both.get_last_lr()[0])
        optimizer.step()
        both.step()
    assert learning_rate(warmup, steps, lr=0.1, warmup_steps=warmup) == 0.1
    assert learning_rate(0, steps, lr=0.1, warmup_steps=warmup) == pytest.approx(0.1 / 21)


@pytest.mark.parametrize(
    ("epochs", "start", "first_epoch_of_phase"), [(500, 0.96, 480), (501, 480 / 501, 480), (150, 0.96, 144)]
)
def test_the_final_phase_begins_where_d17_says(epochs: int, start: float, first_epoch_of_phase: int) -> None:
    inside = [done for done in range(epochs) if in_final_phase(done, epochs, start)]
    assert inside == list(range(first_epoch_of_phase, epochs))
    assert not in_final_phase(epochs - 1, epochs, None)
