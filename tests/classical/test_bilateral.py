"""The bilateral filter, against OpenCV and against means that are known."""

import pytest
import torch

from sfumato.classical.bilateral import RADIUS, bilateral


def noise(*shape, seed=0):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("channels", [1, 3])
def test_it_is_that_of_opencv(channels):
    cv2 = pytest.importorskip("cv2")
    image = noise(1, channels, 24, 31)
    pixels = image[0].permute(1, 2, 0).contiguous().numpy()
    expected = cv2.bilateralFilter(pixels, 2 * RADIUS + 1, 0.2 * channels, 2.5)  # which sums the differences of the channels
    expected = torch.from_numpy(expected).reshape(24, 31, channels).permute(2, 0, 1)[None]
    inside = (..., slice(RADIUS, -RADIUS), slice(RADIUS, -RADIUS))
    assert torch.allclose(bilateral(image, colour=0.2)[inside], expected[inside], atol=2e-4)


def test_edges_stay_and_flat_parts_become_smooth():
    image = torch.full((1, 1, 20, 20), 0.2)
    image[..., 10:] = 0.8
    seen = image + 0.02 * (noise(1, 1, 20, 20) - 0.5)
    made = bilateral(seen, colour=0.03)
    assert (made - image).abs().max() < 0.01
    assert (made - image).std() < 0.4 * (seen - image).std()


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (3, 2), (5, 40)])
def test_any_size(size):
    flat = torch.full((2, 3, *size), 0.3)
    assert torch.allclose(bilateral(flat, colour=0.1), flat)
    made = bilateral(noise(1, 3, *size), colour=10.0, space=1e6)
    assert made.isfinite().all()
    if size == (3, 2):
        assert torch.allclose(made, noise(1, 3, *size).mean(dim=(2, 3), keepdim=True).expand_as(made), atol=1e-4)


def test_a_value_depends_on_those_within_the_radius():
    image = noise(1, 3, 30, 30)
    other = image.clone()
    other[..., 15, 15] = 0.5
    changed = (bilateral(image, colour=0.5) != bilateral(other, colour=0.5)).any(dim=1)[0].nonzero()
    assert (changed - 15).abs().max() == RADIUS
