"""Probabilities of whole numbers: they add up to one, agree with their tables, and learn."""

import math

import torch

from sfumato.nn.entropy import (
    REACH,
    SCALES,
    SMALLEST,
    STEP,
    FactorisedDensity,
    frequencies,
    gaussian_bits,
    gaussian_tables,
    scale_of,
    straight_round,
)


def test_bits_of_all_numbers_are_those_of_a_distribution():
    numbers = torch.arange(-200.0, 201.0)
    for scale in (0.11, 0.7, 5.0, 30.0):
        for mean in (0.0, 0.3):
            mass = 2.0 ** -gaussian_bits(numbers - mean, torch.tensor(scale))
            assert abs(mass.double().sum().item() - 1) < 1e-4


def test_tables_are_whole_and_near_the_bits():
    tables = gaussian_tables()
    assert tables.shape == (SCALES, 2 * REACH + 2)
    assert (tables.sum(dim=1) == 1 << 16).all()
    assert (tables[:, -1] > 0).all()
    for index in (0, 20, SCALES - 1):
        scale = SMALLEST * math.exp(STEP * index)
        numbers = torch.arange(-REACH, REACH + 1)
        mass = 2.0 ** -gaussian_bits(numbers.float(), torch.tensor(scale)).double()
        near = numbers.abs() <= math.ceil(6 * scale)
        assert ((tables[index, :-1] > 0) == near).all()
        assert (tables[index, :-1].double() / 65536 - mass)[near].abs().max() < 0.01


def test_frequencies_keep_what_is_possible_and_nothing_else():
    result = frequencies(torch.tensor([0.0, 1e-9, 0.3, 0.7 - 1e-9, 0.0]))
    assert result.sum() == 1 << 16
    assert (result > 0).tolist() == [False, True, True, True, False]


def test_what_rounding_leaves_is_spread_over_the_numbers():
    tables = gaussian_tables()[:, :-1]
    middle = tables[:, REACH]
    assert (middle - tables[:, REACH + 1 :].amax(dim=1) <= (middle / 65536 > 0.01) * 65536 + 1).all(), "0 is no likelier than it should be"
    share = torch.rand(300, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    wanted = share / share.sum() * ((1 << 16) - 300)
    assert (frequencies(share) - 1 - wanted).abs().max() < 1


def test_a_scale_outside_of_the_row_is_moved_and_can_come_back():
    place = torch.tensor([-30.0, 10.0, 200.0], requires_grad=True)
    scales = scale_of(place)
    assert torch.allclose(scales[[0, 2]], torch.tensor([SMALLEST, SMALLEST * math.exp(STEP * (SCALES - 1))]))
    scales.sum().backward()
    assert (place.grad > 0).tolist() == [False, True, True], "a scale below the row is not made smaller still"
    place.grad = None
    (-scale_of(place)).sum().backward()
    assert (place.grad < 0).tolist() == [True, True, False], "and one above it no larger"


def test_the_scale_of_a_channel_without_content_stays_in_reach():
    """Symbols that are all zero are cheapest at the least scale, and a network that falls below it without end forgets the others."""
    place = torch.tensor([5.0], requires_grad=True)
    optimizer = torch.optim.Adam([place], lr=0.3)
    rng = torch.Generator().manual_seed(0)
    for _ in range(200):
        optimizer.zero_grad()
        gaussian_bits(torch.rand(64, generator=rng) - 0.5, scale_of(place)).sum().backward()
        optimizer.step()
    assert -4 < place.item() < 2
    for _ in range(60):
        optimizer.zero_grad()
        gaussian_bits(3 * torch.randn(64, generator=rng), scale_of(place)).sum().backward()
        optimizer.step()
    assert place.item() > 10


def test_rounding_has_the_gradient_of_its_input():
    x = torch.tensor([0.2, 1.7], requires_grad=True)
    y = straight_round(x)
    assert y.tolist() == [0, 2]
    y.sum().backward()
    assert x.grad.tolist() == [1, 1]


def test_a_density_learns_the_numbers_that_it_sees():
    torch.manual_seed(0)
    density = FactorisedDensity(2)
    optimizer = torch.optim.Adam(density.parameters(), lr=0.03)
    rng = torch.Generator().manual_seed(0)
    drawn = torch.stack([3 + torch.randn(400, generator=rng), 6 * torch.randn(400, generator=rng)])[None, :, :, None]
    for _ in range(150):
        bits = density.bits(drawn.round() + torch.rand(drawn.shape, generator=rng) - 0.5).mean(dim=(0, 2, 3))
        optimizer.zero_grad()
        bits.sum().backward()
        optimizer.step()
    # The entropy of a Gaussian of scale s is log2(s) + 2.05 bits.
    assert abs(bits[0].item() - 2.05) < 0.25
    assert abs(bits[1].item() - 2.05 - math.log2(6)) < 0.25
    table = density.table()
    assert (table.sum(dim=1) == 1 << 16).all()
    assert table[0].argmax() - 63 == 3
