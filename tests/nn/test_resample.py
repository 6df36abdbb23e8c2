"""Resizing and filtering, against torch, scipy and values worked out by hand."""

import itertools

import numpy as np
import pytest
import torch
from scipy import ndimage
from torch.nn import functional as F

from sfumato.nn.resample import correlate, mirror, resize, resize_in_bands, resized_rows, shrink


@pytest.fixture
def images():
    return torch.rand(2, 3, 24, 20, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize("method", ["bicubic", "bilinear"])
@pytest.mark.parametrize("size", [(12, 10), (8, 7), (24, 20), (48, 40)])
def test_away_from_the_border_it_is_torchs_antialiased_interpolation(images, method, size):
    ours = resize(images, size, method=method)
    theirs = F.interpolate(images, size=size, mode=method, antialias=True)
    edge = 4 if size[0] > 12 else 2
    if method == "bicubic" and size[0] > 24:
        pytest.skip("torch enlarges with another cubic, a = -3/4")
    torch.testing.assert_close(ours[:, :, edge:-edge, edge:-edge], theirs[:, :, edge:-edge, edge:-edge], rtol=0, atol=1e-5)


def test_halving_a_row_by_hand():
    """The widened cubic at distances 1/4, 3/4, 5/4 and 7/4: (111, 29, -9, -3) / 256."""
    taps = np.array([-3, -9, 29, 111, 111, 29, -9, -3]) / 256
    row = torch.arange(12.0).square()
    half = shrink(row.reshape(1, 1, 1, 12).expand(1, 1, 2, 12), 2)[0, 0, 0]
    assert half[2].item() == pytest.approx((taps * np.arange(1, 9) ** 2).sum(), abs=1e-4)
    mirrored = np.array([2, 1, 0, 0, 1, 2, 3, 4])  # what lies under the taps of the first pixel, border repeated
    assert half[0].item() == pytest.approx((taps * mirrored**2).sum(), abs=1e-4)


def test_area_is_the_mean_and_nearest_is_a_sample(images):
    torch.testing.assert_close(shrink(images, 4, method="area"), F.avg_pool2d(images, 4), rtol=0, atol=1e-6)
    third = shrink(images[:, :, :21, :18], 3, method="nearest")
    assert torch.equal(third, images[:, :, 1:21:3, 1:18:3]), "the middle one of three"


@pytest.mark.parametrize("method", ["bicubic", "bilinear", "area", "nearest"])
def test_constants_stay_and_sizes_round_up(method):
    small = shrink(torch.full((1, 1, 7, 9), 0.3), 2, method=method)
    assert small.shape == (1, 1, 4, 5)
    torch.testing.assert_close(small, torch.full_like(small, 0.3))


def test_the_same_size_is_the_same_image(images):
    for method in ("bicubic", "bilinear", "area", "nearest"):
        torch.testing.assert_close(resize(images, (24, 20), method=method), images, rtol=0, atol=1e-6)


def test_correlation_is_scipys_with_reflected_borders(images):
    kernels = torch.rand(2, 5, 5, generator=torch.Generator().manual_seed(1))
    ours = correlate(images, kernels).numpy()
    for image, kernel, got in zip(images.numpy(), kernels.numpy(), ours, strict=True):
        for channel, result in zip(image, got, strict=True):
            np.testing.assert_allclose(result, ndimage.correlate(channel, kernel, mode="reflect"), atol=1e-5)


def test_the_mirror_reaches_any_distance():
    row = torch.tensor([1.0, 2.0, 3.0]).reshape(1, 1, 1, 3)
    assert mirror(row, 5)[0, 0, 0].tolist() == [2, 3, 3, 2, 1, 1, 2, 3, 3, 2, 1, 1, 2]


def test_gradients_pass():
    x = torch.rand(1, 1, 6, 6, dtype=torch.float32, requires_grad=True)
    (shrink(x, 2).sum() + correlate(x, torch.ones(1, 3, 3)).sum()).backward()
    torch.testing.assert_close(x.grad.sum(), torch.tensor(9.0 + 9 * 36))


@pytest.mark.parametrize("method", ["bicubic", "bilinear", "area", "nearest"])
@pytest.mark.parametrize("size", [(24, 20), (37, 45), (9, 7), (1, 50)])
def test_some_rows_are_those_of_the_whole(images, method, size, monkeypatch):
    monkeypatch.setattr("sfumato.nn.resample._COLUMNS", 16)
    whole, read = resize(images, size, method=method), []

    def rows(first, last):
        read.append((first, last))
        return images[:, :, first:last]

    for start in range(size[0]):
        stop = min(size[0], start + 3)
        part = resized_rows(rows, (24, 20), size, start, stop, method=method)
        torch.testing.assert_close(part, whole[:, :, start:stop], rtol=0, atol=1e-6)
    assert all(first <= after for (first, _), (after, _) in itertools.pairwise(read)), "rows are read from top to bottom"


def test_bands_are_the_whole(images, monkeypatch):
    monkeypatch.setattr("sfumato.nn.resample.BAND", 10)
    torch.testing.assert_close(resize_in_bands(images, (41, 33)), resize(images, (41, 33)), rtol=0, atol=1e-6)
