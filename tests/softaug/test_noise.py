import pytest
import torch

from softaug.noise import add_noise, amplitudes, kept_signal, noise_pixels
from softaug.randomness import uniforms
from softaug.softening import soften

IMAGES = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(0))
NOISE = torch.randn(4, 3, 5, 6, generator=torch.Generator().manual_seed(1))
AMPLITUDE = torch.tensor([-0.1, 0.0, 0.05, 0.1])


def test_amplitudes_are_normal_clamped_to_one_standard_deviation() -> None:
    a = amplitudes(uniforms(100_000, generator=torch.Generator().manual_seed(0)), sigma=0.1)
    assert a.dtype == torch.float32
    assert a.min().item() == pytest.approx(-0.1)
    assert a.max().item() == pytest.approx(0.1)
    assert (a == a.max()).double().mean().item() == pytest.approx(0.1587, abs=0.004)  # P(N > 1)
    inner = a[a.abs() < 0.1]
    assert inner.std().item() == pytest.approx(0.1 * 0.5394, rel=0.01)  # of a normal truncated to one std
    assert amplitudes(torch.tensor([0.0, 0.5]), sigma=0.1).tolist() == pytest.approx([-0.1, 0.0])


def test_the_paper_adds_and_the_byte_code_blends() -> None:
    added = add_noise(IMAGES, AMPLITUDE, NOISE, form="add")
    blended = add_noise(IMAGES, AMPLITUDE, NOISE, form="blend")
    for i, a in enumerate(AMPLITUDE.tolist()):
        torch.testing.assert_close(added[i], IMAGES[i] + a * NOISE[i])
        torch.testing.assert_close(blended[i], IMAGES[i] * (1 - a) + NOISE[i] * a)


def test_softening_by_noise_is_section_1_4s_formula() -> None:
    kept = kept_signal(AMPLITUDE, form="add")
    expected = 1 - (1 - 1 / 100) * AMPLITUDE.abs() ** 1
    torch.testing.assert_close(soften(1.0, kept, k=1.0, classes=100), expected)
    assert soften(1.0, kept, k=1.0, classes=100).min().item() == pytest.approx(0.901)
    assert kept_signal(AMPLITUDE, form="blend").tolist() == pytest.approx([1.0, 1.0, 0.95, 0.9])


def test_noise_and_crop_soften_together_as_the_byte_code_chains_them() -> None:
    visibility = torch.tensor([0.2, 0.5, 0.9, 1.0])
    p_noise = 1 - (1 - 1 / 10) * AMPLITUDE.abs()
    expected = p_noise - (p_noise - 1 / 10) * (1 - visibility) ** 2
    noisy = soften(1.0, kept_signal(AMPLITUDE, form="add"), k=1.0, classes=10)
    torch.testing.assert_close(soften(noisy, visibility, k=2.0, classes=10), expected)


def test_noise_pixels_depend_on_seed_epoch_and_step() -> None:
    one = noise_pixels(IMAGES, std=0.5, seed=0, epoch=1, step=0)
    assert torch.equal(one, noise_pixels(IMAGES, std=0.5, seed=0, epoch=1, step=0))
    for other in ({"seed": 1}, {"epoch": 2}, {"step": 1}):
        assert not torch.equal(one, noise_pixels(IMAGES, std=0.5, **{"seed": 0, "epoch": 1, "step": 0} | other))
    many = noise_pixels(torch.zeros(50, 3, 32, 32), std=0.5, seed=0, epoch=1, step=0)
    assert many.std().item() == pytest.approx(0.5, rel=0.01)
