"""How far a grid stands out in spectra."""

import pytest
import torch

from sfumato.metrics.grid import grid
from sfumato.nn.blocks import Up


def clouds(count, size, seed):
    """Images whose spectrum falls as those of photographs do, with no grid."""
    h, w = size
    rng = torch.Generator().manual_seed(seed)
    noise = torch.fft.fft2(torch.randn(count, 3, h, w, generator=rng))
    y, x = torch.meshgrid(torch.fft.fftfreq(h), torch.fft.fftfreq(w), indexing="ij")
    return (torch.fft.ifft2(noise / (y.square() + x.square() + 1 / (h * w)).sqrt()).real / 12 + 0.5).clamp(0, 1)


@pytest.mark.parametrize("size", [(32, 32), (28, 28), (30, 41), (64, 48)])
@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("way", ["down", "across", "both"])
def test_a_grid_that_is_laid_over_images_is_found_and_else_there_is_none(size, period, way):
    real, other = clouds(256, size, 0), clouds(256, size, 1)
    down, across = ((torch.arange(side) % period == 0).float() for side in size)
    lines = {"down": down[:, None].expand(size), "across": across.expand(size), "both": down[:, None] * across}[way]
    assert grid(real, other) < 1.5
    assert grid(real, other + 0.1 * lines) > 2
    assert grid(real + 0.1 * lines, other + 0.1 * lines) < 1.5, "what real images have too is no fault of the network's"


def test_transposed_convolutions_leave_a_grid_and_resized_ones_hardly_any():
    coarse, real = clouds(256, (16, 16), 2), clouds(256, (32, 32), 0)
    torch.manual_seed(0)
    left = {how: [grid(real, Up(3, 3, (32, 32), method=how)(coarse)) for _ in range(5)] for how in ("transposed", "nearest", "bilinear")}
    assert min(left["transposed"]) > 5 * max(left["nearest"] + left["bilinear"])


def test_too_small_images_have_no_grid_to_speak_of():
    assert grid(torch.rand(4, 1, 12, 40), torch.rand(4, 1, 12, 40)) == 1.0
