"""Sizes of latents: the same for whole numbers and for a network in training, and exact where they must be."""

import math
from fractions import Fraction

import pytest
import torch

from sfumato.nn.entropy import SMALLEST, STEP
from sfumato.nn.spread import Spread

SIZES = torch.tensor([28.0, 7.0, 0.9, 0.4, 0.05])


@pytest.fixture(scope="module")
def spread():
    return Spread(SIZES, ratio=10.0, qualities=100)


def test_sizes_are_near_those_that_were_given_and_grow_by_the_ratio(spread):
    low, middle, high = spread.sizes(torch.tensor([0.0, 0.5, 1.0]))[:, :, 0, 0]
    assert ((middle / SIZES).log2().abs() <= 0.5).all()
    assert torch.allclose(high / low, torch.full((5,), 10.0))
    assert torch.allclose(low * high, middle.square())


def test_a_place_is_that_of_the_scale_of_its_size(spread):
    level = torch.tensor([0.2, 0.9])
    places = spread.scale_places(level)
    assert torch.allclose((math.log(SMALLEST) + STEP * places).exp(), spread.sizes(level), rtol=1e-4)


@pytest.mark.parametrize("quality", [1, 37, 100])
def test_whole_numbers_have_the_same_sizes(spread, quality):
    level = torch.tensor([(quality - 1) / 99])
    whole = spread.whole(quality - 1)
    sizes = spread.sizes(level)[0, :, 0, 0].double()
    assert torch.allclose(whole.size, sizes, rtol=1e-3)
    assert torch.allclose(whole.inverse * whole.size, torch.ones(5, dtype=torch.float64), rtol=1e-3)
    assert (whole.place[:, 0] / 256 - spread.scale_places(level)[0, :, 0, 0]).abs().max() < 0.05
    latent = torch.randint(-5000, 5000, (5, 4, 6), generator=torch.Generator().manual_seed(quality))
    seen = spread.divided(latent[None].float(), spread.sizes(level))[0]
    assert ((whole.divided(latent.double() * 256) / 256 - seen) / seen.abs().clamp_min(1)).abs().max() < 0.01


def test_whole_numbers_are_rounded_exactly(spread):
    """Compared with fractions of Python, at the largest numbers."""
    whole = spread.whole(63)
    numbers = torch.tensor([(1 << 20), -(1 << 20), 1, -1, 524287, -3, 0]).double()
    divided, grown = whole.divided(numbers.expand(5, 1, -1)), whole.grown(numbers.expand(5, -1))
    for channel in range(5):
        size, inverse = Fraction(float(whole.size[channel])), min(Fraction(float(whole.inverse[channel])), Fraction(4))
        for i, number in enumerate(numbers.tolist()):
            assert int(divided[channel, 0, i]) == math.floor(Fraction(number) * inverse + Fraction(1, 2))
            assert int(grown[channel, i]) == math.floor(Fraction(number) * size + Fraction(1, 2))
