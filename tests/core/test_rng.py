"""Seeds that depend on where we are."""

import torch

from sfumato.core.rng import derive_seed, seeded_generator


def test_the_same_place_gives_the_same_numbers_in_every_version():
    assert derive_seed(0) == 2033344993903900207
    assert torch.equal(torch.randn(4, generator=seeded_generator(3, "a", 1)), torch.randn(4, generator=seeded_generator(3, "a", 1)))


def test_neighbouring_places_have_nothing_in_common():
    seeds = {derive_seed(seed, *path) for seed in range(20) for path in [(), ("a",), ("b",), *(("a", i) for i in range(20))]}
    assert len(seeds) == 20 * 23
    assert all(0 <= seed < 2**63 for seed in seeds)
    drawn = torch.stack([torch.randn(2000, generator=seeded_generator(0, "batch", i)) for i in range(8)])
    assert (drawn.corrcoef() - torch.eye(8)).abs().max() < 0.1


def test_a_path_is_read_part_by_part():
    assert derive_seed(0, "a", "b") != derive_seed(0, "ab") != derive_seed(0, "a", 0)
