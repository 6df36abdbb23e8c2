"""What lies near a marked place, against a comparison of each pair of pixels."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from sfumato.nn.dilation import dilated_by_disc, dilated_by_square


def distances(plane, norm):
    """Distance of each pixel to the nearest of the plane, infinite without one."""
    pixels = torch.cartesian_prod(*map(torch.arange, plane.shape)).double()
    marked = plane.nonzero().double()
    if not len(marked):
        return torch.full(plane.shape, torch.inf)
    return torch.cdist(pixels, marked, p=norm).amin(dim=1).reshape(plane.shape)


def specks(seed, size=(40, 56), share=0.02):
    return torch.rand(*size, generator=torch.Generator().manual_seed(seed)) < share


@pytest.mark.parametrize("radius", [1.0, 1.5, 2.0, 2.5, 4.0, 5.0, 9.5, 60.0])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.02])
def test_a_disc_holds_the_pixels_nearer_than_its_radius(radius, share):
    for seed in range(3):
        plane = specks(seed, share=share)
        assert torch.equal(dilated_by_disc(plane, radius), distances(plane, 2) < radius - 1e-9)


@given(st.integers(0, 20), st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_a_square_holds_the_pixels_within_its_reach(reach, height, width, seed):
    plane = specks(seed, (height, width), share=0.1)
    assert torch.equal(dilated_by_square(plane[None, None].float(), reach)[0, 0] > 0, distances(plane, torch.inf) <= reach)
