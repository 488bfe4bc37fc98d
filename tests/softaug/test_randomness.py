import hashlib

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
