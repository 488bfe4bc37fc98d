import hashlib
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from softaug.randomness import forked, generator, stream_seed, uniforms


def test_the_seed_is_the_first_eight_bytes_of_a_hash() -> None:
    assert stream_seed(3, "crop", 7) == int(hashlib.sha256(b"3/crop/7").hexdigest()[:16], 16)


def test_seed_stream_and_epoch_each_make_another_stream() -> None:
    draws = [uniforms(4, 2, generator=generator(*key)) for key in ((0, "a", 1), (1, "a", 1), (0, "b", 1), (0, "a", 2))]
    assert len({tuple(draw.flatten().tolist()) for draw in draws}) == 4
    assert torch.equal(draws[0], uniforms(4, 2, generator=generator(0, "a", 1)))
    assert draws[0].dtype == torch.float64
    assert draws[0].shape == (4, 2)


def test_known_numbers() -> None:
    # Golden: another torch or hash would make other runs of every recipe.
    assert uniforms(2, generator=generator(0, "crop", 1)).tolist() == [0.7977557374184155, 0.18367165238142424]


def test_the_global_generator_is_seeded_inside_and_untouched_outside() -> None:
    before = torch.get_rng_state()
    with forked(0, "init", 0):
        first = torch.rand(3)
    with forked(0, "init", 0):
        assert torch.equal(first, torch.rand(3))
    assert torch.equal(before, torch.get_rng_state())


def test_a_cuda_devices_generator_is_seeded_inside_and_restored_too(monkeypatch: pytest.MonkeyPatch) -> None:
    # A stand-in for torch.cuda, with a generator per device: there may be no GPU here.
    current, generators = [0], [torch.Generator().manual_seed(7), torch.Generator().manual_seed(8)]

    @contextmanager
    def device(chosen: torch.device) -> Iterator[None]:
        current[0] = chosen.index
        yield
        current[0] = 0

    def manual_seed(seed: int) -> None:
        generators[current[0]].manual_seed(seed)

    def set_rng_state(state: torch.Tensor, chosen: torch.device) -> None:
        generators[chosen.index].set_state(state)

    monkeypatch.setattr(torch.cuda, "device", device)
    monkeypatch.setattr(torch.cuda, "manual_seed", manual_seed)
    monkeypatch.setattr(torch.cuda, "get_rng_state", lambda chosen: generators[chosen.index].get_state())
    monkeypatch.setattr(torch.cuda, "set_rng_state", set_rng_state)
    before = [each.get_state() for each in generators]
    with forked(0, "layers", 1, torch.device("cuda", 1)):
        assert generators[1].initial_seed() == torch.initial_seed() == stream_seed(0, "layers", 1)
        assert torch.equal(generators[0].get_state(), before[0])
        torch.rand(3, generator=generators[1])
    assert all(torch.equal(each.get_state(), state) for each, state in zip(generators, before, strict=True))
    with forked(0, "layers", 1, torch.device("cpu")):
        assert generators[0].initial_seed() == 7
