"""Holes filled by averages."""

import pytest
import torch

from sfumato.nn.fill import push_pull, receptive_radius


@pytest.fixture
def slope():
    """A plane that rises evenly along both sides."""
    rows, columns = torch.linspace(0, 0.5, 64)[:, None], torch.linspace(0, 0.5, 64)
    return (rows + columns)[None, None]


def test_what_is_known_stays_and_the_rest_is_near_it(slope):
    observed = (torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0)) < 0.3).float()
    filled = push_pull(slope * observed + 9 * (1 - observed), observed, levels=4)
    assert torch.equal(filled[observed > 0], slope[observed > 0])
    assert (filled - slope).abs().mean() < 0.01


def test_a_constant_is_filled_exactly():
    observed = torch.ones(1, 1, 32, 32)
    observed[:, :, 8:20, 4:30] = 0
    torch.testing.assert_close(push_pull(torch.full((1, 3, 32, 32), 0.7) * observed, observed, levels=4), torch.full((1, 3, 32, 32), 0.7))


def test_what_nothing_is_known_of_is_grey():
    assert torch.equal(push_pull(torch.zeros(1, 1, 16, 16), torch.zeros(1, 1, 16, 16), levels=2), torch.full((1, 1, 16, 16), 0.5))


def test_it_looks_no_farther_than_it_says(slope):
    observed = torch.zeros(1, 1, 64, 64)
    observed[..., 0] = observed[..., 63] = 1
    image = slope.clone().requires_grad_()
    push_pull(image, observed, levels=2)[0, 0, 32, 5].backward()
    assert image.grad.nonzero()[:, 3].max() - 5 <= receptive_radius(2)
