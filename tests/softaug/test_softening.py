import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from softaug.softening import soft_target, soften, torch_label_smoothing

VISIBILITY = torch.linspace(0, 1, 33)
unit = st.floats(0, 1, width=32)


@pytest.mark.parametrize(
    ("v", "k", "classes", "p"),
    [
        (1.0, 2.0, 10, 1.0),
        (0.0, 2.0, 10, 0.1),  # nothing seen: chance
        (0.5, 2.0, 10, 0.775),  # 1 - 0.9 / 4
        (0.5, 1.0, 100, 0.505),  # linear: halfway between 0.01 and 1
        (0.75, 4.0, 2, 1 - 0.5 / 256),
    ],
)
def test_equation_7_by_hand(v: float, k: float, classes: int, p: float) -> None:
    assert soften(1.0, torch.tensor([v]), k=k, classes=classes).item() == pytest.approx(p, abs=1e-7)


@given(ceiling=st.floats(0.1, 1), k=st.floats(0.1, 16), classes=st.integers(10, 1000))
@settings(deadline=None)
def test_confidence_grows_from_chance_to_the_ceiling(ceiling: float, k: float, classes: int) -> None:
    p = soften(ceiling, VISIBILITY, k=k, classes=classes)
    assert p[0].item() == pytest.approx(1 / classes, abs=1e-6)
    assert p[-1].item() == pytest.approx(ceiling, abs=1e-6)
    assert (p.diff() >= -1e-6).all()


@given(v=unit, w=unit, k=st.floats(0.5, 4), alpha=st.floats(0, 0.5))
@settings(deadline=None)
def test_softeners_combine_in_any_order(v: float, w: float, k: float, alpha: float) -> None:
    first, second = torch.tensor([v]).double(), torch.tensor([w]).double()
    there = soften(soften(1 - alpha, first, k=k, classes=10), second, k=k, classes=10)
    back = soften(soften(1 - alpha, second, k=k, classes=10), first, k=k, classes=10)
    torch.testing.assert_close(there, back)


@pytest.mark.parametrize("k", [1.0, 2.0, 3.0])
def test_the_target_is_uniform_smoothing_with_the_samples_own_rate(k: float) -> None:
    classes, labels = 10, torch.arange(33) % 10
    rate = ((1 - VISIBILITY) ** k).unsqueeze(1)
    smoothed = (1 - rate) * functional.one_hot(labels, classes) + rate / classes
    target = soft_target(labels, soften(1.0, VISIBILITY, k=k, classes=classes), classes=classes)
    torch.testing.assert_close(target, smoothed)


def test_the_target_is_a_distribution_and_one_hot_at_full_visibility() -> None:
    labels = torch.tensor([3, 0, 9])
    target = soft_target(labels, torch.tensor([1.0, 0.1, 0.55]), classes=10)
    torch.testing.assert_close(target.sum(dim=1), torch.ones(3))
    assert torch.equal(target[0], functional.one_hot(labels[0], 10).float())
    torch.testing.assert_close(target[1], torch.full((10,), 0.1))
    torch.testing.assert_close(target[2, [9, 0]], torch.tensor([0.55, 0.05]))


@pytest.mark.parametrize("alpha", [0.05, 0.1, 0.2, 0.3])
def test_label_smoothing_is_torchs_with_alpha_rescaled(alpha: float) -> None:
    classes, generator = 10, torch.Generator().manual_seed(0)
    logits, labels = (
        torch.randn(64, classes, generator=generator),
        torch.randint(0, classes, (64,), generator=generator),
    )
    target = soft_target(labels, torch.full((64,), 1 - alpha), classes=classes)
    ours = functional.cross_entropy(logits, target)
    rescaled = torch_label_smoothing(alpha, classes=classes)
    torch.testing.assert_close(ours, functional.cross_entropy(logits, labels, label_smoothing=rescaled))
    assert rescaled * (classes - 1) / classes == pytest.approx(alpha)
