import pickle
from itertools import cycle, islice
from typing import Any

import pytest
import torch
from literal import apply_each, pictures

from softaug.policies.kernels import KERNELS, apply_dense, apply_grouped, apply_rounds
from softaug.policies.policy import Policy, RandAugment, TrivialAugmentWide, apply_op
from softaug.policies.settings import (
    BINS,
    KERNEL_NAMES,
    OPS,
    SIGNED,
    Flavour,
    Setting,
    rand_augment_settings,
    tabulate,
    trivial_augment_settings,
)

FLAVOURS: tuple[Flavour, ...] = ("pil", "tensor")
POLICIES: list[Policy] = [
    RandAugment(),
    RandAugment(num_ops=3, magnitude=30, flavour="tensor"),
    TrivialAugmentWide(),
    TrivialAugmentWide(flavour="tensor"),
]


def all_settings(size: tuple[int, int]) -> list[Setting]:
    """Return every setting that RandAugment has at any of its 31 magnitudes, or TrivialAugmentWide."""
    rand_augment = {setting for bin_ in range(BINS) for setting in rand_augment_settings(bin_, size)}
    return sorted(rand_augment | set(trivial_augment_settings()))


@pytest.mark.parametrize("flavour", FLAVOURS)
@pytest.mark.parametrize(
    ("channels", "height", "width"),
    [
        (3, 32, 32),
        (1, 8, 8),
        pytest.param(1, 28, 28, marks=pytest.mark.slow),
        pytest.param(3, 17, 40, marks=pytest.mark.slow),
    ],
)
def test_every_operation_at_every_bin_and_sign_is_torchvisions_byte_for_byte(
    channels: int, height: int, width: int, flavour: Flavour
) -> None:
    images = pictures(channels, height, width)
    wrong = []
    for setting in all_settings((height, width)):
        ours = apply_op(images, setting.op, setting.magnitude, flavour=flavour)
        if not torch.equal(ours, apply_each(images, [setting] * len(images), flavour)):
            wrong.append(setting)
    assert wrong == []


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_at_224_pixels_every_operation_is_torchvisions_byte_for_byte(flavour: Flavour) -> None:
    images = pictures(3, 224, 224, n=6)
    settings = [*rand_augment_settings(9, (224, 224)), *trivial_augment_settings()[:: 2 * BINS - 3]]
    wrong = []
    for start in range(0, len(settings), len(images)):
        chosen = list(islice(cycle(settings[start:]), len(images)))
        each = zip(images, chosen, strict=True)
        ours = torch.cat([apply_op(image[None], op, magnitude, flavour=flavour) for image, (op, magnitude) in each])
        if not torch.equal(ours, apply_each(images, chosen, flavour)):
            wrong.append(chosen)
    assert wrong == []


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_a_batch_gets_what_was_drawn_for_each_image(policy: Policy, channels: int) -> None:
    images = pictures(channels, 16, 20, n=200)
    before = images.clone()
    settings = policy.draw(policy.uniforms(200, generator=torch.Generator().manual_seed(1)))
    expected = images
    for chosen in settings.unbind(1):
        expected = apply_each(expected, [policy.settings((16, 20))[number] for number in chosen], policy.flavour)
    assert torch.equal(policy.apply(images, settings), expected)
    assert torch.equal(images, before)
    assert torch.equal(policy(images, generator=torch.Generator().manual_seed(1)), expected)
    assert pickle.loads(pickle.dumps(policy)) == policy


@pytest.mark.parametrize("policy", POLICIES, ids=str)
@pytest.mark.parametrize("channels", [1, 3])
def test_the_dense_way_of_a_gpu_gives_the_same_as_grouping(policy: Policy, channels: int) -> None:
    images = pictures(channels, 12, 9, n=300, seed=2)
    tables = tabulate(policy.settings((12, 9)), (12, 9), policy.flavour)
    settings = torch.randint(0, len(policy.settings((12, 9))), (300,), generator=torch.Generator().manual_seed(3))
    assert torch.equal(apply_dense(images, settings, tables), apply_grouped(images, settings, tables))


def test_rand_augment_draws_operations_uniformly_with_replacement_and_signs_by_a_fair_coin() -> None:
    policy = RandAugment(num_ops=2)
    settings = policy.draw(policy.uniforms(140_000, generator=torch.Generator().manual_seed(0)))
    counts = settings.flatten().bincount(minlength=28).double()
    assert counts.div(10_000).sub(1).abs().max() < 0.05  # 10,000 expected of each, std 98
    pairs = (settings[:, 0] // 2 * 14 + settings[:, 1] // 2).bincount(minlength=196).double()
    assert pairs.div(140_000 / 196).sub(1).abs().max() < 0.2  # also every pair, the same twice included


def test_trivial_augment_draws_operation_bin_and_sign_uniformly() -> None:
    policy = TrivialAugmentWide()
    settings = policy.draw(policy.uniforms(868_000, generator=torch.Generator().manual_seed(0))).flatten()
    counts = settings.bincount(minlength=868).double()
    assert len(counts) == len(policy.settings((32, 32))) == 14 * 31 * 2
    assert counts.sub(1000).abs().max() < 180  # std 32


def test_the_settings_are_torchvisions_magnitudes() -> None:
    from torchvision.transforms import autoaugment

    theirs = autoaugment.TrivialAugmentWide()._augmentation_space(BINS)
    ours = trivial_augment_settings()
    for number, op in enumerate(OPS):
        magnitudes, signed = theirs[op]
        for bin_ in range(BINS):
            plus, minus = ours[2 * (BINS * number + bin_) :][:2]
            assert plus == (op, magnitudes[bin_].item() if magnitudes.ndim else 0.0)
            assert minus.magnitude == (-plus.magnitude if signed else plus.magnitude)
            assert signed == (op in SIGNED)


def test_stronger_rand_augment_meets_the_same_operations_and_signs() -> None:
    u = RandAugment().uniforms(100, generator=torch.Generator().manual_seed(0))
    assert torch.equal(RandAugment(magnitude=3).draw(u), RandAugment(magnitude=20).draw(u))


@pytest.mark.parametrize("policy", POLICIES, ids=str)
def test_an_empty_batch_passes(policy: Policy) -> None:
    assert policy(torch.zeros(0, 3, 8, 8, dtype=torch.uint8), generator=torch.Generator()).shape == (0, 3, 8, 8)


def test_a_batch_in_another_memory_layout_gives_the_same() -> None:
    images = pictures(3, 16, 16, n=100)
    policy = RandAugment()
    settings = policy.draw(policy.uniforms(100, generator=torch.Generator().manual_seed(1)))
    other = images.contiguous(memory_format=torch.channels_last)
    assert torch.equal(policy.apply(other, settings), policy.apply(images, settings))


@pytest.mark.parametrize("policy", POLICIES[::3], ids=str)
def test_the_dense_way_is_one_graph(policy: Policy) -> None:
    images = pictures(3, 16, 16, n=20)
    settings = policy.draw(policy.uniforms(20, generator=torch.Generator().manual_seed(1)))
    tables = policy.tables((16, 16), images.device)
    compiled = torch.compile(apply_rounds, fullgraph=True, backend="eager")
    assert torch.equal(compiled(images, settings, tables), policy.apply(images, settings))


def test_every_kernel_has_a_name() -> None:
    assert tuple(KERNELS) == KERNEL_NAMES


IMAGES = torch.zeros(2, 3, 8, 8, dtype=torch.uint8)


def test_wrong_images_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(TypeError, match=r"images: torch.float32; policies work on uint8"):
        RandAugment()(IMAGES.float(), generator=torch.Generator())
    with pytest.raises(ValueError, match=r"shape \(2, 2, 8, 8\); expected \(B, C, H, W\) with 1 or 3 channels"):
        apply_op(IMAGES[:, :2], "Identity", 0.0, flavour="pil")
    with pytest.raises(ValueError, match=r"shape \(3, 8, 8\)"):
        apply_op(IMAGES[0], "Identity", 0.0, flavour="pil")


def test_settings_must_fit_the_batch_and_be_on_its_device() -> None:
    with pytest.raises(ValueError, match=r"settings: shape \(3, 2\) on cpu; expected \(2, 2\) on cpu"):
        RandAugment().apply(IMAGES, torch.zeros(3, 2, dtype=torch.int64))
    with pytest.raises(ValueError, match="on meta; expected"):
        RandAugment().apply(IMAGES, torch.zeros(2, 2, dtype=torch.int64, device="meta"))


def test_wrong_parameters_are_refused_with_what_is_allowed() -> None:
    with pytest.raises(ValueError, match="magnitude: 31 is no bin; allowed: 0 to 30"):
        RandAugment(magnitude=31)
    with pytest.raises(ValueError, match="num_ops: 0; allowed: 1 or more"):
        RandAugment(num_ops=0)
    flavour: Any = "v2"
    with pytest.raises(ValueError, match="flavour: 'v2'; allowed: pil, tensor"):
        TrivialAugmentWide(flavour=flavour)
    op: Any = "Invert"
    with pytest.raises(ValueError, match="'Invert' is no operation; allowed: Identity, ShearX"):
        apply_op(IMAGES, op, 0.0, flavour="pil")
    for op, magnitude in (("Posterize", 9.0), ("Solarize", 256.0), ("Color", -1.5)):
        with pytest.raises(ValueError, match=f"magnitude: .* for {op}; allowed"):
            apply_op(IMAGES, op, magnitude, flavour="pil")
    with pytest.raises(ValueError, match="must be finite"):
        apply_op(IMAGES, "Rotate", float("nan"), flavour="pil")
